/** Instructions of each scalar operator, for one value and for four lanes. */
import { bug } from '../../../grammar/diagnostics/report.js';
import type { FunctionBuilder } from './binary.js';
import { V128, op, simd } from './binary.js';
import type { Node, Operation } from './graph.js';
import type { Elementary, MathFunctions } from './math.js';

const elementary: ReadonlySet<string> = new Set<Elementary>(['exp', 'log', 'log1p', 'sin', 'cos', 'tanh', 'erf', 'pow', 'atan2']);
const isElementary = (o: string): o is Elementary => elementary.has(o);

type Push = (node: Node) => void;

const isPowerOfTwo = (n: number): boolean => n > 0 && Number.isInteger(Math.log2(n));

/** Pushes the value of `node`, not a load, draw or sum; `push` pushes operands. */
export function scalarOperation(f: FunctionBuilder, math: MathFunctions, node: Node, push: Push): void {
  const [a, b, c] = node.args;
  const two = (code: number): void => { push(a); push(b); f.op(code); };
  const one = (code: number): void => { push(a); f.op(code); };
  const operand = node.args[0].type;
  const real = operand === 'f32';
  if (isElementary(node.op)) {
    push(a);
    f.simd(simd.f32splat);
    if (b !== undefined) { push(b); f.simd(simd.f32splat); }
    f.call(math.elementary(node.op)).lane(simd.f32extract, 0);
    return;
  }
  const pick = (code: number): void => { push(a); push(b); push(a); push(b); f.op(code).op(op.select); };
  switch (node.op) {
    case 'select': push(b); push(c); push(a); f.op(op.select); return;
    case 'cast':
      push(a);
      if (node.type === 'f32') f.op(op.f32convertI32);
      else if (node.type === 'i32') { if (real) f.op(0xfc).op(0x00); }
      else if (real) f.f32(0).op(op.f32ne);
      else f.i32(0).op(op.i32ne);
      return;
    case 'below': push(a); push(b); f.op(op.i32ltU); return;
    case 'not': one(op.i32eqz); return;
    case 'neg': if (real) one(op.f32neg); else { f.i32(0); one(op.i32sub); } return;
    case 'abs': if (real) one(op.f32abs); else { push(a); f.i32(0); push(a); f.op(op.i32sub); push(a); f.i32(0).op(op.i32geS).op(op.select); } return;
    case 'sqrt': one(op.f32sqrt); return;
    case 'floor': one(op.f32floor); return;
    case 'ceil': one(op.f32ceil); return;
    case 'round': one(op.f32nearest); return;
    case 'add': two(real ? op.f32add : op.i32or); return;
    case 'sub': two(real ? op.f32sub : op.i32sub); return;
    case 'mul': two(real ? op.f32mul : operand === 'bool' ? op.i32and : op.i32mul); return;
    case 'div': two(op.f32div); return;
    case 'idiv':
      if (real) { two(op.f32div); f.op(op.f32floor); return; }
      if (b.op === 'const' && isPowerOfTwo(b.value)) { push(a); f.i32(Math.log2(b.value)).op(op.i32shrS); return; }
      if (b.op === 'const' && b.value > 0 && a.low >= 0) { two(op.i32divU); return; }
      push(a); push(b); f.call(math.floorDivision());
      return;
    case 'mod':
      if (real) { push(a); push(b); two(op.f32div); f.op(op.f32floor).op(op.f32mul).op(op.f32sub); return; }
      if (b.op === 'const' && isPowerOfTwo(b.value)) { push(a); f.i32(b.value - 1).op(op.i32and); return; }
      if (b.op === 'const' && b.value > 0 && a.low >= 0) { two(op.i32remU); return; }
      push(a); push(a); push(b);
      f.call(math.floorDivision());
      push(b);
      f.op(op.i32mul).op(op.i32sub);
      return;
    case 'min': if (real) two(op.f32min); else pick(op.i32ltS); return;
    case 'max': if (real) two(op.f32max); else pick(op.i32gtS); return;
    case 'lt': two(real ? op.f32lt : op.i32ltS); return;
    case 'le': two(real ? op.f32le : op.i32leS); return;
    case 'gt': two(real ? op.f32gt : op.i32gtS); return;
    case 'ge': two(real ? op.f32ge : op.i32geS); return;
    case 'eq': two(real ? op.f32eq : op.i32eq); return;
    case 'ne': two(real ? op.f32ne : op.i32ne); return;
    case 'and': two(op.i32and); return;
    case 'or': two(op.i32or); return;
    default: bug(`no scalar code for ${node.op}`);
  }
}

const floatCompare: Partial<Record<Operation, number>> = { lt: simd.f32lt, le: simd.f32le, gt: simd.f32gt, ge: simd.f32ge, eq: simd.f32eq, ne: simd.f32ne };
const intCompare: Partial<Record<Operation, number>> = { lt: simd.i32ltS, le: simd.i32leS, gt: simd.i32gtS, ge: simd.i32geS, eq: simd.i32eq, ne: simd.i32ne };

/** Pushes four lanes of `node`; `uniform` gives how to push an operand as one value when its lanes are equal. */
export function vectorOperation(f: FunctionBuilder, math: MathFunctions, node: Node, push: Push, uniform: (node: Node) => (() => void) | null): void {
  const [a, b, c] = node.args;
  const two = (code: number): void => { push(a); push(b); f.simd(code); };
  const one = (code: number): void => { push(a); f.simd(code); };
  const operand = node.args[0].type;
  const real = operand === 'f32';
  if (isElementary(node.op)) {
    push(a);
    if (b !== undefined) push(b);
    if (node.op === 'exp') math.exp(f); else f.call(math.elementary(node.op));
    return;
  }
  const compare = (): void => {
    const code = (real ? floatCompare : intCompare)[node.op];
    if (code === undefined) return bug(`no comparison ${node.op}`);
    // Masks are 0 and -1, so the order of truth values is the reverse of that of masks.
    if (operand === 'bool') { push(b); push(a); } else { push(a); push(b); }
    f.simd(code);
  };
  switch (node.op) {
    case 'select': {
      push(b);
      push(c);
      const condition = uniform(a);
      if (condition === null) { push(a); f.simd(simd.bitselect); } else { condition(); f.op(op.select); }
      return;
    }
    case 'cast':
      push(a);
      if (node.type === 'f32') { if (operand === 'bool') f.f32x4(1).simd(simd.and); else f.simd(simd.f32convertI32); }
      else if (node.type === 'i32') { if (real) f.simd(simd.i32truncSatF32); else f.i32x4([1]).simd(simd.and); }
      else if (real) f.f32x4(0).simd(simd.f32ne);
      else f.i32x4([0]).simd(simd.i32ne);
      return;
    case 'below': two(simd.i32ltU); return;
    case 'not': one(simd.not); return;
    case 'neg': one(real ? simd.f32neg : simd.i32neg); return;
    case 'abs': one(real ? simd.f32abs : simd.i32abs); return;
    case 'sqrt': one(simd.f32sqrt); return;
    case 'floor': one(simd.f32floor); return;
    case 'ceil': one(simd.f32ceil); return;
    case 'round': one(simd.f32nearest); return;
    case 'add': two(real ? simd.f32add : simd.or); return;
    case 'sub': two(real ? simd.f32sub : simd.i32sub); return;
    case 'mul': two(real ? simd.f32mul : operand === 'bool' ? simd.and : simd.i32mul); return;
    case 'div': two(simd.f32div); return;
    case 'idiv': case 'mod':
      if (real) {
        if (node.op === 'mod') { push(a); push(b); }
        two(simd.f32div);
        f.simd(simd.f32floor);
        if (node.op === 'mod') f.simd(simd.f32mul).simd(simd.f32sub);
      } else integerDivision(f, math, node, push);
      return;
    case 'min': case 'max': {
      const least = node.op === 'min';
      if (!real) { two(operand === 'bool' ? (least ? simd.and : simd.or) : least ? simd.i32minS : simd.i32maxS); return; }
      // pmin and pmax are one instruction and give their first operand when it is NaN: right when the second is a number.
      const [x, y] = a.op === 'const' ? [b, a] : [a, b];
      push(x);
      push(y);
      f.simd(y.op === 'const' ? (least ? simd.f32pmin : simd.f32pmax) : least ? simd.f32min : simd.f32max);
      return;
    }
    case 'lt': case 'le': case 'gt': case 'ge': case 'eq': case 'ne': compare(); return;
    case 'and': two(simd.and); return;
    case 'or': two(simd.or); return;
    default: bug(`no vector code for ${node.op}`);
  }
}

function integerDivision(f: FunctionBuilder, math: MathFunctions, node: Node, push: Push): void {
  const [a, b] = node.args;
  const d = b.op === 'const' ? b.value : 0;
  if (isPowerOfTwo(d)) {
    push(a);
    if (node.op === 'idiv') f.i32(Math.log2(d)).simd(simd.i32shrS); else f.i32x4([d - 1]).simd(simd.and);
    return;
  }
  const [x, y, q] = [f.local(V128), f.local(V128), f.local(V128)];
  push(a);
  f.set(x);
  if (d > 0 && a.low >= 0 && a.high < 2 ** 21) {
    // (x + 1/2) / d is at least 1/(2d) away from a whole number: exact in f32 for x below 2^21.
    f.get(x).simd(simd.f32convertI32).f32x4(0.5).simd(simd.f32add).f32x4(1 / d).simd(simd.f32mul).simd(simd.i32truncSatF32).set(q);
  } else {
    push(b);
    f.set(y);
    f.i32x4([0]);
    for (let k = 0; k < 4; k++) f.get(x).lane(simd.i32extract, k).get(y).lane(simd.i32extract, k).call(math.floorDivision()).lane(simd.i32replace, k);
    f.set(q);
  }
  if (node.op === 'idiv') { f.get(q); return; }
  f.get(x).get(q);
  push(b);
  f.simd(simd.i32mul).simd(simd.i32sub);
}
