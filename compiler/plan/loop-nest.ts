/**
 * What a loop nest transfers between memory and a cache, after the usual analysis of blocked loops: take the outermost loop of
 * which a round, with what the next one brings, is no more than the cache holds. What a round touches again, or touched in the
 * round before, is there; what rounds of loops further out touch again has gone in between and is transferred again.
 */
import { sizeOf } from '../tensor/program.js';
import type { TensorId } from '../tensor/scalar.js';
import type { Access, Ranges } from './accesses.js';
import { lineBytesOf, placeOf } from './accesses.js';

/** A loop over some axes of a kernel as one, in row-major order, `step` points a round. */
export interface Loop {
  readonly axes: readonly number[];
  readonly step: number;
}

/** How a kernel goes over its points. */
export interface LoopNest {
  /** Loops that tasks (or workgroups) are rounds of, outermost first, and loops within a task. What they leave of an axis a round takes whole. */
  readonly tasks: readonly Loop[];
  readonly inner: readonly Loop[];
  /** What a task keeps in the cache beside its operands: packed panels, running sums. */
  readonly scratchBytes: number;
  /** Partial results that tasks leave in memory for the last of them to read. */
  readonly partialBytes: number;
  /** What some tasks make, of tensors that only they read, for others, which go through it so many times, one of its parts after the other: all of it first, or each part before it is read. */
  readonly shared?: { readonly bytes: number; readonly reads: number; readonly parts: number; readonly made: 'first' | 'by parts'; readonly from: ReadonlySet<TensorId> };
}

const pointsOf = (axes: readonly number[], extents: Ranges): number => axes.reduce((n, a) => n * extents[a], 1);

/** The nest with `count` tasks running side by side, in step: together they are one round. */
export function inStep(nest: LoopNest, extents: Ranges, count: number): LoopNest {
  let left = count;
  const tasks = [...nest.tasks].reverse().map(({ axes, step }): Loop => {
    const rounds = Math.max(1, Math.min(left, Math.ceil(pointsOf(axes, extents) / step)));
    left = Math.max(1, Math.floor(left / rounds));
    return { axes, step: step * rounds };
  }).reverse();
  return { ...nest, tasks };
}

/** Tasks of a nest. */
export const tasksOf = (nest: LoopNest, extents: Ranges): number => nest.tasks.reduce((n, { axes, step }) => n * Math.ceil(pointsOf(axes, extents) / step), 1);

/** A loop over one axis. Its rounds are counted as often as they begin, and as often as they are whole: the last ones may be shorter. */
interface AxisLoop {
  readonly axis: number;
  readonly step: number;
  readonly begun: number;
  readonly whole: number;
}

/** A loop over several axes as loops over one each: what fits into a step of the last ones is no loop. */
function loopsOf({ axes, step }: Loop, extents: Ranges): readonly AxisLoop[] {
  const loops: AxisLoop[] = [];
  let rest = step;
  for (let i = axes.length - 1; i >= 0; i--) {
    const axis = axes[i];
    if (rest < extents[axis]) {
      // Steps may go on over the end of an axis into the next index of those before it.
      const begun = loops.length > 0 ? extents[axis] : Math.ceil(pointsOf(axes, extents) / step) / pointsOf(axes.slice(0, i), extents);
      loops.unshift({ axis, step: rest, begun, whole: extents[axis] / rest });
    }
    rest = Math.max(1, Math.floor(rest / extents[axis]));
  }
  return loops;
}

const at = (ranges: Ranges, axis: number, range: number): Ranges => ranges.map((n, a) => (a === axis ? Math.min(n, range) : n));

/** The ranges of the axes in one task. */
export const inTask = (nest: LoopNest, extents: Ranges): Ranges =>
  nest.tasks.flatMap((loop) => loopsOf(loop, extents)).reduce((ranges, { axis, step }) => at(ranges, axis, step), extents);

/** The ranges of the axes in one of so many parts of a task, along its outermost loop. */
export function inPart(nest: LoopNest, extents: Ranges, parts: number): Ranges {
  const ranges = inTask(nest, extents);
  const [loop] = nest.inner.flatMap((l) => loopsOf(l, extents));
  return loop === undefined ? ranges : at(ranges, loop.axis, loop.step * Math.ceil(ranges[loop.axis] / loop.step / Math.max(1, parts)));
}

/** The axis along which loops go on last; null where there is one round. */
export const outermostAxis = (loops: readonly Loop[], extents: Ranges): number | null => loops.flatMap((loop) => loopsOf(loop, extents))[0]?.axis ?? null;

/** Bytes of lines of each tensor that the accesses touch in rounds of their own; what two of them touch counts once, and no more than all of a tensor a round. */
export function touched(accesses: readonly Access[], ranges: Ranges, rounds: (a: Access) => number = () => 1): ReadonlyMap<TensorId, number> {
  const byTensor = new Map<TensorId, Access[]>();
  for (const a of accesses) {
    const known = byTensor.get(a.tensor);
    if (known === undefined) byTensor.set(a.tensor, [a]); else known.push(a);
  }
  const bytes = new Map<TensorId, number>();
  for (const [tensor, all] of byTensor) {
    const apart = all.length === 1 ? all : new Map(all.map((a) => [placeOf(a, ranges), a])).values();
    let [sum, most] = [0, 0];
    for (const a of apart) {
      const times = rounds(a);
      sum += lineBytesOf(a, ranges) * times;
      most = Math.max(most, sizeOf(a.shape) * a.elementBytes * times);
    }
    bytes.set(tensor, Math.min(sum, most));
  }
  return bytes;
}

export const total = (bytes: ReadonlyMap<TensorId, number>): number => [...bytes.values()].reduce((a, b) => a + b, 0);

/** What a kernel touches: in its loops, and at each point when they are done; `once` is what it reads in all. */
export interface Touches {
  readonly inner: readonly Access[];
  readonly late: readonly Access[];
  readonly writes: readonly Access[];
  readonly once: ReadonlyMap<TensorId, number>;
}

/** Bytes of each tensor read that go from memory to a cache with `room` for operands and results. */
export function transfersOf(nest: LoopNest, { inner, late, writes, once }: Touches, extents: Ranges, room: number): ReadonlyMap<TensorId, number> {
  if (total(once) + total(touched(writes, extents)) <= room) return once;
  const all = [...inner, ...late];
  const tasks = nest.tasks.flatMap((loop) => loopsOf(loop, extents));
  const loops = [...tasks, ...nest.inner.flatMap((loop) => loopsOf(loop, extents))];
  /**
   * Whether what stays the same from a round of a loop to the next is still there when the next comes to it. All that a round touches has then
   * been touched, some of it for one round and the rest for the other; and both rounds' part of operands that the loop further in comes back to.
   */
  const fits = (last: readonly Access[], outside: Ranges, depth: number): boolean => {
    const { axis, step } = loops[depth];
    const inside = at(outside, axis, step);
    const further = loops[depth + 1] === undefined ? inside : at(inside, loops[depth + 1].axis, loops[depth + 1].step);
    // Rounds may have elements in common, as the taps of a convolution do.
    const next = total(touched(inner, at(outside, axis, 2 * step))) - total(touched(inner, inside));
    return total(touched([...inner, ...last], inside)) + Math.min(next, total(touched(inner.filter((a) => a.axes.includes(axis)), further))) <= room;
  };
  let ranges = extents;
  let depth = 0;
  const enter = (): void => { ranges = at(ranges, loops[depth].axis, loops[depth].step); depth++; };
  /** What the rounds of the loops entered so far touch. */
  const inRounds = (accesses: readonly Access[]): ReadonlyMap<TensorId, number> => {
    const rounds = (a: Access): number => loops.slice(0, depth).reduce((n, l) => n * (a.axes.includes(l.axis) ? l.whole : l.begun), 1);
    return touched(accesses, ranges, rounds);
  };
  while (depth < tasks.length) {
    if (fits([...late, ...writes], ranges, depth)) return depth === 0 ? once : inRounds(all);
    enter();
  }
  // A task is too much: its results and what they need once have their turn when its loops are done.
  const moved = new Map(inRounds(late));
  while (depth < loops.length && !fits([], ranges, depth)) enter();
  for (const [t, n] of inRounds(inner)) moved.set(t, (moved.get(t) ?? 0) + n);
  return moved;
}
