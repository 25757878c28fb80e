/**
 * Adds up products that stream the same scores and values: the gradient of a similarity loss reaches `z` once as row
 * and once as column, sum_j w(i, j) z[j] + sum_j w(j, i) z[j], and becomes one kernel whose weight is w(i, j) + w(j, i).
 */
import { holds } from '../tensor/holds.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { accumulator, add, rewriteAccumulators } from '../tensor/scalar.js';
import { createInterner } from '../tensor/structure.js';
import type { Draft, FuseContext } from './draft.js';
import { innerScalarsOf, mergeOrigins, tensorsIn, tensorsTouched } from './draft.js';
import { pinnedTensors } from './inline-maps.js';
import type { Kernel, OnlineKernel } from './kernel.js';
import { KernelGraph } from './kernel-graph.js';
import { isIdentity } from './place-updates.js';
import { orderKernels } from './schedule-kernels.js';

export function mergeOnline(draft: Draft, context: FuseContext): Draft {
  const pinned = pinnedTensors(draft.program);
  const graph = new KernelGraph(draft.program, draft.kernels);
  for (let i = 0; i < graph.size; i++) {
    for (const p of graph.needsOf(i)) {
      const [second, first] = [graph.at(i), graph.at(p)];
      if (first?.kind !== 'online' || second?.kind !== 'online' || first.stores.length !== 1) continue;
      const partial = first.stores[0].tensor;
      if (pinned.has(partial) || graph.isReadOutside(partial, [i])) continue;
      const merged = sumOf(first, second, partial, draft);
      if (merged === null || !graph.canMerge(i, p) || tensorsTouched(merged).size > context.maxBindings) continue;
      graph.merge(i, p, merged);
    }
  }
  return { ...draft, kernels: orderKernels(draft.program, graph.kernels()) };
}

/** `second` is `first`'s result plus its own: both in one kernel, or null when they stream different things. */
function sumOf(first: OnlineKernel, second: OnlineKernel, partial: TensorId, draft: Draft): Kernel | null {
  if (first.combine.kind !== 'contract' || second.combine.kind !== 'contract') return null;
  const interner = createInterner();
  const same = (a: Scalar, b: Scalar): boolean => interner.id(a) === interner.id(b);
  const axes = (k: OnlineKernel): string => [k.extents, k.streamedExtents, k.innerExtents, k.batch, k.rows].map((l) => l.join()).join(' ');
  if (axes(first) !== axes(second)) return null;
  // The slot of each of the first's scores among all of them.
  const scores = [...second.scores];
  const slots = first.scores.map((s) => {
    const known = scores.findIndex((t) => s.inner.join() === t.inner.join() && same(s.left, t.left) && same(s.right, t.right));
    return known >= 0 ? known : scores.push(s) - 1;
  });
  if (scores.length > Math.max(first.scores.length, second.scores.length)) return null;
  if (!same(first.combine.value, second.combine.value)) return null;
  if (tensorsIn(innerScalarsOf(second)).has(partial) || second.stores.length !== 1) return null;
  const sum = second.stores[0].value;
  if (sum.kind !== 'binary' || sum.op !== 'add') return null;
  const isPartial = (s: Scalar): boolean => s.kind === 'read' && s.tensor === partial && isIdentity(s, second.extents, draft.program.tensors[partial].shape);
  const other = isPartial(sum.a) ? sum.b : isPartial(sum.b) ? sum.a : null;
  if (other === null || !isLinear(other) || !same(other, first.stores[0].value)) return null;
  const weight = add(rewriteAccumulators(first.combine.weight, (s) => accumulator(s.type, slots[s.slot])), second.combine.weight);
  const merged: OnlineKernel = { ...second, origins: mergeOrigins(first.origins, second.origins), stores: [{ tensor: second.stores[0].tensor, value: other }], scores, combine: { ...second.combine, weight } };
  return merged;
}

/** The accumulator times something. */
function isLinear(s: Scalar): boolean {
  if (s.kind === 'accumulator') return true;
  if (s.kind === 'unary') return s.op === 'neg' && isLinear(s.x);
  if (s.kind !== 'binary') return false;
  if (s.op === 'mul') return (isLinear(s.a) && !hasAccumulator(s.b)) || (isLinear(s.b) && !hasAccumulator(s.a));
  return s.op === 'div' && isLinear(s.a) && !hasAccumulator(s.b);
}

function hasAccumulator(s: Scalar): boolean {
  return (s.holds & holds.accumulator) !== 0;
}
