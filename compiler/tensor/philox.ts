/**
 * Philox4x32-10, the counter-based generator behind every draw (Salmon, Moraes, Dror, Shaw: "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011). Ten rounds of
 *
 *   (c0, c1, c2, c3) <- (hi(M1 c2) ^ c1 ^ k0,  lo(M1 c2),  hi(M0 c0) ^ c3 ^ k1,  lo(M0 c0))
 *
 * with the key raised by a Weyl constant between rounds. A draw is a pure function of its key and counter, so
 * every target computes the same bits in any order.
 */

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

/** The upper 32 bits of the product of two u32, from 16-bit halves. */
export function multiplyHigh(a: number, b: number): number {
  const al = a & 0xffff;
  const ah = a >>> 16;
  const bl = b & 0xffff;
  const bh = b >>> 16;
  const low = al * bl;
  const middle = ah * bl + (low >>> 16) + ((al * bh) & 0xffff);
  return (ah * bh + ((al * bh) >>> 16) + Math.floor(middle / 65536)) >>> 0;
}

/** Four u32 words for a counter of four words and a key of two; arguments are taken modulo 2^32. */
export function philox(c0: number, c1: number, c2: number, c3: number, key0: number, key1: number): [number, number, number, number] {
  let k0 = key0 >>> 0;
  let k1 = key1 >>> 0;
  c0 >>>= 0; c1 >>>= 0; c2 >>>= 0; c3 >>>= 0;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(M0, c0);
    const low0 = Math.imul(M0, c0) >>> 0;
    const high1 = multiplyHigh(M1, c2);
    const low1 = Math.imul(M1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** The uniform number in [0, 1) that a `draw` scalar stands for: 24 bits of word `lane`. */
export function uniformDraw(site: number, lane: 0 | 1 | 2 | 3, seed: number, step: number, example: number, element: number): number {
  return (philox(step, example, element, 0, seed, site)[lane] >>> 8) * 2 ** -24;
}
