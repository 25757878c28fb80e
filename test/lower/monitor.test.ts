/** `monitor`: reported every step beside the objectives, in no loss and without gradient. */
import { expect, test } from 'vitest';
import { buildTraining } from '../../compiler/lower/training-programs.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import { codes, load } from './harness.js';

const model = (monitors: string): string => `use std.optimizers { sgd }
model m() {
  input x: [D]
  param w: [D, 3] ~ normal(0, 1)
  let q = softmax(x @ w)
  minimize fit: mean(q^2)
${monitors}  represent q
}
train m { batch 4; steps 1; optimizer sgd(rate: 0.1) }
`;

const start = Array.from({ length: 64 }, (_, i) => (i < 6 ? Math.sin(i + 1) : 0));

function step(text: string, given: readonly number[] = start): { readonly reports: Record<string, number>; readonly parameters: readonly number[]; readonly codes: unknown } {
  const loaded = load(text);
  expect(loaded.diagnostics).toEqual([]);
  const { programs, manifest } = buildTraining(loaded, {
    model: null, set: {}, steps: 1, resident: false, embedBatch: 4, data: { examples: 4, classes: null, inputs: [{ name: 'x', element: 'f32', shape: [2] }] },
    target: { target: 'wasm', maxBindingBytes: 1e9, maxBindings: 8, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 16384, subgroups: false, software: true, threads: 1, relaxedSimd: false, disabled: [] },
  });
  const parameters = Float64Array.from(given);
  const x = Float64Array.of(1, 2, -1, 0.5, 0.3, -2, 1.5, 1);
  const sources: Record<string, Float64Array> = { 'clock.seed': Float64Array.of(0), 'clock.step': Float64Array.of(0), 'batch.example': Float64Array.of(0, 1, 2, 3), 'batch.x': x, parameters, 'state.optimizer.m': new Float64Array(64) };
  const out = interpret(programs.step, sources);
  const values = out.outputs.get('reports') ?? [];
  return { reports: Object.fromEntries(manifest.reports.map((name, i) => [name, values[i]])), parameters: [...(out.sources.get('parameters') ?? [])], codes: manifest.codes };
}

test('a monitor reports its value and changes neither the loss nor the step', () => {
  const plain = step(model(''));
  const watched = step(model('  monitor codes: perplexity(usage(q))\n  monitor each: perplexity(q)\n'));
  expect(watched.parameters).toEqual(plain.parameters);
  expect(watched.reports['loss']).toBe(plain.reports['loss']);
  expect(Object.keys(watched.reports).slice(0, 4)).toEqual(['loss', 'fit', 'codes', 'each']);

  const w = Array.from({ length: 6 }, (_, i) => Math.sin(i + 1));
  const rows = [[1, 2], [-1, 0.5], [0.3, -2], [1.5, 1]].map(([a, b]) => {
    const e = [0, 1, 2].map((k) => Math.exp(a * w[k] + b * w[3 + k]));
    return e.map((v) => v / e.reduce((s, t) => s + t));
  });
  const perplexity = (p: readonly number[]): number => Math.exp(-p.reduce((s, v) => s + v * Math.log(v), 0));
  expect(watched.reports['codes']).toBeCloseTo(perplexity([0, 1, 2].map((k) => rows.reduce((s, r) => s + r[k], 0) / 4)), 6);
  expect(watched.reports['each']).toBeCloseTo(rows.reduce((s, r) => s + perplexity(r), 0) / 4, 6);
});

test('how often codes are used, and which monitors say it of the whole batch', () => {
  const watched = step(model('  monitor used: perplexity(shares(5)(argmax(q)))\n  monitor codes: perplexity(usage(q))\n  monitor each: perplexity(q)\n  monitor fitting: mean(q)\n'));
  const w = Array.from({ length: 6 }, (_, i) => Math.sin(i + 1));
  const winners = [[1, 2], [-1, 0.5], [0.3, -2], [1.5, 1]].map(([a, b]) => [0, 1, 2].reduce((best, k) => (a * w[k] + b * w[3 + k] > a * w[best] + b * w[3 + best] ? k : best), 0));
  const share = [0, 1, 2].map((k) => winners.filter((x) => x === k).length / 4).filter((x) => x > 0);
  expect(watched.reports['used']).toBeCloseTo(Math.exp(-share.reduce((s, v) => s + v * Math.log(v), 0)), 6);
  // Of five and three codes, as many as a batch of four can use.
  expect(watched.codes).toEqual([{ report: 'used', size: 4 }, { report: 'codes', size: 3 }]);
});

test('what a step reports has one name each', () => {
  expect(codes(model('  monitor fit: mean(q)\n'))).toEqual(['SSL1005']);
  expect(codes(model('  monitor loss: mean(q)\n'))).toEqual(['SSL1005']);
});

test('the gradient\'s norm is that of finite differences of the loss', () => {
  const loss = (at: number, by: number): number => step(model(''), start.map((v, i) => (i === at ? v + by : v))).reports['loss'];
  const slopes = [0, 1, 2, 3, 4, 5].map((i) => (loss(i, 1e-5) - loss(i, -1e-5)) / 2e-5);
  expect(step(model('')).reports['gradient_norm']).toBeCloseTo(Math.hypot(...slopes), 8);
});
