/** Discovery with stand-ins for what networks give again: less is elaborated, and nothing else is different. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { buildTraining } from '../../compiler/lower/training-programs.js';
import type { TrainingPrograms } from '../../compiler/lower/training-programs.js';
import type { Program } from '../../compiler/tensor/program.js';
import { printProgram } from '../../compiler/tensor/print.js';
import { simplify } from '../../compiler/tensor/simplify.js';
import { root } from '../models/harness.js';
import { exactOptions } from '../wasm/harness.js';
import { load } from './harness.js';

function build(text: string, discovery: 'whole' | 'stand-ins', shape: readonly number[]): TrainingPrograms {
  const loaded = load(text);
  expect(loaded.diagnostics).toEqual([]);
  return buildTraining(loaded, {
    model: null, set: {}, steps: 10, resident: true, embedBatch: 4, target: exactOptions,
    data: { examples: 400, classes: null, inputs: [{ name: 'x', element: shape.length === 3 ? 'u8' : 'f32', shape }] },
  }, discovery);
}

/** A sum for every layer that is applied. */
const sums = (program: Program): number => program.tensors.filter((t) => t.kind === 'comprehension' && t.reduce?.op === 'sum').length;

const small = (more: string): string => `use std.optimizers { sgd }
layer encoder(width: int)(x: [D]) -> [width] { param w: [D, width] ~ normal(0, 1); tanh(x @ w) }
fn average(z: [N, D]) -> [D] { m[d: D] = mean[n](z[n, d]); m }
view noisy(x: [D]) { let by[d: D] ~ normal(0, 1); x + by }
model m(width: int = 4) {
  input  x: [D]
  view   part[6] ~ noisy(x)
  net    f = encoder(width)
  let    z = [f(p) for p in part]
${more}
  minimize fit: mean((z[0] - z[5])^2)
  represent f(x)
}
train m { batch 2; steps 1; optimizer sgd(rate: 0.1) }
`;

test('six views of one shape go through a network once while it is discovered', () => {
  const [whole, less] = (['whole', 'stand-ins'] as const).map((discovery) => sums(build(small(''), discovery, [3]).programs.init));
  expect(less).toBe(whole - 5);
});

test.each(['swav', 'seer', 'byol', 'dino', 'deepcluster_v2'])('%s has the same programs', (name) => {
  const text = readFileSync(join(root, `models/vision/${name}.ssl`), 'utf8');
  const [whole, less] = (['whole', 'stand-ins'] as const).map((discovery) => build(text, discovery, [28, 28, 1]));
  expect(less.manifest).toEqual(whole.manifest);
  expect(printProgram(simplify(less.programs.init))).toBe(printProgram(simplify(whole.programs.init)));
  expect(Object.keys(less.programs)).toEqual(Object.keys(whole.programs));
  expect(less.programs.init.tensors.length).toBeLessThan(whole.programs.init.tensors.length);
});

test('where an initial value is computed from what a network gives, it is elaborated in whole', () => {
  const text = small('  param start: [width] = average(z[3])');
  const [whole, less] = (['whole', 'stand-ins'] as const).map((discovery) => build(text, discovery, [3]).programs.init);
  expect(printProgram(less)).toBe(printProgram(whole));
  expect(printProgram(simplify(less))).not.toContain('stand-in');
});
