/**
 * Scalar expressions: the body of a comprehension, the indices of its reads, and the epilogues of kernels.
 * Immutable; a shared object is a shared computation (emitters and the interpreter memoize by identity).
 *
 * Index variables are numbers. Inside a comprehension of rank n with m reduction axes, 0..n-1 are its output
 * indices and n..n+m-1 its reduction indices. While a program is being built, any other numbers may be used and
 * are renumbered with `substitute`.
 */
import { bug } from '../../grammar/diagnostics/report.js';
import { axesIn, holds, holdsOfAxis, holdsOfBinary, holdsOfUnary } from './holds.js';

export type ScalarType = 'f32' | 'i32' | 'bool';

/**
 * The element types a tensor can be stored in. A `u8` read gives an i32 of 0..255; `bool` is stored as i32 0 or 1; `f16` is rounded
 * when it is stored and reads as f32: only what kernels hand to one another is stored so.
 */
export type ElementType = 'f32' | 'f16' | 'i32' | 'u8' | 'bool';

/** Index of a tensor in its program. */
export type TensorId = number & { readonly __brand: 'TensorId' };

export type UnaryOperator =
  | 'neg' | 'abs' | 'exp' | 'log' | 'log1p' | 'sqrt' | 'sin' | 'cos' | 'tanh' | 'erf' | 'floor' | 'ceil' | 'round' | 'not'
  /** Identity whose derivative is zero: stop-gradient. Removed after differentiation. */
  | 'stop';

/** `idiv` and `mod` floor (like Python's); on f32, `mod(a, b) = a - b * floor(a / b)`. `round` is half to even. */
export type BinaryOperator =
  | 'add' | 'sub' | 'mul' | 'div' | 'idiv' | 'mod' | 'pow' | 'min' | 'max' | 'atan2'
  | 'lt' | 'le' | 'gt' | 'ge' | 'eq' | 'ne' | 'and' | 'or';

/** A scalar, and what occurs in it: a set of bits (`holds.ts`). Only the functions of this file make scalars, and see to it. */
export type Scalar = Expression & { readonly holds: number };

type Expression =
  | { readonly kind: 'const'; readonly type: ScalarType; readonly value: number }
  /** The value of an index variable, an i32. */
  | { readonly kind: 'index'; readonly type: 'i32'; readonly axis: number }
  /**
   * `tensor[at...]`, `at` i32 scalars. With `otherwise`, a read outside gives that value; without it the read is
   * known to lie inside, or its index comes from data (emitters clamp such indices, so memory is always safe).
   */
  | { readonly kind: 'read'; readonly type: ScalarType; readonly tensor: TensorId; readonly at: readonly Scalar[]; readonly otherwise: Scalar | null }
  | { readonly kind: 'unary'; readonly type: ScalarType; readonly op: UnaryOperator; readonly x: Scalar }
  | { readonly kind: 'binary'; readonly type: ScalarType; readonly op: BinaryOperator; readonly a: Scalar; readonly b: Scalar }
  /** Both branches may be evaluated; reads in the branch not taken must still be guarded. */
  | { readonly kind: 'select'; readonly type: ScalarType; readonly condition: Scalar; readonly a: Scalar; readonly b: Scalar }
  /** f32 to i32 truncates toward zero; bool to a number is 0 or 1; a number to bool is `!= 0`. */
  | { readonly kind: 'cast'; readonly type: ScalarType; readonly x: Scalar }
  /**
   * A uniform f32 in [0, 1) with 24 bits: word `lane` (0..3) of Philox4x32-10 with key (seed, site) and counter
   * (step, example, element, 0), as (word >>> 8) * 2^-24. Salmon et al., 2011.
   */
  | { readonly kind: 'draw'; readonly type: 'f32'; readonly lane: 0 | 1 | 2 | 3; readonly site: Scalar; readonly seed: Scalar; readonly step: Scalar; readonly example: Scalar; readonly element: Scalar }
  /** In a kernel's epilogue only: the finished value of reduction number `slot`. */
  | { readonly kind: 'accumulator'; readonly type: ScalarType; readonly slot: number };

export const constant = (type: ScalarType, value: number): Scalar => ({ kind: 'const', type, holds: holds.anything, value });
export const float = (value: number): Scalar => constant('f32', value);
export const int = (value: number): Scalar => constant('i32', value);
export const boolean = (value: boolean): Scalar => constant('bool', value ? 1 : 0);
const makeIndex = (axis: number): Scalar => ({ kind: 'index', type: 'i32', holds: holds.anything | holdsOfAxis(axis), axis });
/** The variables of most comprehensions, each one object: walks meet them once. */
const indices: readonly Scalar[] = Array.from({ length: 16 }, (_, axis) => makeIndex(axis));
export const index = (axis: number): Scalar => indices[axis] ?? makeIndex(axis);
export type AccumulatorScalar = Extract<Scalar, { kind: 'accumulator' }>;
export const accumulator = (type: ScalarType, slot: number): AccumulatorScalar => ({ kind: 'accumulator', type, holds: holds.anything | holds.accumulator, slot });

/** The scalar type that reading an element of this type gives. */
export function scalarTypeOf(element: ElementType): ScalarType {
  return element === 'u8' ? 'i32' : element === 'f16' ? 'f32' : element;
}

export type ReadScalar = Extract<Scalar, { kind: 'read' }>;

export function read(tensor: TensorId, at: readonly Scalar[], type: ScalarType, otherwise: Scalar | null = null): ReadScalar {
  let held = otherwise === null ? holds.anything | holds.read : otherwise.holds | holds.read;
  for (const i of at) held |= i.holds;
  return { kind: 'read', type, holds: held, tensor, at, otherwise };
}

export type DrawScalar = Extract<Scalar, { kind: 'draw' }>;

export function draw(lane: DrawScalar['lane'], { site, seed, step, example, element }: Pick<DrawScalar, 'site' | 'seed' | 'step' | 'example' | 'element'>): DrawScalar {
  const held = site.holds | seed.holds | step.holds | example.holds | element.holds | holds.draw | holds.costly;
  return { kind: 'draw', type: 'f32', holds: held, lane, site, seed, step, example, element };
}

const isConst = (s: Scalar, v?: number): s is Extract<Scalar, { kind: 'const' }> => s.kind === 'const' && (v === undefined || s.value === v);

export function unary(op: UnaryOperator, x: Scalar): Scalar {
  if (op === 'not') return isConst(x) ? boolean(x.value === 0) : plainUnary(op, x);
  if (op === 'neg' && isConst(x)) return constant(x.type, -x.value);
  if (op === 'neg' && x.kind === 'unary' && x.op === 'neg') return x.x;
  return plainUnary(op, x);
}

/** Not folded. */
export function plainUnary(op: UnaryOperator, x: Scalar): Extract<Scalar, { kind: 'unary' }> {
  return { kind: 'unary', type: op === 'not' ? 'bool' : x.type, holds: x.holds | holdsOfUnary(op), op, x };
}

const comparisons: ReadonlySet<BinaryOperator> = new Set<BinaryOperator>(['lt', 'le', 'gt', 'ge', 'eq', 'ne']);

/** Evaluates one operator on numbers: the meaning every target must agree with. Comparisons give 0 or 1. */
export function applyBinary(op: BinaryOperator, a: number, b: number): number {
  switch (op) {
    case 'add': return a + b;
    case 'sub': return a - b;
    case 'mul': return a * b;
    case 'div': return a / b;
    case 'idiv': return Math.floor(a / b);
    case 'mod': return a - b * Math.floor(a / b);
    case 'pow': return Math.pow(a, b);
    case 'min': return Math.min(a, b);
    case 'max': return Math.max(a, b);
    case 'atan2': return Math.atan2(a, b);
    case 'lt': return a < b ? 1 : 0;
    case 'le': return a <= b ? 1 : 0;
    case 'gt': return a > b ? 1 : 0;
    case 'ge': return a >= b ? 1 : 0;
    case 'eq': return a === b ? 1 : 0;
    case 'ne': return a !== b ? 1 : 0;
    case 'and': return a !== 0 && b !== 0 ? 1 : 0;
    case 'or': return a !== 0 || b !== 0 ? 1 : 0;
  }
}

/** A binary operation; operands have one type. Folds constants and the identities that are exact in floats. */
export function binary(op: BinaryOperator, a: Scalar, b: Scalar): Scalar {
  if (a.type !== b.type) return bug(`operands of ${op} are ${a.type} and ${b.type}`);
  const type = typeOfBinary(op, a.type);
  if (isConst(a) && isConst(b)) return constant(type, applyBinary(op, a.value, b.value));
  switch (op) {
    case 'add': if (isConst(a, 0)) return b; if (isConst(b, 0)) return a; break;
    case 'sub': if (isConst(b, 0)) return a; if (isConst(a, 0)) return unary('neg', b); break;
    case 'mul': if (isConst(a, 1)) return b; if (isConst(b, 1)) return a; if (isConst(a, 0)) return a; if (isConst(b, 0)) return b; break;
    case 'div': case 'idiv': if (isConst(b, 1)) return a; break;
    case 'mod': if (type === 'i32' && isConst(b, 1)) return int(0); break;
    case 'and': if (isConst(a)) return a.value === 0 ? a : b; if (isConst(b)) return b.value === 0 ? b : a; break;
    case 'or': if (isConst(a)) return a.value === 0 ? b : a; if (isConst(b)) return b.value === 0 ? a : b; break;
    default: break;
  }
  return plainBinary(op, a, b);
}

const typeOfBinary = (op: BinaryOperator, operand: ScalarType): ScalarType => (comparisons.has(op) || op === 'and' || op === 'or' ? 'bool' : operand);

/** Not folded. */
export function plainBinary(op: BinaryOperator, a: Scalar, b: Scalar): Extract<Scalar, { kind: 'binary' }> {
  const type = typeOfBinary(op, a.type);
  return { kind: 'binary', type, holds: a.holds | b.holds | holdsOfBinary(op, type), op, a, b };
}

export const add = (a: Scalar, b: Scalar): Scalar => binary('add', a, b);
export const sub = (a: Scalar, b: Scalar): Scalar => binary('sub', a, b);
export const mul = (a: Scalar, b: Scalar): Scalar => binary('mul', a, b);
export const div = (a: Scalar, b: Scalar): Scalar => binary('div', a, b);

export function select(condition: Scalar, a: Scalar, b: Scalar): Scalar {
  if (a.type !== b.type) return bug(`branches of a select are ${a.type} and ${b.type}`);
  if (isConst(condition)) return condition.value !== 0 ? a : b;
  return a === b ? a : plainSelect(condition, a, b);
}

/** Not folded. */
export function plainSelect(condition: Scalar, a: Scalar, b: Scalar): Extract<Scalar, { kind: 'select' }> {
  return { kind: 'select', type: a.type, holds: condition.holds | a.holds | b.holds, condition, a, b };
}

export function cast(type: ScalarType, x: Scalar): Scalar {
  if (x.type === type) return x;
  if (isConst(x)) {
    const value = type === 'i32' ? Math.trunc(x.value) : type === 'bool' ? (x.value !== 0 ? 1 : 0) : x.value;
    return constant(type, value);
  }
  return plainCast(type, x);
}

/** Not folded. */
export function plainCast(type: ScalarType, x: Scalar): Extract<Scalar, { kind: 'cast' }> {
  return { kind: 'cast', type, holds: x.holds, x };
}

/** The direct operands of a scalar, in a fixed order (a read's `at`, then its `otherwise`). */
export function operands(s: Scalar): readonly Scalar[] {
  switch (s.kind) {
    case 'const': case 'index': case 'accumulator': return [];
    case 'read': return s.otherwise === null ? s.at : [...s.at, s.otherwise];
    case 'unary': case 'cast': return [s.x];
    case 'binary': return [s.a, s.b];
    case 'select': return [s.condition, s.a, s.b];
    case 'draw': return [s.site, s.seed, s.step, s.example, s.element];
  }
}

/** Rebuilds a scalar with other operands (same order as `operands`), folding again. */
export function rebuild(s: Scalar, ops: readonly Scalar[]): Scalar {
  switch (s.kind) {
    case 'const': case 'index': case 'accumulator': return s;
    case 'read': return read(s.tensor, ops.slice(0, s.at.length), s.type, s.otherwise === null ? null : ops[s.at.length]);
    case 'unary': return unary(s.op, ops[0]);
    case 'cast': return cast(s.type, ops[0]);
    case 'binary': return binary(s.op, ops[0], ops[1]);
    case 'select': return select(ops[0], ops[1], ops[2]);
    case 'draw': return draw(s.lane, { site: ops[0], seed: ops[1], step: ops[2], example: ops[3], element: ops[4] });
  }
}

/**
 * Rewrites bottom-up: `f` sees each node after its operands were rewritten and returns its replacement (or the
 * node). Shared nodes are visited once.
 */
export function rewrite(root: Scalar, f: (s: Scalar) => Scalar, memo = new Map<Scalar, Scalar>()): Scalar {
  return rewriteWhere(holds.anything, root, f, memo);
}

/** Rewrites like `rewrite`, but leaves every part as it is that holds nothing of `what`: `f` need only see the others. */
export function rewriteWhere(what: number, root: Scalar, f: (s: Scalar) => Scalar, memo = new Map<Scalar, Scalar>()): Scalar {
  if ((root.holds & what) === 0) return root;
  const known = memo.get(root);
  if (known !== undefined) return known;
  const result = f(withRewritten(what, root, f, memo));
  memo.set(root, result);
  return result;
}

/** The node with rewritten operands, itself when none changed. Written out by kind: compiling spends much of its time here. */
function withRewritten(what: number, s: Scalar, f: (s: Scalar) => Scalar, memo: Map<Scalar, Scalar>): Scalar {
  switch (s.kind) {
    case 'const': case 'index': case 'accumulator': return s;
    case 'read': {
      let at: Scalar[] | null = null;
      for (let i = 0; i < s.at.length; i++) {
        const o = rewriteWhere(what, s.at[i], f, memo);
        if (at === null && o !== s.at[i]) at = s.at.slice(0, i);
        at?.push(o);
      }
      const otherwise = s.otherwise === null ? null : rewriteWhere(what, s.otherwise, f, memo);
      return at === null && otherwise === s.otherwise ? s : read(s.tensor, at ?? s.at, s.type, otherwise);
    }
    case 'unary': {
      const x = rewriteWhere(what, s.x, f, memo);
      return x === s.x ? s : unary(s.op, x);
    }
    case 'cast': {
      const x = rewriteWhere(what, s.x, f, memo);
      return x === s.x ? s : cast(s.type, x);
    }
    case 'binary': {
      const a = rewriteWhere(what, s.a, f, memo);
      const b = rewriteWhere(what, s.b, f, memo);
      return a === s.a && b === s.b ? s : binary(s.op, a, b);
    }
    case 'select': {
      const condition = rewriteWhere(what, s.condition, f, memo);
      const a = rewriteWhere(what, s.a, f, memo);
      const b = rewriteWhere(what, s.b, f, memo);
      return condition === s.condition && a === s.a && b === s.b ? s : select(condition, a, b);
    }
    case 'draw': {
      const before = operands(s);
      const after = before.map((o) => rewriteWhere(what, o, f, memo));
      return after.every((o, i) => o === before[i]) ? s : rebuild(s, after);
    }
  }
}

/** Replaces index variables: `map(axis)` gives an i32 scalar, or null to keep the variable. */
export function substitute(root: Scalar, map: (axis: number) => Scalar | null, memo = new Map<Scalar, Scalar>()): Scalar {
  return rewriteWhere(holds.index, root, (s) => (s.kind === 'index' ? (map(s.axis) ?? s) : s), memo);
}

/** Rewrites reads, each after its indices were. */
export function rewriteReads(root: Scalar, f: (s: ReadScalar) => Scalar, memo = new Map<Scalar, Scalar>()): Scalar {
  return rewriteWhere(holds.read, root, (s) => (s.kind === 'read' ? f(s) : s), memo);
}

/** Rewrites accumulators. */
export function rewriteAccumulators(root: Scalar, f: (s: AccumulatorScalar) => Scalar, memo = new Map<Scalar, Scalar>()): Scalar {
  return rewriteWhere(holds.accumulator, root, (s) => (s.kind === 'accumulator' ? f(s) : s), memo);
}

/** Visits every distinct node once, operands first. */
export function visit(root: Scalar, f: (s: Scalar) => void, seen = new Set<Scalar>()): void {
  visitWhere(holds.anything, root, f, seen);
}

/** Visits like `visit`, but no part that holds nothing of `what`. */
export function visitWhere(what: number, root: Scalar, f: (s: Scalar) => void, seen = new Set<Scalar>()): void {
  if ((root.holds & what) === 0 || seen.has(root)) return;
  seen.add(root);
  switch (root.kind) {
    case 'const': case 'index': case 'accumulator': break;
    case 'read':
      for (const i of root.at) visitWhere(what, i, f, seen);
      if (root.otherwise !== null) visitWhere(what, root.otherwise, f, seen);
      break;
    case 'unary': case 'cast': visitWhere(what, root.x, f, seen); break;
    case 'binary': visitWhere(what, root.a, f, seen); visitWhere(what, root.b, f, seen); break;
    case 'select': visitWhere(what, root.condition, f, seen); visitWhere(what, root.a, f, seen); visitWhere(what, root.b, f, seen); break;
    case 'draw': for (const o of operands(root)) visitWhere(what, o, f, seen); break;
  }
  f(root);
}

/** Visits every distinct read once, those in its indices before it. */
export function visitReads(root: Scalar, f: (s: ReadScalar) => void, seen = new Set<Scalar>()): void {
  visitWhere(holds.read, root, (s) => { if (s.kind === 'read') f(s); }, seen);
}

/** What a scalar holds, found anew from its operands: for verification. */
export function holdsAnew(s: Scalar): number {
  const within = operands(s).reduce((held, o) => held | o.holds, holds.anything);
  switch (s.kind) {
    case 'index': return within | holdsOfAxis(s.axis);
    case 'read': return within | holds.read;
    case 'unary': return within | holdsOfUnary(s.op);
    case 'binary': return within | holdsOfBinary(s.op, s.type);
    case 'draw': return within | holds.draw | holds.costly;
    case 'accumulator': return within | holds.accumulator;
    case 'const': case 'select': case 'cast': return within;
  }
}

/** The index variables that occur, from the least. */
export function indexVariables(root: Scalar): ReadonlySet<number> {
  const known = axesIn(root.holds);
  if (known !== null) return known;
  const found = new Set<number>();
  visitWhere(holds.index, root, (s) => { if (s.kind === 'index') found.add(s.axis); });
  return found;
}

/** An affine form: constant + sum of coefficient * index variable (no zero coefficients). */
export interface Affine {
  readonly constant: number;
  readonly coefficients: ReadonlyMap<number, number>;
}

/** The affine form of an i32 scalar, or null when it has none (data, mod, division). */
export function affineOf(s: Scalar): Affine | null {
  switch (s.kind) {
    case 'const': return { constant: s.value, coefficients: new Map() };
    case 'index': return { constant: 0, coefficients: new Map([[s.axis, 1]]) };
    case 'unary': {
      const x = s.op === 'neg' ? affineOf(s.x) : null;
      return x === null ? null : scaleAffine(x, -1);
    }
    case 'binary': {
      if (s.type !== 'i32' || (s.op !== 'add' && s.op !== 'sub' && s.op !== 'mul')) return null;
      const a = affineOf(s.a);
      const b = affineOf(s.b);
      if (a === null || b === null) return null;
      if (s.op === 'mul') {
        if (a.coefficients.size === 0) return scaleAffine(b, a.constant);
        return b.coefficients.size === 0 ? scaleAffine(a, b.constant) : null;
      }
      const sign = s.op === 'add' ? 1 : -1;
      const coefficients = new Map(a.coefficients);
      for (const [v, c] of b.coefficients) {
        const sum = (coefficients.get(v) ?? 0) + sign * c;
        if (sum === 0) coefficients.delete(v); else coefficients.set(v, sum);
      }
      return { constant: a.constant + sign * b.constant, coefficients };
    }
    default: return null;
  }
}

function scaleAffine(a: Affine, k: number): Affine {
  if (k === 0) return { constant: 0, coefficients: new Map() };
  return { constant: a.constant * k, coefficients: new Map([...a.coefficients].map(([v, c]) => [v, c * k])) };
}
