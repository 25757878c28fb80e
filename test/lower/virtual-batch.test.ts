/** A batch seen in chunks: the same losses, weights, states and reports as the batch seen whole. */
import { describe, expect, it } from 'vitest';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import { range, values } from './harness.js';
import { build, train } from './training.js';
import type { Trained, Values } from './training.js';

const rows = Array.from({ length: 20 }, (_, i) => values(5, 0.37 * (i + 1)));
const steps = 3;
const text = (body: string, optimizer = 'sgd(rate: 0.1, decay: 0.01)', extra = ''): string => `
use std.layers { linear, mlp, batch_norm, layer_norm }
use std.energies { nt_xent, barlow, info_nce, negative_cosine }
use std.regularizers { variance, covariance }
use std.optimizers { sgd, adamw, lars }
use std.schedules { cosine, after }
view noisy(x: [D]) { let e[d: D] ~ normal(0, 0.3); x + e }
layer tanh_layer(out: int)(x: [I]) -> [out] { let y = x |> linear(out); 2 * tanh(y) }
model m() {
  input x: [D]
  ${body}
}
train m { batch 2; optimizer ${optimizer}${extra} }`;

/** Largest difference of two runs in weights, states and reports, over all steps. */
function distance(a: Trained, b: Trained): number {
  let most = 0;
  const compare = (x: ArrayLike<number>, y: ArrayLike<number>): void => {
    expect(x.length).toBe(y.length);
    for (let i = 0; i < x.length; i++) most = Math.max(most, Math.abs(x[i] - y[i]));
  };
  a.states.forEach((state, step) => {
    for (const name of Object.keys(state)) if (/^(parameters|target|state|memory)/.test(name)) compare(state[name], b.states[step][name]);
  });
  a.reports.forEach((r, step) => compare(Object.values(r), Object.values(b.reports[step])));
  return most;
}
const set = (more: Record<string, string> = {}): Record<string, string> => ({ virtual_batch: '8', ...more });
function check(source: string, prepare: (values: Values) => Values = (v) => v): void {
  const whole = train(source, { x: rows, steps, set: { batch: '8' } }, prepare);
  const chunked = train(source, { x: rows, steps, set: set() }, prepare);
  expect(chunked.built.manifest).toMatchObject({ batch: 8, chunk: 2, reports: whole.built.manifest.reports });
  expect(Object.keys(chunked.built.programs)).toEqual(expect.arrayContaining(['backward', 'embed', 'encode', 'init', 'step', 'update']));
  // Something is learned, and it is the same.
  expect(Math.max(...range(8, (i) => Math.abs(whole.states[steps]['parameters'][i] - whole.states[0]['parameters'][i])))).toBeGreaterThan(1e-4);
  expect(distance(whole, chunked)).toBeLessThan(1e-9);
}
const two = 'view a, b ~ noisy(x)\n  net f = tanh_layer(6)\n  net g = tanh_layer(4)\n';

describe('a virtual batch learns what the whole batch does', () => {
  it.each([
    ['NT-Xent', `${two}  minimize contrast: nt_xent(0.5)(g(f(a)), g(f(b)))\n  represent f(x)`],
    ['VICReg', `${two}  let u = g(f(a)), v = g(f(b))\n  minimize near: 25 * mean((u - v)^2)\n  regularize spread: variance(u) + variance(v)\n  regularize apart: covariance(u) + covariance(v)\n  monitor size: mean(u^2)\n  represent f(x)`],
    ['Barlow Twins', `${two}  minimize cross: barlow(0.01)(g(f(a)), g(f(b)))\n  represent f(x)`],
    ['outputs at two depths, and a network in the coupled part', `${two}  net h = tanh_layer(3)\n  let u = g(f(a)), v = g(f(b))\n  minimize contrast: nt_xent(0.5)(u, v)\n  minimize depth: nt_xent(0.5)(f(a), f(b))\n  minimize centred: mean(h(u - mean[B](v))^2)\n  represent f(x)`.replace('mean[B](v)', 'centre(v)').replace('net h', 'fn centre(z: [B, W]) { c[w] = mean[b](z[b, w])\n c }\n  net h')],
    ['prototypes beside the networks', `${two}  param codes: [5, 4] ~ unit_normal()\n  let u = g(f(a)) @ transpose(codes), v = g(f(b)) @ transpose(codes)\n  minimize contrast: nt_xent(0.5)(u, v)\n  represent f(x)`],
    ['a target that moves after, and stopped gradients', `${two}  target t = ema(f, cosine(0.5, 1))\n  minimize near: mean((g(f(a)) - stop(g(t(b))))^2)\n  minimize contrast: nt_xent(0.5)(f(a), t(b))\n  represent f(x)`],
    ['a target that moves before, and a queue', `${two}  target t = ema(f, 0.5, when: "before")\n  memory queue: [16, 6] ~ unit_normal()\n  let k = normalize(t(b))\n  minimize contrast: info_nce(0.5)(normalize(f(a)), k, queue)\n  update queue <- enqueue(queue, k)\n  represent f(x)`],
    ['a list of views', `view part[3] ~ noisy(x)\n  net f = tanh_layer(6)\n  let z = [f(v) for v in part]\n  minimize contrast: mean[s in z, t in z where s != t](nt_xent(0.5)(s, t))\n  represent f(x)`],
  ])('%s', (_, body) => check(text(body)));

  it('with tables that a stage fills, prototypes, a target and a queue', () => {
    const body = `${two}  table label: int[examples] = 0\n  table before: [examples, 4] = 0\n  target t = ema(g, 0.9, when: "before")
  param codes: [3, 4] ~ unit_normal()\n  memory queue: [12, 4] ~ unit_normal()
  stage assign every 1 epochs { let z = g(f(x)) over data; before <- z; codes <- 0.5 * codes }
  let u = g(f(a)), k = normalize(t(f(b)))
  minimize tell: cross_entropy(u @ transpose(codes), label[id])\n  minimize stay: mean((u - before[id])^2)
  minimize contrast: info_nce(0.5)(normalize(u), k, queue)\n  update queue <- enqueue(queue, k)\n  represent f(x)`;
    const filled = (v: Values): Values => ({ ...v, 'table.label': rows.map((_, i) => (7 * i) % 3), 'table.before': rows.flatMap((r) => r.slice(0, 4)) });
    check(text(body).replace('input x: [D]', 'input x: [D], id: example'), filled);
  });

  it('with LARS, AdamW, groups and schedules', () => {
    const body = `${two}  minimize contrast: nt_xent(0.5)(g(f(a)), g(f(b)))\n  represent f(x)`;
    check(text(body, 'lars(rate: 0.5)', '; schedule cosine()'));
    check(text(body, 'adamw(rate: 0.01)', '; group g { rate 0.02; trainable after(1 steps) }'));
  });
});

describe('batch norm under a virtual batch', () => {
  const body = 'view a, b ~ noisy(x)\n  net f = linear(6) |> batch_norm |> tanh_layer(4)\n  minimize contrast: nt_xent(0.5)(f(a), f(b))\n  represent f(x)';
  const loss = (parameters: readonly number[]): number => train(text(body), { x: rows, steps: 1, set: set({ batch_norm: 'chunk' }) }, (v) => ({ ...v, parameters })).reports[0]['loss'];

  it('sees a chunk; the gradient is that of this loss', () => {
    const trained = train(text(body, 'sgd(rate: 1, momentum: 0)'), { x: rows, steps: 1, set: set({ batch_norm: 'chunk' }) });
    const start = Array.from(trained.states[0]['parameters']);
    const gradient = start.map((w, i) => w - trained.states[1]['parameters'][i]);
    const size = Math.max(...gradient.map(Math.abs));
    expect(size).toBeGreaterThan(0.01);
    for (const p of trained.built.manifest.parameters) {
      const moved = (by: number): number => loss(start.map((w, i) => (i === p.offset ? w + by : w)));
      expect(gradient[p.offset], p.path).toBeCloseTo((moved(1e-4) - moved(-1e-4)) / 2e-4, 6);
    }
  });

  it('is that of a batch norm that works on groups of the whole batch', () => {
    // A chunk of 2 of 8 examples: statistics over pairs of neighbours, written with indices.
    const grouped = 'fn norm_of_pairs(x: [B, C]) -> [B, C] {\n    centre[g: B / 2, c] = (x[2*g, c] + x[2*g + 1, c]) / 2\n    spread[g: B / 2, c] = ((x[2*g, c] - centre[g, c])^2 + (x[2*g + 1, c] - centre[g, c])^2) / 2\n    y[b: B, c] = (x[b, c] - centre[b / 2, c]) / sqrt(spread[b / 2, c] + 1e-5)\n    y\n  }\n  ';
    const first = 'view a, b ~ noisy(x)\n  net f = linear(6)\n  net g = tanh_layer(4)\n  minimize contrast: nt_xent(0.5)(g(norm_of_pairs(f(a))), g(norm_of_pairs(f(b))))\n  represent f(x)';
    const plain = 'view a, b ~ noisy(x)\n  net f = linear(6) |> batch_norm(affine: false)\n  net g = tanh_layer(4)\n  minimize contrast: nt_xent(0.5)(g(f(a)), g(f(b)))\n  represent f(x)';
    const whole = train(text(grouped + first), { x: rows, steps, set: { batch: '8' } });
    const parameters = (path: string, step: number, of: Trained): number[] => of.parameter(path, step);
    const chunked = train(text(plain), { x: rows, steps, set: set({ batch_norm: 'chunk' }) }, (v) => ({ ...v, parameters: whole.states[0]['parameters'] }));
    for (let step = 0; step < steps; step++) expect(chunked.reports[step]['loss']).toBeCloseTo(whole.reports[step]['loss'], 10);
    parameters('f.linear.w', steps, chunked).forEach((w, i) => expect(w).toBeCloseTo(parameters('f.w', steps, whole)[i], 10));
  });

  it('moves its running statistics once for every chunk and view', () => {
    const trained = train(text('view a ~ noisy(x)\n  net f = batch_norm\n  minimize contrast: nt_xent(0.5)(f(a), f(a))\n  represent f(x)').replace('let e[d: D] ~ normal(0, 0.3); x + e', 'x'), { x: rows, steps: 1, set: set({ batch_norm: 'chunk' }) });
    let mean = 0;
    for (let chunk = 0; chunk < 4; chunk++) for (let view = 0; view < 2; view++) mean = 0.9 * mean + 0.1 * ((rows[2 * chunk][0] + rows[2 * chunk + 1][0]) / 2);
    expect(trained.states[1]['state.f.running_mean'][0]).toBeCloseTo(mean, 12);
  });
});

describe('mistakes', () => {
  const code = (body: string, given: Record<string, string>): string => {
    try { build(text(body), { x: rows, set: given }); return 'none'; } catch (e) { if (e instanceof DiagnosticError) return e.diagnostics[0].code; throw e; }
  };
  const normed = 'view a, b ~ noisy(x)\n  net f = linear(6) |> batch_norm\n  minimize contrast: nt_xent(0.5)(f(a), f(b))\n  represent f(x)';
  it.each([
    ['batch norm without a word about it', normed, set(), 'SSL3020'],
    ['batch norm by chunk', normed, set({ batch_norm: 'chunk' }), 'none'],
    ['a policy that does not exist', normed, set({ batch_norm: 'all' }), 'SSL2009'],
    ['no multiple of the batch', normed, set({ virtual_batch: '7' }), 'SSL2009'],
    ['more than there are examples', normed, set({ virtual_batch: '40' }), 'SSL2009'],
    ['a norm that sees one example', normed.replace('batch_norm', 'layer_norm'), set(), 'none'],
  ])('%s', (_, body, given, expected) => expect(code(body, given)).toBe(expected));
});
