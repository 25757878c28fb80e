/**
 * Products that stream the same scores become one kernel. Where they are added up and have the same values they are one product: the gradient
 * of a similarity loss reaches `z` once as row and once as column, sum_j w(i, j) z[j] + sum_j w(j, i) z[j], whose weight is
 * w(i, j) + w(j, i). Else they stand beside one another: the gradients of attention's keys and values, of whose scores one needs both (on the CPU).
 */
import { holds } from '../tensor/holds.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { accumulator, add, rewriteAccumulators } from '../tensor/scalar.js';
import { createInterner } from '../tensor/structure.js';
import type { Draft, FuseContext } from './draft.js';
import { innerScalarsOf, mergeOrigins, tensorsIn, tensorsTouched } from './draft.js';
import { pinnedTensors } from './inline-maps.js';
import type { Kernel, OnlineKernel, Score } from './kernel.js';
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
  // Not on GPUs: a thread would hold both sums in its registers, and a block of so few rows moves half as much again as it must.
  for (let i = 0; context.target === 'wasm' && i < graph.size; i++) {
    for (let j = i + 1; j < graph.size; j++) {
      const [first, second] = [graph.at(i), graph.at(j)];
      if (first?.kind !== 'online' || second?.kind !== 'online' || graph.related(i, j)) continue;
      const merged = besides(first, second);
      if (merged !== null && tensorsTouched(merged).size <= context.maxBindings) graph.merge(i, j, merged);
    }
  }
  return { ...draft, kernels: orderKernels(draft.program, graph.kernels()) };
}

/** The scores of two kernels over the same axes as those of the one that has them all, with the slots of both kernels' among them; null where neither has. */
function commonScores(first: OnlineKernel, second: OnlineKernel, same: (a: Scalar, b: Scalar) => boolean): { readonly scores: readonly Score[]; readonly slots: readonly number[] } | null {
  const axes = (k: OnlineKernel): string => [k.extents, k.streamedExtents, k.innerExtents, k.batch, k.rows].map((l) => l.join()).join(' ');
  if (axes(first) !== axes(second)) return null;
  // The slot of each of the first's scores among all of them.
  const scores = [...second.scores];
  const slots = first.scores.map((s) => {
    const known = scores.findIndex((t) => s.inner.join() === t.inner.join() && same(s.left, t.left) && same(s.right, t.right));
    return known >= 0 ? known : scores.push(s) - 1;
  });
  return scores.length > Math.max(first.scores.length, second.scores.length) ? null : { scores, slots };
}

function equality(): (a: Scalar, b: Scalar) => boolean {
  const interner = createInterner();
  return (a, b) => interner.id(a) === interner.id(b);
}

const toSlots = (s: Scalar, slots: readonly number[]): Scalar => rewriteAccumulators(s, (n) => accumulator(n.type, slots[n.slot]));

/** Both kernels' products in one, or null when they stream different things. */
function besides(first: OnlineKernel, second: OnlineKernel): Kernel | null {
  const [{ combine: before }, { combine: after }] = [first, second];
  if (before.kind !== 'contract' || after.kind !== 'contract' || first.columns.join() !== second.columns.join()) return null;
  const common = commonScores(first, second, equality());
  if (common === null) return null;
  const behind = before.products.map((_, m) => after.products.length + m);
  const products = [...after.products, ...before.products.map((m) => ({ weight: toSlots(m.weight, common.slots), value: m.value }))];
  return {
    ...second, origins: mergeOrigins(first.origins, second.origins), scores: common.scores, combine: { kind: 'contract', products },
    stores: [...second.stores, ...first.stores.map((s) => ({ tensor: s.tensor, value: toSlots(s.value, behind) }))],
  };
}

/** `second` is `first`'s result plus its own: both in one kernel, or null when they stream different things. */
function sumOf(first: OnlineKernel, second: OnlineKernel, partial: TensorId, draft: Draft): Kernel | null {
  if (first.combine.kind !== 'contract' || second.combine.kind !== 'contract') return null;
  const same = equality();
  const common = commonScores(first, second, same);
  if (common === null || first.combine.products.length + second.combine.products.length > 2) return null;
  const [[before], [after]] = [first.combine.products, second.combine.products];
  if (!same(before.value, after.value)) return null;
  if (tensorsIn(innerScalarsOf(second)).has(partial) || second.stores.length !== 1) return null;
  const sum = second.stores[0].value;
  if (sum.kind !== 'binary' || sum.op !== 'add') return null;
  const isPartial = (s: Scalar): boolean => s.kind === 'read' && s.tensor === partial && isIdentity(s, second.extents, draft.program.tensors[partial].shape);
  const other = isPartial(sum.a) ? sum.b : isPartial(sum.b) ? sum.a : null;
  if (other === null || !isLinear(other) || !same(other, first.stores[0].value)) return null;
  const weight = add(toSlots(before.weight, common.slots), after.weight);
  return { ...second, origins: mergeOrigins(first.origins, second.origins), stores: [{ tensor: second.stores[0].tensor, value: other }], scores: common.scores, combine: { kind: 'contract', products: [{ weight, value: after.value }] } };
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
