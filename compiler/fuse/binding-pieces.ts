/** Chooses which arithmetic of a kernel to compute beforehand, so that the kernel reads fewer tensors. */
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { visit } from '../tensor/scalar.js';
import { tensorsIn } from './draft.js';

/** Tensors a piece may read: its own store takes one binding. */
export const limitOf = (mostBindings: number): number => Math.max(1, mostBindings - 1);

/** The piece that reads the most tensors, at most `limit` and at least two; of those the smallest expression. */
export function pieceWithin(roots: readonly Scalar[], limit: number): Scalar | null {
  let best: { piece: Scalar; tensors: ReadonlySet<TensorId> } | null = null;
  for (const root of roots) {
    visit(root, (s) => {
      if (s.kind === 'read' || s.type === 'bool') return;
      let finished = false;
      visit(s, (n) => { if (n.kind === 'accumulator') finished = true; });
      if (finished) return;
      const tensors = tensorsIn([s]);
      if (tensors.size < 2 || tensors.size > limit || tensors.size <= (best?.tensors.size ?? 0)) return;
      best = { piece: s, tensors };
    });
  }
  return best === null ? null : (best as { piece: Scalar }).piece;
}
