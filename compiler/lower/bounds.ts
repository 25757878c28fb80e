/** Interval analysis of integer index expressions. */
import type { Scalar } from '../tensor/scalar.js';

export interface Range {
  readonly low: number;
  readonly high: number;
}

/** The values an i32 scalar can take, ends included, or null when that depends on data. `sizeOf` gives an index variable's extent. */
export function rangeOf(s: Scalar, sizeOf: (axis: number) => number | null): Range | null {
  switch (s.kind) {
    case 'const': return { low: s.value, high: s.value };
    case 'index': { const n = sizeOf(s.axis); return n === null ? null : { low: 0, high: n - 1 }; }
    case 'unary': {
      const x = s.op === 'neg' ? rangeOf(s.x, sizeOf) : null;
      return x === null ? null : { low: -x.high, high: -x.low };
    }
    case 'select': {
      const a = rangeOf(s.a, sizeOf);
      const b = rangeOf(s.b, sizeOf);
      return a === null || b === null ? null : { low: Math.min(a.low, b.low), high: Math.max(a.high, b.high) };
    }
    case 'binary': {
      const b = rangeOf(s.b, sizeOf);
      if (s.op === 'mod' && b !== null && b.low > 0) {
        const a = rangeOf(s.a, sizeOf);
        return a !== null && a.low >= 0 && a.high < b.low ? a : { low: 0, high: b.high - 1 };
      }
      const a = rangeOf(s.a, sizeOf);
      if (a === null || b === null) return null;
      const corners = (f: (x: number, y: number) => number): Range => {
        const all = [f(a.low, b.low), f(a.low, b.high), f(a.high, b.low), f(a.high, b.high)];
        return { low: Math.min(...all), high: Math.max(...all) };
      };
      switch (s.op) {
        case 'add': return { low: a.low + b.low, high: a.high + b.high };
        case 'sub': return { low: a.low - b.high, high: a.high - b.low };
        case 'mul': return corners((x, y) => x * y);
        case 'idiv': return b.low > 0 ? corners((x, y) => Math.floor(x / y)) : null;
        case 'min': return { low: Math.min(a.low, b.low), high: Math.min(a.high, b.high) };
        case 'max': return { low: Math.max(a.low, b.low), high: Math.max(a.high, b.high) };
        default: return null;
      }
    }
    default: return null;
  }
}
