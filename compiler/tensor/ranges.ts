/**
 * Interval analysis of i32 scalars over the boxes that index variables run through: which values an index can
 * take. Affine expressions are exact; data (reads, draws, casts of floats) is unbounded. Used to leave out guards
 * that can never fire, to demand those that are missing, and to fold index arithmetic.
 */
import type { Scalar } from './scalar.js';
import { affineOf } from './scalar.js';

/** Inclusive bounds, possibly infinite. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

/** The extent of an index variable (it runs from 0 to extent - 1), or undefined when unknown. */
export type ExtentOf = (axis: number) => number | undefined;

const everything: Range = { low: -Infinity, high: Infinity };

/** The values an i32 or bool scalar can take. */
export function rangeOf(s: Scalar, extentOf: ExtentOf, memo = new Map<Scalar, Range>()): Range {
  const known = memo.get(s);
  if (known !== undefined) return known;
  const range = compute(s, extentOf, memo);
  memo.set(s, range);
  return range;
}

function compute(s: Scalar, extentOf: ExtentOf, memo: Map<Scalar, Range>): Range {
  if (s.type === 'f32' && s.kind !== 'const') return everything;
  switch (s.kind) {
    case 'const': return { low: s.value, high: s.value };
    case 'index': {
      const extent = extentOf(s.axis);
      return extent === undefined ? everything : { low: 0, high: Math.max(0, extent - 1) };
    }
    case 'cast': return s.x.type === 'bool' ? rangeOf(s.x, extentOf, memo) : everything;
    case 'select': {
      const a = rangeOf(s.a, extentOf, memo);
      const b = rangeOf(s.b, extentOf, memo);
      return { low: Math.min(a.low, b.low), high: Math.max(a.high, b.high) };
    }
    case 'unary': {
      if (s.op === 'not') return { low: 0, high: 1 };
      const x = rangeOf(s.x, extentOf, memo);
      switch (s.op) {
        case 'neg': return { low: -x.high, high: -x.low };
        case 'stop': return x;
        case 'abs': return { low: Math.max(0, x.low, -x.high), high: Math.max(-x.low, x.high) };
        default: return everything;
      }
    }
    case 'binary': return s.type === 'bool' ? { low: 0, high: 1 } : ofBinary(s, extentOf, memo);
    case 'read': return s.type === 'bool' ? { low: 0, high: 1 } : everything;
    case 'accumulator': return everything;
  }
}

function ofBinary(s: Extract<Scalar, { kind: 'binary' }>, extentOf: ExtentOf, memo: Map<Scalar, Range>): Range {
  const affine = affineOf(s);
  if (affine !== null) {
    let low = affine.constant;
    let high = affine.constant;
    for (const [axis, c] of affine.coefficients) {
      const extent = extentOf(axis);
      if (extent === undefined) return everything;
      const end = c * Math.max(0, extent - 1);
      if (end < 0) low += end; else high += end;
    }
    return { low, high };
  }
  const a = rangeOf(s.a, extentOf, memo);
  const b = rangeOf(s.b, extentOf, memo);
  const divisor = b.low === b.high && b.low > 0 && Number.isFinite(b.low) ? b.low : null;
  switch (s.op) {
    case 'add': return { low: a.low + b.low, high: a.high + b.high };
    case 'sub': return { low: a.low - b.high, high: a.high - b.low };
    case 'mul': {
      const ends = [times(a.low, b.low), times(a.low, b.high), times(a.high, b.low), times(a.high, b.high)];
      return { low: Math.min(...ends), high: Math.max(...ends) };
    }
    case 'idiv': return divisor === null ? everything : { low: Math.floor(a.low / divisor), high: Math.floor(a.high / divisor) };
    case 'mod':
      if (divisor === null) return everything;
      return a.low >= 0 && a.high < divisor ? a : { low: 0, high: divisor - 1 };
    case 'min': return { low: Math.min(a.low, b.low), high: Math.min(a.high, b.high) };
    case 'max': return { low: Math.max(a.low, b.low), high: Math.max(a.high, b.high) };
    default: return everything;
  }
}

/** Product of bounds, in which zero beats infinity. */
function times(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : a * b;
}
