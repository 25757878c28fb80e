/**
 * What a kernel does, counted, not measured. FLOPs: every f32 operation once, a multiply-add as two, whatever the
 * schedule repeats. Bytes: every tensor element touched once; of a window only its range, of a gathered tensor only
 * as many elements as are gathered; not what the same task has just written (`near`), which is in the cache;
 * nor what a chain makes for itself alone.
 */
import { innerScalarsOf } from '../fuse/draft.js';
import { loopExtents } from '../fuse/inline-maps.js';
import type { Kernel, KernelProgram, RoutineKernel } from '../fuse/kernel.js';
import { chainOfKernel } from '../fuse/kernel.js';
import type { Program, ReduceOperator } from '../tensor/program.js';
import { bytesOf, routineRank, sizeAlong, sizeOf } from '../tensor/program.js';
import { holds } from '../tensor/holds.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { indexVariables, visit, visitReads } from '../tensor/scalar.js';
import type { LaunchCost } from './plan.js';

const nothing: ReadonlySet<TensorId> = new Set();

/** The cost of one kernel, behind kernels that made `near`, in a chain that makes `own` for itself. */
export function costOf(kernel: Kernel, program: Program, near: ReadonlySet<TensorId> = nothing, own: readonly TensorId[] = []): LaunchCost {
  return {
    flops: flopsOf(kernel),
    bytesRead: bytesReadBy(program, kernel, near),
    bytesWritten: kernel.stores.reduce((n, s) => n + (own.includes(s.tensor) ? 0 : sizeOf(kernel.extents) * bytesOf(program.tensors[s.tensor].element)), 0),
  };
}

/** The costs of a program's kernels, by their positions. */
export function kernelCosts(kernels: KernelProgram): readonly LaunchCost[] {
  const chains = chainOfKernel(kernels);
  // What the kernels of the same chain before one make.
  const near = (kernel: number): ReadonlySet<TensorId> =>
    new Set(chains.get(kernel)?.members.filter((m) => m.kernel < kernel).flatMap((m) => kernels.kernels[m.kernel].stores.map((s) => s.tensor)));
  return kernels.kernels.map((kernel, k) => costOf(kernel, kernels.program, near(k), chains.get(k)?.own));
}

/** The sum of costs. */
export function totalCost(costs: readonly LaunchCost[]): LaunchCost {
  return costs.reduce((a, b) => ({ flops: a.flops + b.flops, bytesRead: a.bytesRead + b.bytesRead, bytesWritten: a.bytesWritten + b.bytesWritten }), { flops: 0, bytesRead: 0, bytesWritten: 0 });
}

/** f32 operations of scalars evaluated together, each shared one and each invariant one as often as it changes. */
function operationsIn(roots: readonly Scalar[], extents: readonly number[]): number {
  const seen = new Set<Scalar>();
  const scoreAxes = extents.map((_, i) => i);
  let count = 0;
  for (const root of roots) {
    const varies = new Map<Scalar, ReadonlySet<number>>();
    visit(root, (s) => {
      const isWork = (s.kind === 'unary' && s.type === 'f32' && s.op !== 'stop') || (s.kind === 'binary' && s.a.type === 'f32') || (s.kind === 'select' && s.type === 'f32');
      if (!isWork) return;
      let axes = varies.get(s);
      if (axes === undefined) {
        axes = (s.holds & holds.accumulator) !== 0 ? new Set(scoreAxes) : indexVariables(s);
        varies.set(s, axes);
      }
      count += sizeAlong([...axes], extents);
    }, seen);
  }
  return count;
}

/** Operations that take one element into a reduction: its deviation from the mean, the square of that and their sum, or one. */
const operationsOf = (op: ReduceOperator): number => (op === 'deviations' ? 3 : 1);

function flopsOf(kernel: Kernel): number {
  const points = sizeOf(kernel.extents);
  const stores = operationsIn(kernel.stores.map((s) => s.value), kernel.extents);
  const extents = loopExtents(kernel);
  switch (kernel.kind) {
    case 'map': return stores;
    case 'reduce': return stores + operationsIn(kernel.reductions.map((r) => r.body), extents) + kernel.reductions.reduce((n, r) => n + operationsOf(r.op), 0) * points * sizeOf(kernel.reduceExtents);
    case 'contract': return stores + operationsIn([kernel.left, kernel.right], extents) + 2 * points * sizeOf(kernel.reduceExtents);
    case 'scatter': {
      const free = extents.map((n, a) => (kernel.keys.some((k) => k.axis === a) ? 1 : n));
      return stores + operationsIn([kernel.value], free) + sizeOf(free);
    }
    case 'routine': return operationsIn(kernel.operands, extents) + routineFlops(kernel);
    case 'online': {
      const pairs = sizeAlong([...kernel.batch, ...kernel.rows], kernel.extents) * sizeOf(kernel.streamedExtents);
      const outer = extents.slice(0, kernel.extents.length + kernel.streamedExtents.length);
      const score = kernel.scores.reduce((n, s) => n + 2 * pairs * sizeAlong(s.inner, extents), 0) + operationsIn(kernel.scores.flatMap((s) => [s.left, s.right]), extents);
      if (kernel.combine.kind === 'reduce') {
        return stores + score + operationsIn(kernel.combine.reductions.map((r) => r.body), outer) + kernel.combine.reductions.length * pairs;
      }
      // The weight does not vary along the columns.
      const rowOnly = outer.map((n, a) => (kernel.columns.includes(a) ? 1 : n));
      return stores + score + operationsIn([kernel.combine.weight], rowOnly) + 2 * points * sizeOf(kernel.streamedExtents);
    }
  }
}

/** Comparisons count as operations. */
function routineFlops(kernel: RoutineKernel): number {
  const [n, , columns = 1] = kernel.ownExtents;
  const each = kernel.op === 'first_equal' ? n : kernel.op === 'argsort' ? n * Math.ceil(Math.log2(Math.max(2, n))) : kernel.op === 'cholesky' ? n ** 3 / 3 : n * n * columns;
  return Math.round(sizeOf(kernel.extents.slice(0, kernel.extents.length - routineRank(kernel.op))) * each);
}

function bytesReadBy(program: Program, kernel: Kernel, near: ReadonlySet<TensorId>): number {
  const extents = loopExtents(kernel);
  const touched = new Map<TensorId, number>();
  const seen = new Set<Scalar>();
  const stored = new Set(kernel.stores.map((s) => s.value));
  for (const root of [...innerScalarsOf(kernel), ...stored]) {
    visitReads(root, (s) => {
      if (near.has(s.tensor)) return;
      const elements = sizeAlong([...new Set(s.at.flatMap((i) => [...indexVariables(i)]))], extents);
      touched.set(s.tensor, (touched.get(s.tensor) ?? 0) + elements);
    }, seen);
  }
  let bytes = 0;
  for (const [id, elements] of touched) {
    const tensor = program.tensors[id];
    bytes += Math.min(elements, sizeOf(tensor.shape)) * bytesOf(tensor.element);
  }
  return bytes;
}
