/**
 * Turns a scalar expression into closures over the current values of its index variables. A node shared in the
 * expression, or one that does not change with the innermost loop it is used in, is computed once into a
 * register when the loop it belongs to moves on; everything else is a closure called in place.
 */
import { bug } from '../../grammar/diagnostics/report.js';
import { unaryFunctions } from './elementary.js';
import { holds } from './holds.js';
import { uniformDraw } from './philox.js';
import { rangeOf } from './ranges.js';
import type { BinaryOperator, Scalar, TensorId } from './scalar.js';
import { affineOf, applyBinary, indexVariables, operands, visit } from './scalar.js';

/** A tensor's elements, row-major. */
export interface StoredTensor {
  readonly shape: readonly number[];
  readonly value: Float64Array;
}

export interface CompiledScalar {
  /** Sets index variable `axis` and recomputes what depends on it; -1 for what depends on none. Outer axes first. */
  readonly enter: (axis: number, value: number) => void;
  /** The value at the current indices. */
  readonly value: () => number;
}

type Thunk = () => number;

/** What compiling a node needs to know of the whole. */
interface Context {
  readonly at: Int32Array;
  readonly extents: readonly number[];
  readonly tensorOf: (id: TensorId) => StoredTensor;
  readonly thunkOf: (s: Scalar) => Thunk;
  readonly levelOf: (s: Scalar) => number;
  /** Runs `step` whenever index variable `level` moves (-1: once), before nodes compiled later. */
  readonly hoist: (level: number, step: () => void) => void;
}

/** Compiles `root`; its index variables are 0..extents.length-1, entered in that order. */
export function compileScalar(root: Scalar, extents: readonly number[], tensorOf: (id: TensorId) => StoredTensor): CompiledScalar {
  const at = new Int32Array(extents.length);
  const uses = new Map<Scalar, number>();
  visit(root, (s) => { for (const o of operands(s)) uses.set(o, (uses.get(o) ?? 0) + 1); });
  const levels = new Map<Scalar, number>();
  visit(root, (s) => {
    let level = s.kind === 'index' ? s.axis : -1;
    for (const o of operands(s)) level = Math.max(level, levels.get(o) ?? -1);
    levels.set(s, level);
  });
  const levelOf = (s: Scalar): number => levels.get(s) ?? -1;
  const steps: (() => void)[][] = Array.from({ length: extents.length + 1 }, () => []);
  const thunks = new Map<Scalar, Thunk>();
  const context: Context = {
    at, extents, tensorOf, levelOf,
    thunkOf: (o) => thunks.get(o) ?? bug('operand not compiled'),
    hoist: (level, step) => { steps[level + 1].push(step); },
  };
  visit(root, (s) => {
    const parents = uses.get(s) ?? 0;
    const thunk = compileNode(s, context);
    const trivial = s.kind === 'const' || s.kind === 'index';
    if (trivial || (parents <= 1 && levelOf(s) === extents.length - 1)) {
      thunks.set(s, thunk);
    } else {
      // Registers of a level are computed in visiting order: operands before the nodes that use them.
      let register = 0;
      context.hoist(levelOf(s), () => { register = thunk(); });
      thunks.set(s, () => register);
    }
  });
  return {
    enter: (axis, value) => {
      if (axis >= 0) at[axis] = value;
      const list = steps[axis + 1];
      for (const step of list) step();
    },
    value: thunks.get(root) ?? bug('root not compiled'),
  };
}

function compileNode(s: Scalar, context: Context): Thunk {
  const { at, extents, thunkOf } = context;
  switch (s.kind) {
    case 'const': { const value = s.value; return () => value; }
    case 'index': {
      const axis = s.axis;
      if (axis < 0 || axis >= extents.length) return bug(`index variable ${axis} in a body of ${extents.length} axes`);
      return () => at[axis];
    }
    case 'unary': {
      const x = thunkOf(s.x);
      if (s.op === 'stop') return x;
      if (s.op === 'neg') return () => -x();
      const f = unaryFunctions[s.op];
      return () => f(x());
    }
    case 'binary': return compileBinary(s.op, s.type === 'i32', thunkOf(s.a), thunkOf(s.b));
    case 'select': {
      const condition = thunkOf(s.condition);
      const a = thunkOf(s.a);
      const b = thunkOf(s.b);
      return () => (condition() !== 0 ? a() : b());
    }
    case 'cast': {
      const x = thunkOf(s.x);
      if (s.type === 'i32') return () => Math.trunc(x()) | 0;
      return s.type === 'bool' ? () => (x() !== 0 ? 1 : 0) : x;
    }
    case 'draw': {
      const [site, seed, step, example, element] = [s.site, s.seed, s.step, s.example, s.element].map(thunkOf);
      const { lane } = s;
      return () => uniformDraw(site(), lane, seed(), step(), example(), element());
    }
    case 'read': return compileRead(s, context);
    case 'accumulator': return bug('an accumulator outside a kernel');
  }
}

function compileBinary(op: BinaryOperator, integer: boolean, a: Thunk, b: Thunk): Thunk {
  if (integer) {
    switch (op) {
      case 'add': return () => (a() + b()) | 0;
      case 'sub': return () => (a() - b()) | 0;
      case 'mul': return () => Math.imul(a(), b());
      default: break;
    }
  }
  switch (op) {
    case 'add': return () => a() + b();
    case 'sub': return () => a() - b();
    case 'mul': return () => a() * b();
    case 'div': return integer ? () => Math.floor(a() / b()) | 0 : () => a() / b();
    case 'and': return () => (a() !== 0 && b() !== 0 ? 1 : 0);
    case 'or': return () => (a() !== 0 || b() !== 0 ? 1 : 0);
    default: return integer ? () => applyBinary(op, a(), b()) | 0 : () => applyBinary(op, a(), b());
  }
}

function compileRead(s: Extract<Scalar, { kind: 'read' }>, context: Context): Thunk {
  const { thunkOf, extents } = context;
  const { shape, value } = context.tensorOf(s.tensor);
  if (shape.length !== s.at.length) return bug(`%${s.tensor} has ${shape.length} axes and is read with ${s.at.length} indices`);
  const affine = compileAffineRead(s, shape, value, context);
  if (affine !== null) return affine;
  const strides = stridesOf(shape);
  const otherwise = s.otherwise === null ? null : thunkOf(s.otherwise);
  const indices = s.at.map(thunkOf);
  const data = s.at.map((i) => (i.holds & (holds.read | holds.draw)) !== 0);
  return () => {
    let flat = 0;
    for (let axis = 0; axis < indices.length; axis++) {
      let i = indices[axis]();
      if (!(i >= 0 && i < shape[axis])) {
        if (otherwise !== null) return otherwise();
        if (!data[axis]) return bug(`%${s.tensor} is read at ${i} on axis ${axis} of size ${shape[axis]} (${extents.length} loops, index of variables ${[...indexVariables(s.at[axis])].join(', ')})`);
        i = i < 0 || Number.isNaN(i) ? 0 : shape[axis] - 1;
      }
      flat += i * strides[axis];
    }
    return value[flat];
  };
}

function stridesOf(shape: readonly number[]): number[] {
  return shape.map((_, axis) => shape.slice(axis + 1).reduce((x, y) => x * y, 1));
}

/**
 * A read at affine indices: the address is base + step * innermost index, where base, and whether the axes that
 * do not move with that index lie inside, change only with the outer loops. Null when a check would be needed at
 * every point.
 */
function compileAffineRead(s: Extract<Scalar, { kind: 'read' }>, shape: readonly number[], value: Float64Array, context: Context): Thunk | null {
  const { at, extents } = context;
  const inner = context.levelOf(s);
  const strides = stridesOf(shape);
  const coefficients = new Array<number>(extents.length).fill(0);
  const checks: { readonly axis: number; readonly index: Thunk }[] = [];
  let constant = 0;
  let outer = -1;
  for (const [axis, i] of s.at.entries()) {
    const form = affineOf(i);
    if (form === null) return null;
    const range = rangeOf(i, (v) => extents[v]);
    if (!(range.low >= 0 && range.high < shape[axis])) {
      if (s.otherwise === null || form.coefficients.has(inner)) return null;
      checks.push({ axis, index: context.thunkOf(i) });
      outer = Math.max(outer, context.levelOf(i));
    }
    constant += form.constant * strides[axis];
    for (const [v, c] of form.coefficients) {
      coefficients[v] += c * strides[axis];
      if (v !== inner) outer = Math.max(outer, v);
    }
  }
  const step = inner < 0 ? 0 : coefficients[inner];
  const variables = coefficients.flatMap((c, v) => (c !== 0 && v !== inner ? [v] : []));
  let base = constant;
  if (outer >= 0) {
    context.hoist(outer, () => {
      let sum = constant;
      for (const v of variables) sum += coefficients[v] * at[v];
      base = sum;
    });
  }
  const direct: Thunk = inner < 0 ? () => value[base] : () => value[base + step * at[inner]];
  if (checks.length === 0 || s.otherwise === null) return direct;
  const otherwise = context.thunkOf(s.otherwise);
  let inside = false;
  context.hoist(outer, () => {
    inside = true;
    for (const check of checks) {
      const i = check.index();
      if (!(i >= 0 && i < shape[check.axis])) inside = false;
    }
  });
  return () => (inside ? direct() : otherwise());
}
