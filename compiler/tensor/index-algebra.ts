/**
 * Folds index arithmetic by what the index variables can be: `(4*i + j) mod 4` is `j` when j < 4, `i + n < n` is
 * false, a guarded read that cannot leave its tensor needs no guard. Keeps reads in the simplest form, which is
 * what makes products and convolutions recognisable after differentiation.
 */
import type { ExtentOf, Range } from './ranges.js';
import { rangeOf } from './ranges.js';
import type { Scalar, TensorId } from './scalar.js';
import { add, binary, boolean, int, mul, plainBinary, read, rewrite, sub } from './scalar.js';
import type { Interner } from './structure.js';
import { createInterner } from './structure.js';

/** constant + sum of coefficient * atom, an atom being an index variable or any i32 scalar that is not linear. */
export interface Linear {
  readonly constant: number;
  readonly terms: readonly { readonly atom: Scalar; readonly coefficient: number }[];
}

/** The linear form of an i32 scalar. Terms stand in order of first occurrence. */
export function linearOf(s: Scalar, interner: Interner): Linear {
  let constant = 0;
  const terms = new Map<number, { atom: Scalar; coefficient: number }>();
  const collect = (e: Scalar, k: number): void => {
    if (e.kind === 'const') { constant += k * e.value; return; }
    if (e.kind === 'unary' && e.op === 'neg') return collect(e.x, -k);
    if (e.kind === 'binary' && e.op === 'add') { collect(e.a, k); return collect(e.b, k); }
    if (e.kind === 'binary' && e.op === 'sub') { collect(e.a, k); return collect(e.b, -k); }
    if (e.kind === 'binary' && e.op === 'mul') {
      if (e.a.kind === 'const') return collect(e.b, k * e.a.value);
      if (e.b.kind === 'const') return collect(e.a, k * e.b.value);
    }
    const id = interner.id(e);
    const term = terms.get(id);
    if (term === undefined) terms.set(id, { atom: interner.intern(e), coefficient: k });
    else term.coefficient += k;
  };
  collect(s, 1);
  return { constant, terms: [...terms.values()].filter((t) => t.coefficient !== 0) };
}

/** The scalar of a linear form: positive terms first, then negative ones, then the constant. */
export function scalarOfLinear(linear: Linear): Scalar {
  let sum: Scalar | null = null;
  const ordered = [...linear.terms.filter((t) => t.coefficient > 0), ...linear.terms.filter((t) => t.coefficient < 0)];
  for (const { atom, coefficient } of ordered) {
    const size = Math.abs(coefficient);
    const term = size === 1 ? atom : mul(atom, int(size));
    if (sum === null) sum = coefficient > 0 ? term : sub(int(linear.constant), term);
    else sum = coefficient > 0 ? add(sum, term) : sub(sum, term);
  }
  if (sum === null) return int(linear.constant);
  if (ordered[0].coefficient < 0) return sum;
  return linear.constant < 0 ? sub(sum, int(-linear.constant)) : add(sum, int(linear.constant));
}

/** The sum of two linear forms, the second times `k`. */
export function combine(a: Linear, b: Linear, k: number, interner: Interner): Linear {
  return linearOf(add(scalarOfLinear(a), mul(scalarOfLinear(b), int(k))), interner);
}

/** The values a linear form can take. */
export function rangeOfLinear(linear: Linear, extentOf: ExtentOf): Range {
  let low = linear.constant;
  let high = linear.constant;
  for (const { atom, coefficient } of linear.terms) {
    const r = rangeOf(atom, extentOf);
    low += coefficient > 0 ? coefficient * r.low : coefficient * r.high;
    high += coefficient > 0 ? coefficient * r.high : coefficient * r.low;
  }
  return { low, high };
}

/**
 * Folds all index arithmetic in a scalar. `shapeOf` gives the shapes of tensors, to drop guards that cannot fire;
 * with null, guards stay.
 */
export function foldRanges(root: Scalar, extentOf: ExtentOf, shapeOf: ((id: TensorId) => readonly number[]) | null, interner: Interner = createInterner()): Scalar {
  return rewrite(root, (s) => {
    switch (s.kind) {
      case 'index': return extentOf(s.axis) === 1 ? int(0) : s;
      case 'binary':
        if (s.a.type !== 'i32') return s;
        return s.type === 'bool' ? foldComparison(s, extentOf, interner) : foldInteger(s, extentOf, interner);
      case 'read': {
        if (s.otherwise === null || shapeOf === null) return s;
        const shape = shapeOf(s.tensor);
        const inside = s.at.every((i, axis) => { const r = rangeOf(i, extentOf); return r.low >= 0 && r.high < shape[axis]; });
        return inside ? read(s.tensor, s.at, s.type) : s;
      }
      default: return s;
    }
  });
}

function foldComparison(s: Extract<Scalar, { kind: 'binary' }>, extentOf: ExtentOf, interner: Interner): Scalar {
  if (s.op === 'and' || s.op === 'or') return s;
  const { low, high } = rangeOfLinear(linearOf(sub(s.a, s.b), interner), extentOf);
  switch (s.op) {
    case 'lt': return high < 0 ? boolean(true) : low >= 0 ? boolean(false) : s;
    case 'le': return high <= 0 ? boolean(true) : low > 0 ? boolean(false) : s;
    case 'gt': return low > 0 ? boolean(true) : high <= 0 ? boolean(false) : s;
    case 'ge': return low >= 0 ? boolean(true) : high < 0 ? boolean(false) : s;
    case 'eq': return low > 0 || high < 0 ? boolean(false) : low === 0 && high === 0 ? boolean(true) : s;
    case 'ne': return low > 0 || high < 0 ? boolean(true) : low === 0 && high === 0 ? boolean(false) : s;
    default: return s;
  }
}

function foldInteger(s: Extract<Scalar, { kind: 'binary' }>, extentOf: ExtentOf, interner: Interner): Scalar {
  switch (s.op) {
    case 'add': case 'sub': case 'mul': {
      const r = linearOf(s, interner);
      return sizeOfLinear(r) < countOf(s) ? scalarOfLinear(r) : s;
    }
    case 'mod': case 'idiv': {
      if (s.b.kind !== 'const' || s.b.value <= 0) return s;
      const n = s.b.value;
      const linear = linearOf(s.a, interner);
      // a = n * whole + rest; exact when 0 <= rest < n, and a smaller argument for mod in any case.
      const rest: Linear = { constant: modulo(linear.constant, n), terms: linear.terms.flatMap((t) => (t.coefficient % n === 0 ? [] : [t])) };
      const whole: Linear = {
        constant: Math.floor(linear.constant / n),
        terms: linear.terms.flatMap((t) => (t.coefficient % n === 0 ? [{ atom: t.atom, coefficient: t.coefficient / n }] : [])),
      };
      const range = rangeOfLinear(rest, extentOf);
      if (range.low >= 0 && range.high < n) return s.op === 'mod' ? scalarOfLinear(rest) : scalarOfLinear(whole);
      // The constant need not be reduced: i - 1 + n reads worse than i - 1, unless the range then fits.
      const plain: Linear = { constant: linear.constant, terms: rest.terms };
      const plainRange = rangeOfLinear(plain, extentOf);
      if (plainRange.low >= 0 && plainRange.high < n) return s.op === 'mod' ? scalarOfLinear(plain) : scalarOfLinear({ constant: 0, terms: whole.terms });
      if (s.op === 'idiv') {
        // floor(floor(x / m) / n) = floor(x / (m n)).
        if (s.a.kind === 'binary' && s.a.op === 'idiv' && s.a.b.kind === 'const' && s.a.b.value > 0) {
          return foldInteger(plainBinary('idiv', s.a.a, int(s.a.b.value * n)), extentOf, interner);
        }
        const smaller = divideOut(linear, n, extentOf);
        if (smaller !== null) return foldInteger(plainBinary('idiv', scalarOfLinear(smaller.linear), int(smaller.n)), extentOf, interner);
        if (whole.terms.length === 0) return s;
        return add(scalarOfLinear({ constant: 0, terms: whole.terms }), binary('idiv', scalarOfLinear(plain), int(n)));
      }
      if (s.a.kind === 'binary' && s.a.op === 'mod' && s.a.b.kind === 'const' && s.a.b.value > 0 && s.a.b.value % n === 0) {
        return foldInteger(plainBinary('mod', s.a.a, s.b), extentOf, interner);
      }
      return whole.terms.length === 0 ? s : binary('mod', scalarOfLinear(plain), int(n));
    }
    case 'min': case 'max': {
      const { low, high } = rangeOfLinear(linearOf(sub(s.a, s.b), interner), extentOf);
      if (high <= 0) return s.op === 'min' ? s.a : s.b;
      if (low >= 0) return s.op === 'min' ? s.b : s.a;
      return s;
    }
    default: return s;
  }
}

/** floor((g e + r) / (g m)) = floor(e / m) when 0 <= r < g: the smaller e and m, or null. */
function divideOut(linear: Linear, n: number, extentOf: ExtentOf): { readonly linear: Linear; readonly n: number } | null {
  for (const g of new Set(linear.terms.map((t) => greatestCommonDivisor(Math.abs(t.coefficient), n)))) {
    if (g === 1 || g === n) continue;
    const rest: Linear = { constant: modulo(linear.constant, g), terms: linear.terms.filter((t) => t.coefficient % g !== 0) };
    const range = rangeOfLinear(rest, extentOf);
    if (!(range.low >= 0 && range.high < g)) continue;
    const terms = linear.terms.flatMap((t) => (t.coefficient % g === 0 ? [{ atom: t.atom, coefficient: t.coefficient / g }] : []));
    return { linear: { constant: Math.floor(linear.constant / g), terms }, n: n / g };
  }
  return null;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

function modulo(a: number, n: number): number {
  return a - n * Math.floor(a / n);
}

/** Operators and leaves of the expression a linear form would be written as. */
function sizeOfLinear(linear: Linear): number {
  const terms = linear.terms.reduce((n, t) => n + (Math.abs(t.coefficient) === 1 ? 1 : 2), 0) + (linear.constant === 0 ? 0 : 1);
  return Math.max(1, terms);
}

/** Leaves of the linear part of an expression. */
function countOf(s: Scalar): number {
  if (s.kind === 'unary' && s.op === 'neg') return countOf(s.x) + 1;
  if (s.kind === 'binary' && (s.op === 'add' || s.op === 'sub')) return countOf(s.a) + countOf(s.b);
  if (s.kind === 'binary' && s.op === 'mul' && (s.a.kind === 'const' || s.b.kind === 'const')) return countOf(s.a) + countOf(s.b);
  return 1;
}

/** An index variable's own scalar, or null when the scalar is not one. */
export function variableOf(s: Scalar): number | null {
  return s.kind === 'index' ? s.axis : null;
}

