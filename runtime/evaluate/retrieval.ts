/**
 * Retrieval between two drawings of the same concepts: row i of `queries` should find row `answers[i]` of the gallery.
 * R@k is the share of queries whose answer is among the k nearest by cosine.
 */
import { nearestNeighbours } from './nearest.js';
import type { Features } from './spectrum.js';

export interface Retrieval {
  readonly gallery: number;
  readonly queries: number;
  readonly r1: number;
  readonly r5: number;
  readonly r10: number;
}

/** Both are centred with the gallery's mean when asked. */
export async function retrieval(gallery: Features, queries: Features, answers: Int32Array, centred: boolean): Promise<Retrieval> {
  const { k, indices } = await nearestNeighbours(gallery, queries, 10, centred);
  let first = 0;
  let five = 0;
  let ten = 0;
  for (let q = 0; q < queries.rows; q++) {
    const at = indices.subarray(q * k, (q + 1) * k).indexOf(answers[q]);
    if (at === 0) first++;
    if (at >= 0 && at < 5) five++;
    if (at >= 0) ten++;
  }
  return { gallery: gallery.rows, queries: queries.rows, r1: first / queries.rows, r5: five / queries.rows, r10: ten / queries.rows };
}
