/** Loss scaling in the tensor program, in float64: the same steps as without, and nothing written where the gradient is not finite. */
import { describe, expect, test } from 'vitest';
import { train } from './training.js';
import type { Rows, Trained, Values } from './training.js';

/** Everything a step may write: weights, moments, running statistics, a target that moves before and one that moves after, a memory. */
const model = (precision: string, optimizer = 'adamw(rate: 0.01)'): string => `use std.layers { linear, batch_norm }
use std.optimizers { adamw, lars }
use std.energies { cosine_distance }
model m() {
  input x: [D]
  net f = linear(3) |> batch_norm
  target slow = ema(f, momentum: 0.9, when: "before")
  target late = ema(f, momentum: 0.8)
  memory kept: [8, 3] = 0
  let z = f(x)
  update kept <- enqueue(kept, z)
  minimize near: cosine_distance(z, stop(slow(x))) + cosine_distance(z, stop(late(x))) + 0.1 * mean(z^2)
  represent f(x)
}
train m { batch 4; optimizer ${optimizer}; ${precision} }
`;

const rows: Rows = { x: Array.from({ length: 8 }, (_, i) => [Math.sin(3 * i + 1), Math.cos(5 * i), 0.1 * i]), steps: 3 };
const scale = (values: Values): number => values['precision.loss_scale'][0];
const others = (values: Values): Values => Object.fromEntries(Object.entries(values).filter(([name]) => /^(parameters|target|state|optimizer|memory)/.test(name)));
const both = (optimizer?: string): readonly Trained[] => [train(model('precision "f32"', optimizer), rows), train(model('precision "f16"', optimizer), rows)];

describe('a scaled loss', () => {
  test.each(['adamw(rate: 0.01)', 'lars(rate: 0.1)'])('gives the same steps: %s', (optimizer) => {
    const [plain, scaled] = both(optimizer);
    plain.reports.forEach((reports, step) => {
      for (const [name, value] of Object.entries(reports)) expect(scaled.reports[step][name], name).toBeCloseTo(value, 10);
      expect(scaled.reports[step]).toMatchObject({ loss_scale: 65536, skipped_steps: 0 });
    });
    const [a, b] = [plain, scaled].map((t) => others(t.states[3]));
    expect(Object.keys(b).length).toBeGreaterThan(6);
    expect(Object.keys(b)).toEqual(Object.keys(a));
    for (const [name, value] of Object.entries(a)) Array.from(value).forEach((v, i) => expect(b[name][i], `${name}[${i}]`).toBeCloseTo(v, 10));
  });

  test('that overflows leaves everything as it was, and halves the scale', () => {
    // The second batch has numbers whose gradient f32 cannot hold.
    const x = rows.x.map((r, i) => (i === 5 ? [1e60, 1e60, 1] : r));
    const { states, reports } = train(model('precision "f16"').replace('|> batch_norm', '').replace('mean(z^2)', 'mean(z^4)'), { x, steps: 3 });
    expect(Number.isFinite(reports[1]['gradient_norm']) && reports[1]['gradient_norm'] < 3.4e38).toBe(false);
    expect(others(states[1])).not.toEqual(others(states[0]));
    expect(others(states[2])).toEqual(others(states[1]));
    expect(others(states[3])).not.toEqual(others(states[2]));
    expect(states.map(scale)).toEqual([65536, 65536, 32768, 32768]);
    expect(reports.map((r) => [r['loss_scale'], r['skipped_steps']])).toEqual([[65536, 0], [65536, 1], [32768, 1]]);
    expect(states.map((s) => s['precision.good_steps'][0])).toEqual([0, 1, 0, 1]);
  });

  test('doubles its scale after 2,000 good steps, and keeps it between 1 and 2^24', () => {
    const from = (loss_scale: number, good_steps: number, x = rows.x): readonly number[][] => train(model('precision "f16"').replace('|> batch_norm', '').replace('mean(z^2)', 'mean(z^4)'), { x, steps: 2 }, (v) => ({ ...v, 'precision.loss_scale': [loss_scale], 'precision.good_steps': [good_steps] }))
      .states.map((s) => [scale(s), s['precision.good_steps'][0]]);
    expect(from(1024, 1998)).toEqual([[1024, 1998], [1024, 1999], [2048, 0]]);
    expect(from(2 ** 24, 1999)).toEqual([[2 ** 24, 1999], [2 ** 24, 0], [2 ** 24, 1]]);
    expect(from(1, 5, rows.x.map(() => [1e60, 1e60, 1]))).toEqual([[1, 5], [1, 0], [1, 0]]);
  });
});

test('is not there without it, nor under a virtual batch', () => {
  const [plain] = both();
  expect(Object.keys(plain.states[0]).filter((n) => n.startsWith('precision'))).toEqual([]);
  expect(() => train(model('precision "f16"; virtual_batch 8; batch_norm "chunk"'), rows)).toThrow(/SSL4001.*virtual batch/);
  expect(() => train(model('precision "half"'), rows)).toThrow(/SSL2009.*precision/);
});
