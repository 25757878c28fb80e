/** Sorting, triangular systems and segmented sums as `.ssl` says them: values, gradients, and which kernels they become. */
import { describe, expect, it } from 'vitest';
import { compileCall } from '../../compiler/pipeline.js';
import { materializedOfSize } from '../../compiler/fuse/verify-kernels.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { exactOptions } from '../wasm/harness.js';
import { softwareOptions } from '../wgsl/harness.js';
import type { Tensor } from './harness.js';
import { call, load } from './harness.js';

const random = (seed: number, n: number): number[] => Array.from({ length: n }, (_, i) => Math.sin(seed * 12.9898 + i * 78.233) * 43758.5453 % 1);
const tensor = (shape: readonly number[], seed = 1): Tensor => ({ shape, data: random(seed, shape.reduce((a, b) => a * b, 1)) });
const ints = (shape: readonly number[], data: readonly number[]): Tensor => ({ shape, data, element: 'i32' });

/** The gradients of a function against differences of its scalar result. */
function expectGradients(text: string, inputs: Readonly<Record<string, Tensor>>, names: readonly string[]): void {
  const given = call(text, 'f', inputs, { gradients: true });
  const value = (changed: Readonly<Record<string, Tensor>>): number => call(text, 'f', changed)['out'][0];
  for (const name of names) {
    const { data, shape } = inputs[name];
    const moved = (i: number, by: number): number => value({ ...inputs, [name]: { shape, data: data.map((x, k) => (k === i ? x + by : x)) } });
    const stride = Math.max(1, Math.floor(data.length / 5));
    data.forEach((_, i) => {
      if (i % stride !== 0) return;
      const difference = (moved(i, 1e-5) - moved(i, -1e-5)) / 2e-5;
      expect(Math.abs(given[`grad.${name}`][i] - difference), `grad ${name}[${i}]`).toBeLessThan(1e-6 * Math.max(1, Math.abs(difference)) + 1e-7);
    });
  }
}

function kernelsOf(text: string, name: string, inputs: Readonly<Record<string, readonly number[]>>, target: 'wasm' | 'wgsl', integers: readonly string[] = []): KernelProgram {
  const options = { ...(target === 'wasm' ? exactOptions : softwareOptions) };
  const described = Object.fromEntries(Object.entries(inputs).map(([k, shape]) => [k, { element: integers.includes(k) ? 'i32' as const : 'f32' as const, shape }]));
  return compileCall(load(text), { name, set: {}, gradients: false, training: false, inputs: described, target: options }).kernels['call'];
}

describe('sorting', () => {
  it('sorts rows, keeps equal elements in their order, and puts NaN last', () => {
    const x = ints([2, 4], [3, 1, 3, 2, 5, 5, 4, 5]);
    expect(call('fn f(x: int[N]) -> int[N] = argsort(x)', 'f', { x })['out']).toEqual([1, 3, 0, 2, 2, 0, 1, 3]);
    expect(call('fn f(x: [N]) -> [N] = sort(x)', 'f', { x: { shape: [5], data: [2, NaN, -1, 0, -3] } })['out']).toEqual([-3, -1, 0, 2, NaN]);
  });
  it('gives the largest elements and where they were', () => {
    const text = 'fn f(x: [N]) -> [2] { let (values, places) = top_k(2)(x); let back = places; y[i: 2] = values[i] + 100 * back[i]; y }';
    expect(call(text, 'f', { x: { shape: [2, 4], data: [1, 9, 3, 7, 2, 2, 0, 2] } })['out']).toEqual([109, 307, 2, 102]);
  });
  it('passes gradients to the places that elements came from', () => {
    expectGradients('fn f(x: [N, M], w: [N, M]) -> [] { let y = sort(x); sum[n, m](w[n, m] * y[n, m]^2) }', { x: tensor([3, 5], 2), w: tensor([3, 5], 3) }, ['x', 'w']);
    expectGradients('fn f(x: [N], w: [3]) -> [] { let (y, _) = top_k(3)(x); sum[i](w[i] * y[i]^2) }', { x: tensor([6], 2), w: tensor([3], 3) }, ['x']);
  });
});

describe('triangular factors and systems', () => {
  const spread = 'let s = (a + transpose(a)) / 2; p[i, j] = s[i, j] + if i == j { 4 } else { 0 }';
  const multiply = (x: readonly number[], y: readonly number[], n: number, m: number): number[] =>
    Array.from({ length: n * m }, (_, at) => Array.from({ length: n }, (_x, k) => x[Math.floor(at / m) * n + k] * y[k * m + at % m]).reduce((p, q) => p + q, 0));
  it('gives L with L L\' = a, and solutions of both systems', () => {
    const [a, b] = [tensor([4, 4], 5), tensor([4, 3], 6)];
    const l = call(`fn f(a: [N, N]) -> [N, N] { ${spread}; cholesky(p) }`, 'f', { a })['out'];
    const p = call(`fn f(a: [N, N]) -> [N, N] { ${spread}; p }`, 'f', { a })['out'];
    const turned = l.map((_, at) => l[(at % 4) * 4 + Math.floor(at / 4)]);
    multiply(l, turned, 4, 4).forEach((x, i) => expect(x).toBeCloseTo(p[i], 12));
    expect(l.filter((_, at) => at % 4 > Math.floor(at / 4))).toEqual([0, 0, 0, 0, 0, 0]);
    // What lies above the diagonal does not matter.
    const inputs = { l: { shape: [4, 4], data: l.map((x, at) => (at % 4 > Math.floor(at / 4) ? 9 : x)) }, b };
    const solve = (option: string): number[] => call(`fn f(l: [N, N], b: [N, M]) -> [N, M] = solve_triangular(l, b${option})`, 'f', inputs)['out'];
    multiply(l, solve(''), 4, 3).forEach((x, i) => expect(x).toBeCloseTo(b.data[i], 12));
    multiply(turned, solve(', transposed: true'), 4, 3).forEach((x, i) => expect(x).toBeCloseTo(b.data[i], 12));
  });
  it('maps over axes that nobody wrote: of the matrix as matrices, of the right sides as columns', () => {
    const l: Tensor = { shape: [2, 2, 2], data: [2, 0, 1, 1, 4, 0, 2, 0.5] };
    const z: Tensor = { shape: [3, 2], data: [2, 4, 6, 1, 0, 2] };
    const white = 'fn white(z: [N], l: [N, N]) -> [N] = solve_triangular(l, z)\n';
    expect(call(`${white}fn f(z: [B, N], l: [K, N, N]) -> [B, N] { let one = l[0]; white(z, one) }`, 'f', { z, l })['out']).toEqual([1, 3, 3, -2, 0, 2]);
    expect(call('fn f(l: [K, N, N], b: [K, N]) -> [K, N] = solve_triangular(l, b)', 'f', { l, b: { shape: [2, 2], data: [2, 4, 4, 1] } })['out']).toEqual([1, 3, 1, -2]);
    expect(call(`${white}fn f(z: [B, N], l: [B, N, N]) -> [B, N] = white(z, l)`, 'f', { l, z: { shape: [2, 2], data: [2, 4, 4, 1] } })['out']).toEqual([1, 3, 1, -2]);
  });
  it('has the gradients of differences', () => {
    expectGradients(`fn f(a: [K, N, N], w: [N, N]) -> [] { q[k] = g(a[k], w); sum[k](q[k]) }\nfn g(a: [N, N], w: [N, N]) -> [] { ${spread}; let l = cholesky(p); sum[i, j](w[i, j] * l[i, j]^2) }`, { a: tensor([2, 3, 3], 5), w: tensor([3, 3], 6) }, ['a']);
    // Read as it is, not made symmetric first: the factor is that of the symmetric part.
    expectGradients('fn f(a: [N, N], w: [N, N]) -> [] { p[i, j] = a[i, j] + if i == j { 4 } else { 0 }; let l = cholesky(p); sum[i, j](w[i, j] * l[i, j]) }', { a: tensor([4, 4], 5), w: tensor([4, 4], 6) }, ['a']);
    for (const option of ['', ', transposed: true']) {
      expectGradients(`fn f(a: [N, N], b: [N, M], w: [N, M]) -> [] { l[i, j] = a[i, j] + if i == j { 3 } else { 0 }; let x = solve_triangular(l, b${option}); sum[i, j](w[i, j] * x[i, j]^2) }`,
        { a: tensor([4, 4], 5), b: tensor([4, 2], 6), w: tensor([4, 2], 7) }, ['a', 'b']);
    }
    // Whitening: rows of z by the factor of their covariance.
    expectGradients('fn f(z: [B, N], w: [B, N]) -> [] { c[i, j] = mean[b](z[b, i] * z[b, j]) + if i == j { 0.1 } else { 0 }; let x = white(z, cholesky(c)); sum[b, n](w[b, n] * x[b, n]^3) }\nfn white(z: [N], l: [N, N]) -> [N] = solve_triangular(l, z)', { z: tensor([5, 3], 8), w: tensor([5, 3], 9) }, ['z']);
  });
});

describe('inverse_normal', () => {
  /** The distribution function by its Taylor series at 0, or its continued fraction far out. */
  const below = (x: number): number => {
    if (Math.abs(x) > 4) {
      let fraction = 0;
      for (let k = 200; k > 0; k--) fraction = k / (Math.abs(x) + fraction);
      const tail = Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI) / (Math.abs(x) + fraction);
      return x < 0 ? tail : 1 - tail;
    }
    let [term, sum] = [x, x];
    for (let k = 1; k < 200; k++) { term *= x * x / (2 * k + 1); sum += term; }
    return 0.5 + sum * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
  };
  it('inverts the distribution function, gradient included', () => {
    const xs = [-12, -8, -7.1, -6.9, -5, -3, -1.5, -1.4, -0.7, -1e-3, 0.3, 1.3, 1.45, 2.5, 5];
    const text = 'fn f(p: [N]) -> [N] = inverse_normal(p)';
    const p = { shape: [xs.length], data: xs.map(below) };
    const found = call(text, 'f', { p })['out'];
    found.forEach((x, i) => expect(Math.abs(x / xs[i] - 1), `at ${xs[i]}`).toBeLessThan(2e-10));
    const gradient = call('fn f(p: [N]) -> [] = sum(inverse_normal(p))', 'f', { p }, { gradients: true })['grad.p'];
    gradient.forEach((g, i) => expect(Math.abs(g * Math.exp(-0.5 * xs[i] ** 2) / Math.sqrt(2 * Math.PI) - 1), `gradient at ${xs[i]}`).toBeLessThan(1e-8));
    expect(call(text, 'f', { p: { shape: [3], data: [0, 0.5, 1] } })['out'].map((x) => Math.round(x))).toEqual([-13, 0, 13]);
  });
});

describe('segmented sums', () => {
  const near = 'near[i] = argmax[j](sum[d](x[i, d] * c[j, d]) - 0.5 * sum[d](c[j, d]^2))';
  const step = `fn f(x: [N, D], c: [K, D]) -> [K, D] { ${near}; count[k: K] = sum[i where near[i] == k](1); total[k: K, d] = sum[i where near[i] == k](x[i, d]); new[k, d] = if count[k] > 0 { total[k, d] / count[k] } else { c[k, d] }; new }`;
  it.each(['wasm', 'wgsl'] as const)('of k-means hold no matrix of points and clusters, on %s', (target) => {
    const kernels = kernelsOf(step, 'f', { x: [300, 16], c: [50, 16] }, target);
    expect(kernels.kernels.map((k) => k.kind)).toEqual(['reduce', 'online', 'scatter', 'scatter', 'map']);
    expect(materializedOfSize(kernels, 300 * 50)).toEqual([]);
    expect(kernelsOf('fn f(x: [N, D], c: [K, D]) -> [N] { y[i] = max[j](sum[d](x[i, d] * c[j, d])); y }', 'f', { x: [300, 16], c: [50, 16] }, target).kernels.map((k) => k.kind)).toEqual(['online']);
  });
  it('are the means of clusters', () => {
    const x: Tensor = { shape: [5, 1], data: [0, 10, 1, 12, 11] };
    expect(call(step, 'f', { x, c: { shape: [3, 1], data: [2, 9, -50] } })['out']).toEqual([0.5, 11, -50]);
  });
  it.each([
    ['products with a 0 or 1 made in between', 'fn f(a: int[N], x: [N, D]) -> [9, D] { hot[n, k: 9] = if a[n] == k { 1 } else { 0 }; y[k: 9, d] = sum[n](hot[n, k] * x[n, d]); y }'],
    ['weighted', 'fn f(a: int[N], x: [N, D]) -> [9, D] { y[k: 9, d] = sum[n where a[n] == k and n > 2](2 * x[n, d]); y }'],
    ['counts', 'fn f(a: int[N], x: [N, D]) -> [9] { y[k: 9] = sum[n where a[n] == k](1); float(y) }'],
    ['with the row in the value', 'fn f(a: int[N], x: [N, D]) -> [9, D] { y[k: 9, d] = sum[n where a[n] + 1 == k](k * x[n, d]); y }'],
  ])('%s', (_, text) => {
    const kernels = kernelsOf(text, 'f', { a: [40], x: [40, 8] }, 'wasm', ['a']);
    expect(kernels.kernels.filter((k) => k.kind === 'scatter')).toHaveLength(1);
    expect(kernels.kernels.some((k) => k.kind === 'contract' || k.kind === 'reduce')).toBe(false);
  });
  it('of every third row stay plain sums: few rows, or keys that data does not decide', () => {
    expect(kernelsOf('fn f(a: int[N], x: [N, D]) -> [2, D] { y[k: 2, d] = sum[n where a[n] == k](x[n, d]); y }', 'f', { a: [40], x: [40, 8] }, 'wasm', ['a']).kernels.map((k) => k.kind)).toEqual(['reduce']);
  });
});
