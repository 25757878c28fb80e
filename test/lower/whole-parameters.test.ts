/** Optimizers that reduce over whole parameters, run on all of them at once: weights after some steps, against the published formulas for each. */
import { describe, expect, it } from 'vitest';
import { optimizers } from '../models/optimizer-formulas.js';
import type { OptimizerFormula } from '../models/optimizer-formulas.js';
import { values } from './harness.js';
import { build, train } from './training.js';

/** One element, a part of 64, more than a piece, exactly two pieces. */
const sizes = { a: 1, b: 70, c: 5000, d: 8192 } as const;
const names = Object.keys(sizes) as readonly (keyof typeof sizes)[];
const starts = names.map((_, k) => names.slice(0, k).reduce((n, name) => n + sizes[name], 0));
const total = names.reduce((n, name) => n + sizes[name], 0);
const rows = [0, 1, 2].map((k) => values(total, 1 + k));

/** The gradient of each parameter is its part of the row. */
const text = (block: string, uses: string, others = ''): string => `
use std.optimizers { ${uses} }
${others}
layer part(n: int, from: int)(x: [D]) -> [] { param w: [n] ~ uniform(-1, 1); sum[i](w[i] * x[i + from]) }
model m() {
  input x: [D]
  ${names.map((n, k) => `net ${n} = part(${sizes[n]}, ${starts[k]})`).join('\n  ')}
  minimize value: ${names.map((n) => `${n}(x)`).join(' + ')}
  represent x
}
train m { batch 1
  ${block}
}`;

type Rule = (w: readonly number[], g: readonly number[], step: number) => number[];

/** The formula of an optimizer, with its moments. */
function ruleOf(o: OptimizerFormula, size: number): Rule {
  let state = o.start(size);
  return (w, g, step) => {
    const next = o.step(w, g, step, state);
    state = next.state;
    return next.w;
  };
}

function check(trained: ReturnType<typeof train>, rule: (name: keyof typeof sizes) => Rule): void {
  names.forEach((name, k) => {
    const next = rule(name);
    let w = trained.parameter(`${name}.w`, 0);
    rows.forEach((row, step) => {
      w = next(w, row.slice(starts[k], starts[k] + sizes[name]), step);
      trained.parameter(`${name}.w`, step + 1).forEach((v, i) => { if (Math.abs(v - w[i]) > 1e-9) expect.fail(`${name}[${i}] after step ${step}: ${v}, not ${w[i]}`); });
    });
  });
}

const settings = (o: OptimizerFormula): string => Object.entries(o.set).map(([k, v]) => `${k}: ${k === 'variant' ? `"${v}"` : v}`).join(', ');
const whole = optimizers.filter((o) => o.name === 'lars' || o.name === 'lamb' || o.name === 'rowwise_adagrad');
const plain = (rate: number): Rule => (w, g) => w.map((x, i) => x - rate * g[i]);

describe('an optimizer that takes norms of parameters', () => {
  it.each(whole.map((o) => [`${o.name}(${settings(o)}`, o] as const))('%s) follows its formula for parameters of any size', (_, o) => {
    check(train(text(`optimizer ${o.name}(${settings(o)}, skip: [])`, o.name), { x: rows, steps: rows.length }), (name) => ruleOf(o, sizes[name]));
  });

  it('neither scales nor decays what it skips, and takes the rate of a group', () => {
    const [o] = whole;
    const trained = train(text(`optimizer lars(${settings(o)}, momentum: 0, skip: [c])\ngroup a, d { rate 0.05 }`, 'lars'), { x: rows, steps: rows.length });
    const length = (v: readonly number[]): number => Math.sqrt(v.reduce((n, x) => n + x * x, 0));
    check(trained, (name) => (name === 'c' ? plain(0.4) : (w, g) => {
      const d = g.map((x, i) => x + 0.05 * w[i]);
      const rate = name === 'b' ? 0.4 : 0.05;
      return w.map((x, i) => x - rate * 0.3 * length(w) / length(d) * d[i]);
    }));
  });

  it('may reduce as it likes, what reductions gave included', () => {
    const own = `
fn spread(x: [*S]) -> [] = sqrt(mean[*S]((x - mean[*S](x))^2))
optimizer odd(rate: float = 0.1)(w: [*S], g: [*S]) -> [*S] {
  state seen: [*S] = 0
  update seen <- seen + abs(g)
  let most = max[*S](abs(g)), least = min(g), size = logsumexp[*S](seen) + prod[*S](cosine_of(g)), wide = any[*S](g > 0.99), sure = var[*S](w)
  w - rate * (g * most + least + size * spread(w) + (if wide { 1 } else { 0 }) + sum(seen) * (if sum[*S](w * 0 + 1) > 1 { sure } else { 0 }))
}
fn cosine_of(x: [*S]) -> [*S] = cos(0.01 * x)`;
    const trained = train(text('optimizer odd(rate: 1e-3)', 'sgd', own).replace('use std.optimizers { sgd }', ''), { x: rows, steps: rows.length });
    expect(Object.keys(trained.states[0]).filter((n) => n.startsWith('state.'))).toEqual(['state.optimizer.seen']);
    check(trained, (name) => {
      let seen = new Array<number>(sizes[name]).fill(0);
      return (w, g) => {
        const n = w.length;
        const mean = w.reduce((x, y) => x + y, 0) / n;
        const squares = w.reduce((x, y) => x + (y - mean) ** 2, 0);
        const before = seen;
        seen = seen.map((x, i) => x + Math.abs(g[i]));
        const top = Math.max(...before);
        const size = top + Math.log(before.reduce((x, y) => x + Math.exp(y - top), 0)) + g.reduce((x, y) => x * Math.cos(0.01 * y), 1);
        const added = Math.min(...g) + size * Math.sqrt(squares / n) + (g.some((x) => x > 0.99) ? 1 : 0) + before.reduce((x, y) => x + y, 0) * (n > 1 ? squares / (n - 1) : 0);
        const most = Math.max(...g.map(Math.abs));
        return w.map((x, i) => x - 1e-3 * (g[i] * most + added));
      };
    });
  });

  it('keeps numbers of each parameter, which move with what moments need of them', () => {
    // Ginsburg et al., 2019, arXiv:1905.11286: second moments by layer.
    const own = `
optimizer novograd(rate: float = 0.1, beta1: float = 0.9, beta2: float = 0.5)(w: [*S], g: [*S]) -> [*S] {
  state m: [*S] = 0
  state v: [] = 1
  state seen: [] = 0
  let second = beta2 * v + (1 - beta2) * sum[*S](g^2)
  let moved = beta1 * m + g / sqrt(second)
  update m <- moved
  update v <- second
  update seen <- seen + 1
  w - rate * moved / (1 + 0 * seen)
}`;
    const trained = train(text('optimizer novograd(rate: 0.01)\ngroup b { trainable after(1 steps) }', 'sgd', own).replace('use std.optimizers { sgd }', 'use std.schedules { after }'), { x: rows, steps: rows.length });
    // Parameters of a group come after the others.
    expect(Array.from(trained.states[rows.length]['state.optimizer.seen'])).toEqual([3, 3, 3, 2]);
    expect(trained.built.manifest.states.map((s) => [s.name, s.shape])).toEqual([['state.optimizer.m', [13440]], ['state.optimizer.v', [4]], ['state.optimizer.seen', [4]]]);
    check(trained, (name) => {
      let [m, v] = [new Array<number>(sizes[name]).fill(0), 1];
      return (w, g, step) => {
        if (name === 'b' && step === 0) return [...w];
        v = 0.5 * v + 0.5 * g.reduce((n, x) => n + x * x, 0);
        m = m.map((x, i) => 0.9 * x + g[i] / Math.sqrt(v));
        return w.map((x, i) => x - 0.01 * m[i]);
      };
    });
  });

  it('looks at each parameter by itself where it does more than reduce it whole', () => {
    const own = 'optimizer firsts(rate: float = 0.1)(w: [N], g: [N]) -> [N] { let k = argmax(g); let most = sum[i where i < k](g[i]); w - rate * most }';
    const { programs } = build(text('optimizer firsts()', 'sgd', own).replace('use std.optimizers { sgd }', ''), { x: rows });
    const flat = programs.step.updates.find((u) => { const t = programs.step.tensors[u.source]; return t.kind === 'source' && t.name === 'parameters'; });
    expect(flat === undefined ? null : programs.step.tensors[flat.value].kind).toBe('pack');
  });
});
