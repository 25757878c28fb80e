/**
 * Minimal filtering along one dimension: n results of a filter of r taps from n + r - 1 products (Winograd, 1980; Toom and Cook):
 *
 *     result = output [(kernel g) * (input d)]                        * element by element
 *
 * Results and taps are polynomials, evaluated at n + r - 2 small numbers and at infinity. A filter of stride s is s filters of
 * stride one, of every s-th tap on every s-th input, whose results are added: all use the points of the longest, so that their
 * products are added before they are mapped back. A shorter one has nothing at infinity: three taps at stride two make
 * four results from nine products.
 *
 * A line of results is tiles of four and a last one of fewer, which uses some of the points and the same mapped taps.
 */
import type { Matrix } from './linear-maps.js';

/** Some neighbouring results, and how they come from their inputs. */
export interface LineTile {
  /** How many such tiles a line has, the first of them at result `first`. */
  readonly count: number;
  readonly first: number;
  readonly results: number;
  readonly inputs: number;
  /** The line's products and points that the tile has, the rows of `input` and the columns of `output`. */
  readonly products: readonly number[];
  readonly points: readonly number[];
  readonly input: Matrix;
  readonly output: Matrix;
}

/** A product is one of those that are added up at its point. */
export interface LineProduct {
  readonly point: number;
  readonly slot: number;
}

export interface LineFilter {
  readonly size: number;
  readonly taps: number;
  readonly stride: number;
  /** Points that are numbers, and infinity behind them where there are more taps than one. */
  readonly points: number;
  /** Slots of every point but the last, and of that one. */
  readonly slots: number;
  readonly lastSlots: number;
  readonly products: readonly LineProduct[];
  /** Rows are products, columns taps. */
  readonly kernel: Matrix;
  /** Whole tiles, then perhaps a smaller one. */
  readonly tiles: readonly LineTile[];
}

/** Results of a tile: more lose more bits than they save products. */
const tileResults = 4;
const numbers: readonly number[] = [0, 1, -1, 2, -2];
/** Taps at a distance of the stride that the numbers suffice for. */
const mostTaps = numbers.length + 2 - tileResults;

const made = new Map<string, LineFilter | null>();

/** The filter of `taps` taps for `size` results; null where filtering saves nothing or loses too many bits. Each is made once. */
export function lineFilter(size: number, taps: number, stride: number): LineFilter | null {
  const key = `${size} ${taps} ${stride}`;
  let line = made.get(key);
  if (line === undefined) {
    line = makeLine(size, taps, stride);
    made.set(key, line);
  }
  return line;
}

function makeLine(size: number, taps: number, stride: number): LineFilter | null {
  const longest = Math.ceil(taps / stride);
  if (taps === 1) return stride === 1 ? single(size) : null;
  if (longest < 2 || longest > mostTaps) return null;
  const results = Math.min(tileResults, size);
  const finite = numbers.slice(0, results + longest - 2);
  const points = finite.length + 1;
  /** Taps that are a stride apart, beginning with each of the first. */
  const phases = Array.from({ length: stride }, (_, p) => ({ first: p, taps: Math.ceil((taps - p) / stride) }));
  const products = phases.flatMap((phase, slot) => Array.from({ length: phase.taps === longest ? points : points - 1 }, (_, point) => ({ point, slot })));
  const kernel = products.map(({ point, slot }) => row(taps, phases[slot].first, stride, Array.from({ length: phases[slot].taps }, (_, k) => {
    if (point === finite.length) return k === longest - 1 ? 1 : 0;
    return finite[point] ** k / others(finite, point).reduce((n, a) => n * (finite[point] - a), 1);
  })));
  const tile = (own: number, count: number, first: number): LineTile => {
    const used = finite.slice(0, own + longest - 2);
    const inputs = (own - 1) * stride + taps;
    const isUsed = (point: number): boolean => point < used.length || point === finite.length;
    const have = products.flatMap(({ point }, n) => (isUsed(point) ? [n] : []));
    const ownPoints = Array.from({ length: points }, (_, p) => p).filter(isUsed);
    return {
      count, first, results: own, inputs, products: have, points: ownPoints,
      input: have.map((n) => {
        const { point, slot } = products[n];
        if (point === finite.length) return row(inputs, phases[slot].first, stride, withRoots(used));
        // The taps are divided by the distances to all numbers, those that this tile does not use among them.
        const unused = finite.slice(used.length).reduce((x, a) => x * (finite[point] - a), 1);
        return row(inputs, phases[slot].first, stride, withRoots(others(used, point)).map((x) => x * unused));
      }),
      output: Array.from({ length: own }, (_, i) => ownPoints.map((p) => (p === finite.length ? (i === own - 1 ? 1 : 0) : finite[p] ** i))),
    };
  };
  const whole = Math.floor(size / results);
  const left = size % results;
  return {
    size, taps, stride, points, slots: stride, lastSlots: phases.filter((p) => p.taps === longest).length, products, kernel,
    tiles: [tile(results, whole, 0), ...(left > 0 ? [tile(left, 1, whole * results)] : [])],
  };
}

/** A dimension without taps. */
function single(size: number): LineFilter {
  const one: Matrix = [[1]];
  return {
    size, taps: 1, stride: 1, points: 1, slots: 1, lastSlots: 1, products: [{ point: 0, slot: 0 }], kernel: one,
    tiles: [{ count: size, first: 0, results: 1, inputs: 1, products: [0], points: [0], input: one, output: one }],
  };
}

/** Products of all tiles of a line. */
export const productsOfLine = (line: LineFilter): number => line.tiles.reduce((n, t) => n + t.count * t.products.length, 0);
/** Points of all tiles of a line. */
export const pointsOfLine = (line: LineFilter): number => line.tiles.reduce((n, t) => n + t.count * t.points.length, 0);
export const tilesOfLine = (line: LineFilter): number => line.tiles.reduce((n, t) => n + t.count, 0);
/** How many products are added up at a point. */
export const slotsAt = (line: LineFilter, point: number): number => (point === line.points - 1 ? line.lastSlots : line.slots);

const others = (list: readonly number[], at: number): readonly number[] => list.filter((_, i) => i !== at);

/** A row of `length` with `values` every `stride` from `first` on. */
function row(length: number, first: number, stride: number, values: readonly number[]): readonly number[] {
  return Array.from({ length }, (_, i) => ((i - first) % stride === 0 && i >= first ? values[(i - first) / stride] ?? 0 : 0));
}

/** The coefficients of the polynomial with these roots, that of the highest power one, lowest power first. */
function withRoots(roots: readonly number[]): readonly number[] {
  return roots.reduce((p: readonly number[], a) => Array.from({ length: p.length + 1 }, (_, i) => (p[i - 1] ?? 0) - a * (p[i] ?? 0)), [1]);
}
