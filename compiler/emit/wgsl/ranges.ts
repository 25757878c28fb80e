/**
 * Interval analysis of i32 scalars: which values an index can take, given the sizes of the axes. Emitters use it to leave
 * out bounds checks that cannot fail and to divide without a floor correction where both sides are known to be positive.
 */
import type { Scalar } from '../../tensor/scalar.js';
import { affineOf } from '../../tensor/scalar.js';

/** Inclusive bounds. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

const anything: Range = { low: -Infinity, high: Infinity };

/** The values `s` can take; `axis` gives the bounds of an index variable. */
export function rangeOf(s: Scalar, axis: (axis: number) => Range): Range {
  const affine = s.type === 'i32' ? affineOf(s) : null;
  if (affine !== null) {
    let low = affine.constant;
    let high = affine.constant;
    for (const [variable, coefficient] of affine.coefficients) {
      const range = axis(variable);
      low += coefficient * (coefficient > 0 ? range.low : range.high);
      high += coefficient * (coefficient > 0 ? range.high : range.low);
    }
    return { low, high };
  }
  if (s.type === 'bool') return { low: 0, high: 1 };
  if (s.type !== 'i32') return anything;
  switch (s.kind) {
    case 'cast': return s.x.type === 'bool' ? { low: 0, high: 1 } : anything;
    case 'select': {
      const a = rangeOf(s.a, axis);
      const b = rangeOf(s.b, axis);
      return { low: Math.min(a.low, b.low), high: Math.max(a.high, b.high) };
    }
    case 'unary': {
      const x = rangeOf(s.x, axis);
      if (s.op === 'neg') return { low: -x.high, high: -x.low };
      if (s.op === 'abs') return { low: x.low > 0 ? x.low : x.high < 0 ? -x.high : 0, high: Math.max(Math.abs(x.low), Math.abs(x.high)) };
      return s.op === 'stop' ? x : anything;
    }
    case 'binary': return binaryRange(s, axis);
    default: return anything;
  }
}

function binaryRange(s: Extract<Scalar, { kind: 'binary' }>, axis: (axis: number) => Range): Range {
  const a = rangeOf(s.a, axis);
  const b = rangeOf(s.b, axis);
  switch (s.op) {
    case 'add': return { low: a.low + b.low, high: a.high + b.high };
    case 'sub': return { low: a.low - b.high, high: a.high - b.low };
    case 'mul': {
      const corners = [a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high];
      return corners.some(Number.isNaN) ? anything : { low: Math.min(...corners), high: Math.max(...corners) };
    }
    case 'min': return { low: Math.min(a.low, b.low), high: Math.min(a.high, b.high) };
    case 'max': return { low: Math.max(a.low, b.low), high: Math.max(a.high, b.high) };
    case 'mod': return s.b.kind === 'const' && s.b.value > 0
      ? (a.low >= 0 && a.high < s.b.value ? a : { low: 0, high: s.b.value - 1 })
      : anything;
    case 'idiv': return s.b.kind === 'const' && s.b.value > 0
      ? { low: Math.floor(a.low / s.b.value), high: Math.floor(a.high / s.b.value) }
      : anything;
    default: return anything;
  }
}
