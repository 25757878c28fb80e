/**
 * Places transients in one block so that those alive at the same time do not overlap: each goes to the lowest gap that
 * fits best among those already placed. Several orders are tried, then orders near the best, and the smallest block wins.
 */
import type { Lifetime } from './lifetimes.js';

export interface Packing {
  /** Byte offset of each lifetime, in the order given. */
  readonly offsets: readonly number[];
  readonly bytes: number;
}

export const roundUp = (n: number, to: number): number => Math.ceil(n / to) * to;

/** The most bytes alive at once, each allocation rounded up to the alignment: no plan can do with less. */
export function liveBound(lifetimes: readonly Lifetime[], alignment: number): number {
  const change = new Map<number, number>();
  for (const l of lifetimes) {
    const bytes = roundUp(l.bytes, alignment);
    change.set(l.first, (change.get(l.first) ?? 0) + bytes);
    change.set(l.last + 1, (change.get(l.last + 1) ?? 0) - bytes);
  }
  let live = 0;
  let most = 0;
  for (const at of [...change.keys()].sort((a, b) => a - b)) {
    live += change.get(at) ?? 0;
    most = Math.max(most, live);
  }
  return most;
}

/** The smallest block found. */
export function packIntervals(lifetimes: readonly Lifetime[], alignment: number): Packing {
  const span = (l: Lifetime): number => l.last - l.first + 1;
  const orders: ((a: Lifetime, b: Lifetime) => number)[] = [
    (a, b) => b.bytes - a.bytes || a.first - b.first,
    (a, b) => b.bytes * span(b) - a.bytes * span(a) || b.bytes - a.bytes,
    (a, b) => span(b) - span(a) || b.bytes - a.bytes,
    (a, b) => a.first - b.first || b.bytes - a.bytes,
    (a, b) => b.last - a.last || b.bytes - a.bytes,
  ];
  const bound = liveBound(lifetimes, alignment);
  let best: Packing = { offsets: [], bytes: Infinity };
  let bestOrder: readonly number[] = [];
  const attempt = (order: readonly number[]): void => {
    const packing = placeInOrder(lifetimes, order, alignment);
    if (packing.bytes < best.bytes) { best = packing; bestOrder = order; }
  };
  for (const order of orders) {
    attempt(lifetimes.map((_, i) => i).sort((i, j) => order(lifetimes[i], lifetimes[j]) || i - j));
    if (best.bytes <= bound) return best;
  }
  const attempts = Math.min(mostAttempts, Math.floor(mostWork / (lifetimes.length * lifetimes.length)));
  const next = numbers();
  for (let k = 0; k < attempts && best.bytes > closeEnough * bound; k++) attempt(nearby(bestOrder, best, lifetimes, alignment, next));
  return best;
}

/** What is within this of the bound is not worth a search. */
const closeEnough = 1.03;
/** Orders tried at most, and pairs of lifetimes compared in all: large plans are seldom far from the bound. */
const mostAttempts = 3000;
const mostWork = 2e7;

/** The same numbers in [0, 1) for every plan, so that equal programs have equal plans. */
function numbers(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** An order in which what ends at the top of the block, or anything, is placed earlier; sometimes two change places. */
function nearby(order: readonly number[], packing: Packing, lifetimes: readonly Lifetime[], alignment: number, next: () => number): readonly number[] {
  const changed = [...order];
  const pick = (n: number): number => Math.floor(next() * n);
  const tops = order.filter((i) => packing.offsets[i] + roundUp(lifetimes[i].bytes, alignment) === packing.bytes);
  for (let moves = 1 + pick(3); moves > 0; moves--) {
    const from = next() < 0.5 ? changed.indexOf(tops[pick(tops.length)]) : pick(changed.length);
    const to = pick(changed.length);
    const [moved] = changed.splice(from, 1);
    changed.splice(to, 0, moved);
  }
  return changed;
}

function placeInOrder(lifetimes: readonly Lifetime[], order: readonly number[], alignment: number): Packing {
  const offsets = new Array<number>(lifetimes.length).fill(0);
  const block = createBlock(alignment);
  for (const i of order) offsets[i] = block.place(lifetimes[i], Infinity) ?? 0;
  return { offsets, bytes: block.bytes() };
}

/** A block of memory that is filled one lifetime at a time. */
export interface PackedBlock {
  /** Where the lifetime goes now: in the tightest gap, else above all it meets; null (and no change) when it would end beyond `limit`. */
  readonly place: (lifetime: Lifetime, limit: number) => number | null;
  readonly bytes: () => number;
}

/** An empty block. */
export function createBlock(alignment: number): PackedBlock {
  // By offset, so that the gaps are found in one walk.
  const placed: { readonly first: number; readonly last: number; readonly offset: number; readonly end: number }[] = [];
  let bytes = 0;
  return {
    bytes: () => bytes,
    place: (l, limit) => {
      const size = roundUp(l.bytes, alignment);
      let top = 0;
      let best = -1;
      let bestGap = Infinity;
      for (const p of placed) {
        if (p.first > l.last || l.first > p.last) continue;
        const gap = p.offset - top;
        if (gap >= size && gap < bestGap) { best = top; bestGap = gap; }
        if (p.end > top) top = p.end;
      }
      const offset = best >= 0 ? best : top;
      if (offset + size > limit) return null;
      let low = 0;
      let high = placed.length;
      while (low < high) { const middle = (low + high) >> 1; if (placed[middle].offset <= offset) low = middle + 1; else high = middle; }
      placed.splice(low, 0, { first: l.first, last: l.last, offset, end: offset + size });
      bytes = Math.max(bytes, offset + size);
      return offset;
    },
  };
}
