/**
 * How much of the embedding space is used. RankMe (Garrido et al., 2023, eq. 1) is the exponential of the entropy of
 * the normalized singular values; `std` is the mean deviation per dimension of the unit vectors, 1/sqrt(D) when
 * they cover the sphere and 0 when all are equal (Chen and He, 2021).
 */
import { createWorkspace, packColumns, padColumns, padRows } from './products.js';

/** Rows of one length, row-major. */
export interface Features {
  readonly rows: number;
  readonly size: number;
  readonly values: Float32Array;
}

export interface Spread {
  readonly std: number;
  readonly rank: number;
}

/** Both measures of a batch of embeddings. */
export function spreadOf(features: Features): Spread {
  return { std: unitDeviation(features), rank: rankMe(features) };
}

/** Mean over dimensions of the standard deviation of the L2-normalized rows. */
export function unitDeviation({ rows, size, values }: Features): number {
  const sum = new Float64Array(size);
  const square = new Float64Array(size);
  for (let i = 0; i < rows; i++) {
    let norm = 0;
    for (let d = 0; d < size; d++) norm += values[i * size + d] ** 2;
    const scale = 1 / Math.max(Math.sqrt(norm), 1e-12);
    for (let d = 0; d < size; d++) {
      const v = values[i * size + d] * scale;
      sum[d] += v;
      square[d] += v * v;
    }
  }
  let total = 0;
  for (let d = 0; d < size; d++) total += Math.sqrt(Math.max(0, square[d] / rows - (sum[d] / rows) ** 2));
  return total / size;
}

/** exp of the entropy of the singular values; between 1 and min(rows, size). */
export function rankMe(features: Features): number {
  return entropyRank(singularValues(features));
}

/** exp of the entropy of values that are made to add up to one. */
export function entropyRank(sigma: Float64Array): number {
  const total = sigma.reduce((a, b) => a + b, 0);
  if (!(total > 0)) return total === 0 ? 1 : NaN;
  let entropy = 0;
  for (const s of sigma) {
    const p = s / total + 1e-7;
    entropy -= p * Math.log(p);
  }
  return Math.exp(entropy);
}

function singularValues(features: Features): Float64Array {
  const small = features.rows < features.size ? transposed(features) : features;
  return symmetricEigenvalues(gram(small), small.size).map((l) => Math.sqrt(Math.max(0, l)));
}

/** Rows as columns. */
export function transposed({ rows, size, values }: Features): Features {
  const out = new Float32Array(rows * size);
  for (let i = 0; i < rows; i++) for (let d = 0; d < size; d++) out[d * rows + i] = values[i * size + d];
  return { rows: size, size: rows, values: out };
}

/** The [size, size] matrix of products of columns, in f64 from f32 partial sums over 256 rows. */
export function gram({ rows, size, values }: Features): Float64Array {
  const depth = 256;
  const tall = padRows(size);
  const wide = padColumns(size);
  const work = createWorkspace(tall * depth + wide * depth + tall * wide + 64);
  const left = work.allocate(tall * depth);
  const panels = work.allocate(wide * depth);
  const out = work.allocate(tall * wide);
  const total = new Float64Array(size * size);
  for (let from = 0; from < rows; from += depth) {
    const count = Math.min(depth, rows - from);
    const block = values.subarray(from * size, (from + count) * size);
    left.values.fill(0);
    panels.values.fill(0);
    for (let i = 0; i < count; i++) for (let d = 0; d < size; d++) left.values[d * count + i] = block[i * size + d];
    packColumns(block, count, size, panels.values);
    work.multiply(left.offset, count, tall, panels.offset, count * 8, wide / 8, count, out.offset, wide);
    for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) total[i * size + j] += out.values[i * wide + j];
  }
  return total;
}

/**
 * Eigenvalues of a symmetric matrix: Householder reduction to tridiagonal form, then QL with implicit shifts
 * (Wilkinson and Reinsch, tred1 and tql1).
 */
export function symmetricEigenvalues(matrix: Float64Array, n: number): Float64Array {
  const a = matrix.slice();
  const d = new Float64Array(n);
  const e = new Float64Array(n);
  for (let i = n - 1; i > 0; i--) {
    let h = 0;
    let scale = 0;
    for (let k = 0; k < i; k++) scale += Math.abs(a[i * n + k]);
    if (i === 1 || scale === 0) {
      e[i] = a[i * n + i - 1];
      continue;
    }
    for (let k = 0; k < i; k++) {
      a[i * n + k] /= scale;
      h += a[i * n + k] ** 2;
    }
    const f = a[i * n + i - 1];
    const g = f >= 0 ? -Math.sqrt(h) : Math.sqrt(h);
    e[i] = scale * g;
    h -= f * g;
    a[i * n + i - 1] = f - g;
    let dot = 0;
    for (let j = 0; j < i; j++) {
      let s = 0;
      for (let k = 0; k <= j; k++) s += a[j * n + k] * a[i * n + k];
      for (let k = j + 1; k < i; k++) s += a[k * n + j] * a[i * n + k];
      e[j] = s / h;
      dot += e[j] * a[i * n + j];
    }
    const half = dot / (h + h);
    for (let j = 0; j < i; j++) {
      const u = a[i * n + j];
      e[j] -= half * u;
      const w = e[j];
      for (let k = 0; k <= j; k++) a[j * n + k] -= u * e[k] + w * a[i * n + k];
    }
  }
  for (let i = 0; i < n; i++) d[i] = a[i * n + i];
  for (let i = 1; i < n; i++) e[i - 1] = e[i];
  e[n - 1] = 0;
  for (let l = 0; l < n; l++) {
    for (let round = 0; round < 60; round++) {
      let m = l;
      while (m < n - 1 && Math.abs(e[m]) > 1e-15 * (Math.abs(d[m]) + Math.abs(d[m + 1]))) m++;
      if (m === l) break;
      let g = (d[l + 1] - d[l]) / (2 * e[l]);
      let r = Math.hypot(g, 1);
      g = d[m] - d[l] + e[l] / (g + (g >= 0 ? r : -r));
      let s = 1;
      let c = 1;
      let p = 0;
      let i = m - 1;
      for (; i >= l; i--) {
        const f = s * e[i];
        const b = c * e[i];
        r = Math.hypot(f, g);
        e[i + 1] = r;
        if (r === 0) {
          d[i + 1] -= p;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
      }
      if (r === 0 && i >= l) continue;
      d[l] -= p;
      e[l] = g;
      e[m] = 0;
    }
  }
  return d.sort().reverse();
}
