/**
 * What launches do, counted, not measured. FLOPs: every f32 operation once, a multiply-add as two, whatever the schedule repeats; nothing for
 * blocks of scores that a mask leaves out.
 * Bytes: `traffic.ts`.
 */
import type { TargetOptions } from '../api.js';
import { loopExtents } from '../fuse/inline-maps.js';
import type { Kernel, KernelProgram, RoutineKernel } from '../fuse/kernel.js';
import { partLeft } from '../fuse/masked-blocks.js';
import type { ReduceOperator } from '../tensor/program.js';
import { routineRank, sizeAlong, sizeOf } from '../tensor/program.js';
import { holds } from '../tensor/holds.js';
import type { Scalar } from '../tensor/scalar.js';
import { indexVariables, visit } from '../tensor/scalar.js';
import { machineOf } from './machine.js';
import type { LaunchCost } from './plan.js';
import { trafficOf } from './traffic.js';

/** The cost of each launch; `launches` are lists of a program's kernels. */
export function costLaunches(kernels: KernelProgram, launches: readonly (readonly number[])[], target: TargetOptions): readonly LaunchCost[] {
  const flops = kernels.kernels.map(flopsOf);
  return trafficOf(kernels, launches, machineOf(target, kernels.program)).map((traffic, i) => ({ flops: launches[i].reduce((n, k) => n + flops[k], 0), ...traffic }));
}

/** The kind of the kernel with the most arithmetic, for each launch. */
export function classesOf({ kernels }: KernelProgram, launches: readonly (readonly number[])[]): readonly Kernel['kind'][] {
  return launches.map((launch) => {
    const [{ kind }] = launch.map((k) => kernels[k]);
    // Most launches are of one kind, and their arithmetic need not be counted.
    if (launch.every((k) => kernels[k].kind === kind)) return kind;
    const flops = launch.map((k) => flopsOf(kernels[k]));
    return kernels[launch[flops.indexOf(Math.max(...flops))]].kind;
  });
}

/** The sum of costs. */
export function totalCost(costs: readonly LaunchCost[]): LaunchCost {
  const sum = (of: (c: LaunchCost) => number): number => costs.reduce((n, c) => n + of(c), 0);
  return { flops: sum((c) => c.flops), bytesRead: sum((c) => c.bytesRead), bytesWritten: sum((c) => c.bytesWritten), idealBytes: sum((c) => c.idealBytes) };
}

/** Bytes moved, as a multiple of the ideal. */
export const excessOf = (c: LaunchCost): number => (c.bytesRead + c.bytesWritten) / Math.max(1, c.idealBytes);

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

/** Pairs that a mask leaves out are counted in squares of so many rows and columns: targets differ in how they cut them. */
const maskedBlock = 64;

/** FLOPs of a kernel. */
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
      const left = partLeft(kernel, maskedBlock);
      const pairs = sizeAlong([...kernel.batch, ...kernel.rows], kernel.extents) * sizeOf(kernel.streamedExtents);
      const outer = extents.slice(0, kernel.extents.length + kernel.streamedExtents.length);
      const score = kernel.scores.reduce((n, s) => n + 2 * left * pairs * sizeAlong(s.inner, extents), 0) + operationsIn(kernel.scores.flatMap((s) => [s.left, s.right]), extents);
      if (kernel.combine.kind === 'reduce') {
        return Math.round(stores + score + left * (operationsIn(kernel.combine.reductions.map((r) => r.body), outer) + kernel.combine.reductions.length * pairs));
      }
      // The weight does not vary along the columns.
      const rowOnly = outer.map((n, a) => (kernel.columns.includes(a) ? 1 : n));
      const { products } = kernel.combine;
      return Math.round(stores + score + left * (operationsIn(products.map((m) => m.weight), rowOnly) + 2 * products.length * points * sizeOf(kernel.streamedExtents)));
    }
  }
}

/** Comparisons count as operations. */
function routineFlops(kernel: RoutineKernel): number {
  const [n, , columns = 1] = kernel.ownExtents;
  const each = kernel.op === 'first_equal' ? n : kernel.op === 'argsort' ? n * Math.ceil(Math.log2(Math.max(2, n))) : kernel.op === 'cholesky' ? n ** 3 / 3 : n * n * columns;
  return Math.round(sizeOf(kernel.extents.slice(0, kernel.extents.length - routineRank(kernel.op))) * each);
}
