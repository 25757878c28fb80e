/** Sorting, runs of equal elements and triangular factors in float64, by their textbook definitions. */
import type { Routine } from './program.js';
import { sizeOf } from './program.js';

/** The value of a routine on the values of its inputs. */
export function evaluateRoutine(routine: Routine, inputs: readonly Float64Array[]): Float64Array {
  const { op, shape } = routine;
  const columns = shape[shape.length - 1];
  const out = new Float64Array(sizeOf(shape));
  if (out.length === 0) return out;
  if (op === 'argsort') {
    for (let at = 0; at < out.length; at += columns) out.set(argsort(inputs[0].subarray(at, at + columns)), at);
    return out;
  }
  if (op === 'first_equal') {
    const [sorted] = inputs;
    out.forEach((_, at) => { out[at] = at % columns > 0 && sorted[at] === sorted[at - 1] ? out[at - 1] : at % columns; });
    return out;
  }
  const n = shape[shape.length - 2];
  for (let batch = 0; batch * n * columns < out.length; batch++) {
    const matrix = inputs[0].subarray(batch * n * n, (batch + 1) * n * n);
    const result = out.subarray(batch * n * columns, (batch + 1) * n * columns);
    if (op === 'cholesky') { factor(matrix, n, result); continue; }
    result.set(inputs[1].subarray(batch * n * columns, (batch + 1) * n * columns));
    solve(matrix, n, columns, op === 'solve_transposed', result);
  }
  return out;
}

/** Positions in rising order of their elements; NaN last, equal ones in their order. */
function argsort(row: Float64Array): number[] {
  const before = (a: number, b: number): number => (Number.isNaN(a) ? (Number.isNaN(b) ? 0 : 1) : Number.isNaN(b) ? -1 : a < b ? -1 : a > b ? 1 : 0);
  return Array.from(row, (_, i) => i).sort((i, j) => before(row[i], row[j]) || i - j);
}

/** L[i, j] = (a[i, j] - sum over k < j of L[i, k] L[j, k]) / L[j, j], and the root of it on the diagonal. */
function factor(a: Float64Array, n: number, out: Float64Array): void {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = (a[i * n + j] + a[j * n + i]) / 2;
      for (let k = 0; k < j; k++) sum -= out[i * n + k] * out[j * n + k];
      out[i * n + j] = i === j ? Math.sqrt(sum) : sum / out[j * n + j];
    }
  }
}

/** Substitution, forwards with L, backwards with its transpose; `x` holds the right sides. */
function solve(l: Float64Array, n: number, columns: number, transposed: boolean, x: Float64Array): void {
  for (let step = 0; step < n; step++) {
    const i = transposed ? n - 1 - step : step;
    for (let c = 0; c < columns; c++) {
      let sum = x[i * columns + c];
      if (transposed) for (let k = i + 1; k < n; k++) sum -= l[k * n + i] * x[k * columns + c];
      else for (let k = 0; k < i; k++) sum -= l[i * n + k] * x[k * columns + c];
      x[i * columns + c] = sum / l[i * n + i];
    }
  }
}
