/** Moving averages: when they move and what their states do, against the recurrences written out here. */
import { describe, expect, it } from 'vitest';
import { codes } from './harness.js';
import { train } from './training.js';
import type { Trained } from './training.js';

const rows = [[1, -2], [0.5, 3], [-2, 0.25], [1.5, 1], [0.3, -0.6], [-1, 1.25]];
const steps = 3;
const mean = (step: number, k: number): number => (rows[2 * step][k] + rows[2 * step + 1][k]) / 2;
const text = (target: string): string => `
use std.optimizers { sgd }
use std.schedules { linear }
layer weighed(x: [*S, C]) -> [*S, C] {
  param w: [C] = 1
  state seen: [C] = 0
  update seen <- 0.5 * seen + 0.5 * mean[*S](x)
  w * x
}
model m() {
  input x: [D]
  net f = weighed
  target t = ${target}
  minimize pull: sum(f(x))
  minimize slow: sum(stop(t(2 * x)))
  represent t(x)
}
train m { batch 2; optimizer sgd(rate: 0.1, momentum: 0) }`;

/** Weights of `f` after each step: the gradient of the first objective is the mean of the rows. */
const weights = [[1, 1]];
for (let step = 0; step < steps; step++) weights.push(weights[step].map((w, k) => w - 0.1 * mean(step, k)));

interface Expected { readonly target: number[][]; readonly used: number[][] }
/** The target after each step, and the weights it had in the step's forward pass. */
function follow(momentum: (step: number) => number, when: 'before' | 'after'): Expected {
  const target = [[1, 1]];
  const used: number[][] = [];
  for (let step = 0; step < steps; step++) {
    const fast = when === 'before' ? weights[step] : weights[step + 1];
    const next = target[step].map((t, k) => momentum(step) * t + (1 - momentum(step)) * fast[k]);
    used.push(when === 'before' ? next : target[step]);
    target.push(next);
  }
  return { target, used };
}
function check(trained: Trained, expected: Expected): void {
  for (let step = 0; step < steps; step++) {
    expected.target[step + 1].forEach((v, k) => expect(trained.parameter('t.w', step + 1)[k], `target after step ${step}`).toBeCloseTo(v, 12));
    const value = expected.used[step].map((w, k) => w * 2 * mean(step, k)).reduce((a, b) => a + b);
    expect(trained.reports[step]['slow'], `what step ${step} saw`).toBeCloseTo(value, 12);
  }
}
const falling = (step: number): number => 0.9 - 0.6 * (step / steps);

describe('a target', () => {
  it('moves after the step unless told', () => {
    check(train(text('ema(f, 0.9)'), { x: rows, steps }), follow(() => 0.9, 'after'));
    check(train(text('ema(f, linear(0.9, 0.3))'), { x: rows, steps }), follow(falling, 'after'));
  });

  it('moves before the step, also with a scheduled momentum', () => {
    check(train(text('ema(f, 0.9, when: "before")'), { x: rows, steps }), follow(() => 0.9, 'before'));
    check(train(text('ema(f, linear(0.9, 0.3), when: "before")'), { x: rows, steps }), follow(falling, 'before'));
  });
});

describe("states of a target's layers", () => {
  /** Running values after each step when they see `scale` times the rows. */
  const seen = (scale: number): number[][] => {
    const values = [[0, 0]];
    for (let step = 0; step < steps; step++) values.push(values[step].map((v, k) => 0.5 * v + 0.5 * scale * mean(step, k)));
    return values;
  };
  const expectStates = (trained: Trained, expected: number[][]): void => {
    for (let step = 1; step <= steps; step++) {
      expected[step].forEach((v, k) => expect(trained.states[step]['state.t.seen'][k], `after step ${step}`).toBeCloseTo(v, 12));
      seen(1)[step].forEach((v, k) => expect(trained.states[step]['state.f.seen'][k]).toBeCloseTo(v, 12));
    }
  };
  const averaged = (when: 'before' | 'after'): number[][] => {
    const [fast, values] = [seen(1), [[0, 0]]];
    for (let step = 0; step < steps; step++) values.push(values[step].map((v, k) => 0.9 * v + 0.1 * fast[when === 'before' ? step : step + 1][k]));
    return values;
  };

  it('are moved by its own passes unless told', () => expectStates(train(text('ema(f, 0.9)'), { x: rows, steps }), seen(2)));
  it('are copied, after the step or before it', () => {
    expectStates(train(text('ema(f, 0.9, buffers: "copy")'), { x: rows, steps }), seen(1));
    expectStates(train(text('ema(f, 0.9, when: "before", buffers: "copy")'), { x: rows, steps }), [[0, 0], ...seen(1).slice(0, steps)]);
  });
  it('are averaged, after the step or before it', () => {
    expectStates(train(text('ema(f, 0.9, buffers: "ema")'), { x: rows, steps }), averaged('after'));
    expectStates(train(text('ema(f, 0.9, when: "before", buffers: "ema")'), { x: rows, steps }), averaged('before'));
  });
  it('are told', () => {
    const { manifest } = train(text('ema(f, 0.9, buffers: "copy")'), { x: rows, steps: 1 }).built;
    expect(manifest.targets).toEqual([{ name: 't', of: 'f', when: 'after', buffers: 'copy' }]);
  });
});

describe('mistakes', () => {
  const code = (target: string): string => {
    try { train(text(target), { x: rows, steps: 1 }); return 'none'; } catch (e) { return e !== null && typeof e === 'object' && 'diagnostics' in e && Array.isArray(e.diagnostics) ? String((e.diagnostics as { code: string }[])[0]?.code) : 'thrown'; }
  };
  it('are told apart', () => {
    expect(codes(text('ema(f, 0.9)'))).toEqual([]);
    expect(['ema(f, 0.9, when: "later")', 'ema(f, 0.9, buffers: "none")', 'ema(f, 0.9, buffer: "own")', 'ema(f, true)', 'ema(f)'].map(code)).toEqual(['SSL2009', 'SSL2009', 'SSL1006', 'SSL2001', 'SSL2010']);
  });
});
