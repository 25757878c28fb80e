/** What programs mean: lifting, absorption, index ranges, guards, ownership, draws. Values from formulas written out here. */
import { describe, expect, it } from 'vitest';
import { call, range, values } from './harness.js';

const close = (a: readonly number[], b: readonly number[], digits = 9): void => {
  expect(a.length).toBe(b.length);
  a.forEach((x, i) => expect(x).toBeCloseTo(b[i], digits));
};

describe('index notation', () => {
  it('takes ranges from use and computes a matrix product', () => {
    const text = 'fn product(a: [M, K], b: [K, N]) -> [M, N] { y[m, n] = sum[k](a[m, k] * b[k, n]); y }';
    const a = values(6, 1), b = values(12, 2);
    const out = call(text, 'product', { a: { shape: [2, 3], data: a }, b: { shape: [3, 4], data: b } })['out'];
    close(out, range(8, (i) => range(3, (k) => a[Math.floor(i / 4) * 3 + k] * b[k * 4 + (i % 4)]).reduce((x, y) => x + y)));
  });

  it('`@` is the same product', () => {
    const a = values(6, 1), b = values(12, 2);
    const inputs = { a: { shape: [2, 3], data: a }, b: { shape: [3, 4], data: b } };
    close(call('fn p(a: [M, K], b: [K, N]) = a @ b', 'p', inputs)['out'], call('fn p(a: [M, K], b: [K, N]) { y[m, n] = sum[k](a[m, k] * b[k, n]); y }', 'p', inputs)['out']);
  });

  it('guards reads outside and takes ranges of a result from its declared shape', () => {
    const out = call('fn blur(x: [N]) -> [N] { y[i] = sum[d: 3](x[i + d - 1] else 0); y }', 'blur', { x: { shape: [4], data: [1, 2, 3, 4] } })['out'];
    close(out, [3, 6, 9, 7]);
  });

  it('guards a reduction with where', () => {
    const out = call('fn off(c: [I, J]) -> [] = sum[i, j where i != j](c[i, j]^2)', 'off', { c: { shape: [3, 3], data: range(9, (i) => i) } })['out'];
    close(out, [1 + 4 + 9 + 25 + 36 + 49]);
  });

  it('leaves out what the mean does not count', () => {
    close(call('fn m(x: [N]) -> [] = mean[i where x[i] > 0](x[i])', 'm', { x: { shape: [4], data: [-5, 1, 2, -9] } })['out'], [1.5]);
  });

  it('indexes a tensor by an integer tensor', () => {
    close(call('fn rows(t: [V, D], w: int[N]) -> [N, D] = t[w]', 'rows', { t: { shape: [3, 2], data: [0, 1, 10, 11, 20, 21] }, w: { shape: [2], data: [2, 0], element: 'i32' } })['out'], [20, 21, 0, 1]);
  });

  it('rows give the matrix of all pairs', () => {
    const text = 'energy distance(u: [D], v: [D]) -> [] = sum[d]((u[d] - v[d])^2)\nfn all_pairs(u: [M, D], v: [N, D]) -> [M, N] { e[i, j] = distance(u[i], v[j]); e }';
    close(call(text, 'all_pairs', { u: { shape: [2, 2], data: [0, 0, 1, 1] }, v: { shape: [1, 2], data: [3, 4] } })['out'], [25, 13]);
  });
});

describe('axes', () => {
  it('maps a function over extra leading axes', () => {
    const out = call('fn total(x: [N]) -> [] = sum[n](x[n])', 'total', { x: { shape: [2, 2, 3], data: range(12, (i) => i) } })['out'];
    close(out, [3, 12, 21, 30]);
  });

  it('reduces axes by name, also after a convolution renamed its sizes', () => {
    const text = 'use std.layers { conv }\nlayer pooled(x: [H, W, C]) = x |> conv(2, stride: 2) |> mean[H, W]';
    expect(call(text, 'pooled', { x: { shape: [5, 6, 3], data: values(90) } })['out'].length).toBe(2);
  });

  it('`*S` takes the batch that a lifted caller maps over', () => {
    const text = 'fn centre(x: [*S, C]) -> [*S, C] = x - mean[*S](x)\nfn image(x: [H, C]) -> [H, C] = centre(x)';
    const data = values(12);
    const out = call(text, 'image', { x: { shape: [2, 3, 2], data } })['out'];
    const mean = [0, 1].map((c) => range(6, (i) => data[2 * i + c]).reduce((a, b) => a + b) / 6);
    close(out, data.map((v, i) => v - mean[i % 2]));
  });

  it('rounds fractions down where an int is expected', () => {
    close(call('layer half(n: int = 5 / 2)(x: [N]) -> [n] { y[i: n] = x[i]; y }', 'half', { x: { shape: [4], data: [1, 2, 3, 4] } })['out'], [1, 2]);
  });

  it('reads pixels as fractions of 255', () => {
    close(call('fn twice(x: [N]) = 2 * x', 'twice', { x: { shape: [2], data: [255, 51], element: 'u8' } })['out'], [2, 0.4]);
  });
});

describe('gradients and ownership', () => {
  it('stops at stop', () => {
    const g = call('fn f(u: [N], v: [N]) -> [] = sum[n](u[n] * stop(v[n]))', 'f', { u: { shape: [2], data: [1, 2] }, v: { shape: [2], data: [3, 4] } }, { gradients: true });
    close(g['grad.u'], [3, 4]);
    close(g['grad.v'], [0, 0]);
  });

  it('draws parameters by path and differentiates them', () => {
    const text = 'use std.layers { linear }\nlayer two(x: [I]) = x |> linear(3) |> relu |> linear(2)';
    const out = call(text, 'two', { x: { shape: [4, 5], data: values(20) } }, { gradients: true });
    expect(Object.keys(out).sort()).toEqual(['grad.param.linear1.b', 'grad.param.linear1.w', 'grad.param.linear2.b', 'grad.param.linear2.w', 'grad.x', 'out']);
    close(out['grad.param.linear2.b'], [4, 4]);
  });

  it('uses running statistics outside training', () => {
    const text = 'use std.layers { batch_norm }\nlayer n(x: [C]) = x |> batch_norm';
    const data = values(8);
    close(call(text, 'n', { x: { shape: [4, 2], data } }, { training: false })['out'], data.map((v) => v / Math.sqrt(1 + 1e-5)));
  });

  it('shares the weights of a network between its applications', () => {
    const text = 'use std.layers { linear }\nmodel m() {\n  input x: [I]\n  net f = linear(2)\n  minimize agree: mean((f(x) - f(2 * x))^2)\n  represent f(x)\n}';
    const out = call(text, 'm', { x: { shape: [3, 4], data: values(12) } }, { gradients: true });
    expect(Object.keys(out)).toContain('grad.param.f.w');
    expect(Object.keys(out).filter((k) => k.startsWith('grad.param.')).length).toBe(2);
  });
});

describe('draws', () => {
  it('are independent for every element a view is mapped over, and the same in the next run', () => {
    const text = 'view shifted(x: [N]) -> [N] { let s ~ uniform(0, 1)\n x + s }';
    const zeros = { x: { shape: [50, 2], data: range(100, () => 0) } };
    const first = call(text, 'shifted', zeros)['out'];
    expect(new Set(first.map((v) => v.toFixed(9))).size).toBe(50);
    expect(call(text, 'shifted', zeros)['out']).toEqual(first);
  });

  it('permutations are permutations', () => {
    const out = call('view p(x: [N]) -> int[N] { let order ~ permutation(N)\n order }', 'p', { x: { shape: [20, 7], data: range(140, () => 0) } })['out'];
    for (let k = 0; k < 20; k++) expect([...out.slice(7 * k, 7 * k + 7)].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });
});

describe('repeat', () => {
  it('keeps what a round defines for the next round and after', () => {
    const text = 'fn power(c: [D, D], x: [D]) -> [D] {\n  let u = x\n  repeat 3 {\n    v[i] = sum[j](c[i, j] * u[j])\n    let u = v\n  }\n  u + v\n}';
    const c = [2, 1, 0, 3], x = [1, -1];
    const product = (u: readonly number[]): number[] => [c[0] * u[0] + c[1] * u[1], c[2] * u[0] + c[3] * u[1]];
    close(call(text, 'power', { c: { shape: [2, 2], data: c }, x: { shape: [2], data: x } })['out'], product(product(product(x))).map((v) => 2 * v));
  });

  it('does nothing in no rounds, nests, and takes its number from settings', () => {
    const text = 'fn count(rounds: int)(x: []) -> [] {\n  let y = x\n  repeat rounds {\n    repeat 2 * rounds { let y = y + 1 }\n  }\n  y\n}';
    close(call(text, 'count', { x: { shape: [], data: [5] } }, { set: { rounds: '3' } })['out'], [23]);
    close(call(text, 'count', { x: { shape: [], data: [5] } }, { set: { rounds: '0' } })['out'], [5]);
  });

  it('draws anew in every round', () => {
    const text = 'view wander(x: [N]) -> [N] {\n  let y = x\n  repeat 2 {\n    let e[n: N] ~ normal(0, 1)\n    let y = y + e\n  }\n  y - 2 * e\n}';
    expect(Math.abs(call(text, 'wander', { x: { shape: [1], data: [0] } })['out'][0])).toBeGreaterThan(1e-6);
  });

  it('has gradients through its rounds', () => {
    const text = 'fn cube(x: []) -> [] {\n  let y = 1\n  repeat 3 { let y = y * x }\n  y\n}';
    close(call(text, 'cube', { x: { shape: [], data: [2] } }, { gradients: true })['grad.x'], [12]);
  });

  it('is a mistake with a number of rounds that makes no sense, or one not known while compiling', () => {
    const text = (count: string): string => `fn f(x: []) -> [] {\n  let y = x\n  repeat ${count} { let y = y + 1 }\n  y\n}`;
    for (const count of ['5000', 'int(x)']) expect(() => call(text(count), 'f', { x: { shape: [], data: [1] } })).toThrow(/SSL2001|expected/);
  });
});
