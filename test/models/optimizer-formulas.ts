/** The published update rules, in plain float64 code that shares nothing with the implementation. Weights are one vector. */
export interface OptimizerFormula {
  readonly name: string;
  readonly set: Readonly<Record<string, string>>;
  readonly start: (size: number) => Moments;
  readonly step: (w: readonly number[], g: readonly number[], step: number, state: Moments) => { readonly w: number[]; readonly state: Moments };
}

/** First and second moments; momentum is `m`, accumulated squares are `v`. */
export interface Moments {
  readonly m: readonly number[];
  readonly v: readonly number[];
}

const start = (size: number): Moments => ({ m: new Array<number>(size).fill(0), v: new Array<number>(size).fill(0) });
const length = (xs: readonly number[]): number => Math.sqrt(xs.reduce((a, x) => a + x * x, 0));

/** PyTorch's SGD: buffer = momentum buffer + d; with Nesterov the step is d + momentum buffer. */
function momentum(w: readonly number[], d: readonly number[], m: readonly number[], rate: number, nesterov: boolean): { w: number[]; m: number[] } {
  const moved = m.map((x, i) => 0.9 * x + d[i]);
  return { w: w.map((x, i) => x - rate * (nesterov ? d[i] + 0.9 * moved[i] : moved[i])), m: moved };
}

/** Kingma and Ba, algorithm 1, with t = step + 1. */
function adamStep(g: readonly number[], t: number, s: Moments, corrected: boolean, eps: number): { direction: number[]; state: Moments } {
  const m = s.m.map((x, i) => 0.9 * x + 0.1 * g[i]);
  const v = s.v.map((x, i) => 0.999 * x + 0.001 * g[i] ** 2);
  const c1 = corrected ? 1 - 0.9 ** t : 1, c2 = corrected ? 1 - 0.999 ** t : 1;
  return { direction: m.map((x, i) => (x / c1) / (Math.sqrt(v[i] / c2) + eps)), state: { m, v } };
}

const flag = [true, false] as const;
const decay = 0.05;

export const optimizers: readonly OptimizerFormula[] = [
  ...flag.map((nesterov): OptimizerFormula => ({
    name: 'sgd', set: { rate: '0.1', decay: '0.05', nesterov: `${nesterov}` }, start,
    step: (w, g, _t, s) => { const next = momentum(w, g.map((x, i) => x + decay * w[i]), s.m, 0.1, nesterov); return { w: next.w, state: { ...s, m: next.m } }; },
  })),
  ...flag.map((corrected): OptimizerFormula => ({
    name: 'adam', set: { rate: '0.1', decay: '0.05', bias_correction: `${corrected}` }, start,
    step: (w, g, t, s) => { const a = adamStep(g.map((x, i) => x + decay * w[i]), t + 1, s, corrected, 1e-8); return { w: w.map((x, i) => x - 0.1 * a.direction[i]), state: a.state }; },
  })),
  ...flag.map((corrected): OptimizerFormula => ({
    // Loshchilov and Hutter, algorithm 2, as PyTorch has it: the decay times the rate
    name: 'adamw', set: { rate: '0.1', decay: '0.05', bias_correction: `${corrected}` }, start,
    step: (w, g, t, s) => { const a = adamStep(g, t + 1, s, corrected, 1e-8); return { w: w.map((x, i) => x - 0.1 * decay * x - 0.1 * a.direction[i]), state: a.state }; },
  })),
  ...(['official', 'separate', 'clip', 'velocity'] as const).map((variant): OptimizerFormula => ({
    name: 'lars', set: { rate: '0.4', decay: '0.05', trust: '0.3', variant }, start,
    step: (w, g, _t, s) => {
      const d = g.map((x, i) => x + decay * w[i]);
      const q = variant === 'official' || variant === 'velocity' ? 0.3 * length(w) / length(d) : 0.3 * length(w) / (length(g) + decay * length(w) + 1e-8);
      const scale = variant === 'clip' ? Math.min(q / 0.4, 1) : q;
      if (variant === 'velocity') {
        const m = s.m.map((x, i) => 0.9 * x + 0.4 * scale * d[i]);
        return { w: w.map((x, i) => x - m[i]), state: { ...s, m } };
      }
      const next = momentum(w, d.map((x) => scale * x), s.m, 0.4, false);
      return { w: next.w, state: { ...s, m: next.m } };
    },
  })),
  {
    // solo-learn at a rate so small that q / rate would be more than 1
    name: 'lars', set: { rate: '0.1', decay: '0.05', trust: '0.9', variant: 'clip' }, start,
    step: (w, g, _t, s) => {
      const q = Math.min(0.9 * length(w) / (length(g) + decay * length(w) + 1e-8) / 0.1, 1);
      const next = momentum(w, g.map((x, i) => q * (x + decay * w[i])), s.m, 0.1, false);
      return { w: next.w, state: { ...s, m: next.m } };
    },
  },
  ...flag.map((corrected): OptimizerFormula => ({
    // You et al., algorithm 2, with phi the identity
    name: 'lamb', set: { rate: '0.1', decay: '0.05', bias_correction: `${corrected}` }, start,
    step: (w, g, t, s) => {
      const a = adamStep(g, t + 1, s, corrected, 1e-6);
      const r = a.direction.map((x, i) => x + decay * w[i]);
      return { w: w.map((x, i) => x - 0.1 * (length(w) / length(r)) * r[i]), state: a.state };
    },
  })),
  {
    name: 'adagrad', set: { rate: '0.1', decay: '0.05', initial: '0.5' }, start: (size) => ({ ...start(size), v: new Array<number>(size).fill(0.5) }),
    step: (w, g, _t, s) => {
      const d = g.map((x, i) => x + decay * w[i]);
      const v = s.v.map((x, i) => x + d[i] ** 2);
      return { w: w.map((x, i) => x - 0.1 * d[i] / (Math.sqrt(v[i]) + 1e-10)), state: { ...s, v } };
    },
  },
  {
    // One accumulator of the mean of squares
    name: 'rowwise_adagrad', set: { rate: '0.1', decay: '0.05', initial: '0.5' }, start: () => ({ m: [], v: [0.5] }),
    step: (w, g, _t, s) => {
      const d = g.map((x, i) => x + decay * w[i]);
      const v = s.v[0] + d.reduce((n, x) => n + x * x, 0) / d.length;
      return { w: w.map((x, i) => x - 0.1 * d[i] / (Math.sqrt(v) + 1e-8)), state: { ...s, v: [v] } };
    },
  },
];
