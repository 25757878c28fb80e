/** Plans: what they are given and give, on the CPU target and in the interpreter; what they may not do. */
import { expect, it } from 'vitest';
import type { CompileTrainingOptions } from '../../compiler/api.js';
import { compileTraining } from '../../compiler/pipeline.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import { openCpuDevice } from '../../runtime/device/cpu/open-cpu-device.js';
import { load, range } from './harness.js';

const episodes = 3;
const options: CompileTrainingOptions = {
  model: null, set: { batch: '4' }, steps: 4, resident: false, embedBatch: 4, episodes,
  data: { examples: 8, classes: null, inputs: [{ name: 'x', element: 'u8', shape: [2, 2, 1] }] },
  target: { target: 'wasm', maxBindingBytes: 2 ** 32, maxBindings: 1000, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 32768, subgroups: false, software: false, threads: 2, relaxedSimd: false, disabled: [] },
};

/** The mean of a picture moves by the sum of the actions; a plan of two steps closes the distance. */
const model = (plan: string): string => `
use std.inference { cem }
use std.layers { linear, global_average }
use std.regularizers { variance }
use std.optimizers { sgd }
model m(horizon: int = 2) {
  input x: u8[H, W, C]
  net  f = global_average
  net  g = linear(2)
  let  z = f(x)
  regularize spread: variance(g(z))
  represent z
  ${plan}
}
train m { optimizer sgd(rate: 0.1) }`;

const search = `plan act(now: u8[H, W, C], goal: u8[H, W, C], before: [horizon, 1]) {
    let start = f(now), end = f(goal)
    energy cost(a: [horizon]) = (start[0] + sum(a) - end[0])^2 + 0.01 * sum(a^2)
    latent a: [horizon] = argmin cost from reshape(before, horizon) by cem(samples: 40, elites: 6, rounds: 6, deviation: 0.5)
    reshape(a, horizon, 1)
  }`;

it('a plan finds the actions that lead to the goal, as in the interpreter', async () => {
  const compiled = compileTraining(load(model(search)), options);
  expect(compiled.manifest.plan).toEqual({
    inputs: [{ name: 'now', element: 'u8', shape: [2, 2, 1] }, { name: 'goal', element: 'u8', shape: [2, 2, 1] }, { name: 'before', element: 'f32', shape: [2, 1] }],
    steps: 2, actionSize: 1, episodes,
  });
  const device = await openCpuDevice({ threads: 2, exact: true });
  try {
    const session = await device.load(compiled.plan);
    const given: Record<string, Uint8Array | Int32Array | Float32Array> = {
      'clock.seed': Int32Array.of(3), 'clock.step': Int32Array.of(5), 'plan.example': Int32Array.from([0, 1, 2]),
      'plan.now': Uint8Array.from(range(12, (i) => 20 * (i % 4))), 'plan.goal': Uint8Array.from(range(12, (i) => 200 - 40 * Math.floor(i / 4))), 'plan.before': new Float32Array(6),
    };
    for (const [name, values] of Object.entries(given)) if (name in compiled.plan.sources) session.write(name, values);
    await session.run('init');
    await session.run('plan');
    const actions = await session.readOutput('plan', 'actions');
    const program = compiled.programs['plan'];
    const sources = Object.fromEntries(program.tensors.flatMap((t) => (t.kind === 'source' ? [[t.name, given[t.name] ?? new Float64Array(sizeOf(t.shape))]] : [])));
    const expected = interpret(program, sources).outputs.get('actions') ?? [];
    for (let n = 0; n < episodes; n++) {
      const distance = (200 - 40 * n - 30) / 255;
      // Least of (distance - sum)^2 + 0.01 |a|^2: equal actions of distance / 2.01.
      expect(actions[2 * n] + actions[2 * n + 1]).toBeCloseTo((2 * distance) / 2.01, 1);
      expect(actions[2 * n]).toBeCloseTo(expected[2 * n], 4);
    }
    await session.close();
  } finally {
    await device.close();
  }
});

it('a plan is left out when nobody asks for it, and checked all the same', () => {
  const { episodes: _, ...without } = options;
  expect(Object.keys(compileTraining(load(model(search)), without).programs)).not.toContain('plan');
});

it.each([
  ['reads an input of the model', 'plan act(now: u8[H, W, C], goal: u8[H, W, C]) -> [1, 1] = reshape(z[0] + f(now)[0], 1, 1)', 'SSL3002'],
  ['has one input', 'plan act(now: u8[H, W, C]) -> [1, 1] = reshape(f(now)[0], 1, 1)', 'SSL3002'],
  ['gives no actions', 'plan act(now: u8[H, W, C], goal: u8[H, W, C]) = f(now)', 'SSL3002'],
])('a plan that %s is refused', (_, plan, code) => {
  let found: string[] = [];
  try {
    compileTraining(load(model(plan)), { ...options, episodes: undefined });
  } catch (e) {
    if (!(e instanceof DiagnosticError)) throw e;
    found = e.diagnostics.map((d) => d.code);
  }
  expect(found).toEqual([code]);
});

it('a plan outside of a model is refused', () => {
  expect(load('plan act(now: [N], goal: [N]) = now').diagnostics.map((d) => d.code)).toEqual(['SSL0014']);
});
