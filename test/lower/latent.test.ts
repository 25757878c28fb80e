/** Latent variables: each way of finding them against minima known in closed form, what gradients they let through, and what stays still. */
import { describe, expect, it } from 'vitest';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import { call, load, range, values } from './harness.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import { buildTraining } from '../../compiler/lower/training-programs.js';
import type { CompileTrainingOptions } from '../../compiler/api.js';

const close = (a: readonly number[], b: readonly number[], digits = 9): void => {
  expect(a.length).toBe(b.length);
  a.forEach((x, i) => expect(x).toBeCloseTo(b[i], digits));
};

/** Codes of what is wrong with a model `m` of an input x. */
function problems(text: string): string[] {
  try {
    call(text, 'm', { x: { shape: [3, 2], data: values(6) } });
    return [];
  } catch (e) {
    if (e instanceof DiagnosticError) return e.diagnostics.map((d) => d.code);
    throw e;
  }
}

const [examples, size] = [3, 4];
const target = values(examples * size, 2);
const given = { y: { shape: [examples, size], data: target } };

/** A model that reports what it inferred from a quadratic energy around `y`: the mean over examples of a weighted sum. */
const weights = [1, 0.1, 0.01, 0.001];
const quadratic = (latent: string): string => `
use std.inference { cem, mppi, ista }
model m {
  input y: [D]
  energy misfit(z: [D]) = sum[d]((z[d] - y[d])^2)
  latent z: [D] = argmin misfit ${latent}
  minimize seen: z[0] + 0.1 * z[1] + 0.01 * z[2] + 0.001 * z[3]
}`;
const seen = (z: (y: number) => number): number => range(examples, (b) => weights.reduce((s, w, d) => s + w * z(target[b * size + d]), 0)).reduce((a, b) => a + b) / examples;
const inferred = (latent: string): number => call(quadratic(latent), 'm', given)['seen'][0];

describe('a latent variable', () => {
  it('by gradient descent takes the steps written down, for every example its own', () => {
    // z <- z - 0.1 * 2 (z - y): the distance to y shrinks to 0.8 of itself.
    expect(inferred('from 0.5 steps 7 rate 0.1')).toBeCloseTo(seen((y) => y + (0.5 - y) * 0.8 ** 7), 12);
    expect(inferred('from y / 2 steps 3 rate 0.1')).toBeCloseTo(seen((y) => y - (y / 2) * 0.8 ** 3), 12);
    expect(inferred('from 0.5 steps 0 rate 0.1')).toBeCloseTo(seen(() => 0.5), 12);
  });

  it('by proximal descent is soft-thresholded: the minimum of (z - y)^2 + s |z|', () => {
    const soft = (y: number): number => Math.sign(y) * Math.max(0, Math.abs(y) - 0.3);
    expect(inferred('by ista(steps: 60, rate: 0.2, sparsity: 0.6)')).toBeCloseTo(seen(soft), 9);
  });

  it('by the cross-entropy method comes close to the minimum', () => {
    expect(inferred('by cem(samples: 64, elites: 8, rounds: 12)')).toBeCloseTo(seen((y) => y), 2);
  });

  it('by weighted averages comes close to the minimum', () => {
    expect(inferred('by mppi(samples: 200, rounds: 12, temperature: 0.02, deviation: 0.2)')).toBeCloseTo(seen((y) => y), 1);
  });

  it('by enumeration is the best of all values, here of a codebook', () => {
    const text = `model m {
  input y: [D]
  param code: [5, D] ~ he_normal(fan: 1)
  energy misfit(k: int) = sum[d]((code[k, d] - y[d])^2)
  latent k: int in 1..4 = argmin misfit
  minimize least: misfit(k)
  minimize place: float(k)
}`;
    const code = values(5 * size, 3);
    const distance = (b: number, k: number): number => range(size, (d) => (code[k * size + d] - target[b * size + d]) ** 2).reduce((a, x) => a + x);
    const best = range(examples, (b) => [1, 2, 3].reduce((k, other) => (distance(b, other) < distance(b, k) ? other : k)));
    const out = call(text, 'm', given, { parameters: [...code, ...range(64 - code.length, () => 0)] });
    expect(out['least'][0]).toBeCloseTo(range(examples, (b) => distance(b, best[b])).reduce((a, x) => a + x) / examples, 12);
    expect(out['place'][0]).toBeCloseTo(best.reduce((a, x) => a + x) / examples, 12);
  });

  it('gives the same for an example whatever lies beside it', () => {
    const alone = range(examples, (b) => call(quadratic('from 0 steps 4 rate 0.2'), 'm', { y: { shape: [1, size], data: target.slice(b * size, (b + 1) * size) } })['seen'][0]);
    expect(inferred('from 0 steps 4 rate 0.2')).toBeCloseTo(alone.reduce((a, x) => a + x) / examples, 12);
  });
});

const decoder = (latent: string, minimized: string): string => `
use std.layers { linear }
layer smooth(out: int)(x: [I]) -> [out] = x |> linear(6) |> tanh |> linear(out)
model m {
  input x: [I], y: [D]
  net decode = smooth(D)
  energy predict(z: [2]) = sum[d]((decode(concat(x, z))[d] - y[d])^2) + 0.5 * sum[k](z[k]^2)
  ${latent}
  minimize least: ${minimized}
}`;
const pairs = { x: { shape: [examples, 3], data: values(examples * 3, 1) }, y: { shape: [examples, 2], data: values(examples * 2, 2) } };

describe('the gradient', () => {
  const start = call(decoder('latent z: [2] = argmin predict from 0 steps 1 rate 0', 'predict(z)'), 'm', pairs, { gradients: true });
  const layout: [string, number][] = Object.entries(start).filter(([k]) => k.startsWith('grad.param.')).map(([k, v]) => [k, v.length]);
  const total = layout.reduce((n, [, k]) => n + Math.ceil(k / 64) * 64, 0);
  const parameters = values(total, 5).map((v) => 0.7 * v);
  const run = (text: string, p: readonly number[] = parameters): Record<string, number[]> => call(text, 'm', pairs, { gradients: true, parameters: p });

  it('does not reach weights through what was inferred', () => {
    const out = run(decoder('latent z: [2] = argmin predict from 0 steps 3 rate 0.1', 'sum[k](z[k]^2)'));
    expect(out['least'][0]).toBeGreaterThan(1e-3);
    for (const [name] of layout) close(out[name], out[name].map(() => 0));
    close(out['grad.x'], out['grad.x'].map(() => 0));
  });

  it('is that of the energy at the inferred value: at a minimum, of the least energy', () => {
    const text = decoder('latent z: [2] = argmin predict from 0 steps 60 rate 0.25', 'predict(z)');
    const gradients = run(text);
    const flat = layout.flatMap(([name, n]) => [...gradients[name], ...range(Math.ceil(n / 64) * 64 - n, () => 0)]);
    for (let i = 0; i < 6; i++) {
      // The finite difference infers anew on either side.
      const moved = (delta: number): number => run(text, parameters.map((p, k) => (k === i ? p + delta : p)))['least'][0];
      expect(flat[i]).toBeCloseTo((moved(1e-5) - moved(-1e-5)) / 2e-5, 5);
    }
  }, 30_000);

  it('of descent lowers the energy from round to round', () => {
    const energies = [0, 2, 8, 30].map((steps) => run(decoder(`latent z: [2] = argmin predict from 0 steps ${steps} rate 0.05`, 'predict(z)'))['least'][0]);
    energies.slice(1).forEach((e, k) => expect(e).toBeLessThan(energies[k]));
  });

  it('can be asked for: `gradient(f, x)`', () => {
    const out = call('fn cube(x: []) = x^3\nfn slope(x: [N]) -> [N] { energy total(u: [N]) = sum[n](cube(u[n])); gradient(total, x) }', 'slope', { x: { shape: [3], data: [1, -2, 0.5] } });
    close(out['out'], [3, 12, 0.75]);
  });
});

describe('looking for a latent variable', () => {
  it('moves no state: the running mean is that of the one application that is trained', () => {
    const after = (steps: number): number[] => {
      const text = `
use std.layers { batch_norm, linear }
use std.optimizers { sgd }
model m {
  input x: [D]
  net  f = linear(4) |> batch_norm
  energy misfit(z: []) = mean[d]((f(x)[d] - z)^2)
  latent z: [] = argmin misfit from 0 steps ${steps} rate 0.1
  minimize least: misfit(z)
  represent f(x)
}
train m { optimizer sgd(rate: 0.1) }`;
      const options: CompileTrainingOptions = {
        model: null, set: { batch: '3' }, steps: 4, resident: false, embedBatch: 3,
        data: { examples: 6, classes: null, inputs: [{ name: 'x', element: 'f32', shape: [2] }] },
        target: { target: 'wasm', maxBindingBytes: 2 ** 32, maxBindings: 1000, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 32768, subgroups: false, software: false, threads: 1, relaxedSimd: false, disabled: [] },
      };
      const { programs } = buildTraining(load(text), options);
      const sources = (program: typeof programs.step, known: Readonly<Record<string, ArrayLike<number>>>): Record<string, ArrayLike<number>> =>
        Object.fromEntries(program.tensors.flatMap((t) => (t.kind === 'source' ? [[t.name, known[t.name] ?? new Float64Array(sizeOf(t.shape))]] : [])));
      const drawn = Object.fromEntries(interpret(programs.init, sources(programs.init, {})).sources);
      const stepped = interpret(programs.step, sources(programs.step, { ...drawn, 'batch.x': values(6) }));
      return ['running_mean', 'running_variance'].flatMap((n) => [...(stepped.sources.get([...stepped.sources.keys()].find((k) => k.endsWith(n)) ?? '') ?? [])]);
    };
    const still = after(0);
    expect(still.some((v) => v !== 0 && v !== 1)).toBe(true);
    close(after(3), still);
  });

  it.each([
    ['an energy that is not there', 'latent z: [2] = argmin nothing from 0 steps 2 rate 0.1', ['SSL1001']],
    ['a number for an energy', 'latent z: [2] = argmin width from 0 steps 2 rate 0.1', ['SSL2001']],
    ['real values by enumeration', 'latent z: [2] in 0..4 = argmin e', ['SSL2001']],
    ['whole numbers by descent', 'latent z: int = argmin e from 0 steps 2 rate 0.1', ['SSL2001']],
    ['a start of another shape', 'latent z: [2] = argmin e from concat(x, x) steps 2 rate 0.1', ['SSL2004']],
    ['no way to find it', 'latent z: [2] = argmin e', ['SSL0014']],
    ['two ways to find it', 'latent z: [2] = argmin e from 0 steps 2 rate 0.1 by cem()', ['SSL0014']],
    ['a search that is none', 'latent z: [2] = argmin e by 3', ['SSL2001']],
  ])('needs more than %s', (_, latent, expected) => {
    const text = `use std.inference { cem }
use std.layers { linear }
model m(width: int = 2) {
  input x: [D]
  net f = linear(2)
  energy e(z: [2]) = mean((f(x) - z)^2)
  ${latent}
  minimize size: mean(f(x)^2)
  represent f(x)
}`;
    expect(problems(text)).toEqual(expected);
  });
});
