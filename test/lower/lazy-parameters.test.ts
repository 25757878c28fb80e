/** Lazy parameters: only rows that a step reads move. Weights after some steps, against the formulas row by row, and gradients against differences. */
import { describe, expect, it } from 'vitest';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import { buildTraining } from '../../compiler/lower/training-programs.js';
import type { TrainingPrograms } from '../../compiler/lower/training-programs.js';
import { optimizers } from '../models/optimizer-formulas.js';
import type { OptimizerFormula } from '../models/optimizer-formulas.js';
import { exactOptions } from '../wasm/harness.js';
import { batch, contexts, skipgram, steps, training, vocabulary, width, words } from './skipgram.js';
import { run, stepOf } from './training.js';
import type { Values } from './training.js';

function build(text: string): TrainingPrograms {
  const { loaded, options } = training(text, exactOptions);
  return buildTraining(loaded, options);
}

interface Trained {
  readonly built: TrainingPrograms;
  readonly states: readonly Values[];
  readonly norms: readonly number[];
  /** A parameter's rows after so many steps. */
  readonly rows: (path: string, step: number) => number[][];
}

function train(text: string): Trained {
  const built = build(text);
  const { manifest, programs } = built;
  let values: Values = run(programs.init, { 'clock.seed': [3], 'data.word': words, 'data.context': contexts }).sources;
  const states = [values];
  const norms: number[] = [];
  for (let step = 0; step < steps; step++) {
    const order = Array.from({ length: batch }, (_, i) => step * batch + i);
    const { reports, next } = stepOf(programs, manifest, { ...values, 'clock.step': [step], 'batch.order': order, 'batch.example': order });
    values = next;
    states.push(values);
    norms.push(reports[manifest.reports.indexOf('gradient_norm')]);
  }
  const rows = (path: string, step: number): number[][] => {
    const p = manifest.parameters.find((x) => x.path === path);
    if (p === undefined) throw new Error(`no parameter ${path}`);
    const flat = Array.from(states[step][p.arena]).slice(p.offset, p.offset + p.shape[0] * width);
    return Array.from({ length: p.shape[0] }, (_, r) => flat.slice(r * width, (r + 1) * width));
  };
  return { built, states, norms, rows };
}

/** With a network `looked_up` that reads rows, and `centre`, which mixes examples. */
const withLayer = (text: string): string => text.replace('model skipgram', `layer looked_up(w: int) -> [${width}] {
  param rows: [${vocabulary}, ${width}] ~ uniform(-1, 1)
  tanh(rows[w])
}
fn centre(z: [B, W]) -> [W] {
  c[w] = mean[b](z[b, w])
  c
}
model skipgram`);

const far = (a: readonly (readonly number[])[], b: readonly (readonly number[])[]): number => Math.max(...a.flatMap((row, r) => row.map((x, d) => Math.abs(x - b[r][d]))));

describe('rows that move when they are read', () => {
  it('go where those of a dense gradient descent go', () => {
    const [lazy, whole] = ['group inside, outside { lazy true }', ''].map((group) => train(skipgram(`optimizer sgd(rate: 0.5, momentum: 0)\n${group}`, 'sgd')));
    for (const path of ['inside', 'outside']) for (let step = 0; step <= steps; step++) expect(far(lazy.rows(path, step), whole.rows(path, step)), `${path} after ${step}`).toBeLessThan(1e-12);
    lazy.norms.forEach((n, k) => expect(n).toBeCloseTo(whole.norms[k], 12));
    expect(far(lazy.rows('inside', 0), lazy.rows('inside', steps))).toBeGreaterThan(0.01);
  });

  it('have gradients that finite differences agree with', () => {
    const text = skipgram('optimizer sgd(rate: 1, momentum: 0)\ngroup inside, outside { lazy true }', 'sgd');
    const trained = train(text);
    const { manifest, programs } = trained.built;
    const order = Array.from({ length: batch }, (_, i) => i);
    const lossAt = (source: string, at: number, delta: number): number => {
      const moved = Array.from(trained.states[0][source]);
      moved[at] += delta;
      return stepOf(programs, manifest, { ...trained.states[0], [source]: moved, 'clock.step': [0], 'batch.order': order, 'batch.example': order }).reports[0];
    };
    for (const source of ['parameters.inside', 'parameters.outside']) {
      for (let at = 0; at < vocabulary * width; at++) {
        const difference = (lossAt(source, at, 1e-5) - lossAt(source, at, -1e-5)) / 2e-5;
        expect(trained.states[0][source][at] - trained.states[1][source][at], `${source}[${at}]`).toBeCloseTo(difference, 8);
      }
    }
  });

  const formulas = optimizers.filter((o) => ['adam', 'adamw', 'adagrad', 'rowwise_adagrad', 'lamb'].includes(o.name) || (o.name === 'lars' && o.set['variant'] === 'official'));
  const settings = (o: OptimizerFormula): string => Object.entries(o.set).map(([k, v]) => `${k}: ${k === 'variant' ? `"${v}"` : v}`).join(', ');
  it.each(formulas.map((o) => [`${o.name}(${settings(o)})`, o] as const))('are parameters of their own to %s', (call, o) => {
    const skip = o.name === 'lars' || o.name === 'lamb' ? call.replace(/\)$/, ', skip: [])') : call;
    const trained = train(skipgram(`optimizer ${skip}\ngroup inside, outside { lazy true }`, o.name));
    // Gradients of a step from a plain descent from the same weights, which only moves by them.
    const descent = build(skipgram('optimizer sgd(rate: 1, momentum: 0)', 'sgd'));
    const place = (path: string): number => descent.manifest.parameters.find((p) => p.path === path)?.offset ?? NaN;
    const rows = new Map<string, { w: readonly number[]; state: ReturnType<OptimizerFormula['start']> }>();
    for (let step = 0; step < steps; step++) {
      const order = Array.from({ length: batch }, (_, i) => step * batch + i);
      const flat = new Float64Array(Array.from(run(descent.programs.init, { 'clock.seed': [3] }).sources['parameters']).length);
      for (const path of ['inside', 'outside']) flat.set(Array.from(trained.states[step][`parameters.${path}`]), place(path));
      const shared = { 'clock.seed': [3], 'data.word': words, 'data.context': contexts };
      const moments = Object.fromEntries(descent.manifest.states.map((s) => [s.name, new Float64Array(flat.length)]));
      const after = stepOf(descent.programs, descent.manifest, { ...shared, ...moments, parameters: flat, 'clock.step': [step], 'batch.order': order, 'batch.example': order }).next['parameters'];
      for (const path of ['inside', 'outside']) {
        for (let r = 0; r < vocabulary; r++) {
          const at = place(path) + r * width;
          const g = Array.from({ length: width }, (_, d) => flat[at + d] - after[at + d]);
          const w = trained.rows(path, step)[r];
          const known = rows.get(`${path} ${r}`) ?? { w, state: o.start(width) };
          expect(far([known.w], [w]), `${path}[${r}] before step ${step}`).toBeLessThan(1e-9);
          // A row that was not read has no gradient at all.
          if (g.every((x) => x === 0)) { expect(trained.rows(path, step + 1)[r], `${path}[${r}] unread`).toEqual(w); continue; }
          const next = o.step(w, g, step, known.state);
          rows.set(`${path} ${r}`, { w: next.w, state: next.state });
          expect(far([next.w], [trained.rows(path, step + 1)[r]]), `${path}[${r}] after step ${step}`).toBeLessThan(1e-9);
        }
      }
    }
  });

  it('keep the rate, schedule and start of their group, beside parameters that are dense', () => {
    const more = 'net h = dense(2)\n  minimize small: mean(h(inside[word])^2)';
    const trained = train(skipgram('optimizer sgd(rate: 0.5, momentum: 0)\ngroup inside { lazy true; rate 0.25; schedule linear() }\ngroup outside { lazy true; trainable after(1 steps) }', 'sgd', more));
    const whole = train(skipgram('optimizer sgd(rate: 0.5, momentum: 0)\ngroup inside { rate 0.25; schedule linear() }\ngroup outside { trainable after(1 steps) }', 'sgd', more));
    for (const path of ['inside', 'outside']) for (let step = 0; step <= steps; step++) expect(far(trained.rows(path, step), whole.rows(path, step)), `${path} after ${step}`).toBeLessThan(1e-12);
    expect(trained.rows('outside', 1)).toEqual(trained.rows('outside', 0));
    const dense = (t: Trained): number[] => Array.from(t.states[steps]['parameters']).slice(0, 8);
    expect(dense(trained).some((x, i) => x !== trained.states[0]['parameters'][i])).toBe(true);
    dense(trained).forEach((x, i) => { const p = whole.built.manifest.parameters.find((q) => q.path.startsWith('h') && q.path.endsWith('w')); if (p !== undefined && i < 6) expect(x).toBeCloseTo(whole.states[steps]['parameters'][p.offset + i], 12); });
  });

  it('have states for each row, a number for each where the optimizer keeps one', () => {
    const shapes = (optimizer: string): Readonly<Record<string, readonly number[]>> =>
      Object.fromEntries(build(skipgram(`optimizer ${optimizer}()\ngroup inside, outside { lazy true }`, optimizer)).manifest.states.map((s) => [s.name, s.shape]));
    expect(shapes('rowwise_adagrad')).toEqual({ 'state.optimizer.inside.v': [vocabulary], 'state.optimizer.outside.v': [vocabulary] });
    expect(shapes('adagrad')).toEqual({ 'state.optimizer.inside.v': [vocabulary, width], 'state.optimizer.outside.v': [vocabulary, width] });
  });

  it('move by the whole of a virtual batch, wherever in it they are read', () => {
    // Outside of networks, and in one, whose chunks read rows of their own; words occur in several chunks.
    const more = 'net f = looked_up\n  minimize near: mean((f(word) - inside[context])^2) + 0.1 * mean(centre(f(word))^2)';
    const text = (line: string): string => withLayer(skipgram(`optimizer adam(rate: 0.1)\n${line}\ngroup inside, outside, f { lazy true }`, 'adam', more));
    const [whole, chunked] = [train(text('')), train(text(`virtual_batch ${batch}`).replace(`train skipgram { batch ${batch}`, 'train skipgram { batch 2'))];
    expect(chunked.built.manifest).toMatchObject({ batch, chunk: 2 });
    for (const path of ['inside', 'outside', 'f.rows']) for (let step = 0; step <= steps; step++) expect(far(chunked.rows(path, step), whole.rows(path, step)), `${path} after ${step}`).toBeLessThan(1e-9);
    chunked.norms.forEach((n, k) => expect(n).toBeCloseTo(whole.norms[k], 9));
    expect(far(whole.rows('f.rows', 0), whole.rows('f.rows', steps))).toBeGreaterThan(0.01);
    // A row that no chunk reads stays; another moves once.
    expect(chunked.rows('f.rows', 1)[8]).toEqual(chunked.rows('f.rows', 0)[8]);
  });

  it('are written whole by a stage, which leaves the states of their rows, and start over where it resets them', () => {
    const trained = train(skipgram('optimizer adagrad(rate: 0.1)\ngroup inside, outside { lazy true }', 'adagrad', 'stage shrink every 2 steps { inside <- 0.5 * inside\n reset outside }'));
    const { programs, manifest } = trained.built;
    expect(manifest.stages[0].writes).toEqual([{ name: 'inside', source: 'parameters.inside' }]);
    const before = trained.states[steps];
    const after = run(programs['stage.shrink'], { ...before, 'clock.step': [steps] }).sources;
    expect(Array.from(after['parameters.inside'])).toEqual(Array.from(before['parameters.inside']).map((x) => 0.5 * x));
    expect(Array.from(after['state.optimizer.inside.v'])).toEqual(Array.from(before['state.optimizer.inside.v']));
    expect(Array.from(after['parameters.outside']).every((x, i) => x !== before['parameters.outside'][i])).toBe(true);
    expect(Array.from(before['state.optimizer.outside.v']).some((x) => x > 0)).toBe(true);
    expect(Array.from(after['state.optimizer.outside.v']).every((x) => x === 0)).toBe(true);
  });

  it.each([
    ['a parameter of which all rows are read', 'group inside { lazy true }', 'minimize small: mean(inside^2)', 'SSL3023'],
    ['one that is read as a matrix', 'group inside { lazy true }', 'minimize small: mean((inside[word] @ transpose(inside))^2)', 'SSL3023'],
    ['a number', 'group scale { lazy true }', 'param scale: [] = 1\n  minimize small: scale^2', 'SSL3023'],
    ['something that is neither true nor false', 'group inside { lazy 1 }', '', 'SSL2001'],
    ['a target of a network that has one', 'group inside, f { lazy true }', 'net f = looked_up\n  target slow = ema(f, 0.9)\n  minimize near: mean((f(word) - stop(slow(word)))^2)', 'SSL4001'],
  ])('are refused: %s', (_, group, more, code) => {
    try {
      build(withLayer(skipgram(`optimizer sgd(rate: 0.5)\n  ${group}`, 'sgd', more)));
      expect.fail('it was accepted');
    } catch (e) {
      if (!(e instanceof DiagnosticError)) throw e;
      expect(e.diagnostics.map((d) => d.code)).toEqual([code]);
    }
  });
});
