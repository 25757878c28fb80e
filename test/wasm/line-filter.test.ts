/** Minimal filtering along a line: what it computes is what the definition says, from as few products as the theory allows. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LineFilter } from '../../compiler/emit/wasm/line-filter.js';
import { lineFilter, productsOfLine } from '../../compiler/emit/wasm/line-filter.js';
import type { Matrix } from '../../compiler/emit/wasm/linear-maps.js';

const times = (m: Matrix, x: readonly number[]): readonly number[] => m.map((row) => row.reduce((sum, k, i) => sum + k * x[i], 0));

/** Results by the filter, and by the definition. */
function results(line: LineFilter, taps: readonly number[], data: readonly number[]): { readonly filtered: readonly number[]; readonly direct: readonly number[] } {
  const mapped = times(line.kernel, taps);
  const filtered = line.tiles.flatMap((tile) => Array.from({ length: tile.count }, (_, n) => {
    const at = (tile.first + n * tile.results) * line.stride;
    const points = tile.points.map(() => 0);
    times(tile.input, data.slice(at, at + tile.inputs)).forEach((x, n) => { points[tile.points.indexOf(line.products[tile.products[n]].point)] += x * mapped[tile.products[n]]; });
    return times(tile.output, points);
  }).flat());
  return { filtered, direct: Array.from({ length: line.size }, (_, i) => taps.reduce((sum, g, k) => sum + g * data[i * line.stride + k], 0)) };
}

describe('filters of a line', () => {
  it('computes what the definition says', () => {
    const value = fc.integer({ min: -1000, max: 1000 }).map((n) => n / 1000);
    const line = fc.tuple(fc.integer({ min: 1, max: 15 }), fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 3 })).map(([size, taps, stride]) => lineFilter(size, taps, stride)).filter((l) => l !== null);
    const work = line.chain((l) => fc.tuple(fc.constant(l), fc.array(value, { minLength: l.taps, maxLength: l.taps }), fc.array(value, { minLength: (l.size - 1) * l.stride + l.taps, maxLength: (l.size - 1) * l.stride + l.taps })));
    fc.assert(fc.property(work, ([l, taps, data]) => {
      const { filtered, direct } = results(l, taps, data);
      filtered.forEach((y, i) => expect(y).toBeCloseTo(direct[i], 10));
    }), { numRuns: 300, seed: 1 });
  });

  it.each([
    [4, 3, 1, 6], [7, 3, 1, 11], [16, 3, 1, 24], [4, 2, 1, 5], [3, 2, 1, 4], [4, 3, 2, 9], [7, 3, 2, 16], [4, 4, 2, 10], [5, 1, 1, 5],
  ])('%d results of %d taps at stride %d: %d products', (size, taps, stride, products) => {
    const line = lineFilter(size, taps, stride);
    expect(line === null ? null : productsOfLine(line)).toBe(products);
  });

  it('is none where there is nothing to save, or too much to lose', () => {
    expect(lineFilter(8, 1, 2)).toBeNull();
    expect(lineFilter(8, 2, 2)).toBeNull();
    expect(lineFilter(8, 4, 1)).toBeNull();
    expect(lineFilter(8, 7, 2)).toBeNull();
  });
});
