/**
 * Undoes the concatenation of slices: where twins meet along an axis, `(S[0, i] else 0) + (S[1, i - B] else 0)` for i < 2 B is
 * S[i // B, i % B], one read of the whole stack, whose gradient is one read as well.
 */
import type { ReadScalar, Scalar, TensorId } from './scalar.js';
import { affineOf, binary, index, int, rewrite } from './scalar.js';
import { createInterner } from './structure.js';

/** The scalar with every concatenation of all slices of a tensor as one read. `extentOf` bounds its variables. */
export function joinSlices(root: Scalar, extentOf: (variable: number) => number, shapeOf: (id: TensorId) => readonly number[]): Scalar {
  return rewrite(root, (s) => (s.kind === 'binary' && s.op === 'add' && s.type === 'f32' ? joined(s, extentOf, shapeOf) ?? s : s));
}

function joined(sum: Scalar, extentOf: (variable: number) => number, shapeOf: (id: TensorId) => readonly number[]): Scalar | null {
  const terms = termsOf(sum);
  if (terms === null) return null;
  const shape = shapeOf(terms[0].tensor);
  if (shape.length < 2 || terms.length !== shape[0] || terms.some((t) => t.tensor !== terms[0].tensor)) return null;
  const bySlice = terms.map((_, v) => terms.find((t) => t.at[0].kind === 'const' && t.at[0].value === v));
  const interner = createInterner();
  let along: { readonly axis: number; readonly variable: number } | null = null;
  for (let axis = 1; axis < shape.length; axis++) {
    const places = bySlice.map((t) => (t === undefined ? null : t.at[axis]));
    const [first] = places;
    if (first === null || first === undefined) return null;
    if (places.every((p) => p !== null && interner.id(p) === interner.id(first))) continue;
    // The axis along which the slices follow one another.
    if (along !== null || first.kind !== 'index' || extentOf(first.axis) !== shape[0] * shape[axis]) return null;
    const follows = places.every((p, v) => {
      const form = p === null ? null : affineOf(p);
      return form !== null && form.coefficients.size === 1 && form.coefficients.get(first.axis) === 1 && form.constant === -v * shape[axis];
    });
    if (!follows) return null;
    along = { axis, variable: first.axis };
  }
  if (along === null) return null;
  const { axis, variable } = along;
  const at = terms[0].at.map((i, k) => {
    if (k === 0) return binary('idiv', index(variable), int(shape[axis]));
    return k === axis ? binary('mod', index(variable), int(shape[axis])) : i;
  });
  return { ...terms[0], at, otherwise: null };
}

/** The reads that are added up, each 0 outside of its tensor; null when there is something else. */
function termsOf(s: Scalar): readonly ReadScalar[] | null {
  if (s.kind === 'read') return s.otherwise?.kind === 'const' && s.otherwise.value === 0 ? [s] : null;
  if (s.kind !== 'binary' || s.op !== 'add') return null;
  const [a, b] = [termsOf(s.a), termsOf(s.b)];
  return a === null || b === null ? null : [...a, ...b];
}
