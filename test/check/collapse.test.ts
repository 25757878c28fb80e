/** The verdict on collapse for the bundled models, the mends it suggests, and models of each kind written out. Mutations of each are in mutations.test.ts. */
import { describe, expect, it } from 'vitest';
import { checkCollapse } from '../../compiler/check/describe-model.js';
import { changed, requestFor, swap, verdict, verdictOn, without } from './harness.js';

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
    // The neighbours that its memory gives are without gradient; what is told apart are the predictions.
    ['nnclr', { support: '64', ...narrow }, 'contrastive', 'ln B', Math.log(256)],
    // 5 % of 0.402 an example, the statistic of embeddings that are all zero.
    ['lejepa', { parts: '0' }, 'regularized', '0.0201 B', 0.05 * 0.4020475797316646 * 256],
    // Where the past moment has settled at that of the one embedding left.
    ['tico', { width: '16' }, 'regularized', 'rho', 8],
    // At the collapsed point nothing is left to whiten.
    ['wmse', { width: '8' }, 'regularized', null, 2],
    ['seer', { prototypes: '20', parts: '1', width: '16', rounds: '3' }, 'clustered', 'ln prototypes', Math.log(20)],
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

  it('is the same when views go through a network together', () => {
    const byJoint = {
      simclr: swap(['minimize  contrast: nt_xent(tau)(g(f(a)), g(f(b)))', 'let z = g(f(joint(a, b)))\n  minimize contrast: nt_xent(tau)(z[0], z[1])']),
      vicreg: swap(['let   u = h(f(a)), v = h(f(b))', 'let z = h(f(joint(a, b)))\n  let u = z[0], v = z[1]']),
      simsiam: swap(['let   za = g(f(a)), zb = g(f(b))', 'let z = g(f(joint(a, b)))\n  let za = z[0], zb = z[1]']),
    };
    for (const name of ['simclr', 'vicreg', 'simsiam'] as const) {
      const set = name === 'simclr' ? {} : narrow;
      expect(verdict(name, byJoint[name], set)).toEqual(verdict(name, undefined, set));
    }
    const bare = swap(['negative_cosine(predict(za), stop(zb)) + negative_cosine(predict(zb), stop(za))', 'negative_cosine(za, stop(zb)) + negative_cosine(zb, stop(za))']);
    expect(verdict('simsiam', (t) => bare(byJoint.simsiam(t)), narrow).mechanism).toBe('none');
    expect(verdict('vicreg', (t) => without('regularize spread')(byJoint.vicreg(t)), narrow).mechanism).toBe('none');
  });

  it.each([
    ['simsiam without the predictor', 'simsiam', swap(['negative_cosine(predict(za), stop(zb)) + negative_cosine(predict(zb), stop(za))', 'negative_cosine(za, stop(zb)) + negative_cosine(zb, stop(za))']), '`negative_cosine(predictor(za), stop(zb))`, and so in each of the 2 comparisons'],
    ['simsiam without the stop-gradient', 'simsiam', swap(['negative_cosine(predict(za), stop(zb)) + negative_cosine(predict(zb), stop(za))', 'negative_cosine(predict(za), zb) + negative_cosine(predict(zb), za)']), '`negative_cosine(predict(za), stop(zb))`, and so in each of the 2 comparisons'],
    ['byol without the predictor', 'byol', (t: string) => t.replaceAll('predict(f(a))', 'f(a)').replaceAll('predict(f(b))', 'f(b)'), '`cosine_distance(predictor(f(a)), t(b))`'],
    ['byol without the target', 'byol', (t: string) => t.replaceAll(', t(b))', ', f(b))').replaceAll(', t(a))', ', f(a))'), '`cosine_distance(predict(f(a)), stop(f(b)))`'],
    ['vicreg without the variance', 'vicreg', without('regularize spread'), '`regularize spread: variance(u)`'],
    ['vicreg with its variance negated', 'vicreg', swap(['spread: 25 *', 'spread: -25 *']), 'turn the sign of `spread`'],
    ['sparse prediction without the variance', 'sparse_prediction', without('regularize spread'), '`regularize spread: variance('],
    ['discrete prediction without the variance', 'discrete_prediction', without('regularize spread'), '`regularize spread: variance('],
    ['an alignment alone', 'simclr', swap(['use std.energies { nt_xent }', 'use std.energies { alignment }'], ['nt_xent(tau)(g(f(a)), g(f(b)))', 'tau * alignment(g(f(a)), g(f(b)))']), '`regularize spread: variance(g(f(a)))`'],
  ])('of %s is none, with a mend that was tried', (_, name, change, mend) => {
    const set = name === 'simclr' ? {} : narrow;
    expect(verdict(name, change, set).mechanism).toBe('none');
    const [error] = checkCollapse(changed(name, change), requestFor(name, set)).diagnostics;
    expect(error.code).toBe('SSL3001');
    expect(error.help).toContain(mend);
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
    const decide = (assign: string) => verdictOn(text(assign));
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
    const decide = (extra: string) => verdictOn(text(extra)).mechanism;
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

  /** What is asked of the embeddings of a linear network, with labels in the data. */
  it.each([
    ['a covariance that is to be the identity', 'mean((u - v)^2) + sum[i, j](((sum[b](u[b, i] * u[b, j]) / B) - (if i == j { 1 } else { 0 }))^2)', 'regularized'],
    ['triplets measured by absolute differences', 'mean[i, j where i != j](relu(sum[d](abs(u[i, d] - v[i, d])) - sum[d](abs(u[i, d] - v[j, d])) + 1))', 'contrastive'],
    ['a classifier', 'mean[b](cross_entropy(u[b], y[b]))', 'reconstructive'],
    ['labels that are all the same', 'mean[b](cross_entropy(u[b], 0 * y[b]))', 'none'],
    ['pairs of the same label', 'mean[i, j where i != j](if y[i] == y[j] { squared_distance(u[i], v[j]) } else { relu(1 - squared_distance(u[i], v[j])) })', 'contrastive'],
    ['what an example prefers by itself', 'mean[b](squared_distance(u[b], v[b]) + (sum[d](u[b, d]^2) - 1)^2)', 'none'],
  ])('of %s', (_, body, mechanism) => {
    const v = verdictOn(`use std.layers { linear }
energy asked(u: [B, D], v: [B, D], y: int[B]) -> [] {
  ${body}
}
model m() {
  input x: [I], y: int
  net f = linear(4)
  minimize asked: asked(f(x), f(2 * x), y)
  represent f(x)
}`, [{ name: 'y', element: 'i32', shape: [] }]);
    expect(v.mechanism).toBe(mechanism);
  });
});
