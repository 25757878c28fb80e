/** Batch norm that sees views one after the other, or together (`joint`): values, statistics and gradients by formulas in float64. */
import { describe, expect, it } from 'vitest';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import { values } from './harness.js';
import { build, train } from './training.js';

const rows = Array.from({ length: 8 }, (_, i) => values(3, 0.37 * (i + 1)));
const text = (body: string): string => `
use std.layers { linear, batch_norm }
use std.optimizers { sgd }
model m() {
  input x: [D]
  net f = linear(2, bias: false) |> batch_norm(affine: false)
  ${body}
  represent f(x)
}
train m { batch 8; optimizer sgd(rate: 1, momentum: 0) }`;
const loss = 'minimize agree: mean((u - v)^2 * (1 + u))';
const apart = text(`let u = f(x), v = f(x^2 + 1)\n  ${loss}`);
const together = text(`let z = f(joint(x, x^2 + 1))\n  let u = z[0], v = z[1]\n  ${loss}`);

type Rows = readonly (readonly number[])[];
const project = (x: Rows, w: readonly number[]): number[][] => x.map((r) => [0, 1].map((o) => r.reduce((s, v, d) => s + v * w[2 * d + o], 0)));
const views = (x: Rows): readonly [Rows, Rows] => [x, x.map((r) => r.map((v) => v * v + 1))];
const mean = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0) / x.length;

/** The rows of a group less their mean, over the root of their biased variance. */
function normalized(x: Rows): number[][] {
  const centre = [0, 1].map((d) => mean(x.map((r) => r[d])));
  const spread = [0, 1].map((d) => mean(x.map((r) => (r[d] - centre[d]) ** 2)));
  return x.map((r) => r.map((v, d) => (v - centre[d]) / Math.sqrt(spread[d] + 1e-5)));
}

/** The loss for weights, with statistics over groups of `chunk` examples, of one view or of both. */
function expected(w: readonly number[], joint: boolean, chunk = 8): number {
  const [u, v] = views(rows).map((x) => project(x, w));
  let total = 0;
  for (let from = 0; from < 8; from += chunk) {
    const [mine, other] = [u, v].map((x) => x.slice(from, from + chunk));
    const both = normalized([...mine, ...other]);
    const [a, b] = joint ? [both.slice(0, chunk), both.slice(chunk)] : [normalized(mine), normalized(other)];
    a.forEach((r, n) => r.forEach((x, d) => { total += (x - b[n][d]) ** 2 * (1 + x); }));
  }
  return total / 16;
}

const slope = (f: (w: readonly number[]) => number, w: readonly number[], k: number): number => {
  const at = (by: number): number => f(w.map((x, i) => (i === k ? x + by : x)));
  return (at(1e-5) - at(-1e-5)) / 2e-5;
};

describe('batch norm sees', () => {
  it.each([
    ['one view at a time', apart, false, {}],
    ['both views together', together, true, {}],
    ['one view of a chunk at a time', apart, false, { batch: '4', virtual_batch: '8', batch_norm: 'chunk' }],
    ['both views of a chunk together', together, true, { batch: '4', virtual_batch: '8', batch_norm: 'chunk' }],
  ])('%s', (_, source, joint, set) => {
    const trained = train(source, { x: rows, steps: 1, set });
    const chunk = 'virtual_batch' in set ? 4 : 8;
    const w = trained.parameter('f.linear.w', 0);
    const next = trained.parameter('f.linear.w', 1);
    expect(trained.reports[0]['loss']).toBeCloseTo(expected(w, joint, chunk), 10);
    w.forEach((x, k) => expect(x - next[k]).toBeCloseTo(slope((y) => expected(y, joint, chunk), w, k), 6));

    // Running statistics move once for each group that was normalized, in order.
    const [u, v] = views(rows).map((x) => project(x, w).map((r) => r[0]));
    let [centre, variance] = [0, 1];
    for (let from = 0; from < 8; from += chunk) {
      const [mine, other] = [u, v].map((x) => x.slice(from, from + chunk));
      for (const group of joint ? [[...mine, ...other]] : [mine, other]) {
        const m = mean(group);
        centre = 0.9 * centre + 0.1 * m;
        variance = 0.9 * variance + 0.1 * (group.reduce((s, x) => s + (x - m) ** 2, 0) / (group.length - 1));
      }
    }
    expect(trained.states[1]['state.f.batch_norm.running_mean'][0]).toBeCloseTo(centre, 10);
    expect(trained.states[1]['state.f.batch_norm.running_variance'][0]).toBeCloseTo(variance, 10);
  });

  it('the same where nothing looks at the batch', () => {
    const plain = (source: string): number => train(source.replace(' |> batch_norm(affine: false)', ''), { x: rows, steps: 1 }).reports[0]['loss'];
    expect(plain(together)).toBeCloseTo(plain(apart), 12);
  });
});

describe('joint', () => {
  const error = (body: string): string => {
    try { build(text(body), { x: rows }); return 'none'; } catch (e) { if (e instanceof DiagnosticError) return e.diagnostics[0].code; throw e; }
  };

  it('takes views of one shape, or a list of them', () => {
    expect(error(`let z = joint([f(x), f(2 * x), f(3 * x)])\n  minimize agree: mean((z[0] - z[2])^2)`)).toBe('none');
    expect(error(`let z = joint(x, f(x))\n  minimize agree: mean(z[0]^2)`)).toBe('SSL2004');
    expect(error(`let z = joint()\n  minimize agree: mean(z[0]^2)`)).toBe('SSL2002');
  });

  it('watches the outputs that the loss compares', () => {
    const wide = together.replace('linear(2, bias: false)', 'linear(8, bias: false)');
    expect(build(wide, { x: rows }).manifest.compared).toEqual([{ net: 'f', report: 'std.f', size: 8 }]);
    const report = (source: string): number => train(source.replace('linear(2, bias: false)', 'linear(8, bias: false)').replace(' |> batch_norm(affine: false)', ''), { x: rows, steps: 1 }).reports[0]['std.f'];
    expect(report(together)).toBeCloseTo(report(apart), 10);
  });
});
