/**
 * A 2-D map of embeddings: t-SNE (van der Maaten and Hinton, 2008), exact, begun from the first two principal
 * components, so the same embeddings always give the same map. Meant for up to about 1,000 points.
 */
import { columnMeans, normalizeRows } from '../evaluate/nearest.js';
import { gram, transposed, type Features } from '../evaluate/spectrum.js';

export interface Point {
  readonly x: number;
  readonly y: number;
}

/**
 * Scores on the first `count` principal components, [rows, count]: the eigenvectors of the products of centred rows,
 * by orthogonal iteration, each times the root of its eigenvalue.
 */
export function principalComponents(features: Features, count: number): Features {
  const { rows, size } = features;
  const mean = columnMeans(features);
  const matrix = gram(transposed({ rows, size, values: features.values.map((v, i) => v - mean[i % size]) }));
  const kept = Math.min(count, size, rows);
  const times = (v: Float64Array): Float64Array => {
    const out = new Float64Array(rows);
    for (let i = 0; i < rows; i++) {
      let sum = 0;
      for (let j = 0; j < rows; j++) sum += matrix[i * rows + j] * v[j];
      out[i] = sum;
    }
    return out;
  };
  let basis: Float64Array[] = Array.from({ length: kept }, (_, k) => Float64Array.from({ length: rows }, (_, i) => Math.sin(1 + i * (k + 1) + k)));
  for (let round = 0; round < 20; round++) basis = orthonormal(basis.map(times));
  const values = new Float32Array(rows * kept);
  basis.forEach((v, k) => {
    const image = times(v);
    const scale = Math.sqrt(Math.sqrt(image.reduce((a, x) => a + x * x, 0)));
    for (let i = 0; i < rows; i++) values[i * kept + k] = v[i] * scale;
  });
  return { rows, size: kept, values };
}

function orthonormal(vectors: readonly Float64Array[]): Float64Array[] {
  const done: Float64Array[] = [];
  for (const v of vectors) {
    const u = v.slice();
    for (const w of done) {
      let d = 0;
      for (let i = 0; i < u.length; i++) d += u[i] * w[i];
      for (let i = 0; i < u.length; i++) u[i] -= d * w[i];
    }
    const norm = Math.sqrt(u.reduce((a, b) => a + b * b, 0));
    done.push(norm > 1e-12 ? u.map((x) => x / norm) : u.fill(0));
  }
  return done;
}

/** Places each row on the plane; coordinates lie in 0..1. */
export function layoutPoints(features: Features, perplexity = 30, rounds = 350): readonly Point[] {
  const unit = normalizeRows(features, columnMeans(features));
  const reduced = principalComponents(unit, 24);
  const n = reduced.rows;
  if (n < 8) return Array.from({ length: n }, (_, i) => ({ x: (i + 0.5) / n, y: 0.5 }));
  const affinity = affinities(reduced, Math.min(perplexity, (n - 1) / 3));
  const start = principalComponents(unit, 2);
  let scale = 0;
  for (let i = 0; i < n; i++) scale += start.values[i * start.size] ** 2;
  scale = 1e-4 / Math.max(Math.sqrt(scale / n), 1e-12);
  const place = Float64Array.from({ length: 2 * n }, (_, i) => (start.size > i % 2 ? start.values[Math.floor(i / 2) * start.size + (i % 2)] * scale : 0));
  const velocity = new Float64Array(2 * n);
  const gain = new Float64Array(2 * n).fill(1);
  const kernel = new Float32Array(n * n);
  for (let round = 0; round < rounds; round++) {
    let total = 0;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < i; j++) {
        const dx = place[2 * i] - place[2 * j];
        const dy = place[2 * i + 1] - place[2 * j + 1];
        const q = 1 / (1 + dx * dx + dy * dy);
        kernel[i * n + j] = q;
        kernel[j * n + i] = q;
        total += 2 * q;
      }
    }
    const early = round < 100 ? 12 : 1;
    const momentum = round < 100 ? 0.5 : 0.8;
    for (let i = 0; i < n; i++) {
      let gx = 0;
      let gy = 0;
      for (let j = 0; j < n; j++) {
        const q = kernel[i * n + j];
        const w = (early * affinity[i * n + j] - q / total) * q;
        gx += w * (place[2 * i] - place[2 * j]);
        gy += w * (place[2 * i + 1] - place[2 * j + 1]);
      }
      for (const [axis, g] of [[0, 4 * gx], [1, 4 * gy]]) {
        const at = 2 * i + axis;
        gain[at] = Math.max(0.01, g > 0 === velocity[at] > 0 ? gain[at] * 0.8 : gain[at] + 0.2);
        velocity[at] = momentum * velocity[at] - Math.max(n / 12, 50) * gain[at] * g;
      }
    }
    for (let i = 0; i < 2 * n; i++) place[i] += velocity[i];
  }
  return intoUnitSquare(place);
}

/** Symmetric affinities of Gaussian neighbourhoods whose entropy is log(perplexity). */
function affinities({ rows: n, size, values }: Features, perplexity: number): Float32Array {
  const distance = new Float32Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) {
      let sum = 0;
      for (let d = 0; d < size; d++) sum += (values[i * size + d] - values[j * size + d]) ** 2;
      distance[i * n + j] = sum;
      distance[j * n + i] = sum;
    }
  }
  const p = new Float32Array(n * n);
  const row = new Float64Array(n);
  const target = Math.log(perplexity);
  for (let i = 0; i < n; i++) {
    let beta = 1;
    let low = 0;
    let high = Infinity;
    let total = 0;
    for (let attempt = 0; attempt < 50; attempt++) {
      total = 0;
      let weighted = 0;
      for (let j = 0; j < n; j++) {
        row[j] = j === i ? 0 : Math.exp(-distance[i * n + j] * beta);
        total += row[j];
        weighted += row[j] * distance[i * n + j];
      }
      const entropy = total > 0 ? Math.log(total) + (beta * weighted) / total : 0;
      if (Math.abs(entropy - target) < 1e-4) break;
      if (entropy > target) low = beta; else high = beta;
      beta = high === Infinity ? beta * 2 : (low + high) / 2;
    }
    for (let j = 0; j < n; j++) p[i * n + j] = total > 0 ? row[j] / total : 0;
  }
  const out = new Float32Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) out[i * n + j] = Math.max((p[i * n + j] + p[j * n + i]) / (2 * n), 1e-12);
  return out;
}

function intoUnitSquare(place: Float64Array): readonly Point[] {
  const low = [Infinity, Infinity];
  const high = [-Infinity, -Infinity];
  place.forEach((v, i) => {
    low[i % 2] = Math.min(low[i % 2], v);
    high[i % 2] = Math.max(high[i % 2], v);
  });
  const span = Math.max(high[0] - low[0], high[1] - low[1], 1e-9);
  const at = (i: number): number => 0.5 + (place[i] - (low[i % 2] + high[i % 2]) / 2) / span;
  return Array.from({ length: place.length / 2 }, (_, i) => ({ x: at(2 * i), y: at(2 * i + 1) }));
}
