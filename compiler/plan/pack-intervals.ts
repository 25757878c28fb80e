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
  const placed: number[] = [];
  let bytes = 0;
  for (const i of order) {
    const l = lifetimes[i];
    const size = roundUp(l.bytes, alignment);
    const rivals = placed.filter((j) => lifetimes[j].first <= l.last && l.first <= lifetimes[j].last).sort((a, b) => offsets[a] - offsets[b]);
    let at = 0;
    let best = -1;
    let bestGap = Infinity;
    for (const j of rivals) {
      const gap = offsets[j] - at;
      if (gap >= size && gap < bestGap) { best = at; bestGap = gap; }
      at = Math.max(at, offsets[j] + roundUp(lifetimes[j].bytes, alignment));
    }
    offsets[i] = best >= 0 ? best : at;
    bytes = Math.max(bytes, offsets[i] + size);
    placed.push(i);
  }
  return { offsets, bytes };
}
