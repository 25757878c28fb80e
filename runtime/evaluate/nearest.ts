/**
 * Nearest neighbours by cosine: features are centred with the mean of the bank when asked, L2-normalized, and each
 * query is compared with the whole bank. Equal similarities are taken in the order of the bank.
 */
import { createWorkspace, packRows, padColumns } from './products.js';
import type { Features } from './spectrum.js';

export interface Neighbours {
  /** [queries, k], nearest first. */
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
export async function nearestNeighbours(bank: Features, queries: Features, k: number, centred: boolean, exclude: Int32Array | null = null): Promise<Neighbours> {
  const mean = centred ? columnMeans(bank) : null;
  const size = bank.size;
  const keys = normalizeRows(bank, mean);
  const asked = normalizeRows(queries, mean);
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
      selectLargest(out.values, i * wide, bank.rows, exclude === null ? -1 : exclude[q], kept, indices, similarities, q * kept);
    }
    if (from % (block * 16) === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return { indices, similarities, k: kept };
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

export interface KnnOptions {
  readonly k: number;
  readonly temperature: number;
  readonly centred: boolean;
}

/** Wu et al., 2018, with the mean of the training embeddings taken off first. */
export const knnDefaults: KnnOptions = { k: 20, temperature: 0.07, centred: true };

/** One line for people and reports. */
export function knnProtocol({ k, temperature, centred }: KnnOptions): string {
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

/** kNN accuracy of `queries` against `bank`. */
export async function knn(bank: Features, bankLabels: Int32Array, queries: Features, queryLabels: Int32Array, classes: number, options: KnnOptions): Promise<number> {
  const neighbours = await nearestNeighbours(bank, queries, options.k, options.centred);
  return knnAccuracy(neighbours, bankLabels, queryLabels, classes, options.temperature);
}
