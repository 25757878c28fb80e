/**
 * Reverse mode inside one scalar expression: from the adjoint of its value to the adjoint of each read in it.
 * Conventions where the derivative does not exist: d|x| at 0 is 0; `min` and `max` give a tie to the first
 * operand, or to a constant operand when there is one (so relu'(0) = 0); floor, ceil, round, comparisons, `stop`
 * and conversions to integers pass nothing; `mod(a, b)` is a - b floor(a/b), so d/da = 1 and d/db = -floor(a/b).
 */
import { assertNever } from '../../grammar/diagnostics/report.js';
import type { BinaryOperator, ReadScalar, Scalar, UnaryOperator } from './scalar.js';
import { add, binary, boolean, div, float, int, mul, operands, select, sub, unary, visit } from './scalar.js';
import type { Interner } from './structure.js';

/** A read and the adjoint that reaches it. */
export interface ReadAdjoint {
  readonly read: ReadScalar;
  readonly adjoint: Scalar;
}

/**
 * The adjoints of all reads of `body` that `active` accepts, given the adjoint `seed` of its value. `inside` says
 * where a guarded read lies inside its tensor (the adjoint of its `otherwise` is masked by the contrary).
 */
export function differentiateScalar(body: Scalar, seed: Scalar, active: (read: ReadScalar) => boolean, inside: (read: ReadScalar) => Scalar, interner: Interner): ReadAdjoint[] {
  const root = interner.intern(body);
  const reaches = new Set<Scalar>();
  const order: Scalar[] = [];
  visit(root, (s) => {
    order.push(s);
    if (s.type === 'f32' && ((s.kind === 'read' && active(s)) || differentiable(s).some((o) => reaches.has(o)))) reaches.add(s);
  });
  const adjoints = new Map<Scalar, Scalar>([[root, seed]]);
  const result: ReadAdjoint[] = [];
  const give = (to: Scalar, value: () => Scalar): void => {
    if (!reaches.has(to)) return;
    const more = interner.intern(value());
    const before = adjoints.get(to);
    adjoints.set(to, before === undefined ? more : before === more ? mul(float(2), more) : add(before, more));
  };
  for (const s of order.reverse()) {
    const g = adjoints.get(s);
    if (g === undefined || !reaches.has(s)) continue;
    switch (s.kind) {
      case 'read':
        if (active(s)) result.push({ read: s, adjoint: g });
        if (s.otherwise !== null) give(s.otherwise, () => select(inside(s), float(0), g));
        break;
      case 'unary': give(s.x, () => unaryAdjoint(s.op, s.x, s, g)); break;
      case 'binary':
        give(s.a, () => binaryAdjoint(s.op, 0, s.a, s.b, s, g));
        give(s.b, () => binaryAdjoint(s.op, 1, s.a, s.b, s, g));
        break;
      case 'select':
        give(s.a, () => select(s.condition, g, float(0)));
        give(s.b, () => select(s.condition, float(0), g));
        break;
      default: break;
    }
  }
  return result;
}

/** The operands through which a derivative can flow. */
function differentiable(s: Scalar): readonly Scalar[] {
  switch (s.kind) {
    case 'read': return s.otherwise === null ? [] : [s.otherwise];
    case 'select': return [s.a, s.b];
    case 'unary': return unaryPasses(s.op) ? [s.x] : [];
    case 'binary': return operands(s);
    default: return [];
  }
}

function unaryPasses(op: UnaryOperator): boolean {
  return op !== 'floor' && op !== 'ceil' && op !== 'round' && op !== 'not' && op !== 'stop';
}

/** g * d op(x) / dx, with `y` the value op(x) itself. */
function unaryAdjoint(op: UnaryOperator, x: Scalar, y: Scalar, g: Scalar): Scalar {
  const zero = float(0);
  switch (op) {
    case 'neg': return unary('neg', g);
    case 'abs': return select(binary('gt', x, zero), g, select(binary('lt', x, zero), unary('neg', g), zero));
    case 'exp': return mul(g, y);
    case 'log': return div(g, x);
    case 'log1p': return div(g, add(float(1), x));
    case 'sqrt': return div(mul(float(0.5), g), y);
    case 'sin': return mul(g, unary('cos', x));
    case 'cos': return mul(g, unary('neg', unary('sin', x)));
    case 'tanh': return mul(g, sub(float(1), mul(y, y)));
    case 'erf': return mul(g, mul(float(2 / Math.sqrt(Math.PI)), unary('exp', unary('neg', mul(x, x)))));
    case 'floor': case 'ceil': case 'round': case 'not': case 'stop': return zero;
    default: return assertNever(op);
  }
}

/** g * d op(a, b) / d(operand `which`), with `y` the value itself. */
function binaryAdjoint(op: BinaryOperator, which: 0 | 1, a: Scalar, b: Scalar, y: Scalar, g: Scalar): Scalar {
  const zero = float(0);
  switch (op) {
    case 'add': return g;
    case 'sub': return which === 0 ? g : unary('neg', g);
    case 'mul': return mul(g, which === 0 ? b : a);
    case 'div': return which === 0 ? div(g, b) : unary('neg', div(mul(g, y), b));
    case 'pow':
      if (which === 0) {
        if (b.kind === 'const') {
          if (b.value === 0) return zero;
          const power = b.value === 1 ? float(1) : b.value === 2 ? a : b.value === 3 ? mul(a, a) : binary('pow', a, float(b.value - 1));
          return mul(g, mul(float(b.value), power));
        }
        return mul(g, mul(b, binary('pow', a, sub(b, float(1)))));
      }
      // d a^b / db = a^b log a, and 0 at a = 0 (where a^b is 0 for every b > 0).
      return mul(g, select(binary('eq', a, zero), zero, mul(y, unary('log', select(binary('eq', a, zero), float(1), a)))));
    case 'min': case 'max': {
      const tieToFirst = b.kind !== 'const';
      const firstWins = binary(op === 'min' ? (tieToFirst ? 'le' : 'lt') : (tieToFirst ? 'ge' : 'gt'), a, b);
      return which === 0 ? select(firstWins, g, zero) : select(firstWins, zero, g);
    }
    case 'mod': return which === 0 ? g : unary('neg', mul(g, unary('floor', div(a, b))));
    case 'atan2': {
      const square = add(mul(a, a), mul(b, b));
      return which === 0 ? div(mul(g, b), square) : unary('neg', div(mul(g, a), square));
    }
    case 'idiv': case 'lt': case 'le': case 'gt': case 'ge': case 'eq': case 'ne': case 'and': case 'or': return zero;
    default: return assertNever(op);
  }
}

/** Where a read lies inside a tensor of this shape. */
export function insideOf(read: ReadScalar, shape: readonly number[]): Scalar {
  return read.at.reduce<Scalar>((all, i, axis) => binary('and', all, binary('and', binary('ge', i, int(0)), binary('lt', i, int(shape[axis])))), boolean(true));
}
