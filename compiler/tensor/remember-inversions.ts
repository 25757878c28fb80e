/**
 * Inverts an index map once for all reads that have it: the layers of a network read alike, and a residual network of fifty layers
 * has a few dozen ways to read. An inversion depends on nothing but the indices, the extents and the shape, unless it looks at a
 * tensor that is read inside an index; those are left alone.
 */
import { holds } from './holds.js';
import { invertRead } from './invert-read.js';
import type { Inversion } from './invert-read.js';
import { createInterner } from './structure.js';

export function rememberInversions(invert: typeof invertRead = invertRead): typeof invertRead {
  const interner = createInterner();
  const known = new Map<string, Inversion>();
  return (at, extents, shape, target, permutations) => {
    if (at.some((i) => (i.holds & holds.read) !== 0)) return invert(at, extents, shape, target, permutations);
    const key = `${at.map(interner.id).join()} over ${extents.join()} of ${shape.join()} at ${target}`;
    const before = known.get(key);
    if (before !== undefined) return before;
    const inversion = invert(at, extents, shape, target, permutations);
    known.set(key, inversion);
    return inversion;
  };
}
