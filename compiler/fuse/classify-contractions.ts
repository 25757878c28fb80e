/** Sums of products with rows and columns become `contract` kernels: matrix products, convolutions, their gradients. */
import { sizeAlong, sizeOf } from '../tensor/program.js';
import { rewriteAccumulators } from '../tensor/scalar.js';
import type { Draft } from './draft.js';
import type { ContractKernel, Kernel, ReduceKernel } from './kernel.js';
import { splitProduct } from './split-product.js';

/** A contraction must have at least this many rows, columns and summands to beat a plain reduction. */
const least = { rows: 8, columns: 8, summands: 4 } as const;

/** The one rule of what is worth a tiled product. */
export function worthContracting(rows: number, columns: number, summands: number): boolean {
  return rows >= least.rows && columns >= least.columns && summands >= least.summands;
}

export function classifyContractions(draft: Draft): Draft {
  return { ...draft, kernels: draft.kernels.map((k) => (k.kind === 'reduce' ? contractionOf(k) : k)) };
}

/** The reduce kernel as a contraction where that pays, or as it is. */
function contractionOf(kernel: ReduceKernel): Kernel {
  const contract = contractKernelOf(kernel);
  if (contract === null) return kernel;
  return worthContracting(sizeAlong(contract.rows, kernel.extents), sizeAlong(contract.columns, kernel.extents), sizeOf(kernel.reduceExtents)) ? contract : kernel;
}

/** The reduce kernel as a contraction of whatever size, or null when it is no sum of products. */
export function contractKernelOf(kernel: ReduceKernel): ContractKernel | null {
  if (kernel.reductions.length !== 1 || kernel.reductions[0].op !== 'sum') return null;
  const product = splitProduct(kernel.reductions[0].body, kernel.extents, (v) => v >= kernel.extents.length);
  if (product === null) return null;
  const { left, right, wrap, batch, rows, columns } = product;
  const stores = kernel.stores.map((s) => ({
    tensor: s.tensor,
    value: rewriteAccumulators(s.value, wrap),
  }));
  return { kind: 'contract', name: kernel.name, origins: kernel.origins, extents: kernel.extents, stores, reduceExtents: kernel.reduceExtents, batch, rows, columns, left, right };
}
