/** Each figure of an evaluation against plain loops in float64 on small data. */
import { describe, expect, test } from 'vitest';
import { clusterDefaults, clusterFigures, compareClusters, kMeans } from '../../runtime/evaluate/clusters.js';
import { drawLabels, lowLabelDefaults, lowLabelProbes, readBudgets } from '../../runtime/evaluate/low-label.js';
import { linearDefaults } from '../../runtime/evaluate/linear-probe.js';
import { knn, knnDefaults, nearestNeighbours } from '../../runtime/evaluate/nearest.js';
import { alignment, alphaReq, covarianceSpectrum, lidar, meanLength, participationRatio, uniformity } from '../../runtime/evaluate/quality.js';
import { retrieval } from '../../runtime/evaluate/retrieval.js';
import type { Features } from '../../runtime/evaluate/spectrum.js';
import { splitMix } from '../../runtime/train/data-order.js';

function random(rows: number, size: number, seed: number): Features {
  const next = splitMix(seed);
  return { rows, size, values: Float32Array.from({ length: rows * size }, () => next() / 2 ** 31 - 1) };
}

const rowsOf = ({ rows, size, values }: Features): number[][] => Array.from({ length: rows }, (_, i) => [...values.subarray(i * size, (i + 1) * size)]);
const features = (rows: readonly (readonly number[])[]): Features => ({ rows: rows.length, size: rows[0].length, values: Float32Array.from(rows.flat()) });
const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((s, v, i) => s + v * b[i], 0);
const unit = (a: readonly number[]): number[] => a.map((v) => v / Math.sqrt(dot(a, a)));
const square = (a: readonly number[], b: readonly number[]): number => a.reduce((s, v, i) => s + (v - b[i]) ** 2, 0);
const mean = (rows: readonly (readonly number[])[]): number[] => rows[0].map((_, d) => rows.reduce((s, r) => s + r[d], 0) / rows.length);

/** Eigenvalues of a symmetric 2 x 2 matrix, largest first. */
function eigenvalues2([[a, b], [, d]]: readonly (readonly number[])[]): [number, number] {
  const [half, root] = [(a + d) / 2, Math.sqrt(((a - d) / 2) ** 2 + b * b)];
  return [half + root, half - root];
}
const covariance2 = (rows: readonly (readonly number[])[], m: readonly number[] = mean(rows)): number[][] =>
  [0, 1].map((i) => [0, 1].map((j) => rows.reduce((s, r) => s + (r[i] - m[i]) * (r[j] - m[j]), 0) / rows.length));

describe('figures without labels', () => {
  test('participation ratio, from the eigenvalues of the covariance', () => {
    const x = random(40, 2, 1);
    const [a, b] = eigenvalues2(covariance2(rowsOf(x)));
    const spectrum = covarianceSpectrum(x);
    expect(spectrum[0]).toBeCloseTo(a, 6);
    expect(spectrum[1]).toBeCloseTo(b, 6);
    expect(participationRatio(spectrum)).toBeCloseTo((a + b) ** 2 / (a * a + b * b), 5);
    // Fewer rows than dimensions: the other Gram matrix has the same eigenvalues.
    const wide = random(5, 9, 2);
    const trace = wide.values.reduce((s, v, i) => s + (v - mean(rowsOf(wide))[i % 9]) ** 2, 0) / 5;
    expect(covarianceSpectrum(wide).reduce((s, l) => s + l, 0)).toBeCloseTo(trace, 5);
    expect(participationRatio(new Float64Array(3))).toBe(0);
  });
  test('alpha is the exponent of a power law', () => {
    expect(alphaReq(Float64Array.from({ length: 30 }, (_, k) => 3 * (k + 1) ** -1.3))).toBeCloseTo(1.3, 9);
    expect(alphaReq(Float64Array.of(1, 0, 0))).toBeNull();
  });
  test('alignment, uniformity and length', () => {
    const [x, y] = [random(13, 5, 3), random(13, 5, 4)];
    const [u, v] = [rowsOf(x).map(unit), rowsOf(y).map(unit)];
    expect(alignment(x, y)).toBeCloseTo(u.reduce((s, r, i) => s + square(r, v[i]), 0) / 13, 5);
    let sum = 0;
    for (let i = 0; i < 13; i++) for (let j = 0; j < 13; j++) if (i !== j) sum += Math.exp(-2 * square(u[i], u[j]));
    expect(uniformity(x)).toBeCloseTo(Math.log(sum / (13 * 12)), 5);
    expect(meanLength(x)).toBeCloseTo(rowsOf(x).reduce((s, r) => s + Math.sqrt(dot(r, r)), 0) / 13, 5);
  });
  test('LiDAR, by the inverse of W: the eigenvalues of W^-1 B are those of W^(-1/2) B W^(-1/2)', () => {
    const clean = random(30, 2, 5);
    const draws = [6, 7, 8].map((seed) => features(rowsOf(clean).map((r, i) => r.map((v, d) => v + 0.2 * rowsOf(random(30, 2, seed))[i][d]))));
    const means = Array.from({ length: 30 }, (_, i) => mean(draws.map((q) => rowsOf(q)[i])));
    const w = covariance2(draws.flatMap((q) => rowsOf(q).map((r, i) => r.map((v, d) => v - means[i][d]))), [0, 0]);
    w[0][0] += 1e-4;
    w[1][1] += 1e-4;
    const b = covariance2(means);
    const det = w[0][0] * w[1][1] - w[0][1] ** 2;
    const inverse = [[w[1][1] / det, -w[0][1] / det], [-w[0][1] / det, w[0][0] / det]];
    const p = [0, 1].map((i) => [0, 1].map((j) => inverse[i][0] * b[0][j] + inverse[i][1] * b[1][j]));
    const [half, product] = [(p[0][0] + p[1][1]) / 2, p[0][0] * p[1][1] - p[0][1] * p[1][0]];
    const l = [half + Math.sqrt(half ** 2 - product), half - Math.sqrt(half ** 2 - product)].map((v) => v / (2 * half));
    expect(lidar(draws)).toBeCloseTo(Math.exp(-l.reduce((s, v) => s + v * Math.log(v), 0)), 4);
  });
});

describe('neighbours', () => {
  test('Euclidean distances, nearest first, without the query itself', async () => {
    const bank = random(20, 3, 9);
    const exclude = Int32Array.from({ length: 20 }, (_, i) => i);
    const near = await nearestNeighbours(bank, bank, 4, false, exclude, 'euclidean');
    rowsOf(bank).forEach((q, i) => {
      const sorted = rowsOf(bank).flatMap((r, j) => (j === i ? [] : [square(q, r)])).sort((a, b) => a - b).slice(0, 4);
      sorted.forEach((d, j) => expect(-near.similarities[i * 4 + j]).toBeCloseTo(d, 4));
    });
    const labels = Int32Array.from({ length: 20 }, (_, i) => i % 2);
    expect(await knn(bank, labels, bank, labels, 2, { ...knnDefaults, metric: 'euclidean', k: 1 })).toBe(1);
    const alone = await knn(bank, labels, bank, labels, 2, { ...knnDefaults, metric: 'euclidean', k: 1 }, exclude);
    const right = rowsOf(bank).filter((q, i) => {
      const others = rowsOf(bank).map((r, j) => ({ j, d: j === i ? Infinity : square(q, r) })).sort((a, b) => a.d - b.d);
      return labels[others[0].j] === labels[i];
    });
    expect(alone).toBe(right.length / 20);
  });
  test('recall among the ten nearest', async () => {
    const gallery = random(25, 4, 10);
    const asked = random(25, 4, 11);
    const ranks = rowsOf(asked).map((q, i) => rowsOf(gallery).filter((r) => dot(unit(q), unit(r)) > dot(unit(q), unit(rowsOf(gallery)[i]))).length);
    const at = (k: number): number => ranks.filter((r) => r < k).length / 25;
    expect(await retrieval(gallery, asked, Int32Array.from({ length: 25 }, (_, i) => i), false)).toEqual({ gallery: 25, queries: 25, r1: at(1), r5: at(5), r10: at(10) });
  });
});

describe('clusters', () => {
  test('NMI and purity by hand', () => {
    // Clusters {a a b} {b b}: I = H(y) + H(c) - H(c, y).
    const { nmi, purity } = compareClusters(Int32Array.of(0, 0, 0, 1, 1), Int32Array.of(0, 0, 1, 1, 1), 2);
    const h = (...p: number[]): number => -p.reduce((s, v) => s + v * Math.log(v), 0);
    const [c, y, both] = [h(0.6, 0.4), h(0.4, 0.6), h(0.4, 0.2, 0.4)];
    expect(nmi).toBeCloseTo((2 * (c + y - both)) / (c + y), 12);
    expect(purity).toBeCloseTo(0.8, 12);
  });
  test('k-means finds groups that lie apart, the same ones for the same seed', () => {
    const noise = random(90, 6, 12);
    const labels = Int32Array.from({ length: 90 }, (_, i) => i % 3);
    const x = { ...noise, values: noise.values.map((v, i) => 0.2 * v + ((i % 6) % 3 === labels[Math.floor(i / 6)] ? 1 : 0)) };
    const found = clusterFigures(x, labels, 3);
    expect(found.nmi).toBeCloseTo(1, 9);
    expect(found.purity).toBeCloseTo(1, 9);
    expect(kMeans(noise, 5, clusterDefaults)).toEqual(kMeans(noise, 5, clusterDefaults));
    // No row is nearer to the mean of another cluster.
    const assigned = kMeans(noise, 5, { ...clusterDefaults, rounds: 200 });
    const means = [0, 1, 2, 3, 4].map((c) => mean(rowsOf(noise).filter((_, i) => assigned[i] === c)));
    rowsOf(noise).forEach((r, i) => expect(square(r, means[assigned[i]])).toBeLessThanOrEqual(Math.min(...means.map((m) => square(r, m))) + 1e-4));
  });
});

describe('few labels', () => {
  test('draws have each class in its share, and at least once', () => {
    const labels = Int32Array.from({ length: 210 }, (_, i) => (i < 200 ? i % 2 : 2));
    const count = (rows: Int32Array, c: number): number => rows.filter((r) => labels[r] === c).length;
    const tenth = drawLabels(labels, 3, { kind: 'share', share: 0.1 }, 1);
    expect([0, 1, 2].map((c) => count(tenth, c))).toEqual([10, 10, 1]);
    expect(new Set(tenth).size).toBe(21);
    expect([0, 1, 2].map((c) => count(drawLabels(labels, 3, { kind: 'each', count: 4 }, 1), c))).toEqual([4, 4, 4]);
    expect(drawLabels(labels, 3, { kind: 'share', share: 0.001 }, 1)).toHaveLength(3);
    expect(drawLabels(labels, 3, { kind: 'share', share: 0.1 }, 2)).not.toEqual(tenth);
  });
  test('mean and deviation of the draws', async () => {
    const noise = random(120, 4, 13);
    const labels = Int32Array.from({ length: 120 }, (_, i) => i % 2);
    const x = { ...noise, values: noise.values.map((v, i) => v + (i % 4 === 0 && labels[Math.floor(i / 4)] === 1 ? 0.8 : 0)) };
    const options = { ...lowLabelDefaults, budgets: readBudgets('10%,3'), draws: 3 };
    const [share, each] = await lowLabelProbes(x, labels, x, labels, 2, options, linearDefaults);
    expect(share).toMatchObject({ budget: '10 %', labels: 12 });
    expect(each).toMatchObject({ budget: '3 a class', labels: 6 });
    const single = await Promise.all([0, 1, 2].map(async (draw) => (await lowLabelProbes(x, labels, x, labels, 2, { ...options, budgets: readBudgets('10%'), draws: draw + 1 }, linearDefaults))[0]));
    const found = [single[0].mean, 2 * single[1].mean - single[0].mean, 3 * single[2].mean - 2 * single[1].mean];
    const centre = found.reduce((a, b) => a + b, 0) / 3;
    expect(share.mean).toBeCloseTo(centre, 9);
    expect(share.deviation).toBeCloseTo(Math.sqrt(found.reduce((a, b) => a + (b - centre) ** 2, 0) / 2), 9);
  });
  test('what is not a budget is said', () => {
    expect(() => readBudgets('1%,x')).toThrow(/SSL5001/);
    expect(() => readBudgets('0.5')).toThrow(/SSL5001/);
  });
});
