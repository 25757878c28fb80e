/** `std.clustering` against float64 code that shares nothing with it. */
import { describe, expect, it } from 'vitest';
import { evaluateCall, load } from './harness.js';

const program = load('models/std/clustering.ssl');
type Matrix = readonly (readonly number[])[];
const matrix = (rows: number, columns: number, salt: number): Matrix =>
  Array.from({ length: rows }, (_, i) => Array.from({ length: columns }, (__, j) => Math.sin(12.9898 * (i + 1) + 78.233 * (j + 1) * salt + salt)));
const tensor = (m: Matrix): { shape: number[]; values: number[] } => ({ shape: [m.length, m[0].length], values: m.flat() });
const vector = (v: readonly number[]): { shape: number[]; values: number[] } => ({ shape: [v.length], values: [...v] });
const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((s, x, i) => s + x * b[i], 0);
const distance = (a: readonly number[], b: readonly number[]): number => a.reduce((s, x, i) => s + (x - b[i]) ** 2, 0);
const call = (name: string, inputs: Parameters<typeof evaluateCall>[2], set: Record<string, string> = {}): number[] => [...(evaluateCall(program, name, inputs, { set }).outputs.get('out')?.values ?? [])];
const rowsOf = (flat: readonly number[], width: number): Matrix => Array.from({ length: flat.length / width }, (_, i) => flat.slice(i * width, (i + 1) * width));
const near = (found: readonly number[], expected: readonly number[], digits = 9): void => {
  expect(found.length).toBe(expected.length);
  found.forEach((v, i) => expect(v).toBeCloseTo(expected[i], digits));
};

/** Two groups of three clusters far apart: rows 0, 6, 12, ... belong together. */
const clustered = (n: number): Matrix => Array.from({ length: n }, (_, i) => { const c = i % 6; return [10 * c + 0.1 * Math.sin(i), -7 * (c % 2) + 0.1 * Math.cos(3 * i), 0.1 * Math.sin(7 * i)]; });
const meanOf = (rows: Matrix): number[] => rows[0].map((_, d) => rows.reduce((s, r) => s + r[d], 0) / rows.length);

describe('the cluster of a row', () => {
  it('is the least squared distance', () => {
    const x = matrix(20, 4, 1);
    const c = matrix(7, 4, 2);
    expect(call('cluster_of', { x: tensor(x), centroids: tensor(c) })).toEqual(x.map((r) => c.reduce((best, k, j) => (distance(r, k) < distance(r, c[best]) ? j : best), 0)));
  });

  it('within a group looks at the group\'s centroids only', () => {
    const x = matrix(20, 4, 1);
    const c = matrix(6, 4, 2);
    const group = x.map((_, i) => i % 3);
    const found = call('cluster_within', { x: tensor(x), centroids: tensor(c), group: { ...vector(group), element: 'i32' } }, { groups: '3' });
    expect(found).toEqual(x.map((r, i) => { const [a, b] = [2 * group[i], 2 * group[i] + 1]; return distance(r, c[b]) < distance(r, c[a]) ? b : a; }));
  });
});

describe('cluster means', () => {
  it('are means, and an empty cluster lies beside the largest of its group', () => {
    const x = matrix(12, 3, 3);
    const a = [0, 0, 0, 2, 2, 3, 3, 3, 3, 5, 5, 5];
    const found = rowsOf(call('cluster_means', { x: tensor(x), a: { ...vector(a), element: 'i32' } }, { clusters: '6', groups: '2' }), 3);
    for (const k of [0, 2, 3, 5]) near(found[k], meanOf(x.filter((_, i) => a[i] === k)));
    for (const [empty, largest] of [[1, 0], [4, 3]]) {
      found[empty].forEach((v, d) => expect(Math.abs(v / found[largest][d] - 1)).toBeCloseTo(1e-3, 9));
    }
  });
});

describe('k-means', () => {
  it('finds clusters that are there', () => {
    const x = clustered(60);
    const c = rowsOf(call('kmeans', { x: tensor(x) }, { k: '6', rounds: '12' }), 3);
    const total = x.reduce((s, r) => s + Math.min(...c.map((k) => distance(r, k))), 0);
    // Lloyd's algorithm never raises the sum of squares; the rows drawn first fall into each cluster here, or it splits one.
    expect(total).toBeLessThan(60 * 30);
    const assigned = x.map((r) => c.reduce((best, k, j) => (distance(r, k) < distance(r, c[best]) ? j : best), 0));
    for (const k of new Set(assigned)) near(c[k], meanOf(x.filter((_, i) => assigned[i] === k)), 6);
  });

  it('of directions gives unit centroids', () => {
    const x = matrix(30, 3, 5).map((r) => r.map((v) => v / Math.sqrt(dot(r, r))));
    const c = rowsOf(call('spherical_kmeans', { x: tensor(x) }, { k: '4', rounds: '8' }), 3);
    c.forEach((r) => expect(dot(r, r)).toBeCloseTo(1, 6));
  });

  it('within groups keeps to them', () => {
    const x = clustered(60);
    const group = x.map((_, i) => (i % 6 < 3 ? 0 : 1));
    const c = rowsOf(call('kmeans_within', { x: tensor(x), group: { ...vector(group), element: 'i32' } }, { k: '6', groups: '2', rounds: '12' }), 3);
    c.forEach((r, k) => expect(r[0] < 25).toBe(k < 3));
  });

  it('draws some rows to begin with, one from each part', () => {
    const x = matrix(20, 2, 1);
    const found = rowsOf(call('some_rows', { x: tensor(x) }, { k: '5' }), 2);
    found.forEach((r, j) => expect(x.slice(4 * j, 4 * j + 4).some((row) => distance(row, r) < 1e-20)).toBe(true));
  });
});

/** Eigenvectors of a symmetric matrix with their values, largest first: Jacobi's rotations. */
function eigen(m: Matrix): readonly { readonly value: number; readonly vector: readonly number[] }[] {
  const n = m.length;
  const a = m.map((r) => [...r]);
  const v = a.map((_, i) => a.map((__, j) => Number(i === j)));
  for (let sweep = 0; sweep < 40; sweep++) for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) {
    if (Math.abs(a[p][q]) < 1e-300) continue;
    const angle = 0.5 * Math.atan2(2 * a[p][q], a[q][q] - a[p][p]);
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    for (let k = 0; k < n; k++) [a[k][p], a[k][q]] = [c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]];
    for (let k = 0; k < n; k++) [a[p][k], a[q][k]] = [c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]];
    for (let k = 0; k < n; k++) [v[k][p], v[k][q]] = [c * v[k][p] - s * v[k][q], s * v[k][p] + c * v[k][q]];
  }
  return a.map((r, i) => ({ value: r[i], vector: v.map((row) => row[i]) })).sort((x, y) => y.value - x.value);
}
const covariance = (x: Matrix): Matrix => { const m = meanOf(x); return m.map((_, i) => m.map((__, j) => x.reduce((s, r) => s + (r[i] - m[i]) * (r[j] - m[j]), 0) / x.length)); };

describe('principal components', () => {
  // Variances of about 9, 1, 1/9 and so on, along directions that are none of the axes.
  const turn = Array.from({ length: 5 }, (_, i) => Array.from({ length: 5 }, (__, j) => Math.sin((i + 1.3) * (j + 2.1) * 1.37)));
  const x = Array.from({ length: 60 }, (_, i) => [0, 1, 2, 3, 4].map((j) => Math.sin(1.7 * (i + 1) ** 2 * (j + 1)))).map((r) => turn[0].map((_, j) => 2 + r.reduce((s, v, i) => s + 3 ** (1 - i) * v * turn[i][j], 0)));
  const components = eigen(covariance(x));

  it('are the coordinates along the eigenvectors of the covariance matrix, largest first', () => {
    const found = rowsOf(call('principal_components', { x: tensor(x) }, { dims: '3', rounds: '60' }), 3);
    const centre = meanOf(x);
    for (let k = 0; k < 3; k++) {
      const expected = x.map((r) => dot(r.map((v, d) => v - centre[d]), components[k].vector));
      const sign = Math.sign(found[0][k] * expected[0]);
      near(found.map((r) => sign * r[k]), expected, 5);
    }
  });

  it('whitened are scaled to variance one', () => {
    const found = rowsOf(call('principal_components', { x: tensor(x) }, { dims: '2', rounds: '60' }), 2);
    const w = rowsOf(call('whiten', { x: tensor(found) }, { floor: '0' }), 2);
    w.forEach((r, n) => near(r, [found[n][0] / Math.sqrt(components[0].value), found[n][1] / Math.sqrt(components[1].value)], 5));
  });

  it('stay apart when the rows lie in fewer dimensions', () => {
    const flat = matrix(30, 2, 3).map((r) => [r[0], r[1], r[0] + r[1], r[0] - r[1]]);
    const found = rowsOf(call('principal_components', { x: tensor(flat) }, { dims: '3' }), 3);
    expect(found.flat().every(Number.isFinite)).toBe(true);
    const c = covariance(found);
    expect(c[0][0] + c[1][1]).toBeCloseTo(eigen(covariance(flat)).reduce((s, e) => s + e.value, 0), 5);
    expect(Math.abs(c[2][2])).toBeLessThan(1e-5);
  });
});

describe('whitening', () => {
  it('gives every direction variance one, and no covariance', () => {
    const x = Array.from({ length: 40 }, (_, i) => [5 + 3 * Math.sin(1.7 * i), Math.sin(i * i), 0.5 * Math.cos(0.9 * i) - Math.sin(i * i)]);
    const w = rowsOf(call('whiten', { x: tensor(x) }, { floor: '0' }), 3);
    near(meanOf(w), [0, 0, 0], 6);
    for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) expect(w.reduce((s, r) => s + r[i] * r[j], 0) / 40).toBeCloseTo(i === j ? 1 : 0, 6);
  });

  it('leaves directions without variance small', () => {
    const x = matrix(40, 2, 2).map((r) => [r[0], r[1], 1e-4 * r[0] * r[1]]);
    const w = rowsOf(call('whiten', { x: tensor(x) }, { floor: '0.001' }), 3);
    expect(w.reduce((s, r) => s + r[2] ** 2, 0) / 40).toBeLessThan(0.01);
  });
});

/** Sinkhorn as the paper has it: alternate scaling of exp(scores / eps), columns first, each row summing to one in the end. */
function codesOf(z: Matrix, prototypes: Matrix, eps: number, rounds: number): Matrix {
  let q = z.map((r) => prototypes.map((p) => Math.exp(dot(r, p) / eps)));
  for (let i = 0; i < rounds; i++) {
    const columns = prototypes.map((_, k) => q.reduce((s, r) => s + r[k], 0));
    q = q.map((r) => r.map((v, k) => v / columns[k] / prototypes.length));
    q = q.map((r) => { const sum = r.reduce((a, b) => a + b, 0); return r.map((v) => v / sum / z.length); });
  }
  return q.map((r) => r.map((v) => v * z.length));
}

describe('Sinkhorn', () => {
  it('gives the prototypes\' means under the codes', () => {
    const [z, p] = [matrix(7, 3, 1), matrix(5, 3, 2)];
    const q = codesOf(z, p, 0.3, 3);
    const expected = q.flatMap((r) => p[0].map((_, d) => r.reduce((s, v, k) => s + v * p[k][d], 0)));
    near(call('sinkhorn_means', { z: tensor(z), prototypes: tensor(p), absent: vector(z.map(() => 0)) }, { eps: '0.3', rounds: '3' }), expected, 6);
  });

  it('leaves absent rows out of the balance', () => {
    const [z, p] = [matrix(7, 3, 1), matrix(5, 3, 2)];
    const q = codesOf(z.slice(0, 4), p, 0.3, 2);
    const expected = q.flatMap((r) => p[0].map((_, d) => r.reduce((s, v, k) => s + v * p[k][d], 0)));
    const found = call('sinkhorn_means', { z: tensor(z), prototypes: tensor(p), absent: vector(z.map((_, i) => (i < 4 ? 0 : -1e30))) }, { eps: '0.3', rounds: '2' });
    near(found.slice(0, expected.length), expected, 6);
  });

  it('uses every prototype equally after many rounds', () => {
    const [z, p] = [matrix(8, 3, 1), matrix(4, 3, 2)];
    const found = rowsOf(call('sinkhorn_means', { z: tensor(z), prototypes: tensor(p), absent: vector(z.map(() => 0)) }, { eps: '0.5', rounds: '60' }), 3);
    // Each prototype then has a quarter of the mass: the mean over the rows is the mean of the prototypes.
    near(meanOf(found), meanOf(p), 6);
  });

  it('is predicted by a cross-entropy', () => {
    const [z, other, p] = [matrix(6, 3, 1), matrix(6, 3, 4), matrix(5, 3, 2)];
    const q = codesOf(z, p, 0.3, 3);
    const means = q.map((r) => p[0].map((_, d) => r.reduce((s, v, k) => s + v * p[k][d], 0)));
    const expected = other.reduce((s, r, b) => {
      const scores = p.map((k) => dot(r, k) / 0.2);
      const normalizer = Math.log(scores.reduce((a, v) => a + Math.exp(v), 0));
      return s - q[b].reduce((a, v, k) => a + v * (scores[k] - normalizer), 0) / other.length;
    }, 0);
    near(call('swapped_prediction', { means: tensor(means), z: tensor(other), prototypes: tensor(p) }, { tau: '0.2' }), [expected], 6);
  });
});
