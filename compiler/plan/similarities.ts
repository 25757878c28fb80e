/**
 * The similarity matrices of an entry: products of rows and columns that are normalised along one of them (logsumexp, max, argmax), as
 * contrastive losses, Sinkhorn, cross-entropy, k-means and attention have. Online kernels use their elements as they are computed;
 * the others, the logits of a classifier for instance, are in memory.
 */
import { tensorsIn } from '../fuse/draft.js';
import type { Kernel, KernelProgram, OnlineKernel } from '../fuse/kernel.js';
import { isNormalising } from '../fuse/stream-products.js';
import { sizeAlong, sizeOf } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { tensorBytes } from './lifetimes.js';

/** Matrices of one size, none of which is in memory. */
export interface StreamedSimilarity {
  /** Beside each other, such as heads of attention or views of a batch. */
  readonly batch: number;
  readonly rows: number;
  readonly columns: number;
  /** How many kernels compute one. */
  readonly kernels: number;
  /** What one would take in memory. */
  readonly bytes: number;
}

export interface StoredSimilarity {
  readonly name: string;
  readonly shape: readonly number[];
  readonly bytes: number;
}

export interface Similarities {
  readonly streamed: readonly StreamedSimilarity[];
  readonly stored: readonly StoredSimilarity[];
}

export function similaritiesOf(kernels: KernelProgram): Similarities {
  const streamed = new Map<string, StreamedSimilarity>();
  for (const k of kernels.kernels) {
    if (k.kind !== 'online') continue;
    const size = sizesOf(k);
    const key = JSON.stringify(size);
    streamed.set(key, { ...size, kernels: (streamed.get(key)?.kernels ?? 0) + 1, bytes: 4 * size.batch * size.rows * size.columns });
  }
  return { streamed: [...streamed.values()], stored: storedOf(kernels) };
}

function sizesOf({ extents, batch, rows, streamedExtents }: OnlineKernel): { batch: number; rows: number; columns: number } {
  return { batch: sizeAlong(batch, extents), rows: sizeAlong(rows, extents), columns: sizeOf(streamedExtents) };
}

/** Stored products, or maps of one, of which a kernel takes a logsumexp, the largest or the smallest. */
function storedOf({ kernels, program }: KernelProgram): StoredSimilarity[] {
  const products = new Set<TensorId>();
  const found = new Set<TensorId>();
  for (const k of kernels) {
    if (isProduct(k)) k.stores.filter((s) => program.tensors[s.tensor].shape.length > 1).forEach((s) => products.add(s.tensor));
    if (k.kind === 'map') for (const s of k.stores) {
      const { shape } = program.tensors[s.tensor];
      if ([...tensorsIn([s.value])].some((id) => products.has(id) && program.tensors[id].shape.join() === shape.join())) products.add(s.tensor);
    }
    for (const id of tensorsIn(normalisedBy(k))) if (products.has(id)) found.add(id);
  }
  return [...found].map((id) => ({ name: program.tensors[id].origin.name, shape: program.tensors[id].shape, bytes: tensorBytes(program, id) }));
}

/** A sum of products of two things. */
const isProduct = (k: Kernel): boolean => k.kind === 'contract'
  || (k.kind === 'reduce' && k.reductions.some((r) => r.op === 'sum' && r.body.kind === 'binary' && r.body.op === 'mul' && [r.body.a, r.body.b].every((x) => tensorsIn([x]).size > 0)));

const normalisedBy = (k: Kernel): readonly Scalar[] => (k.kind === 'reduce' ? k.reductions.filter((r) => isNormalising(r.op)).map((r) => r.body) : []);

/** Lines of a report; empty where there is no such matrix. `bytes` writes a number of bytes. */
export function similarityLines({ streamed, stored }: Similarities, bytes: (n: number) => string): string[] {
  if (streamed.length + stored.length === 0) return [];
  const sizes = streamed.map((s) => `${s.batch === 1 ? '' : `${s.batch} of `}${s.rows} x ${s.columns} in ${s.kernels === 1 ? 'one kernel' : `${s.kernels} kernels`} (${bytes(s.bytes)} each if stored)`);
  return [
    ...(streamed.length === 0 ? [] : [`similarity matrices that are never stored, used as they are computed: ${sizes.join('; ')}`]),
    `scores in memory: ${stored.length === 0 ? 'none' : stored.map((s) => `${s.name} [${s.shape.join(', ')}], ${bytes(s.bytes)}`).join('; ')}`,
  ];
}
