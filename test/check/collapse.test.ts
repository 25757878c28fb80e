/** The verdict on collapse for the bundled models and for mutations of each. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { decideCollapse } from '../../compiler/check/collapse.js';
import type { CollapseVerdict } from '../../compiler/check/collapse.js';
import { checkCollapse } from '../../compiler/check/describe-model.js';
import { loadProgram } from '../../compiler/check/load-program.js';
import type { LoadedProgram } from '../../compiler/api.js';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import { memoryReader } from '../lower/harness.js';

const folder = join(import.meta.dirname, '..', '..', 'models');

function changed(name: string, change: (text: string) => string): LoadedProgram {
  const loaded = loadProgram('main.ssl', memoryReader({ 'main.ssl': change(readFileSync(join(folder, name.endsWith('prediction') || name === 'two_rooms' ? 'latent' : 'vision', `${name}.ssl`), 'utf8')) }));
  if (loaded.diagnostics.length > 0) throw new DiagnosticError(loaded.diagnostics);
  return loaded;
}

const requestFor = (name: string, set: Record<string, string>) => {
  const inputs = name === 'two_rooms' ? [{ name: 'x', element: 'u8' as const, shape: [4, 16, 16, 2] }, { name: 'action', element: 'f32' as const, shape: [3, 2] }]
    : name === 'emoji_pairs' ? ['x', 'y'].map((n) => ({ name: n, element: 'u8' as const, shape: [32, 32, 3] })) : [{ name: 'x', element: 'u8' as const, shape: [28, 28, 1] }];
  return { model: null, set, data: { examples: 1000, inputs, classes: null } };
};

function verdict(name: string, change: (text: string) => string = (t) => t, set: Record<string, string> = {}): CollapseVerdict {
  const found = decideCollapse(changed(name, change), { ...requestFor(name, set), batch: 256 });
  if (found.mechanism === 'undecided') throw new Error(found.reason);
  return found;
}

/** Replaces text that must be there. */
const replace = (from: string | RegExp, to: string) => (text: string): string => {
  const after = text.replaceAll(from, to);
  if (after === text) throw new Error(`nothing to replace: ${String(from)}`);
  return after;
};

const narrow = { width: '64' };

describe('the verdict on collapse', () => {
  it.each([
    ['simclr', {}, 'contrastive', 'ln(2B - 1)', Math.log(511)],
    ['emoji_pairs', {}, 'contrastive', 'ln(2B - 1)', Math.log(511)],
    ['moco_v2', { keys: '512' }, 'contrastive', 'ln(keys + 1)', Math.log(513)],
    ['vicreg', narrow, 'regularized', null, 24.75],
    ['barlow_twins', narrow, 'regularized', 'width', 64],
    ['simsiam', narrow, 'asymmetric', null, -1],
    ['byol', narrow, 'asymmetric', null, 0],
    ['siamese', {}, 'contrastive', null, 0.5 * (1 - 1e-6) ** 2],
    ['triplet', {}, 'contrastive', 'margin', 0.2],
    ['dcl', {}, 'contrastive', '2 ln(2B - 2)', 2 * Math.log(510)],
    ['dcl', { weighted: 'true' }, 'contrastive', '2 ln(2B - 2)', 2 * Math.log(510)],
    // Its memory is taken to be spread; the neighbours that it gives are without gradient.
    ['nnclr', { support: '64', ...narrow }, 'clustered', 'ln B', Math.log(256)],
    // 5 % of 0.402 an example, the statistic of embeddings that are all zero.
    ['lejepa', { parts: '0' }, 'regularized', '0.0201 B', 0.05 * 0.4020475797316646 * 256],
    // In the first step, when the past moment is zero: rho (1 - beta).
    ['tico', narrow, 'contrastive', null, 0.8],
    ['sparse_prediction', narrow, 'regularized', null, 24.75],
    ['discrete_prediction', narrow, 'regularized', null, 24.75],
    ['swav', { prototypes: '50', queued: '8', parts: '1' }, 'clustered', 'ln 50', Math.log(50)],
    ['deepcluster_v2', { k: '50' }, 'clustered', 'ln 50', Math.log(50)],
    ['clusterfit', { k: '50' }, 'clustered', 'ln 50', Math.log(50)],
  ] as const)('of %s', (name, set, mechanism, formula, value) => {
    const v = verdict(name, undefined, set);
    expect(v.mechanism).toBe(mechanism);
    expect(v.dimensional).toBe(false);
    expect(v.trivial.formula).toBe(formula);
    expect(v.trivial.value).toBeCloseTo(value, 9);
  });

  it.each([
    ['simsiam without the predictor', 'simsiam', replace('negative_cosine(predict(za), stop(zb)) + negative_cosine(predict(zb), stop(za))', 'negative_cosine(za, stop(zb)) + negative_cosine(zb, stop(za))'), '`negative_cosine(predictor(za), stop(zb))`, and so in each of the 2 comparisons'],
    ['simsiam without the stop-gradient', 'simsiam', replace('negative_cosine(predict(za), stop(zb)) + negative_cosine(predict(zb), stop(za))', 'negative_cosine(predict(za), zb) + negative_cosine(predict(zb), za)'), '`negative_cosine(predict(za), stop(zb))`, and so in each of the 2 comparisons'],
    ['byol without the predictor', 'byol', (t: string) => t.replaceAll('predict(f(a))', 'f(a)').replaceAll('predict(f(b))', 'f(b)'), '`cosine_distance(predictor(f(a)), t(b))`'],
    ['byol without the target', 'byol', (t: string) => t.replaceAll(', t(b))', ', f(b))').replaceAll(', t(a))', ', f(a))'), '`cosine_distance(predict(f(a)), stop(f(b)))`'],
    ['vicreg without the variance', 'vicreg', replace(/ *regularize spread.*\n/g, ''), '`regularize spread: variance(u)`'],
    ['vicreg with its variance negated', 'vicreg', replace('spread: 25 *', 'spread: -25 *'), 'turn the sign of `spread`'],
    ['sparse prediction without the variance', 'sparse_prediction', replace(/ *regularize spread.*\n/g, ''), '`regularize spread: variance('],
    ['discrete prediction without the variance', 'discrete_prediction', replace(/ *regularize +spread.*\n/g, ''), '`regularize spread: variance('],
    ['an alignment alone', 'simclr', (t: string) => t.replace('use std.energies { nt_xent }', 'use std.energies { alignment }').replace('nt_xent(tau)(g(f(a)), g(f(b)))', 'tau * alignment(g(f(a)), g(f(b)))'), '`regularize spread: variance(g(f(a)))`'],
  ])('of %s is none, with a mend that was tried', (_, name, change, mend) => {
    const set = name === 'simclr' ? {} : narrow;
    expect(verdict(name, change, set).mechanism).toBe('none');
    const [error] = checkCollapse(changed(name, change), requestFor(name, set)).diagnostics;
    expect(error.code).toBe('SSL3001');
    expect(error.help).toContain(mend);
  });

  it.each([
    ['vicreg without the covariance', 'vicreg', replace(/ *regularize decorrelate.*\n/g, '')],
    ['sparse prediction without the covariance', 'sparse_prediction', replace(/ *regularize decorrelate.*\n/g, '')],
    ['barlow twins without the off-diagonal', 'barlow_twins', replace('0.0051', '0')],
  ])('warns of dimensional collapse in %s', (_, name, change) => {
    const v = verdict(name, change, narrow);
    expect(v.mechanism).toBe('regularized');
    expect(v.dimensional).toBe(true);
  });

  it('of a world model is regularized; without the variance, predicting the action is what is left', () => {
    const small = { width: '12', rollout: '2', horizon: '2', rounds: '1' };
    expect(verdict('two_rooms', undefined, small)).toMatchObject({ mechanism: 'regularized', carriedBy: ['spread'], dimensional: false });
    const flat = replace(/ *regularize +spread.*\n/g, '');
    expect(verdict('two_rooms', flat, small)).toMatchObject({ mechanism: 'reconstructive', carriedBy: ['inverse_dynamics'] });
    expect(verdict('two_rooms', (text) => replace(/ *minimize +inverse_dynamics.*\n/g, '')(flat(text)), small)?.mechanism).toBe('none');
  });

  it('leaves the lowest collapsed point, whatever length a term prefers', () => {
    const text = (extra: string): string => `use std.layers { linear }
use std.regularizers { variance, covariance }
model sized() {
  input x: [D]
  net f = linear(8)
  let u = f(x), v = f(2 * x)
  minimize agree: mean((u - v)^2)
  minimize size: mean((u^2 - 1)^2)
  ${extra}
  represent f(x)
}`;
    const decide = (extra: string): string | undefined => {
      const loaded = loadProgram('main.ssl', memoryReader({ 'main.ssl': text(extra) }));
      return decideCollapse(loaded, { model: null, set: {}, data: { examples: 100, classes: null, inputs: [{ name: 'x', element: 'f32', shape: [5] }] }, batch: 10 })?.mechanism;
    };
    expect(decide('regularize spread: variance(u) + covariance(u)')).toBe('regularized');
    expect(decide('')).toBe('none');
  });

  it('sees a comparison with the input itself', () => {
    const text = `use std.layers { linear }
model autoencoder() {
  input x: u8[H, W, C]
  net f = linear(8)
  net decode = linear(28)
  let rows = reshape(x, H, W)
  minimize recover: mean((decode(f(rows)) - rows)^2)
  represent f(rows)
}`;
    const v = verdict('simclr', () => text);
    expect(v.mechanism).toBe('reconstructive');
  });
});
