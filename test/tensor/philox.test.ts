import { describe, expect, it } from 'vitest';
import { multiplyHigh, philox, uniformDraw } from '../../compiler/tensor/philox.js';

const hex = (words: readonly number[]): string => words.map((w) => w.toString(16).padStart(8, '0')).join(' ');

describe('philox', () => {
  // The known-answer tests of the Random123 distribution (kat_vectors, philox4x32 10).
  it.each([
    [[0, 0, 0, 0], [0, 0], '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
    [[0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff], '408f276d 41c83b0e a20bc7c6 6d5451fd'],
    [[0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0], 'd16cfe09 94fdcceb 5001e420 24126ea1'],
  ])('counter %j key %j', (c, k, answer) => {
    expect(hex(philox(c[0], c[1], c[2], c[3], k[0], k[1]))).toBe(answer);
  });

  it('multiplies to the high word', () => {
    for (const [a, b] of [[0xffffffff, 0xffffffff], [0xd2511f53, 0x12345678], [1, 5], [0x80000000, 2]]) {
      expect(multiplyHigh(a, b)).toBe(Number((BigInt(a) * BigInt(b)) >> 32n));
    }
  });

  it('draws uniformly in [0, 1): mean, variance and sixteen bins', () => {
    const n = 20000;
    const bins = new Array<number>(16).fill(0);
    let sum = 0;
    let squares = 0;
    for (let i = 0; i < n; i++) {
      const u = uniformDraw(3, 2, 17, 5, Math.floor(i / 100), i % 100);
      expect(u >= 0 && u < 1).toBe(true);
      bins[Math.floor(u * 16)]++;
      sum += u;
      squares += u * u;
    }
    expect(Math.abs(sum / n - 0.5)).toBeLessThan(0.01);
    expect(Math.abs(squares / n - 1 / 3)).toBeLessThan(0.01);
    // Chi-square with 15 degrees of freedom: 37.7 is the 0.1 % point.
    expect(bins.reduce((x, c) => x + (c - n / 16) ** 2 / (n / 16), 0)).toBeLessThan(37.7);
  });
});
