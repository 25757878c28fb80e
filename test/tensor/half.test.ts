/** Rounding to half precision. */
import { describe, expect, it } from 'vitest';
import { roundToHalf } from '../../compiler/tensor/half.js';
import { roundings } from '../kernels/half.js';

describe('rounding to half precision', () => {
  it('goes to the nearest, ties to even, through subnormal numbers to infinity', () => {
    const { given, expected } = roundings();
    given.forEach((x, i) => { if (!Object.is(roundToHalf(x), expected[i])) expect.fail(`${x} became ${roundToHalf(x)}, not ${expected[i]}`); });
  });
});
