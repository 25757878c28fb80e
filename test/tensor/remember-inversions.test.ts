/** Index maps are inverted once for all reads that have them, to the same result. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { invertRead } from '../../compiler/tensor/invert-read.js';
import { rememberInversions } from '../../compiler/tensor/remember-inversions.js';
import { add, index, int, mul, read } from '../../compiler/tensor/scalar.js';
import type { Scalar } from '../../compiler/tensor/scalar.js';
import { origin } from './check-gradient.js';

const target = 1 << 24;

/** An inverter that counts, and one that remembers what it gave. */
function counted(): { readonly invert: typeof invertRead; readonly times: () => number } {
  let times = 0;
  return { invert: rememberInversions((...of) => { times++; return invertRead(...of); }), times: () => times };
}

test('convolutions of one kind are inverted once', () => {
  const { invert, times } = counted();
  const taps = (stride: number): Scalar[] => [add(mul(index(0), int(stride)), index(2)), index(3)];
  for (let layer = 0; layer < 8; layer++) invert(taps(1), [6, 4, 3, 4], [8, 4], target);
  expect(times()).toBe(1);
  invert(taps(2), [6, 4, 3, 4], [8, 4], target);
  invert(taps(1), [6, 4, 3, 5], [8, 5], target);
  invert(taps(1), [6, 4, 3, 4], [9, 4], target);
  expect(times()).toBe(4);
});

test('what is read at an index from data is inverted anew, since it may be a permutation', () => {
  const { invert, times } = counted();
  const b = new ProgramBuilder('p');
  const order = b.routine('argsort', [b.source('x', 'data', 'f32', [4], origin)], origin);
  for (let i = 0; i < 2; i++) invert([read(order, [index(0)], 'i32')], [4], [4], target);
  expect(times()).toBe(2);
});

test('the result is that of inverting anew', () => {
  const axis = fc.record({ stride: fc.integer({ min: 1, max: 3 }), tap: fc.boolean(), shift: fc.integer({ min: -2, max: 2 }) });
  fc.assert(fc.property(fc.array(axis, { minLength: 1, maxLength: 3 }), fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 6, maxLength: 6 }), (axes, extents) => {
    const at = axes.map((a, k) => add(add(mul(index(k), int(a.stride)), a.tap ? index(3 + k) : int(0)), int(a.shift)));
    const shape = axes.map((_, k) => 4 + k);
    const remembering = rememberInversions();
    const anew = invertRead(at, extents, shape, target);
    expect(remembering(at, extents, shape, target)).toEqual(anew);
    expect(remembering(at, extents, shape, target)).toEqual(anew);
  }), { numRuns: 60, seed: 11 });
});
