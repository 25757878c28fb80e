/**
 * Sees a scalar as a product of two operands. Factors are collected through multiplication, division, negation and
 * `select(c, x, 0)`, then dealt to the operands so that the axes split into rows (left only), columns (right only) and
 * batch (both). What does not vary under the reduction is pulled out as a scale.
 */
import { sizeAlong } from '../tensor/program.js';
import type { Scalar } from '../tensor/scalar.js';
import { div, float, indexVariables, mul, select, unary } from '../tensor/scalar.js';

export interface Product {
  readonly left: Scalar;
  readonly right: Scalar;
  /** The product is `wrap(sum of left * right)`. */
  readonly wrap: (sum: Scalar) => Scalar;
  readonly batch: readonly number[];
  readonly rows: readonly number[];
  readonly columns: readonly number[];
}

/** The most factors that are dealt; beyond, there is no sense in a matrix product. */
const mostFactors = 8;

/** One factor of a product. */
export interface Factor {
  readonly value: Scalar;
  /** Divides instead of multiplying; conditions zero the product where false. */
  readonly role: 'multiply' | 'divide' | 'condition';
  readonly variables: ReadonlySet<number>;
}

const isZero = (s: Scalar): boolean => s.kind === 'const' && s.value === 0;

function collect(s: Scalar, role: 'multiply' | 'divide', into: Factor[]): void {
  const push = (value: Scalar, r: Factor['role']): void => { into.push({ value, role: r, variables: indexVariables(value) }); };
  if (s.kind === 'binary' && s.op === 'mul') {
    collect(s.a, role, into);
    collect(s.b, role, into);
  } else if (s.kind === 'binary' && s.op === 'div') {
    collect(s.a, role, into);
    collect(s.b, role === 'multiply' ? 'divide' : 'multiply', into);
  } else if (s.kind === 'unary' && s.op === 'neg') {
    push(float(-1), 'multiply');
    collect(s.x, role, into);
  } else if (s.kind === 'unary' && s.op === 'stop') {
    collect(s.x, role, into);
  } else if (role === 'multiply' && s.kind === 'select' && isZero(s.b)) {
    push(s.condition, 'condition');
    collect(s.a, role, into);
  } else if (role === 'multiply' && s.kind === 'select' && isZero(s.a)) {
    push(unary('not', s.condition), 'condition');
    collect(s.b, role, into);
  } else {
    push(s, role);
  }
}

/** The product of these factors. */
export function assemble(factors: readonly Factor[]): Scalar {
  let value: Scalar | null = null;
  for (const f of factors) if (f.role === 'multiply') value = value === null ? f.value : mul(value, f.value);
  for (const f of factors) if (f.role === 'divide') value = div(value ?? float(1), f.value);
  let result = value ?? float(1);
  for (const f of factors) if (f.role === 'condition') result = select(f.value, result, float(0));
  return result;
}

/** The factors whose product a scalar is. */
export function factorsOf(body: Scalar): readonly Factor[] {
  const all: Factor[] = [];
  collect(body, 'multiply', all);
  return all;
}

/**
 * The best split of `body` over these parallel axes (`extents` by variable), or null when there is none with both
 * rows and columns. `isReduced` tells the variables that are summed over.
 */
export function splitProduct(body: Scalar, extents: readonly number[], isReduced: (variable: number) => boolean): Product | null {
  if (body.type !== 'f32') return null;
  const all = factorsOf(body);
  const outside = all.filter((f) => ![...f.variables].some(isReduced));
  const inside = all.filter((f) => [...f.variables].some(isReduced));
  if (inside.length < 2 || inside.length > mostFactors) return null;
  let best: { score: number; left: Factor[]; right: Factor[] } | null = null;
  for (let mask = 1; mask < 1 << inside.length; mask += 2) {
    const left = inside.filter((_, i) => (mask >> i) & 1);
    const right = inside.filter((_, i) => !((mask >> i) & 1));
    if (left.every((f) => f.role === 'condition') || right.every((f) => f.role === 'condition')) continue;
    const score = balance(left, right, extents);
    if (score > (best?.score ?? 0)) best = { score, left, right };
  }
  if (best === null) return null;
  const { batch, rows, columns } = axesOf(best.left, best.right, extents);
  // A parallel axis that only the scale depends on, or nothing, is not part of a product.
  if (batch.length + rows.length + columns.length !== extents.length) return null;
  const wrap = (sum: Scalar): Scalar => {
    let value = sum;
    for (const f of outside) {
      if (f.role === 'multiply') value = mul(value, f.value);
      else if (f.role === 'divide') value = div(value, f.value);
      else value = select(f.value, value, float(0));
    }
    return value;
  };
  return { left: assemble(best.left), right: assemble(best.right), wrap, batch, rows, columns };
}

function axesOf(left: readonly Factor[], right: readonly Factor[], extents: readonly number[]): Pick<Product, 'batch' | 'rows' | 'columns'> {
  const inLeft = (axis: number): boolean => left.some((f) => f.variables.has(axis));
  const inRight = (axis: number): boolean => right.some((f) => f.variables.has(axis));
  const axes = extents.map((_, i) => i);
  return {
    batch: axes.filter((a) => inLeft(a) && inRight(a)),
    // An axis of size 1 may have vanished from the scalars; it counts as a row.
    rows: axes.filter((a) => (inLeft(a) && !inRight(a)) || (extents[a] === 1 && !inLeft(a) && !inRight(a))),
    columns: axes.filter((a) => !inLeft(a) && inRight(a)),
  };
}

/** How often loaded elements are used again: 0 when a side has no axis of its own. */
function balance(left: readonly Factor[], right: readonly Factor[], extents: readonly number[]): number {
  const { rows, columns } = axesOf(left, right, extents);
  if (rows.length === 0 || columns.length === 0) return 0;
  const [down, across] = [sizeAlong(rows, extents), sizeAlong(columns, extents)];
  return Math.min(down, across) + 1e-9 * Math.max(down, across);
}
