import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { linearProbe } from '../../runtime/evaluate/linear-probe.js';
import { knn, knnDefaults, nearestNeighbours } from '../../runtime/evaluate/nearest.js';
import { encodeNpy } from '../../runtime/evaluate/npy.js';
import { retrieval } from '../../runtime/evaluate/retrieval.js';
import { gram, rankMe, symmetricEigenvalues, unitDeviation, type Features } from '../../runtime/evaluate/spectrum.js';
import { splitMix } from '../../runtime/train/data-order.js';

function random(rows: number, size: number, seed: number): Features {
  const next = splitMix(seed);
  return { rows, size, values: Float32Array.from({ length: rows * size }, () => next() / 2 ** 31 - 1) };
}

/** Classes are directions, with noise. */
function blobs(rows: number, size: number, seed: number): { readonly features: Features; readonly labels: Int32Array } {
  const noise = random(rows, size, seed);
  const labels = Int32Array.from({ length: rows }, (_, i) => i % 3);
  return { labels, features: { ...noise, values: noise.values.map((v, i) => v + ((i % size) % 3 === labels[Math.floor(i / size)] ? 1 : 0)) } };
}

test('nearest neighbours agree with plain loops, in any shape', async () => {
  await fc.assert(fc.asyncProperty(fc.integer({ min: 2, max: 70 }), fc.integer({ min: 1, max: 70 }), fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 9 }), fc.boolean(), async (bankRows, rows, size, k, centred) => {
    const bank = random(bankRows, size, 1);
    const queries = random(rows, size, 2);
    const near = await nearestNeighbours(bank, queries, k, centred);
    const mean = Array.from({ length: size }, (_, d) => (centred ? Array.from({ length: bankRows }, (_, i) => bank.values[i * size + d]).reduce((a, b) => a + b, 0) / bankRows : 0));
    const unit = (f: Features, i: number): number[] => {
      const row = mean.map((m, d) => f.values[i * size + d] - m);
      const norm = Math.hypot(...row);
      return row.map((v) => v / norm);
    };
    for (let q = 0; q < rows; q++) {
      const mine = unit(queries, q);
      const cosines = Array.from({ length: bankRows }, (_, i) => unit(bank, i).reduce((a, v, d) => a + v * mine[d], 0)).sort((a, b) => b - a);
      for (let j = 0; j < near.k; j++) expect(Math.abs(near.similarities[q * near.k + j] - cosines[j])).toBeLessThan(1e-4);
    }
  }), { numRuns: 25 });
});

test('kNN and the linear probe separate classes that differ, and guess on noise', async () => {
  const train = blobs(300, 12, 3);
  const held = blobs(200, 12, 4);
  expect(await knn(train.features, train.labels, held.features, held.labels, 3, knnDefaults)).toBeGreaterThan(0.95);
  expect((await linearProbe(train.features, train.labels, held.features, held.labels, 3)).accuracy).toBeGreaterThan(0.97);
  const noise = await linearProbe(random(300, 12, 5), train.labels, random(200, 12, 6), held.labels, 3);
  expect(noise.accuracy).toBeLessThan(0.5);
});

test('retrieval finds rows that were only disturbed', async () => {
  const gallery = random(60, 20, 7);
  const queries = { ...gallery, values: gallery.values.map((v, i) => v + 0.01 * Math.sin(i)) };
  expect(await retrieval(gallery, queries, Int32Array.from({ length: 60 }, (_, i) => i), true)).toMatchObject({ r1: 1, r5: 1, gallery: 60 });
});

describe('spread', () => {
  test('eigenvalues have the trace and the squared norm of the matrix', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 24 }), fc.integer({ min: 1, max: 40 }), (size, rows) => {
      const g = gram(random(rows, size, size * 100 + rows));
      const values = symmetricEigenvalues(g, size);
      const trace = Array.from({ length: size }, (_, i) => g[i * size + i]).reduce((a, b) => a + b, 0);
      const near = (a: number, b: number): void => expect(Math.abs(a - b)).toBeLessThan(1e-4 * (1 + Math.abs(b)));
      near(values.reduce((a, b) => a + b, 0), trace);
      near(values.reduce((a, b) => a + b * b, 0), g.reduce((a, b) => a + b * b, 0));
    }));
  });
  test('rank counts directions; both measures see a collapse', () => {
    const identity: Features = { rows: 8, size: 8, values: Float32Array.from({ length: 64 }, (_, i) => (i % 9 === 0 ? 1 : 0)) };
    expect(rankMe(identity)).toBeCloseTo(8, 3);
    const constant: Features = { rows: 50, size: 8, values: new Float32Array(400).fill(0.3) };
    expect(rankMe(constant)).toBeLessThan(1.01);
    expect(unitDeviation(constant)).toBeCloseTo(0, 5);
    expect(unitDeviation(random(4000, 16, 9))).toBeCloseTo(1 / 4, 2);
  });
});

test('npy has an aligned header that NumPy reads', () => {
  const bytes = encodeNpy(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]);
  const header = bytes[8] + 256 * bytes[9];
  expect((10 + header) % 64).toBe(0);
  expect(Buffer.from(bytes.subarray(10, 10 + header)).toString()).toMatch(/^\{'descr': '<f4', 'fortran_order': False, 'shape': \(2, 3\), \} *\n$/);
  expect(bytes.length).toBe(10 + header + 24);
});
