/**
 * How large a computed value may get, as far as its expression says: what is stored in 16 bits may not pass 65,504. Three words are
 * enough: `unit` is at most about 1, `plain` is what networks compute (activations, gradients, logits), `wide` may be of any size
 * (exponentials, powers above the second). A quotient of wide values, a logarithm or a bounded function of one is not wide again.
 */
import type { Scalar } from '../tensor/scalar.js';

export type Growth = 'unit' | 'plain' | 'wide';

const order: readonly Growth[] = ['unit', 'plain', 'wide'];

/** The larger of two. */
export const wider = (a: Growth, b: Growth): Growth => (order.indexOf(a) > order.indexOf(b) ? a : b);

export interface GrowthContext {
  readonly read: (s: Extract<Scalar, { kind: 'read' }>) => Growth;
  readonly accumulator: (slot: number) => Growth;
  /** Whether a read or accumulator is the logsumexp or maximum that a softmax takes from its scores. */
  readonly isTop: (s: Scalar) => boolean;
}

/** The growth of a scalar; `memo` may be shared within one context. */
export function growthOf(root: Scalar, context: GrowthContext, memo: Map<Scalar, Growth> = new Map()): Growth {
  const of = (s: Scalar): Growth => {
    const known = memo.get(s);
    if (known !== undefined) return known;
    const made = s.type === 'f32' ? compute(s) : s.type === 'bool' ? 'unit' : 'plain';
    memo.set(s, made);
    return made;
  };
  const compute = (s: Scalar): Growth => {
    switch (s.kind) {
      // Beyond any count stand the numbers that mask scores.
      case 'const': return Math.abs(s.value) <= 1 ? 'unit' : Math.abs(s.value) < 1e9 ? 'plain' : 'wide';
      case 'index': return 'plain';
      case 'draw': return 'unit';
      case 'read': return s.otherwise === null ? context.read(s) : wider(context.read(s), of(s.otherwise));
      case 'accumulator': return context.accumulator(s.slot);
      case 'select': return wider(of(s.a), of(s.b));
      case 'cast': return of(s.x);
      case 'unary':
        switch (s.op) {
          case 'tanh': case 'erf': case 'sin': case 'cos': case 'not': return 'unit';
          case 'log': case 'log1p': return 'plain';
          case 'exp': return isNegative(s.x, context.isTop) ? 'unit' : of(s.x) === 'unit' ? 'plain' : 'wide';
          case 'neg': case 'abs': case 'sqrt': case 'floor': case 'ceil': case 'round': case 'stop': return of(s.x);
        }
        return 'wide';
      case 'binary': {
        const [a, b] = [of(s.a), of(s.b)];
        switch (s.op) {
          case 'add': case 'sub': case 'min': case 'max': return wider(a, b);
          case 'mul': return wider(a, b);
          case 'div': return b === 'wide' ? (a === 'wide' ? 'plain' : a) : wider(a, 'plain');
          case 'pow': return s.b.kind === 'const' && Math.abs(s.b.value) <= 2 ? wider(a, 'plain') : a === 'unit' ? 'plain' : 'wide';
          case 'atan2': case 'mod': case 'idiv': return 'plain';
          case 'lt': case 'le': case 'gt': case 'ge': case 'eq': case 'ne': case 'and': case 'or': return 'unit';
        }
      }
    }
  };
  return of(root);
}

/** Known not to be above zero: the argument of an exponential that is at most 1. */
function isNegative(s: Scalar, isTop: (s: Scalar) => boolean): boolean {
  switch (s.kind) {
    case 'const': return s.value <= 0;
    case 'unary': return s.op === 'neg' && isPositive(s.x);
    case 'select': return isNegative(s.a, isTop) && isNegative(s.b, isTop);
    case 'binary':
      switch (s.op) {
        case 'mul': case 'div': return (isNegative(s.a, isTop) && isPositive(s.b)) || (s.op === 'mul' && isPositive(s.a) && isNegative(s.b, isTop));
        case 'sub': return isTop(s.b);
        case 'add': return isNegative(s.a, isTop) && isNegative(s.b, isTop);
        case 'min': return isNegative(s.a, isTop) || isNegative(s.b, isTop);
        default: return false;
      }
    default: return false;
  }
}

/** Known not to be below zero. */
function isPositive(s: Scalar): boolean {
  switch (s.kind) {
    case 'const': return s.value >= 0;
    case 'unary': return s.op === 'abs' || s.op === 'exp' || s.op === 'sqrt';
    case 'binary':
      switch (s.op) {
        case 'mul': return s.a === s.b || (isPositive(s.a) && isPositive(s.b));
        case 'add': case 'div': case 'min': return isPositive(s.a) && isPositive(s.b);
        case 'max': return isPositive(s.a) || isPositive(s.b);
        default: return false;
      }
    default: return false;
  }
}
