/**
 * The published formulas of the library's energies and regularizers, in plain float64 code that shares nothing with the
 * implementation: loops over rows, as in the papers. Each says where the formula is from.
 */
export type Matrix = readonly (readonly number[])[];
export type Inputs = Readonly<Record<string, Matrix>>;

export interface Formula {
  readonly file: 'energies' | 'regularizers' | 'prelude' | 'clustering';
  readonly name: string;
  readonly set?: Readonly<Record<string, string>>;
  /** Rows and columns of each input; columns null for one number a row. */
  readonly shapes: Readonly<Record<string, readonly [number, number | null]>>;
  /** One value, or one for each row, in which case the rows' gradients are those of their sum. */
  readonly value: (x: Inputs) => number | number[];
  /** Inputs that no gradient reaches. */
  readonly stopped?: readonly string[];
  /** Added to the inputs, which otherwise lie in -1..1. */
  readonly shift?: number;
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const sum = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0);
const mean = (xs: readonly number[]): number => sum(xs) / xs.length;
const dot = (a: readonly number[], b: readonly number[]): number => sum(a.map((x, i) => x * b[i]));
const unit = (a: readonly number[]): number[] => a.map((x) => x / Math.sqrt(dot(a, a)));
const distance2 = (a: readonly number[], b: readonly number[]): number => sum(a.map((x, i) => (x - b[i]) ** 2));
const cosine = (a: readonly number[], b: readonly number[]): number => dot(unit(a), unit(b));
const logSumExp = (xs: readonly number[]): number => Math.log(sum(xs.map(Math.exp)));
const column = (m: Matrix, d: number): number[] => m.map((row) => row[d]);
const variance = (xs: readonly number[], lessOne: boolean): number => sum(xs.map((x) => (x - mean(xs)) ** 2)) / (xs.length - (lessOne ? 1 : 0));

/**
 * SwAV, equation 2, summed over the prototypes k: -q_k log softmax(z c / tau)_k, averaged over the batch. Codes enter only by the mean
 * m = sum_k q_k c_k, and here each is one-hot, so that m is a prototype.
 */
function swapped(means: Matrix, z: Matrix, prototypes: Matrix, tau: number): number {
  return mean(z.map((a, b) => logSumExp(prototypes.map((c) => dot(a, c) / tau)) - dot(a, means[b]) / tau));
}

/** Contrastive losses -------------------------------------------------------------------------------------------- */

/** SimCLR, equation 1 and algorithm 1: l(i, j) = -log exp(s_ij / tau) / sum_{k != i} exp(s_ik / tau), mean over the 2N rows. */
function ntXent(u: Matrix, v: Matrix, tau: number): number {
  const z = [...u, ...v], n = u.length;
  return mean(z.map((a, i) => -Math.log(Math.exp(cosine(a, z[(i + n) % (2 * n)]) / tau) / sum(z.flatMap((b, k) => (k === i ? [] : [Math.exp(cosine(a, b) / tau)]))))));
}

/** DCL, equation 6: one direction; negatives are the other examples in both views. DCLW, equation 9: weights of the positives. */
function decoupled(a: Matrix, b: Matrix, tau: number, sigma: number | null): number {
  const agreement = a.map((x, i) => cosine(x, b[i]));
  const weights = agreement.map((c) => (sigma === null ? 1 : 2 - a.length * Math.exp(c / sigma) / sum(agreement.map((o) => Math.exp(o / sigma)))));
  return mean(a.map((x, i) => -weights[i] * agreement[i] / tau + Math.log(sum(range(a.length).flatMap((k) => (k === i ? [] : [Math.exp(cosine(x, a[k]) / tau), Math.exp(cosine(x, b[k]) / tau)]))))));
}

/** MoCo, equation 1: cross-entropy of class 0 among [q k+, q queue] / tau. */
const infoNce = (q: Matrix, k: Matrix, queue: Matrix, tau: number): number =>
  mean(q.map((a, i) => { const logits = [dot(a, k[i]), ...queue.map((n) => dot(a, n))].map((s) => s / tau); return logSumExp(logits) - logits[0]; }));

/** NNCLR, equation 4: cross-entropy of class i among the predictions of the batch. */
const batchInfoNce = (q: Matrix, k: Matrix, tau: number): number =>
  mean(q.map((a, i) => { const logits = k.map((b) => dot(a, b) / tau); return logSumExp(logits) - logits[i]; }));

/** Hadsell, Chopra and LeCun, equation 4, with Y = 0 for compatible pairs. */
function hadsell(u: readonly number[], v: readonly number[], y: number, margin: number): number {
  const d = Math.sqrt(distance2(u, v));
  return (1 - y) * 0.5 * d ** 2 + y * 0.5 * Math.max(0, margin - d) ** 2;
}

/** Batch statistics ----------------------------------------------------------------------------------------------- */

/** VICReg, equation 1: hinge on the deviation, eps 1e-4, unbiased variance. */
const hinge = (z: Matrix, gamma = 1): number => mean(range(z[0].length).map((d) => Math.max(0, gamma - Math.sqrt(variance(column(z, d), true) + 1e-4))));

/** VICReg, equations 3 and 4: squares off the diagonal of the unbiased covariance, added. */
function offDiagonal(z: Matrix): number {
  const centred = range(z[0].length).map((d) => column(z, d).map((x) => x - mean(column(z, d))));
  return sum(centred.flatMap((a, i) => centred.flatMap((b, j) => (i === j ? [] : [(dot(a, b) / (z.length - 1)) ** 2]))));
}

/** The four sums that go by the name of VICReg 25 / 25 / 1. */
function vicreg(u: Matrix, v: Matrix, variant: string, [s, t, w]: readonly [number, number, number]): number {
  const D = u[0].length;
  const invariance = mean(u.flatMap((row, b) => row.map((x, d) => (x - v[b][d]) ** 2)));
  const spread = variant === 'official' || variant === 'vicregl' ? 0.5 * hinge(u) + 0.5 * hinge(v) : hinge(u) + hinge(v);
  const shared = offDiagonal(u) + offDiagonal(v);
  const covariance = variant === 'vicregl' ? shared / D / 2 : variant === 'eb_jepa' ? shared / (D * (D - 1)) : shared / D;
  return s * invariance + t * spread + w * covariance;
}

/** Barlow Twins, equations 1 and 2; batch norm without gain: biased variance, eps 1e-5. */
function barlow(u: Matrix, v: Matrix, lambda: number): number {
  const normal = (z: Matrix): number[][] => range(z[0].length).map((d) => column(z, d).map((x) => (x - mean(column(z, d))) / Math.sqrt(variance(column(z, d), false) + 1e-5)));
  const [a, b] = [normal(u), normal(v)];
  return sum(a.flatMap((x, i) => b.map((y, j) => (i === j ? (1 - dot(x, y) / u.length) ** 2 : lambda * (dot(x, y) / u.length) ** 2))));
}

/** TiCo, equation 7: 1 - mean z z' + rho mean z^T C z. */
function tico(u: Matrix, v: Matrix, c: Matrix, rho: number): number {
  return mean(u.map((row, b) => 1 - cosine(row, v[b]) + rho * sum(c.map((line, i) => unit(row)[i] * dot(line, unit(row))))));
}

/** LeJEPA, one dimension, where every direction is 1 or -1 and the statistic has no chance in it: the trapezoid rule over [from, reach]. */
function eppsPulley(xs: readonly number[], knots: number, from: number, reach: number): number {
  const t = range(knots).map((k) => from + ((reach - from) * k) / (knots - 1));
  const f = t.map((s) => Math.exp(-s * s / 2) * ((mean(xs.map((x) => Math.cos(s * x))) - Math.exp(-s * s / 2)) ** 2 + mean(xs.map((x) => Math.sin(s * x))) ** 2));
  return sum(range(knots - 1).map((k) => (f[k] + f[k + 1]) / 2 * (t[k + 1] - t[k])));
}

/** Wang and Isola: log of the mean over pairs of exp(-t |u - v|^2). */
const uniformity = (z: Matrix, t: number): number => Math.log(mean(z.flatMap((a, i) => z.flatMap((b, j) => (i === j ? [] : [Math.exp(-t * distance2(unit(a), unit(b)))])))));

const pair = { u: [5, 3], v: [5, 3] } as const;
const rows = (f: (u: readonly number[], v: readonly number[]) => number) => ({ u, v }: Inputs): number[] => u.map((a, i) => f(a, v[i]));
const tau = { tau: '0.4' };

export const formulas: readonly Formula[] = [
  { file: 'clustering', name: 'swapped_prediction', set: tau, shapes: { means: [4, 3], z: [4, 3], prototypes: [6, 3] }, value: ({ means, z, prototypes }) => swapped(means, z, prototypes, 0.4) },
  { file: 'energies', name: 'nt_xent', set: tau, shapes: pair, value: ({ u, v }) => ntXent(u, v, 0.4) },
  { file: 'energies', name: 'info_nce', set: tau, shapes: { q: [4, 3], k: [4, 3], queue: [6, 3] }, value: ({ q, k, queue }) => infoNce(q, k, queue, 0.4) },
  { file: 'energies', name: 'batch_info_nce', set: tau, shapes: { q: [4, 3], k: [4, 3] }, value: ({ q, k }) => batchInfoNce(q, k, 0.4) },
  { file: 'energies', name: 'dcl', set: tau, shapes: pair, value: ({ u, v }) => decoupled(u, v, 0.4, null) + decoupled(v, u, 0.4, null) },
  { file: 'energies', name: 'dcl', set: { ...tau, weighted: 'true', sigma: '0.7' }, shapes: pair, value: ({ u, v }) => decoupled(u, v, 0.4, 0.7) + decoupled(v, u, 0.4, 0.7) },
  { file: 'energies', name: 'cosine_distance', shapes: pair, value: rows((a, b) => 1 - cosine(a, b)) },
  { file: 'energies', name: 'negative_cosine', shapes: pair, value: rows((a, b) => -cosine(a, b)) },
  ...(['energies', 'prelude'] as const).map((file): Formula => ({ file, name: 'mse', shapes: pair, value: rows((a, b) => distance2(a, b) / a.length) })),
  { file: 'energies', name: 'contrastive', set: { margin: '1.3' }, shapes: { ...pair, same: [5, null] }, value: ({ u, v, same }) => u.map((a, i) => hadsell(a, v[i], 1 - same[i][0], 1.3)) },
  { file: 'energies', name: 'triplet', set: { margin: '0.6' }, shapes: { anchor: [5, 3], positive: [5, 3], negative: [5, 3] }, value: ({ anchor, positive, negative }) => anchor.map((a, i) => Math.max(0, distance2(a, positive[i]) - distance2(a, negative[i]) + 0.6)) },
  { file: 'energies', name: 'triplet', set: { margin: '1', squared: 'false' }, shapes: { anchor: [5, 3], positive: [5, 3], negative: [5, 3] }, value: ({ anchor, positive, negative }) => anchor.map((a, i) => Math.max(0, Math.sqrt(distance2(a, positive[i])) - Math.sqrt(distance2(a, negative[i])) + 1)) },
  { file: 'energies', name: 'barlow', set: { lambda: '0.02' }, shapes: pair, value: ({ u, v }) => barlow(u, v, 0.02) },
  ...(['official', 'solo', 'vicregl', 'eb_jepa'] as const).map((variant): Formula => ({ file: 'energies', name: 'vicreg', set: { variant }, shapes: pair, value: ({ u, v }) => vicreg(u, v, variant, [25, 25, 1]) })),
  { file: 'energies', name: 'vicreg', set: { invariance: '1', spread: '2', decorrelation: '80', variant: 'eb_jepa' }, shapes: pair, value: ({ u, v }) => vicreg(u, v, 'eb_jepa', [1, 2, 80]) },
  { file: 'energies', name: 'tico', set: { rho: '20' }, shapes: { ...pair, moment: [3, 3] }, value: ({ u, v, moment }) => tico(u, v, moment, 20) },
  ...(['sum', 'mean'] as const).map((directions): Formula => ({
    file: 'energies', name: 'byol', set: { directions }, shapes: { prediction_a: [4, 3], target_b: [4, 3], prediction_b: [4, 3], target_a: [4, 3] },
    value: (x) => x['prediction_a'].map((p, i) => (directions === 'sum' ? 1 : 0.5) * (distance2(unit(p), unit(x['target_b'][i])) + distance2(unit(x['prediction_b'][i]), unit(x['target_a'][i])))),
  })),
  {
    // DINO, algorithm 1: H(t, s) = -(t log s) with t = softmax((t - C) / tpt), s = softmax(s / tps)
    file: 'energies', name: 'self_distillation', set: { student_tau: '0.2', teacher_tau: '0.5' }, shapes: { student: [4, 3], teacher: [4, 3], centre: [4, 3] }, stopped: ['teacher', 'centre'],
    value: ({ student, teacher, centre }) => student.map((s, i) => {
      const t = teacher[i].map((x, k) => Math.exp((x - centre[i][k]) / 0.5));
      return -sum(t.map((p, k) => (p / sum(t)) * (s[k] / 0.2 - logSumExp(s.map((x) => x / 0.2)))));
    }),
  },
  { file: 'energies', name: 'alignment', shapes: pair, value: rows((a, b) => distance2(unit(a), unit(b))) },
  { file: 'regularizers', name: 'variance', set: { gamma: '0.8' }, shapes: { z: [5, 3] }, value: ({ z }) => hinge(z, 0.8) },
  { file: 'regularizers', name: 'covariance', shapes: { z: [5, 3] }, value: ({ z }) => offDiagonal(z) / 3 },
  { file: 'regularizers', name: 'uniformity', set: { t: '1.5' }, shapes: { z: [5, 3] }, value: ({ z }) => uniformity(z, 1.5) },
  { file: 'regularizers', name: 'sigreg', set: { slices: '3' }, shapes: { z: [6, 1] }, value: ({ z }) => 6 * 2 * eppsPulley(column(z, 0), 17, 0, 3) },
  { file: 'regularizers', name: 'sigreg', set: { slices: '2', views: '3' }, shapes: { z: [6, 3] }, value: ({ z }) => 6 * mean(range(3).map((d) => 2 * eppsPulley(column(z, d), 17, 0, 3))) },
  { file: 'regularizers', name: 'sigreg', set: { slices: '2', knots: '10', variant: 'eb_jepa' }, shapes: { z: [6, 1] }, value: ({ z }) => eppsPulley(column(z, 0), 10, -3, 3) },
];
