/** Folds index arithmetic, drops guards that cannot fire and makes equal scalars of a kernel one object: one computation. */
import { foldRanges } from '../tensor/index-algebra.js';
import { createInterner } from '../tensor/structure.js';
import type { Draft } from './draft.js';
import { mapScalars } from './draft.js';
import { loopExtents } from './inline-maps.js';

export function tidyKernels(draft: Draft): Draft {
  return {
    ...draft,
    kernels: draft.kernels.map((k) => {
      const interner = createInterner();
      const extents = loopExtents(k);
      return mapScalars(k, (s) => interner.intern(foldRanges(s, (v) => extents[v], (id) => draft.program.tensors[id].shape, interner)));
    }),
  };
}
