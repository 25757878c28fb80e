/**
 * Figures of embeddings that need no labels. Participation ratio: (sum l)^2 / sum l^2 over the eigenvalues l of the covariance.
 * alpha-ReQ (Agrawal et al., 2022): how fast these eigenvalues fall, l_k ~ k^-alpha. Alignment and uniformity (Wang and Isola, 2020):
 * mean squared distance of unit embeddings of two views, and ln of the mean of exp(-2 d^2) over pairs of different examples.
 * LiDAR (Thilak et al., 2023): effective rank of the discriminant that tells examples apart from their views.
 */
import { columnMeans, normalizeRows } from './nearest.js';
import { createWorkspace, packRows, padColumns, padRows } from './products.js';
import { entropyRank, gram, symmetricEigenvalues, transposed, type Features } from './spectrum.js';

/** Eigenvalues of the covariance, largest first; those of the smaller of the two Gram matrices, the others being 0. */
export function covarianceSpectrum(features: Features): Float64Array {
  const mean = columnMeans(features);
  const centred = { ...features, values: features.values.map((v, i) => v - mean[i % features.size]) };
  const { rows, size } = features;
  if (rows >= size) return symmetricEigenvalues(gram(centred), size).map((l) => Math.max(0, l) / rows);
  return symmetricEigenvalues(gram(transposed(centred)), rows).map((l) => Math.max(0, l) / rows);
}

/** Between 1 (one direction) and the number of dimensions; 0 when nothing varies. */
export function participationRatio(spectrum: Float64Array): number {
  const sum = spectrum.reduce((a, l) => a + l, 0);
  const squares = spectrum.reduce((a, l) => a + l * l, 0);
  return squares > 0 ? sum ** 2 / squares : 0;
}

/** Eigenvalues below this share of the largest are rounding. */
const noise = 1e-6;

/** Minus the slope of ln l_k against ln k, by least squares over all eigenvalues above rounding; null with fewer than three. */
export function alphaReq(spectrum: Float64Array): number | null {
  const kept = [...spectrum].filter((l) => l > noise * spectrum[0]);
  if (kept.length < 3) return null;
  const x = kept.map((_, k) => Math.log(k + 1));
  const y = kept.map((l) => Math.log(l));
  const mean = (v: readonly number[]): number => v.reduce((a, b) => a + b, 0) / v.length;
  const [mx, my] = [mean(x), mean(y)];
  const covariance = x.reduce((a, v, k) => a + (v - mx) * (y[k] - my), 0);
  return -covariance / x.reduce((a, v) => a + (v - mx) ** 2, 0);
}

/** Mean Euclidean length of the rows. */
export function meanLength({ rows, size, values }: Features): number {
  let sum = 0;
  for (let i = 0; i < rows; i++) {
    let square = 0;
    for (let d = 0; d < size; d++) square += values[i * size + d] ** 2;
    sum += Math.sqrt(square) / rows;
  }
  return sum;
}

/** Mean squared distance of unit vectors, row by row. */
export function alignment(first: Features, second: Features): number {
  const [a, b] = [normalizeRows(first, null), normalizeRows(second, null)];
  let sum = 0;
  for (let i = 0; i < a.values.length; i++) sum += (a.values[i] - b.values[i]) ** 2;
  return sum / first.rows;
}

/** ln of the mean of exp(-2 |u_i - u_j|^2) over pairs i != j of unit vectors: 0 when collapsed, towards -4 when spread. */
export function uniformity(features: Features): number {
  const { rows, size } = features;
  const unit = normalizeRows(features, null);
  const tall = padRows(rows);
  const wide = padColumns(rows);
  const work = createWorkspace(wide * size + tall * size + tall * wide + 64);
  const panels = work.allocate(wide * size);
  const left = work.allocate(tall * size);
  const out = work.allocate(tall * wide);
  packRows(unit.values, rows, size, panels.values);
  left.values.set(unit.values);
  work.multiply(left.offset, size, tall, panels.offset, size * 8, wide / 8, size, out.offset, wide);
  let sum = 0;
  for (let i = 0; i < rows; i++) for (let j = 0; j < i; j++) sum += Math.exp(-4 * (1 - out.values[i * wide + j]));
  return Math.log((2 * sum) / (rows * (rows - 1)));
}

/** Added to the diagonal of the scatter within classes. */
const ridge = 1e-4;

/**
 * exp of the entropy of the eigenvalues of W^(-1/2) B W^(-1/2): B the covariance of the examples' means over their views, W that
 * of views around them plus 1e-4. `draws[q]` has row i for view q of example i. The eigenvalues are those of L^-1 B L^-T, W = L L^T.
 */
export function lidar(draws: readonly Features[]): number {
  const [{ rows, size }] = draws;
  const means = new Float32Array(rows * size);
  for (const { values } of draws) for (let i = 0; i < means.length; i++) means[i] += values[i] / draws.length;
  const within = new Float64Array(size * size);
  for (const { values } of draws) {
    const part = gram({ rows, size, values: values.map((v, i) => v - means[i]) });
    for (let i = 0; i < within.length; i++) within[i] += part[i] / (rows * draws.length);
  }
  for (let d = 0; d < size; d++) within[d * size + d] += ridge;
  const grand = columnMeans({ rows, size, values: means });
  const between = gram({ rows, size, values: means.map((v, i) => v - grand[i % size]) }).map((v) => v / rows);
  const whitened = whiten(between, cholesky(within, size), size);
  return entropyRank(symmetricEigenvalues(whitened, size).map((l) => Math.max(0, l)));
}

/** The lower triangle L with L L^T = a, a positive definite. */
function cholesky(a: Float64Array, n: number): Float64Array {
  const l = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * n + j];
      for (let k = 0; k < j; k++) sum -= l[i * n + k] * l[j * n + k];
      l[i * n + j] = i === j ? Math.sqrt(Math.max(sum, 1e-300)) : sum / l[j * n + j];
    }
  }
  return l;
}

/** L^-1 m L^-T for symmetric m: forward substitution on the rows, then on the rows of the transpose. */
function whiten(m: Float64Array, l: Float64Array, n: number): Float64Array {
  const solveRows = (b: Float64Array): Float64Array => {
    // Row r of the result solves L x = (row r of b); b is symmetric or a transpose, so rows serve as columns.
    const x = b.slice();
    for (let r = 0; r < n; r++) {
      for (let i = 0; i < n; i++) {
        let sum = x[r * n + i];
        for (let k = 0; k < i; k++) sum -= l[i * n + k] * x[r * n + k];
        x[r * n + i] = sum / l[i * n + i];
      }
    }
    return x;
  };
  const half = solveRows(m); // (L^-1 m)^T
  const turned = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) turned[j * n + i] = half[i * n + j];
  return solveRows(turned);
}
