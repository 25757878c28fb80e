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

/** Replaces pairs of texts, each of which must be there. */
const swap = (...pairs: readonly string[]) => (text: string): string => pairs.reduce((t, from, k) => (k % 2 === 0 ? replace(from, pairs[k + 1])(t) : t), text);

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
    // Where the past moment has settled at that of the one embedding left.
    ['tico', narrow, 'contrastive', 'rho', 8],
    ['sparse_prediction', narrow, 'regularized', null, 24.75],
    ['discrete_prediction', narrow, 'regularized', null, 24.75],
    ['swav', { prototypes: '50', queued: '8', parts: '1' }, 'clustered', 'ln prototypes', Math.log(50)],
    ['deepcluster_v2', { k: '50' }, 'clustered', 'ln k', Math.log(50)],
    ['deeper_cluster', { k: '40' }, 'clustered', 'ln 160', Math.log(160)],
    ['clusterfit', { k: '50' }, 'clustered', 'ln k', Math.log(50)],
  ] as const)('of %s', (name, set, mechanism, formula, value) => {
    const v = verdict(name, undefined, set);
    expect(v.mechanism).toBe(mechanism);
    expect(v.dimensional).toBe(false);
    expect(v.trivial.formula).toBe(formula);
    expect(v.trivial.value).toBeCloseTo(value, 9);
  });

  it('of wmse: at the collapsed point nothing is left to whiten, and few dimensions are not seen', () => {
    const v = verdict('wmse', undefined, { width: '4' });
    expect([v.mechanism, v.trivial.value, v.dimensional]).toEqual(['regularized', 2, true]);
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
    expect(verdict('two_rooms', (text) => replace(/ *minimize +inverse_dynamics.*\n/g, '')(flat(text)), small).mechanism).toBe('none');
  });

  /** What a paper adds to an alignment, taken away again: always nothing is left. */
  it.each([
    ['moco without negatives', 'moco_v2', swap('use std.energies { info_nce }', 'use std.energies { cosine_distance }', 'info_nce(tau)(q, k, queue)', 'tau * cosine_distance(q, k)')],
    ['dcl without negatives', 'dcl', swap('use std.energies { dcl }', 'use std.energies { alignment }', 'dcl(tau, weighted)(g(f(a)), g(f(b)))', 'alignment(g(f(a)), g(f(b)))')],
    ['siamese pairs of the same alone', 'siamese', swap('all_pairs(margin)(normalize(g(f(a))), normalize(g(f(b))))', 'squared_distance(normalize(g(f(a))), normalize(g(f(b))))')],
    ['triplets without the negative', 'triplet', swap('all_triplets(margin)(normalize(g(f(a))), normalize(g(f(b))))', 'squared_distance(normalize(g(f(a))), normalize(g(f(b))))')],
    ['tico without the second moment', 'tico', swap('use std.energies { tico', 'use std.energies { cosine_distance, tico', 'tico(rho)(z, t(b), moment)', 'cosine_distance(z, t(b))')],
    ['lejepa without its regularizer', 'lejepa', replace(/ *regularize normal.*\n/g, '')],
    ['dino without the centring', 'dino', swap('teacher[k], centre))', 'teacher[k], stop(0 * teacher[k])))')],
  ])('of %s is none', (_, name, change) => {
    expect(verdict(name, change, name === 'dino' ? { outputs: '16' } : {}).mechanism).toBe('none');
  });

  it('of self-distillation is that of a stopped side with a centring', () => {
    const v = verdict('dino', undefined, { outputs: '16' });
    expect(v.mechanism).toBe('asymmetric');
    expect(v.trivial.formula).toBe('ln outputs');
    expect(v.trivial.value).toBeCloseTo(Math.log(16), 9);
  });

  it('of balanced assignments is that of clusters; without the balance nothing is left', () => {
    const text = (assign: string): string => `use std.layers { linear }
model balanced(prototypes: int = 12, tau: float = 0.1) {
  input x: [D]
  net f = linear(8)
  param codes: [prototypes, 8] ~ unit_normal()
  energy swap(u: [B, E], v: [B, E], w: [K, E]) -> [] {
    let p = normalize(u) @ transpose(normalize(w)), r = normalize(v) @ transpose(normalize(w))
    share[b, k] = exp(r[b, k] / 0.05) / sum[c](exp(r[c, k] / 0.05))
    balanced[b, k] = share[b, k] / sum[j](share[b, j])
    alone[b, k] = exp(r[b, k] / 0.05) / sum[j](exp(r[b, j] / 0.05))
    let q = stop(${assign})
    mean[b](logsumexp[k](p[b, k] / tau) - sum[k](q[b, k] * p[b, k]) / tau)
  }
  minimize swapped: swap(f(x), f(2 * x), codes)
  represent f(x)
}`;
    const decide = (assign: string): CollapseVerdict => {
      const loaded = loadProgram('main.ssl', memoryReader({ 'main.ssl': text(assign) }));
      const v = decideCollapse(loaded, { model: null, set: {}, data: { examples: 100, classes: null, inputs: [{ name: 'x', element: 'f32', shape: [5] }] }, batch: 10 });
      if (v.mechanism === 'undecided') throw new Error(v.reason);
      return v;
    };
    const balanced = decide('balanced');
    expect(balanced.mechanism).toBe('clustered');
    expect(balanced.trivial.formula).toBe('ln prototypes');
    expect(decide('alone').mechanism).toBe('none');
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
