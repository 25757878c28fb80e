/**
 * Nearest neighbours by cosine, or by Euclidean distance of the embeddings as they are: features are centred with the mean of the
 * bank when asked, for the cosine L2-normalized, and each query is compared with the whole bank. Equal similarities are taken in the order of the bank.
 */
import { createWorkspace, packRows, padColumns } from './products.js';
import type { Features } from './spectrum.js';

export interface Neighbours {
  /** [queries, k], nearest first; similarities are cosines, or squared distances taken negative. */
  readonly indices: Int32Array;
  readonly similarities: Float32Array;
  readonly k: number;
}

/** Queries compared at once: their block of similarities stays in the cache. */
const block = 32;

/** Mean of each column. */
export function columnMeans({ rows, size, values }: Features): Float64Array {
  const mean = new Float64Array(size);
  for (let i = 0; i < rows; i++) for (let d = 0; d < size; d++) mean[d] += values[i * size + d];
  return mean.map((s) => s / rows);
}

/** Rows less `mean` (when given), each of length 1. */
export function normalizeRows({ rows, size, values }: Features, mean: Float64Array | null): Features {
  const out = new Float32Array(rows * size);
  for (let i = 0; i < rows; i++) {
    let norm = 0;
    for (let d = 0; d < size; d++) {
      const v = values[i * size + d] - (mean === null ? 0 : mean[d]);
      out[i * size + d] = v;
      norm += v * v;
    }
    const scale = 1 / Math.max(Math.sqrt(norm), 1e-12);
    for (let d = 0; d < size; d++) out[i * size + d] *= scale;
  }
  return { rows, size, values: out };
}

/** The k nearest rows of `bank` for each row of `queries`; `exclude[i]`, when given, is a row of the bank that query i skips. */
export async function nearestNeighbours(bank: Features, queries: Features, k: number, centred: boolean, exclude: Int32Array | null = null, metric: Metric = 'cosine'): Promise<Neighbours> {
  const mean = centred ? columnMeans(bank) : null;
  const size = bank.size;
  const keys = metric === 'cosine' ? normalizeRows(bank, mean) : bank;
  const asked = metric === 'cosine' ? normalizeRows(queries, mean) : queries;
  const [keySquares, askedSquares] = [squares(keys), squares(asked)];
  const wide = padColumns(bank.rows);
  const work = createWorkspace(wide * size + block * size + block * wide + 64);
  const panels = work.allocate(wide * size);
  const left = work.allocate(block * size);
  const out = work.allocate(block * wide);
  packRows(keys.values, bank.rows, size, panels.values);
  const kept = Math.min(k, bank.rows);
  const indices = new Int32Array(queries.rows * kept);
  const similarities = new Float32Array(queries.rows * kept);
  for (let from = 0; from < queries.rows; from += block) {
    const count = Math.min(block, queries.rows - from);
    left.values.set(asked.values.subarray(from * size, (from + count) * size));
    work.multiply(left.offset, size, block, panels.offset, size * 8, wide / 8, size, out.offset, wide);
    for (let i = 0; i < count; i++) {
      const q = from + i;
      if (metric === 'euclidean') for (let j = 0; j < bank.rows; j++) out.values[i * wide + j] = 2 * out.values[i * wide + j] - keySquares[j] - askedSquares[q];
      selectLargest(out.values, i * wide, bank.rows, exclude === null ? -1 : exclude[q], kept, indices, similarities, q * kept);
    }
    if (from % (block * 16) === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return { indices, similarities, k: kept };
}

/** Squared length of each row. */
function squares({ rows, size, values }: Features): Float64Array {
  const sums = new Float64Array(rows);
  for (let i = 0; i < rows; i++) for (let d = 0; d < size; d++) sums[i] += values[i * size + d] ** 2;
  return sums;
}

function selectLargest(values: Float32Array, start: number, length: number, skipped: number, k: number, indices: Int32Array, best: Float32Array, to: number): void {
  let held = 0;
  let least = -Infinity;
  for (let j = 0; j < length; j++) {
    const v = values[start + j];
    if ((held === k && !(v > least)) || j === skipped) continue;
    let at = held < k ? held++ : k - 1;
    while (at > 0 && best[to + at - 1] < v) {
      best[to + at] = best[to + at - 1];
      indices[to + at] = indices[to + at - 1];
      at--;
    }
    best[to + at] = v;
    indices[to + at] = j;
    if (held === k) least = best[to + k - 1];
  }
}

export type Metric = 'cosine' | 'euclidean';

export interface KnnOptions {
  readonly metric: Metric;
  readonly k: number;
  readonly temperature: number;
  readonly centred: boolean;
}

/** Wu et al., 2018, with the mean of the training embeddings taken off first. */
export const knnDefaults: KnnOptions = { metric: 'cosine', k: 20, temperature: 0.07, centred: true };

/** One line for people and reports. */
export function knnProtocol({ metric, k, temperature, centred }: KnnOptions): string {
  if (metric === 'euclidean') return `kNN: Euclidean distance of the embeddings as they are, k = ${k}, equal votes`;
  return `kNN: cosine of ${centred ? 'L2-normalized embeddings, centred with the training mean' : 'L2-normalized embeddings'}, k = ${k}, votes weighted by exp(cos / ${temperature})`;
}

/** Share of queries whose class is voted right. */
export function knnAccuracy(neighbours: Neighbours, bankLabels: Int32Array, queryLabels: Int32Array, classes: number, temperature: number): number {
  const { k, indices, similarities } = neighbours;
  const queries = indices.length / k;
  const votes = new Float64Array(classes);
  let right = 0;
  for (let q = 0; q < queries; q++) {
    votes.fill(0);
    // Relative to the nearest: the same votes, and no overflow at small temperatures.
    for (let j = q * k; j < (q + 1) * k; j++) votes[bankLabels[indices[j]]] += Math.exp((similarities[j] - similarities[q * k]) / temperature);
    let winner = 0;
    for (let c = 1; c < classes; c++) if (votes[c] > votes[winner]) winner = c;
    if (winner === queryLabels[q]) right++;
  }
  return right / queries;
}

/** kNN accuracy of `queries` against `bank`; query i leaves out row `exclude[i]`. */
export async function knn(bank: Features, bankLabels: Int32Array, queries: Features, queryLabels: Int32Array, classes: number, options: KnnOptions, exclude: Int32Array | null = null): Promise<number> {
  const neighbours = await nearestNeighbours(bank, queries, options.k, options.centred, exclude, options.metric);
  return knnAccuracy(neighbours, bankLabels, queryLabels, classes, options.metric === 'euclidean' ? Infinity : options.temperature);
}
