/**
 * Algebra on scalars that is exact in floating point (up to the sign of zero): constants, signs, casts, selects,
 * and division by a power of two. Nothing is reassociated.
 */
import { unaryFunctions } from './elementary.js';
import { holds } from './holds.js';
import type { Scalar } from './scalar.js';
import { add, binary, cast, float, mul, plainBinary, read, rewrite, select, sub, unary, visit } from './scalar.js';

/** Folds a scalar bottom-up. Equal operands must be equal objects (interned) to be seen as equal. */
export function foldScalar(root: Scalar): Scalar {
  return rewrite(root, foldNode);
}

function foldNode(s: Scalar): Scalar {
  switch (s.kind) {
    case 'unary': return foldUnary(s);
    case 'binary': return foldBinary(s);
    case 'select':
      if (s.condition.kind === 'unary' && s.condition.op === 'not') return select(s.condition.x, s.b, s.a);
      // if p then (if q then a else b) else b
      if (s.a.kind === 'select' && same(s.a.b, s.b)) return select(binary('and', s.condition, s.a.condition), s.a.a, s.b);
      return same(s.a, s.b) ? s.a : oneRead(s) ?? decided(s);
    case 'cast':
      // A bool read as a number and that as another number is the bool as the other number.
      if (s.x.kind === 'cast' && s.x.x.type === 'bool' && s.x.type !== 'bool') return cast(s.type, s.x.x);
      return s;
    default: return s;
  }
}

/** Data that chooses between two reads of a tensor chooses where to read: one read, and one use of what is read. */
function oneRead(s: Extract<Scalar, { kind: 'select' }>): Scalar | null {
  const { condition, a, b } = s;
  if (a.kind !== 'read' || b.kind !== 'read' || a.tensor !== b.tensor) return null;
  if (a.otherwise !== b.otherwise && (a.otherwise === null || b.otherwise === null || !same(a.otherwise, b.otherwise))) return null;
  return (condition.holds & holds.read) !== 0 ? read(a.tensor, a.at.map((i, axis) => (same(i, b.at[axis]) ? i : select(condition, i, b.at[axis]))), a.type, a.otherwise) : null;
}

/** In the branches of a select, other selects by the same condition are decided. */
function decided(s: Extract<Scalar, { kind: 'select' }>): Scalar {
  const a = decide(s.a, s.condition, true);
  const b = decide(s.b, s.condition, false);
  return a === s.a && b === s.b ? s : select(s.condition, a, b);
}

function decide(branch: Scalar, condition: Scalar, holds: boolean): Scalar {
  let occurs = false;
  visit(branch, (n) => { occurs ||= n.kind === 'select' && n.condition === condition; });
  if (!occurs) return branch;
  return rewrite(branch, (n) => (n.kind === 'select' && n.condition === condition ? (holds ? n.a : n.b) : n));
}

function same(a: Scalar, b: Scalar): boolean {
  return a === b || (a.kind === 'const' && b.kind === 'const' && a.type === b.type && Object.is(a.value, b.value));
}

function foldUnary(s: Extract<Scalar, { kind: 'unary' }>): Scalar {
  const { x } = s;
  if (x.kind === 'const' && s.type === 'f32') {
    const value = unaryFunctions[s.op](x.value);
    return Number.isFinite(value) ? float(value) : s;
  }
  if (s.op === 'not' && x.kind === 'unary' && x.op === 'not') return x.x;
  if (s.op === 'not' && x.kind === 'binary') {
    if (x.op === 'eq') return plainBinary('ne', x.a, x.b);
    if (x.op === 'ne') return plainBinary('eq', x.a, x.b);
    // Orders of floats have no contrary: NaN fails both.
    if (x.a.type === 'i32') {
      const contrary = { lt: 'ge', le: 'gt', gt: 'le', ge: 'lt' } as const;
      if (x.op === 'lt' || x.op === 'le' || x.op === 'gt' || x.op === 'ge') return plainBinary(contrary[x.op], x.a, x.b);
    }
  }
  if (s.op === 'abs' && x.kind === 'unary' && (x.op === 'neg' || x.op === 'abs')) return unary('abs', x.x);
  if (s.op === 'neg' && x.kind === 'binary' && x.op === 'sub') return sub(x.b, x.a);
  if (s.op === 'neg' && x.kind === 'binary' && x.op === 'mul' && x.b.kind === 'const') return mul(x.a, unary('neg', x.b));
  return s;
}

function negated(s: Scalar): Scalar | null {
  return s.kind === 'unary' && s.op === 'neg' ? s.x : null;
}

function foldBinary(s: Extract<Scalar, { kind: 'binary' }>): Scalar {
  const { a, b } = s;
  const na = negated(a);
  const nb = negated(b);
  switch (s.op) {
    case 'add':
      if (nb !== null) return sub(a, nb);
      return na !== null ? sub(b, na) : s;
    case 'sub': return nb !== null ? add(a, nb) : s;
    case 'mul':
      if (na !== null && nb !== null) return mul(na, nb);
      if (b.kind === 'const' && b.value === -1) return unary('neg', a);
      if (a.kind === 'const' && a.value === -1) return unary('neg', b);
      if (a.kind === 'const' && b.kind !== 'const') return mul(b, a);
      return na !== null && b.kind === 'const' ? mul(na, unary('neg', b)) : s;
    case 'div':
      if (s.type === 'f32' && b.kind === 'const' && isPowerOfTwo(b.value)) return mul(a, float(1 / b.value));
      return na !== null && nb !== null ? binary('div', na, nb) : s;
    case 'min': case 'max': case 'and': case 'or': return same(a, b) ? a : s;
    default: return s;
  }
}

/** Of either sign, and far from under- and overflow: its reciprocal is exact in float32. */
function isPowerOfTwo(x: number): boolean {
  const exponent = Math.log2(Math.abs(x));
  return Number.isInteger(exponent) && Math.abs(exponent) <= 100 && 2 ** exponent === Math.abs(x);
}
