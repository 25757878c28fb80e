/**
 * Clustering of embeddings against classes that were never seen: k-means on unit vectors with k-means++ starts (Arthur and
 * Vassilvitskii, 2007), the best of a few by its sum of squares; then normalized mutual information, 2 I(c, y) / (H(c) + H(y)), and
 * purity, the share of examples whose class is the most common of their cluster. Everything follows from the seed.
 */
import { splitMix } from '../train/data-order.js';
import { normalizeRows } from './nearest.js';
import { createWorkspace, packRows, padColumns, padRows } from './products.js';
import type { Features } from './spectrum.js';

export interface ClusterOptions {
  readonly starts: number;
  readonly rounds: number;
  readonly seed: number;
}

export const clusterDefaults: ClusterOptions = { starts: 3, rounds: 50, seed: 0 };

export interface ClusterFigures {
  readonly nmi: number;
  readonly purity: number;
}

/** One line for people and reports. */
export function clusterProtocol({ starts, rounds, seed }: ClusterOptions): string {
  return `clusters: k-means on L2-normalized embeddings with as many clusters as classes, best of ${starts} k-means++ starts of at most ${rounds} rounds, seed ${seed}; NMI with the mean of both entropies, and purity`;
}

/** k-means of the embeddings with as many clusters as classes, compared with the labels. */
export function clusterFigures(features: Features, labels: Int32Array, classes: number, options: ClusterOptions = clusterDefaults): ClusterFigures {
  const assigned = kMeans(normalizeRows(features, null), classes, options);
  return compareClusters(assigned, labels, classes);
}

/** Normalized mutual information and purity of numbers below `count` against labels below `count`. */
export function compareClusters(clusters: Int32Array, labels: Int32Array, count: number): ClusterFigures {
  const n = clusters.length;
  const joint = new Float64Array(count * count);
  for (let i = 0; i < n; i++) joint[clusters[i] * count + labels[i]] += 1 / n;
  const row = new Float64Array(count);
  const column = new Float64Array(count);
  joint.forEach((p, at) => { row[Math.floor(at / count)] += p; column[at % count] += p; });
  const entropy = (p: Float64Array): number => p.reduce((h, v) => (v > 0 ? h - v * Math.log(v) : h), 0);
  let information = 0;
  joint.forEach((p, at) => { if (p > 0) information += p * Math.log(p / (row[Math.floor(at / count)] * column[at % count])); });
  const total = entropy(row) + entropy(column);
  let pure = 0;
  for (let c = 0; c < count; c++) pure += Math.max(...joint.subarray(c * count, (c + 1) * count));
  return { nmi: total > 0 ? Math.max(0, (2 * information) / total) : 1, purity: pure };
}

/** The cluster of each row. */
export function kMeans(x: Features, k: number, { starts, rounds, seed }: ClusterOptions): Int32Array {
  const next = splitMix(seed ^ 0x6b6d65);
  const distances = squaredDistances(x, k);
  let best: { readonly cost: number; readonly assigned: Int32Array } | null = null;
  for (let start = 0; start < starts; start++) {
    let centres = plusPlus(x, k, () => next() / 2 ** 32);
    let assigned: Int32Array = new Int32Array(0);
    let cost = Infinity;
    for (let round = 0; round < rounds; round++) {
      const near = nearest(distances(centres), x.rows, k);
      const settled = near.cost >= cost * (1 - 1e-7);
      assigned = near.assigned;
      cost = near.cost;
      if (settled) break;
      centres = means(x, assigned, k, centres);
    }
    if (best === null || cost < best.cost) best = { cost, assigned };
  }
  return best?.assigned ?? new Int32Array(x.rows);
}

/** Squared distances of all rows to given centres, [rows, k]; the rows lie ready for the products. */
function squaredDistances(x: Features, k: number): (centres: Float32Array) => Float32Array {
  const { rows, size } = x;
  const tall = padRows(rows);
  const wide = padColumns(k);
  const work = createWorkspace(tall * size + wide * size + tall * wide + 64);
  const left = work.allocate(tall * size);
  const panels = work.allocate(wide * size);
  const out = work.allocate(tall * wide);
  left.values.set(x.values);
  const squares = Float64Array.from({ length: rows }, (_, i) => { let s = 0; for (let d = 0; d < size; d++) s += x.values[i * size + d] ** 2; return s; });
  return (centres) => {
    packRows(centres, k, size, panels.values);
    work.multiply(left.offset, size, tall, panels.offset, size * 8, wide / 8, size, out.offset, wide);
    const result = new Float32Array(rows * k);
    for (let c = 0; c < k; c++) {
      let square = 0;
      for (let d = 0; d < size; d++) square += centres[c * size + d] ** 2;
      for (let i = 0; i < rows; i++) result[i * k + c] = Math.max(0, squares[i] + square - 2 * out.values[i * wide + c]);
    }
    return result;
  };
}

function nearest(distances: Float32Array, rows: number, k: number): { readonly assigned: Int32Array; readonly cost: number } {
  const assigned = new Int32Array(rows);
  let cost = 0;
  for (let i = 0; i < rows; i++) {
    for (let c = 1; c < k; c++) if (distances[i * k + c] < distances[i * k + assigned[i]]) assigned[i] = c;
    cost += distances[i * k + assigned[i]];
  }
  return { assigned, cost };
}

/** Means of the clusters; an empty one keeps its centre. */
function means(x: Features, assigned: Int32Array, k: number, before: Float32Array): Float32Array {
  const { rows, size } = x;
  const sums = new Float64Array(k * size);
  const counts = new Float64Array(k);
  for (let i = 0; i < rows; i++) {
    counts[assigned[i]]++;
    for (let d = 0; d < size; d++) sums[assigned[i] * size + d] += x.values[i * size + d];
  }
  return before.map((v, at) => { const c = Math.floor(at / size); return counts[c] > 0 ? sums[at] / counts[c] : v; });
}

/** Rows drawn as centres, each with a probability that grows with the squared distance to those before. */
function plusPlus({ rows, size, values }: Features, k: number, uniform: () => number): Float32Array {
  const centres = new Float32Array(k * size);
  const far = new Float64Array(rows).fill(Infinity);
  let chosen = Math.floor(uniform() * rows);
  for (let c = 0; c < k; c++) {
    centres.set(values.subarray(chosen * size, (chosen + 1) * size), c * size);
    let total = 0;
    for (let i = 0; i < rows; i++) {
      let square = 0;
      for (let d = 0; d < size; d++) square += (values[i * size + d] - centres[c * size + d]) ** 2;
      far[i] = Math.min(far[i], square);
      total += far[i];
    }
    let at = uniform() * total;
    chosen = rows - 1;
    for (let i = 0; i < rows; i++) { at -= far[i]; if (at < 0) { chosen = i; break; } }
  }
  return centres;
}
