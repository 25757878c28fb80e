/** The entry `views`: the representation of the view that `views.which` names, against values worked out here; and when there is none. */
import { expect, test } from 'vitest';
import { buildTraining, type TrainingPrograms } from '../../compiler/lower/training-programs.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import { load } from './harness.js';

function build(text: string, inputs: readonly { readonly name: string; readonly size: number }[] = [{ name: 'x', size: 3 }]): TrainingPrograms {
  const loaded = load(`use std.optimizers { sgd }\n${text}\ntrain m { batch 2; steps 1; optimizer sgd(rate: 0.1) }\n`);
  expect(loaded.diagnostics).toEqual([]);
  return buildTraining(loaded, {
    model: null, set: {}, steps: 1, resident: false, embedBatch: 2, data: { examples: 4, classes: null, inputs: inputs.map(({ name, size }) => ({ name, element: 'f32', shape: [size] })) },
    target: { target: 'wasm', maxBindingBytes: 1e9, maxBindings: 8, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 16384, subgroups: false, software: true, threads: 1, relaxedSimd: false, disabled: [] },
  });
}

const x = [1, 2, 3, -1, 0.5, 2];

function embedding({ programs }: TrainingPrograms, which: number, step = 0, example: readonly number[] = [0, 1]): readonly number[] {
  const program = programs.views;
  if (program === undefined) throw new Error('no entry `views`');
  const given: Record<string, readonly number[]> = { 'embed.x': x, 'views.which': [which], 'clock.step': [step], 'embed.example': example };
  const sources = Object.fromEntries(program.tensors.flatMap((t) => (t.kind !== 'source' ? [] : [[t.name, Float64Array.from(given[t.name] ?? Array.from({ length: sizeOf(t.shape) }, (_, i) => Math.cos(i)))]])));
  return [...(interpret(program, sources).outputs.get('embedding') ?? [])];
}

const body = (views: string): string => `model m() {
  input x: [D]
${views}
  param w: [3, 2] ~ normal(0, 1)
  let h = x @ w
  minimize fit: mean((a @ w)^2)
  represent tanh(h)
}`;

test('each of the first two views takes the place of the input, through names in between too', () => {
  const built = build(`view twice(x: [D]) = 2 * x\nview shifted(x: [D]) = x + 1\n${body('  view a ~ twice(x)\n  view b ~ shifted(x)\n  view c ~ twice(b)')}`);
  expect(built.manifest.views).toEqual(['a', 'b']);
  const expected = (f: (v: number) => number): number[] => [0, 1].flatMap((i) => [0, 1].map((o) => Math.tanh([0, 1, 2].reduce((s, d) => s + f(x[3 * i + d]) * Math.cos(2 * d + o), 0))));
  embedding(built, 0).forEach((v, k) => expect(v).toBeCloseTo(expected((u) => 2 * u)[k], 9));
  embedding(built, 1).forEach((v, k) => expect(v).toBeCloseTo(expected((u) => u + 1)[k], 9));
});

test('draws are those of the step and the example', () => {
  const built = build(`view noisy(x: [D]) { let by[d: D] ~ normal(0, 1); x + by }\n${body('  view part[3] ~ noisy(x)\n  let a = part[0]')}`);
  expect(built.manifest.views).toEqual(['part', 'part']);
  const first = embedding(built, 0);
  expect(embedding(built, 0)).toEqual(first);
  expect(embedding(built, 1)).not.toEqual(first);
  expect(embedding(built, 0, 1)).not.toEqual(first);
  expect(embedding(built, 0, 0, [0, 3]).slice(0, 2)).toEqual(first.slice(0, 2));
  expect(embedding(built, 0, 0, [0, 3]).slice(2)).not.toEqual(first.slice(2));
});

test('without views, with views of another size, or with several inputs represented, there is no entry', () => {
  const none = [
    build(body('  let a = 2 * x')),
    build(`view half(x: [D]) { y[i: 2] = x[i]; y }\n${body('  view b ~ half(x)\n  let a = 2 * x')}`),
    build('view twice(x: [D]) = 2 * x\nmodel m() {\n  input x: [D], y: [D]\n  view a ~ twice(x)\n  param w: [3, 2] ~ normal(0, 1)\n  minimize fit: mean((a @ w)^2)\n  represent (x + y) @ w\n}', [{ name: 'x', size: 3 }, { name: 'y', size: 3 }]),
  ];
  for (const { manifest, programs } of none) {
    expect(manifest.views).toEqual([]);
    expect('views' in programs).toBe(false);
  }
});
