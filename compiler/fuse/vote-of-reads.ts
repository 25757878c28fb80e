/**
 * Which axes reads go along in memory, where they differ: each read of a scalar has a vote, by the coefficients of its last index. They
 * say how far apart in memory neighbours along each axis are. Reads whose last index is no affine form, or a constant, have none.
 */
import type { Scalar } from '../tensor/scalar.js';
import { affineOf, visitReads } from '../tensor/scalar.js';

/** The sum of all votes; reads in `seen` have voted. */
export function voteOfReads(root: Scalar, vote: (coefficients: ReadonlyMap<number, number>) => number, seen = new Set<Scalar>()): number {
  let sum = 0;
  visitReads(root, ({ at }) => {
    const form = at.length === 0 ? null : affineOf(at[at.length - 1]);
    if (form !== null && form.coefficients.size > 0) sum += vote(form.coefficients);
  }, seen);
  return sum;
}
