/** What of a model a program elaborates: what it needs, and no more. */
import { expect, test } from 'vitest';
import { neededPart } from '../../compiler/lower/needed-part.js';
import type { Wanted } from '../../compiler/lower/needed-part.js';
import { declaredNames } from '../../compiler/lower/declared-names.js';
import { buildTraining } from '../../compiler/lower/training-programs.js';
import type { Program } from '../../compiler/tensor/program.js';
import { exactOptions } from '../wasm/harness.js';
import { load } from './harness.js';

const text = `use std.optimizers { sgd }
layer encoder(width: int)(x: [D]) -> [width] { param w: [D, width] ~ normal(0, 1); tanh(x @ w) }
layer head(width: int)(x: [D]) -> [width] { param v: [D, width] ~ normal(0, 1); x @ v }
view noisy(x: [D]) { let by[d: D] ~ normal(0, 1); x + by }
model m(width: int = 4) {
  input  x: [D]
  view   a, b ~ noisy(x)
  let    scale = 2, unused = 3 * x
  net    f = encoder(width)
  net    g = head(2)
  memory queue: [2, 2] = 0
  let    z = [g(f(v)) for v in [a, b]]
  minimize fit: mean((z[0] - z[1])^2)
  update queue <- queue + 1
  represent scale * f(x)
}
train m { batch 2; steps 1; optimizer sgd(rate: 0.1) }
`;

const loaded = load(text);
const body = loaded.modules.get('main.ssl')?.module.declarations.flatMap((d) => (d.kind === 'model' ? d.body : [])) ?? [];
const names = (wanted: Wanted): string => neededPart(body, wanted).flatMap((s) => (s.kind === 'represent' ? ['represent'] : declaredNames(s))).join(' ');

test('a representation needs what it mentions, directly or not', () => {
  expect(loaded.diagnostics).toEqual([]);
  expect(names('representation')).toBe('x D scale f represent');
  expect(names('views')).toBe('x D a b');
  expect(neededPart(body, 'objectives')).toBe(body);
  expect(names('stages')).toBe('x D');
});

test('networks are applied once where examples are represented', () => {
  const { programs } = buildTraining(loaded, {
    model: null, set: {}, steps: 1, resident: false, embedBatch: 2, target: exactOptions,
    data: { examples: 4, classes: null, inputs: [{ name: 'x', element: 'f32', shape: [3] }] },
  });
  // A sum for every layer that is applied; dead ones too, for this is what elaboration gave.
  const sums = (program: Program | undefined): number => program?.tensors.filter((t) => t.kind === 'comprehension' && t.reduce?.op === 'sum').length ?? -1;
  expect([sums(programs.embed), sums(programs.views)]).toEqual([1, 1]);
});
