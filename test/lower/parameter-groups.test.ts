/** Groups of parameters: the weights after some steps, against the optimizers' formulas written out here for each parameter. */
import { describe, expect, it } from 'vitest';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import { build, train } from './training.js';

/** Gradients that do not depend on the weights: of `a` the first number of a row, of `b` the second, of `c` the third. */
const rows = [[1, -2, 0.5], [0.5, 3, -1], [-2, 0.25, 2], [1.5, 1, -0.75], [0.3, -0.6, 0.9]];
const text = (trainBlock: string, uses = 'sgd'): string => `
use std.optimizers { ${uses} }
use std.schedules { linear, cosine, constant, after }
layer scaled(x: [D]) -> [] { param w: [] = 1; param b: [] = 0.5; w * x[0] + b * x[1] }
model m() {
  input x: [D]
  net f = scaled
  param c: [] = -1
  minimize value: f(x) + c * x[2]
  represent x
}
train m {
  batch 1
  ${trainBlock}
}`;
const paths = ['f.w', 'f.b', 'c'] as const;
const initial = [1, 0.5, -1];
const steps = rows.length;
/** Weights by path after every step, from a rule for one weight: (weight, gradient, step, path) with a state of its own. */
function expected(rule: (path: string) => (w: number, g: number, step: number) => number): number[][] {
  return paths.map((path, k) => {
    const next = rule(path);
    let w = initial[k];
    return rows.map((row, step) => (w = next(w, row[k], step)));
  });
}
function check(block: string, rule: Parameters<typeof expected>[0], uses = 'sgd', set: Record<string, string> = {}): void {
  const trained = train(text(block, uses), { x: rows, steps, set });
  const found = paths.map((path) => rows.map((_, step) => trained.parameter(path, step + 1)[0]));
  expected(rule).forEach((values, k) => values.forEach((v, step) => expect(found[k][step], `${paths[k]} after step ${step}`).toBeCloseTo(v, 10)));
}
const line = (step: number): number => 1 - step / steps;
function sgd(at: { rate: (step: number) => number; momentum?: number; decay?: number; trains?: (step: number) => boolean }) {
  let m = 0;
  return (w: number, g: number, step: number): number => {
    if (at.trains?.(step) === false) return w;
    m = (at.momentum ?? 0.9) * m + g + (at.decay ?? 0) * w;
    return w - at.rate(step) * m;
  };
}

describe('parameter groups', () => {
  it('replace the rate and the schedule, and leave the rest as it was', () => {
    check('optimizer sgd(rate: 0.2)\nschedule linear()\ngroup f.w { schedule constant() }\ngroup c { rate 0.05 }', (path) =>
      sgd({ rate: (step) => (path === 'f.w' ? 0.2 : path === 'c' ? 0.05 * line(step) : 0.2 * line(step)) }));
  });

  it('replace any other number of the optimizer, by kind too; a decay may be a schedule', () => {
    check('optimizer sgd(rate: 0.2, decay: 0.1)\ngroup bias { decay 0; momentum 0.5 }\ngroup c { decay linear(0.4, 0) }', (path) => {
      let at = -1;
      const plain = sgd({ rate: () => 0.2, momentum: path === 'f.b' ? 0.5 : 0.9 });
      return (w, g, step) => plain(w, g + (path === 'f.b' ? 0 : path === 'c' ? 0.4 * line(++at) : 0.1) * w, step);
    });
  });

  it('hold still while they do not train: neither decay nor moments move, and other weights do', () => {
    check('optimizer sgd(rate: 0.2, decay: 0.1)\ngroup f { trainable after(2 steps) }', (path) =>
      sgd({ rate: () => 0.2, decay: 0.1, trains: (step) => path === 'c' || step >= 2 }));
    check('optimizer sgd(rate: 0.2)\ngroup f.w, c { trainable false }', (path) => sgd({ rate: () => 0.2, trains: () => path === 'f.b' }));
  });

  it('multiply a fraction of trainability into the rate', () => {
    check('optimizer sgd(rate: 0.2)\ngroup c { trainable linear(0.5, 0.5) }', (path) => sgd({ rate: () => (path === 'c' ? 0.1 : 0.2) }));
  });

  it('correct the bias of moments by the updates a group had', () => {
    const adam = (from: number) => {
      let [m, v, n] = [0, 0, 0];
      return (w: number, g: number, step: number): number => {
        if (step < from) return w;
        n++;
        m = 0.9 * m + 0.1 * g;
        v = 0.999 * v + 0.001 * g * g;
        return w - 0.01 * ((m / (1 - 0.9 ** n)) / (Math.sqrt(v / (1 - 0.999 ** n)) + 1e-8) + 0.1 * w);
      };
    };
    check('optimizer adamw(rate: 0.01, decay: 0.1)\ngroup c { trainable after(2 steps) }', (path) => adam(path === 'c' ? 2 : 0), 'adamw');
  });

  it('work where an optimizer looks at whole parameters', () => {
    const lars = (rate: number, from: number) => {
      let m = 0;
      return (w: number, g: number, step: number): number => {
        if (step < from) return w;
        const q = w !== 0 && g !== 0 ? (0.001 * Math.abs(w)) / Math.abs(g) : 1;
        m = 0.9 * m + q * g;
        return w - rate * m;
      };
    };
    check('optimizer lars(rate: 0.2, decay: 0, skip: [])\ngroup f.w { rate 0.5 }\ngroup c { trainable after(1 steps) }', (path) =>
      lars(path === 'f.w' ? 0.5 : 0.2, path === 'c' ? 1 : 0), 'lars');
  });

  it('are overridden by their path, and reported', () => {
    check('optimizer sgd(rate: 0.2)\ngroup f.w, c { rate 0.1 }', (path) => sgd({ rate: () => (path === 'f.b' ? 0.2 : 0.3) }), 'sgd', { 'group.c.rate': '0.3' });
    const trained = train(text('optimizer sgd(rate: 0.2)\nschedule linear()\ngroup c { schedule constant() }'), { x: rows, steps });
    expect(trained.reports.map((r) => r['rate.c'])).toEqual(rows.map(() => 0.2));
    expect(trained.reports[1]['rate']).toBeCloseTo(0.2 * line(1), 12);
  });

  it('stay one pass over the arena', () => {
    const { programs } = build(text('optimizer sgd(rate: 0.2, decay: 0.1)\ngroup c { schedule linear() }\ngroup bias { decay 0; trainable after(2 steps) }'), { x: rows, steps });
    const flat = programs.step.updates.find((u) => { const t = programs.step.tensors[u.source]; return t.kind === 'source' && t.name === 'parameters'; });
    expect(flat === undefined ? null : programs.step.tensors[flat.value].kind).toBe('comprehension');
  });
});

const codesOf = (block: string): string[] => {
  try {
    build(text(block), { x: rows });
    return [];
  } catch (e) {
    if (e instanceof DiagnosticError) return e.diagnostics.map((d) => d.code);
    throw e;
  }
};

describe('mistakes in groups', () => {
  it.each([
    ['a path without parameters', 'optimizer sgd()\ngroup g { rate 1 }', 'SSL1020'],
    ['a kind without parameters', 'optimizer sgd()\ngroup norm { rate 1 }', 'SSL1020'],
    ['a parameter in two groups', 'optimizer sgd()\ngroup f { rate 1 }\ngroup bias { rate 1 }', 'SSL1021'],
    ['nothing said', 'optimizer sgd()\ngroup f { }', 'SSL1022'],
    ['an entry that means nothing', 'optimizer sgd()\ngroup f { speed 1 }', 'SSL1006'],
    ['a switch that cannot differ', 'optimizer sgd()\ngroup f { nesterov true }', 'SSL2001'],
  ])('%s', (_, block, code) => expect(codesOf(block)).toEqual([code]));
});
