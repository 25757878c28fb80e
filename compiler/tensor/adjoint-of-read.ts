/**
 * The adjoint of one read: grad x[p] = sum over v with at(v) = p of weight(v), as a comprehension over p and the
 * loops that remain after inverting `at`. The weight is kept as a product, so that factors which no loop touches
 * leave the sum, and a bounds guard becomes the guard of a read (`g[...] else 0`) rather than a branch around the
 * product: the gradient of `sum(left * right)` is again `sum(left * right)`.
 */
import { foldRanges } from './index-algebra.js';
import { guardedValue, guardOf } from './invert-read.js';
import type { invertRead, Permutations } from './invert-read.js';
import { rangeOf } from './ranges.js';
import type { ExtentOf } from './ranges.js';
import type { ReadScalar, Scalar, TensorId } from './scalar.js';
import { binary, boolean, constant, div, float, index, indexVariables, mul, read as readOf, rewriteReads, select, substitute, unary, visit } from './scalar.js';
import type { Interner } from './structure.js';
import { createInterner } from './structure.js';

/** outer(p) * sum over the loops of inner(p, loops); the loops' variables follow the axes of p. */
export interface Contribution {
  readonly extents: readonly number[];
  readonly inner: Scalar;
  /** Applied to the sum (or to `inner` itself when there are no loops); null for nothing. */
  readonly outer: ((sum: Scalar) => Scalar) | null;
}

/** Index variables of p while the equations are solved: above every other. */
const target = 1 << 24;

/** constant * product of numerators / product of denominators where all conditions hold, else 0. */
interface Product {
  constant: number;
  readonly numerators: Scalar[];
  readonly denominators: Scalar[];
  readonly conditions: Scalar[];
}

/** The contribution of `read`, reached by the adjoint `weight`, in a comprehension over `extents`. `invert` inverts its indices. */
export function adjointOfRead(read: ReadScalar, weight: Scalar, extents: readonly number[], shapeOf: (id: TensorId) => readonly number[], permutations: Permutations, invert: typeof invertRead): Contribution {
  const shape = shapeOf(read.tensor);
  const interner = createInterner();
  const inversion = invert(read.at, extents, shape, target, permutations);
  const product: Product = { constant: 1, numerators: [], denominators: [], conditions: [...inversion.conditions] };
  flatten(weight, product);

  const values = new Map<number, Scalar>();
  const guards: Scalar[] = [];
  for (const [variable, solved] of inversion.solved) {
    const guarded = solved.mayLeave || solved.divisible !== null;
    if (guarded && (solved.fromData || !carries(product, variable, solved.extent, shapeOf))) guards.push(guardOf(solved));
    // -1 where it has no meaning, so that every guarded read misses.
    values.set(variable, guardedValue(solved));
  }

  // Renumber: p's axes become 0.., the loops follow.
  const rank = shape.length;
  const used = new Set<number>();
  const place = (s: Scalar): Scalar => substitute(s, (v) => values.get(v) ?? null);
  const placed: Product = {
    constant: product.constant,
    numerators: product.numerators.map(place),
    denominators: product.denominators.map(place),
    conditions: [...product.conditions.map(place), ...guards],
  };
  for (const s of [...placed.numerators, ...placed.denominators, ...placed.conditions]) for (const v of indexVariables(s)) used.add(v);
  const loops = inversion.loops.filter((l) => used.has(l.variable));
  for (const l of inversion.loops) if (!used.has(l.variable)) placed.constant *= l.extent;
  const numbers = new Map<number, Scalar>(loops.map((l, k) => [l.variable, index(rank + k)]));
  for (let axis = 0; axis < rank; axis++) numbers.set(target + axis, index(axis));
  const bounds = [...shape, ...loops.map((l) => l.extent)];
  const extentOf: ExtentOf = (v) => bounds[v];
  const finish = (s: Scalar): Scalar => interner.intern(foldRanges(guardReads(substitute(s, (v) => numbers.get(v) ?? null), extentOf, shapeOf), extentOf, shapeOf, interner));
  const final: Product = {
    constant: placed.constant,
    numerators: placed.numerators.map(finish),
    denominators: placed.denominators.map(finish),
    conditions: splitConditions(placed.conditions.map(finish), interner),
  };
  return separate(final, rank, loops.map((l) => l.extent));
}

/** Splits a weight into factors. Only f32 products are taken apart. */
function flatten(s: Scalar, into: Product): void {
  if (s.kind === 'const') into.constant *= s.value;
  else if (s.kind === 'unary' && s.op === 'neg') { into.constant *= -1; flatten(s.x, into); }
  else if (s.kind === 'binary' && s.op === 'mul') { flatten(s.a, into); flatten(s.b, into); }
  else if (s.kind === 'binary' && s.op === 'div') {
    flatten(s.a, into);
    if (s.b.kind === 'const') into.constant /= s.b.value; else into.denominators.push(s.b);
  } else if (s.kind === 'select' && s.b.kind === 'const' && s.b.value === 0) { into.conditions.push(s.condition); flatten(s.a, into); }
  else if (s.kind === 'select' && s.a.kind === 'const' && s.a.value === 0) { into.conditions.push(unary('not', s.condition)); flatten(s.b, into); }
  else into.numerators.push(s);
}

/**
 * Whether the product is zero by itself wherever `variable` leaves its extent, once reads are guarded: one factor
 * reads a tensor at exactly this variable on an axis of this extent, and no other factor can turn infinite there.
 */
function carries(product: Product, variable: number, extent: number, shapeOf: (id: TensorId) => readonly number[]): boolean {
  const carrier = product.numerators.find((f) => f.kind === 'read' && (f.otherwise === null || (f.otherwise.kind === 'const' && f.otherwise.value === 0))
    && f.at.some((i, axis) => i.kind === 'index' && i.axis === variable && shapeOf(f.tensor)[axis] === extent));
  if (carrier === undefined) return false;
  if (product.denominators.some((d) => indexVariables(d).has(variable))) return false;
  return product.numerators.every((f) => f === carrier || !indexVariables(f).has(variable) || staysFinite(f));
}

/** No operation in it can make an infinity or NaN of finite numbers of ordinary size. */
function staysFinite(root: Scalar): boolean {
  let finite = true;
  visit(root, (s) => {
    if (s.type !== 'f32') return;
    if (s.kind === 'unary') finite &&= s.op !== 'exp' && s.op !== 'log' && s.op !== 'log1p' && s.op !== 'sqrt';
    if (s.kind === 'binary') finite &&= s.op !== 'pow' && s.op !== 'mod' && s.op !== 'idiv' && s.op !== 'atan2' && (s.op !== 'div' || (s.b.kind === 'const' && s.b.value !== 0));
  });
  return finite;
}

/** Guards every unguarded read that the substituted indices may take outside; data-dependent indices stay as they are. */
export function guardReads(root: Scalar, extentOf: ExtentOf, shapeOf: (id: TensorId) => readonly number[]): Scalar {
  return rewriteReads(root, (s) => {
    if (s.otherwise !== null) return s;
    const shape = shapeOf(s.tensor);
    const leaves = s.at.some((i, axis) => {
      const r = rangeOf(i, extentOf);
      return Number.isFinite(r.low) && Number.isFinite(r.high) && !(r.low >= 0 && r.high < shape[axis]);
    });
    return leaves ? readOf(s.tensor, s.at, s.type, constant(s.type, 0)) : s;
  });
}

/** Conjunctions taken apart, constants and repetitions dropped. */
function splitConditions(conditions: readonly Scalar[], interner: Interner): Scalar[] {
  const result: Scalar[] = [];
  const walk = (c: Scalar): void => {
    if (c.kind === 'binary' && c.op === 'and') { walk(c.a); walk(c.b); return; }
    if (c.kind === 'const' && c.value !== 0) return;
    const node = interner.intern(c);
    if (!result.includes(node)) result.push(node);
  };
  conditions.forEach(walk);
  return result;
}

/** Pulls what no loop touches out of the sum. */
function separate(product: Product, rank: number, extents: readonly number[]): Contribution {
  if (product.constant === 0 || product.conditions.some((c) => c.kind === 'const' && c.value === 0)) return { extents: [], inner: float(0), outer: null };
  const loops = (s: Scalar): boolean => [...indexVariables(s)].some((v) => v >= rank);
  if (extents.length === 0) return { extents, inner: assemble(product), outer: null };
  const bound: Product = { constant: 1, numerators: [], denominators: [], conditions: [] };
  const free: Product = { constant: product.constant, numerators: [], denominators: [], conditions: [] };
  for (const c of product.conditions) (loops(c) ? bound : free).conditions.push(c);
  // A condition may protect a singular factor, which then has to stay beside it.
  const protectedInside = bound.conditions.length > 0;
  for (const n of product.numerators) (loops(n) || (protectedInside && !staysFinite(n)) ? bound : free).numerators.push(n);
  for (const d of product.denominators) (loops(d) || protectedInside ? bound : free).denominators.push(d);
  const nothing = free.constant === 1 && free.numerators.length + free.denominators.length + free.conditions.length === 0;
  return {
    extents,
    inner: assemble(bound),
    outer: nothing ? null : (sum) => assemble({ ...free, numerators: [sum, ...free.numerators] }),
  };
}

/** The scalar of a product. */
function assemble(product: Product): Scalar {
  let value: Scalar | null = null;
  for (const n of product.numerators) value = value === null ? n : mul(value, n);
  if (value === null) value = float(product.constant);
  else if (product.constant === -1) value = unary('neg', value);
  else value = mul(value, float(product.constant));
  for (const d of product.denominators) value = div(value, d);
  const condition = product.conditions.reduce<Scalar>((all, c) => binary('and', all, c), boolean(true));
  return select(condition, value, float(0));
}

/** Whether the scalar is the identity read of a tensor of this shape: its id, or null. */
export function identityRead(s: Scalar, shape: readonly number[], shapeOf: (id: TensorId) => readonly number[]): TensorId | null {
  if (s.kind !== 'read') return null;
  const of = shapeOf(s.tensor);
  if (of.length !== shape.length || of.some((n, axis) => n !== shape[axis])) return null;
  const same = s.at.every((i, axis) => (i.kind === 'index' && i.axis === axis) || (of[axis] === 1 && i.kind === 'const' && i.value === 0));
  return same ? s.tensor : null;
}

