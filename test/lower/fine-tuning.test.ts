/** Fine-tuning: its loss and its gradient against finite differences, and which parts of a model take part. */
import { expect, test } from 'vitest';
import { readFileSync } from 'node:fs';
import { buildFineTuning, type FineTuningPrograms } from '../../compiler/lower/fine-tuning-programs.js';
import { loadProgram } from '../../compiler/check/load-program.js';
import { exactOptions } from '../wasm/harness.js';
import { load, memoryReader, values } from './harness.js';
import { run, type Values } from './training.js';

const head = loadProgram('models/std/fine_tuning.ssl', memoryReader({}));
/** The same classifier under plain descent without momentum: the step is the gradient. */
const plain = (rate: number): ReturnType<typeof load> => load(readFileSync('models/std/fine_tuning.ssl', 'utf8').replace('adamw(rate: 0.003, decay: 0.0001, skip: [bias, norm])', `sgd(rate: ${rate}, momentum: 0)`).replace('adamw', 'sgd').replace(/^ *schedule .*$/m, ''));

function build(body: string, tuning = plain(1), rate: number | null = null): FineTuningPrograms {
  const loaded = load(`use std.layers { linear, mlp, batch_norm }\nuse std.optimizers { sgd }\nmodel m() {\n  input x: [D]\n${body}\n}\ntrain m { batch 4; steps 1; optimizer sgd(rate: 0.1) }\n`);
  expect([...loaded.diagnostics, ...tuning.diagnostics]).toEqual([]);
  return buildFineTuning(loaded, tuning, {
    model: null, set: {}, embedBatch: 2, target: exactOptions, batch: 6, steps: 10, epochSteps: 5, rate,
    data: { examples: 12, classes: 3, inputs: [{ name: 'x', element: 'f32', shape: [4] }] },
  });
}

const batch: Values = { 'clock.seed': [1], 'clock.step': [0], 'batch.x': values(24), 'batch.label': [0, 2, 1, 1, 0, 2], 'batch.example': [0, 1, 2, 3, 4, 5] };

function step({ programs }: FineTuningPrograms, given: Values): { readonly loss: number; readonly next: Values } {
  const { outputs, sources } = run(programs.step, { ...given, ...batch });
  return { loss: outputs.get('reports')?.[0] ?? NaN, next: sources };
}

const encoder = `  net f = linear(5) |> batch_norm |> linear(3)
  net g = mlp(8, 8)
  let u = g(f(x + 1)), v = g(f(x - 1))
  minimize agree: mean((u - v)^2)
  represent tanh(f(x))`;

test('a step goes down the gradient of the classifier\'s loss in all weights, by finite differences', () => {
  const built = build(encoder);
  expect(built.manifest.parameters.map((p) => p.path).sort()).toEqual(['f.batch_norm.bias', 'f.batch_norm.gain', 'f.linear.b', 'f.linear.w', 'f.linear_2.b', 'f.linear_2.w', 'labels_of.b', 'labels_of.w'].sort());
  const start = run(built.programs.init, { 'clock.seed': [1], 'clock.step': [0] }).sources;
  const weights = Array.from(start['parameters']);
  const { next, loss } = step(built, start);
  expect(loss).toBeGreaterThan(0);
  const at = (k: number, by: number): number => step(built, { ...start, parameters: weights.map((w, i) => (i === k ? w + by : w)) }).loss;
  for (const p of built.manifest.parameters) {
    const size = p.shape.reduce((a, b) => a * b, 1);
    for (const k of [p.offset, p.offset + size - 1]) expect(weights[k] - next['parameters'][k]).toBeCloseTo((at(k, 1e-5) - at(k, -1e-5)) / 2e-5, 6);
  }
});

test('batch norm is as in training, and its statistics move by the examples alone, not by the views', () => {
  const built = build(encoder);
  const start = run(built.programs.init, { 'clock.seed': [1], 'clock.step': [0] }).sources;
  const { next } = step(built, start);
  const name = Object.keys(next).find((n) => n.startsWith('state.f.') && n.endsWith('mean')) ?? '';
  const p = built.manifest.parameters.find((q) => q.path === 'f.linear.w');
  const weights = Array.from(start['parameters']).slice(p?.offset ?? 0);
  const mean = [0, 1, 2, 3, 4].map((o) => [0, 1, 2, 3, 4, 5].reduce((s, i) => s + [0, 1, 2, 3].reduce((t, d) => t + batch['batch.x'][4 * i + d] * weights[5 * d + o], 0) / 6, 0));
  // From 0 towards the mean of the batch, by the same share in every channel: once.
  const shares = mean.map((m, o) => next[name][o] / m);
  shares.forEach((s) => expect(s).toBeCloseTo(0.1, 5));
});

test('a slow copy that is represented learns like a network', () => {
  const built = build('  net f = linear(5)\n  target slow = ema(f, 0.9)\n  minimize agree: mean((f(x) - slow(x))^2)\n  represent slow(x)');
  expect(built.manifest.parameters.map((p) => p.path).sort()).toEqual(['labels_of.b', 'labels_of.w', 'slow.b', 'slow.w']);
  const start = run(built.programs.init, { 'clock.seed': [1], 'clock.step': [0] }).sources;
  const p = built.manifest.parameters.find((q) => q.path === 'slow.w');
  expect(step(built, start).next['parameters'][p?.offset ?? 0]).not.toBe(start['parameters'][p?.offset ?? 0]);
});

test('the library\'s classifier lowers its loss, in scores for every class, at the rate that is asked for', () => {
  const built = build(encoder, head, 0.01);
  expect(built.manifest.embeddingSize).toBe(3);
  let now: Values = run(built.programs.init, { 'clock.seed': [1], 'clock.step': [0] }).sources;
  const losses: number[] = [];
  for (let k = 0; k < 8; k++) { const { loss, next } = step(built, now); losses.push(loss); now = next; }
  expect(losses[7]).toBeLessThan(losses[0]);
  expect(run(built.programs.embed, { ...now, 'embed.x': values(8) }).outputs.get('embedding')).toHaveLength(6);
});
