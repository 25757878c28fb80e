/** The verdict on collapse of mutations of every bundled model: what its paper adds to keep it from collapsing, taken away again. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Mechanism } from '../../compiler/check/collapse.js';
import { both, models, swap, verdict, without } from './harness.js';
import type { Change } from './harness.js';

/** `few`: also not kept from collapsing onto few dimensions. */
type Expected = Mechanism | 'few';

interface Mutations {
  /** Settings that make the model small. */
  readonly small?: Readonly<Record<string, string>>;
  readonly of: readonly (readonly [what: string, expected: Expected, change: Change, set?: Readonly<Record<string, string>>])[];
}

const as: Change = (text) => text;
const narrow = { width: '16' };

/** Codes by a plain softmax of the scores, in place of Sinkhorn's. */
const withoutSinkhorn = (beside: string): Change => swap(['sinkhorn_means(eps, rounds)', 'softmax_means(eps)'], ['sinkhorn_means, ', ''], [beside, `fn softmax_means(eps: float)(z: [B, D], prototypes: [K, D], absent: [B]) -> [B, D] {
  q[b, k] = stop(exp(sum[d](z[b, d] * prototypes[k, d]) / eps))
  y[b, d] = sum[k](q[b, k] * prototypes[k, d]) / sum[k](q[b, k])
  y
}
${beside}`]);

/** Sinkhorn's codes with their gradient. */
const withoutStop = (beside: string): Change => swap(['sinkhorn_means(eps', 'live_means(eps'], ['sinkhorn_means, ', ''], [beside, `fn live_means(eps: float, rounds: int)(z: [B, D], prototypes: [K, D], absent: [B]) -> [B, D] {
  s[b, k] = sum[d](z[b, d] * prototypes[k, d]) / eps
  let g = 0 * absent
  repeat rounds {
    f[k] = -logsumexp[b](s[b, k] + g[b] + absent[b])
    g[b] = -logsumexp[k](s[b, k] + f[k])
  }
  y[b, d] = sum[k](exp(s[b, k] + f[k] + g[b]) * prototypes[k, d])
  y
}
${beside}`]);

const nnclrAlone = swap(['batch_info_nce, nearest', 'negative_cosine, nearest'], ['batch_info_nce(tau)', 'negative_cosine']);
const nnclrPlain = both(without('net predict'), swap(['predict(ha)', 'ha'], ['predict(hb)', 'hb']));
const mocoOwn = (key: string): Change => both(without('target'), swap(['k = normalize(hk(fk(b)))', `k = ${key}`]));

/** Nothing here is known to `sslc check` by its name: what is written is what decides. */
const mutations: Readonly<Record<string, Mutations>> = {
  siamese: { small: narrow, of: [
    ['pairs of the same alone', 'none', swap(['all_pairs(margin)', 'squared_distance'])],
    ['no margin', 'none', as, { margin: '0' }],
  ] },
  triplet: { small: narrow, of: [
    ['no negative', 'none', swap(['all_triplets(margin)', 'squared_distance'])],
    ['no margin', 'none', as, { margin: '0' }],
    ['distances, not squared', 'contrastive', swap(['triplet(margin)', 'triplet(margin, squared: false)'])],
  ] },
  simclr: { of: [
    ['no negatives', 'none', swap(['use std.energies { nt_xent }', 'use std.energies { alignment }'], ['nt_xent(tau)', 'tau * alignment'])],
    ['one side stopped', 'contrastive', swap([', g(f(b)))', ', stop(g(f(b))))'])],
  ] },
  emoji_pairs: { of: [['no negatives', 'none', swap(['use std.energies { nt_xent }', 'use std.energies { alignment }'], ['nt_xent(tau)', 'tau * alignment'])]] },
  dcl: { small: narrow, of: [
    ['no negatives', 'none', swap(['use std.energies { dcl }', 'use std.energies { alignment }'], ['dcl(tau, weighted)', 'tau * alignment'])],
    ['positives weighted', 'contrastive', as, { weighted: 'true' }],
  ] },
  moco_v2: { small: { ...narrow, keys: '64' }, of: [
    ['no negatives', 'none', swap(['{ info_nce }', '{ cosine_distance }'], ['info_nce(tau)(q, k, queue)', 'tau * cosine_distance(q, k)'])],
    ['a queue that nothing is put into', 'none', without('update queue')],
    ['keys of the network itself, stopped', 'contrastive', mocoOwn('stop(normalize(h(f(b))))')],
    ['keys of the network itself', 'contrastive', mocoOwn('normalize(h(f(b)))')],
  ] },
  nnclr: { small: { ...narrow, support: '64' }, of: [
    ['no predictor', 'contrastive', nnclrPlain],
    ['no neighbours', 'contrastive', swap(['nearest(za, queue)', 'za'], ['nearest(zb, queue)', 'zb'])],
    // What is left is SimSiam with neighbours.
    ['no negatives', 'asymmetric', nnclrAlone],
    ['no negatives, no predictor', 'none', both(nnclrAlone, nnclrPlain)],
  ] },
  simsiam: { small: narrow, of: [
    ['no predictor', 'none', swap(['cosine(predict(za)', 'cosine(za'], ['cosine(predict(zb)', 'cosine(zb'])],
    ['no stop-gradient', 'none', swap(['stop(zb)', 'zb'], ['stop(za)', 'za'])],
  ] },
  byol: { small: narrow, of: [
    ['no predictor', 'none', swap(['predict(f(a))', 'f(a)'], ['predict(f(b))', 'f(b)'])],
    ['no target', 'none', swap([', t(b))', ', f(b))'], [', t(a))', ', f(a))'])],
    ['stopped outputs for the target\'s', 'asymmetric', swap([', t(b))', ', stop(f(b)))'], [', t(a))', ', stop(f(a)))'])],
  ] },
  barlow_twins: { small: narrow, of: [
    ['no redundancy reduction', 'few', swap(['0.0051', '0'])],
    ['redundancy reduction alone', 'none', swap(['barlow(lambda)', 'redundancy'], ['use std.energies { barlow }\n', ''], ['model barlow', `energy redundancy(u: [B, D], v: [B, D]) -> [] {
  let p = standardize[b](u), q = standardize[b](v)
  c[i, j] = sum[b](p[b, i] * q[b, j]) / B
  sum[i, j where i != j](c[i, j]^2)
}
model barlow`])],
  ] },
  vicreg: { small: narrow, of: [
    ['no variance', 'none', without('regularize spread')],
    ['no covariance', 'few', without('regularize decorrelate')],
    ['neither', 'none', without('regularize spread', 'regularize decorrelate')],
    ['no invariance', 'regularized', without('minimize invariance')],
    ['variance of the wrong sign', 'none', swap(['spread: 25', 'spread: -25'])],
  ] },
  wmse: { small: { width: '8' }, of: [
    ['no whitening', 'none', swap(['whiten(size, eps)(', '('])],
    ['covariances as they are', 'regularized', as, { eps: '0' }],
    ['covariances as they are, of more dimensions than a few examples fill', 'regularized', as, { eps: '0', width: '24' }],
    ['centred, not whitened', 'few', swap(['whiten(size, eps)(g', 'centred(g'], ['model whitening', 'fn centred(z: [B, D]) -> [B, D] {\n  y[b, d] = z[b, d] - mean[n](z[n, d])\n  y\n}\nmodel whitening'])],
  ] },
  tico: { small: narrow, of: [
    ['no second moment', 'none', swap(['{ tico', '{ cosine_distance, tico'], ['tico(rho)(z, t(b), moment)', 'cosine_distance(z, t(b))'])],
    ['second moment without weight', 'none', as, { rho: '0' }],
    ['second moment that never takes in a batch', 'none', as, { beta: '1' }],
    ['second moment of the batch alone', 'regularized', as, { beta: '0' }],
    ['second moment stopped', 'regularized', swap(['t(b), moment)', 't(b), stop(moment))'])],
    ['no target', 'regularized', swap(['t(b), moment)', 'f(b), moment)'])],
  ] },
  lejepa: { small: { ...narrow, parts: '0' }, of: [
    ['no regularizer', 'none', without('regularize normal')],
    ['regularizer without weight', 'none', as, { weight: '0' }],
  ] },
  dino: { small: { outputs: '16' }, of: [
    ['no centring', 'none', swap(['teacher[k], centre))', 'teacher[k], stop(0 * teacher[k])))'])],
    ['a centre that never moves', 'none', without('update centre')],
    ['no sharpening', 'none', swap(['(tau, teacher_tau)', '(tau, 5 * tau)'])],
    // The energy stops the teacher's side by itself.
    ['no slow copy', 'asymmetric', swap(['t(v) for v', 'f(v) for v'])],
  ] },
  swav: { small: { prototypes: '20', queued: '8', parts: '1', ...narrow }, of: [
    ['no Sinkhorn', 'none', withoutSinkhorn('/// The codes of a whole')],
    // Codes are then one with the scores: what is held up is how the batch shares out the prototypes.
    ['no stop-gradient', 'regularized', withoutStop('/// The codes of a whole')],
    ['codes of the same crop too', 'clustered', swap([' where s != t', ''])],
  ] },
  seer: { small: { prototypes: '20', parts: '1', rounds: '3', ...narrow }, of: [
    ['no Sinkhorn', 'none', withoutSinkhorn('/// The billion')],
    ['no stop-gradient', 'regularized', withoutStop('/// The billion')],
  ] },
  deepcluster_v2: { small: { k: '20', ...narrow }, of: [
    ['never clustered', 'none', without('stage cluster_again')],
    ['one cluster', 'none', as, { k: '1' }],
    ['clusters of pixels', 'reconstructive', swap(['normalize(h(f(x))) over data', 'normalize(reshape(x, H * W * C)) over data'], ['width: int = 64', 'width: int = 784']), { width: '784', k: '4' }],
  ] },
  deeper_cluster: { small: { k: '40' }, of: [
    ['no super-classes', 'clustered', without('stage coarse_clusters')],
    ['one finer cluster each', 'clustered', as, { k: '4' }],
    // Rotations are left to tell.
    ['never clustered', 'reconstructive', without('stage coarse_clusters', 'stage fine_clusters')],
    ['never clustered, no rotations', 'none', both(without('stage coarse_clusters', 'stage fine_clusters'), swap(['+ turn', '+ 0']))],
  ] },
  clusterfit: { small: { k: '20' }, of: [
    ['never clustered', 'none', without('stage clusters')],
    ['one cluster', 'none', as, { k: '1' }],
    ['clusters of pixels', 'reconstructive', swap(['normalize(f(x)) over data', 'normalize(reshape(x, H * W * C)) over data'])],
  ] },
  sparse_prediction: { small: narrow, of: [
    ['no variance', 'none', without('regularize spread')],
    ['no covariance', 'few', without('regularize decorrelate')],
    ['no prediction from z', 'regularized', swap(['u + change(z)', 'u'])],
  ] },
  discrete_prediction: { small: narrow, of: [
    ['no variance', 'none', without('regularize spread')],
    ['no covariance', 'few', without('regularize decorrelate')],
  ] },
  two_rooms: { small: { width: '12', rollout: '2', horizon: '2', rounds: '1' }, of: [
    ['no covariance', 'few', without('regularize decorrelate')],
    ['no variance', 'reconstructive', without('regularize spread')],
    ['no variance, actions not guessed', 'none', without('regularize spread', 'minimize inverse_dynamics')],
  ] },
};

describe.each(Object.entries(mutations))('the verdict on mutations of %s', (name, { small, of }) => {
  it.each(of.map(([what, expected, change, set]) => ({ what, expected, change, set })))('$what: $expected', ({ expected, change, set }) => {
    const v = verdict(name, change, { ...small, ...set });
    expect(v.dimensional ? 'few' : v.mechanism).toBe(expected);
  });
});

it('covers every bundled model', () => {
  const files = ['vision', 'latent'].flatMap((folder) => readdirSync(join(models, folder)).map((f) => f.replace(/\.ssl$/, '')));
  expect(Object.keys(mutations).sort()).toEqual(files.sort());
});
