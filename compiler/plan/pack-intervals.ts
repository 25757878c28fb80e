/**
 * Places transients in one block so that those alive at the same time do not overlap: each goes to the lowest gap that
 * fits best among those already placed. Several orders are tried and the smallest block wins.
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
  let best: Packing | null = null;
  for (const order of orders) {
    const packing = placeInOrder(lifetimes, lifetimes.map((_, i) => i).sort((i, j) => order(lifetimes[i], lifetimes[j]) || i - j), alignment);
    if (best === null || packing.bytes < best.bytes) best = packing;
    if (best.bytes <= bound) break;
  }
  return best ?? { offsets: [], bytes: 0 };
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
