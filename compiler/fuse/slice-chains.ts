/**
 * Chains cut into slices: all members have some first axes in common, examples of a batch for instance, and a task does its slices of one
 * member after the other. A map makes the input of a convolution, the convolution follows, then the sums of what it made:
 *
 *     for each task: for the images of the task: x = normalize(y);  z = convolve(x, w);  partial sums of z, z^2
 *
 * Behind a product, a map, or a reduction of other axes may follow whatever reads what they made only at its own slices. A reduction
 * over the slices ends in parts, which the last task of a point adds up; nothing in the chain reads its results.
 */
import { sizeAlong, sizeOf } from '../tensor/program.js';
import type { Program } from '../tensor/program.js';
import type { Scalar } from '../tensor/scalar.js';
import { visit } from '../tensor/scalar.js';
import { basesOf, scalarsOf } from './draft.js';
import { loopExtents } from './inline-maps.js';
import type { Chain, Kernel, Member, ReduceKernel } from './kernel.js';
import { leavesTasks, rowAxes, sumsSlices } from './slices-of-task.js';

/** Fewer slices make too few tasks; more points to be kept apart than this have no counters. */
const fewestSlices = 16;
const mostLeading = 4096;
/** A task does all columns of a product, so that there may be this many at most; and this many rows at least for each leading point, or blocks of rows get small. */
const mostColumns = 1024;
const fewestRows = 256;
/** Elements of the operand that every task goes through: more, or four times as many points of it, would not stay in the cache from task to task. */
const mostOperand = 1 << 20;
/** Sums of more points than this are of this many elements each at least, or tasks write and read about as much in parts of them as they sum. */
const mostParts = 1 << 12;
const fewestSummed = 512;

const isWide = (n: number): boolean => n > 1;

/** The first axes of a kernel that starts a chain. */
function axesOfHead(kernel: Kernel): readonly number[] {
  if (kernel.kind === 'map' || kernel.kind === 'reduce') return kernel.extents.flatMap((n, a) => (isWide(n) ? [a] : []));
  if (kernel.kind !== 'contract' || kernel.batch.some((a) => isWide(kernel.extents[a]))) return [];
  return rowAxes(kernel);
}

/**
 * The variables of `reader` that stand where the members' shared axes are, in every read of what a member made: as many of the first
 * ones as all reads agree on. Null when it reads what the chain has not finished, or elements of other slices.
 */
function variablesAt(program: Program, kernels: readonly Kernel[], members: readonly Member[], reader: Kernel): readonly number[] | null {
  const makers = new Map(members.flatMap((m) => kernels[m.kernel].stores.map((s) => [s.tensor, m] as const)));
  const extents = loopExtents(reader);
  let found: readonly number[] | null = null;
  const seen = new Set<Scalar>();
  const look = (n: Scalar): void => {
    if (n.kind !== 'read') return;
    for (const base of basesOf(program, n.tensor)) {
      const member = makers.get(base.id);
      if (member === undefined) continue;
      const maker = kernels[member.kernel];
      const { shape } = program.tensors[n.tensor];
      const whole = program.tensors[n.tensor];
      // A window of all of it has the same first axes, as far as their sizes are the same.
      const same = n.tensor === base.id || (whole.kind === 'window' && whole.of === base.id && whole.offset === 0);
      const variables: number[] = [];
      if (same && base.shape.join() === maker.extents.join() && !sumsSlices({ kernel: maker, member })) {
        for (const axis of [...member.outer, ...member.inner]) {
          const at = n.at[axis];
          if (axis >= shape.length || maker.extents.slice(0, axis + 1).some((size, d) => size !== shape[d])) break;
          if (at.kind !== 'index' || extents[at.axis] !== maker.extents[axis] || variables.includes(at.axis)) break;
          variables.push(at.axis);
        }
      }
      const agreed = found?.findIndex((v, i) => v !== variables[i]) ?? -1;
      found = found === null ? variables : agreed < 0 ? found : found.slice(0, agreed);
    }
  };
  for (const s of scalarsOf(reader)) visit(s, look, seen);
  return found;
}

/** How many of the variables can be cut along in `kernel`, and how many of them a reduction keeps apart (null: it does not sum over them). */
function usable(kernel: Kernel, variables: readonly number[]): { readonly length: number; readonly lead: number | null } {
  const firstOther = (order: readonly number[], from = 0): number => {
    const at = variables.findIndex((v, i) => i >= from && v !== order[i - from]);
    return at < 0 ? variables.length : at;
  };
  switch (kernel.kind) {
    case 'map': return { length: variables.length, lead: null };
    case 'contract':
      if (kernel.batch.some((a) => isWide(kernel.extents[a])) || sizeAlong(kernel.columns, kernel.extents) > mostColumns) return { length: 0, lead: null };
      return { length: firstOther(rowAxes(kernel)), lead: null };
    case 'reduce': {
      const lead = variables.findIndex((v) => v >= kernel.extents.length);
      if (lead < 0) return { length: variables.length, lead: null };
      return { length: firstOther(reducedAxes(kernel), lead), lead };
    }
    case 'online': case 'scatter': case 'routine': return { length: 0, lead: null };
  }
}

const reducedAxes = ({ extents, reduceExtents }: ReduceKernel): readonly number[] => reduceExtents.flatMap((n, i) => (isWide(n) ? [extents.length + i] : []));

/** The kernel at position `at` behind chains and kernels by themselves, which become one chain; null when it must wait for other slices. */
export function withSlicesOf(program: Program, kernels: readonly Kernel[], makers: readonly (Chain | number)[], at: number): Chain | null {
  const kernel = kernels[at];
  const members = makers.flatMap((m): readonly Member[] => (typeof m === 'number' ? [{ kernel: m, outer: [], inner: axesOfHead(kernels[m]) }] : m.members)).sort((a, b) => a.kernel - b.kernel);
  const variables = variablesAt(program, kernels, members, kernel);
  if (variables === null) return null;
  const own = usable(kernel, variables);
  const leads = members.flatMap((m) => (sumsSlices({ kernel: kernels[m.kernel], member: m }) ? [m.outer.length] : []));
  // At most one pass over partial results.
  if (leads.length + (own.lead === null ? 0 : 1) > 1) return null;
  const lead = own.lead ?? leads[0] ?? 0;
  const all = [...members, { kernel: at, outer: [], inner: variables }];
  // Without products a task has a multiple of four slices, where lanes along a reduction's points may begin.
  const products = all.some((m) => kernels[m.kernel].kind === 'contract');
  const length = Math.min(own.length, ...all.map((m) => (products || kernels[m.kernel].kind !== 'reduce' ? withoutLanes(kernels[m.kernel], m) : Infinity)));
  if (length <= lead) return null;
  const cut = (m: Member): Member => {
    const axes = [...m.outer, ...m.inner];
    return { kernel: m.kernel, outer: axes.slice(0, lead), inner: axes.slice(lead, length) };
  };
  const next = all.map(cut);
  const links = next.map((member) => ({ kernel: kernels[member.kernel], member }));
  return links.every(({ kernel: k, member }) => isWorthCutting(k, member)) && leavesTasks(links) ? { cut: 'slices', members: next, own: [] } : null;
}

/** How many of a member's axes come before the last of its points', which has the lanes; sums over slices find others. */
function withoutLanes(kernel: Kernel, { outer, inner }: Member): number {
  const axes = [...outer, ...inner];
  const at = axes.some((a) => a >= kernel.extents.length) ? -1 : axes.indexOf(kernel.extents.findLastIndex(isWide));
  return at < 0 ? Infinity : at;
}

/** Whether tasks of the member are neither few nor too small for what they are. */
function isWorthCutting(kernel: Kernel, member: Member): boolean {
  const extents = loopExtents(kernel);
  const leading = sizeAlong(member.outer, extents);
  const slices = sizeAlong(member.inner, extents);
  if (leading > mostLeading || slices < fewestSlices) return false;
  if (kernel.kind === 'contract') {
    // Where there is more of the other operand than of the rows, its columns are better shared among tasks.
    const rows = rowAxes(kernel);
    const operand = sizeOf(extents) / sizeAlong(rows, extents);
    return sizeAlong(rows, extents) >= fewestRows * leading && sizeAlong(kernel.columns, extents) <= mostColumns && operand <= mostOperand && sizeOf(kernel.reduceExtents) <= 2 * sizeAlong(rows, extents);
  }
  if (kernel.kind !== 'reduce' || !sumsSlices({ kernel, member })) return true;
  // Sums of whole rows have few points each: reductions by themselves do those. Each task leaves a part of every sum, which must be small or of many elements.
  const points = sizeOf(kernel.extents);
  return kernel.extents.some((n, a) => isWide(n) && !member.outer.includes(a)) && (points * kernel.reductions.length <= mostParts || sizeOf(kernel.reduceExtents) >= fewestSummed);
}
