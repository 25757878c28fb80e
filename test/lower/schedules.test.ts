/** A schedule stands wherever a number does: temperatures, weights of objectives, what an optimizer takes, moving averages. */
import { describe, expect, it } from 'vitest';
import { train } from './training.js';

const rows = [[1, -2, 0.5], [0.5, 3, -1], [-2, 0.25, 2], [1.5, 1, -0.75], [0.3, -0.6, 0.9], [-1, 1.25, 0.4], [2, -0.3, 0.7], [0.1, 0.8, -1.9]];
const steps = 4;
const cosine = (from: number, to: number, step: number): number => to + 0.5 * (from - to) * (1 + Math.cos((Math.PI * step) / steps));
const head = 'use std.optimizers { sgd, adamw }\nuse std.schedules { linear, cosine, after, warmup, constant }\nuse std.energies { nt_xent }\n';

describe('a schedule instead of a number', () => {
  it('`after` is 0 before its time and 1 from then on; lengths may be epochs', () => {
    const trained = train(`${head}model m() { input x: [D]\n param w: [D] = 0\n minimize a: after(2 steps) * sum(w + 1)\n minimize b: after(0.5 epochs)\n represent x }
train m { batch 1\n optimizer sgd(rate: 0) }`, { x: rows, steps: 6 });
    expect(trained.reports.map((r) => r['a'])).toEqual([0, 0, 3, 3, 3, 3]);
    expect(trained.reports.map((r) => r['b'])).toEqual([0, 0, 0, 0, 1, 1]);
  });

  it('temperature of an energy, in the loss and in its gradient', () => {
    const at = (tau: string) => train(`${head}model m() { input x: [D]\n param w: [D] = 1\n minimize a: nt_xent(tau: ${tau})(x * w, x + w)\n represent x }
train m { batch 4\n optimizer sgd(rate: 0.1, momentum: 0) }`, { x: rows, steps });
    const moving = at('cosine(0.5, 0.1)');
    const first = at('0.5');
    expect(moving.reports[0]['loss']).toBeCloseTo(first.reports[0]['loss'], 12);
    moving.parameter('w', 1).forEach((w, k) => expect(w).toBeCloseTo(first.parameter('w', 1)[k], 12));
    // At step 2 the temperature is 0.3: one step with it, from the weights at that time.
    const w = moving.parameter('w', 2);
    const again = train(`${head}model m() { input x: [D]\n param w: [D] = 1\n minimize a: nt_xent(tau: 0.3)(x * w, x + w)\n represent x }
train m { batch 4\n optimizer sgd(rate: 0.1, momentum: 0) }`, { x: rows, steps: 1 }, (values) => ({ ...values, parameters: [...w, ...Array.from(values['parameters']).slice(3)] }));
    expect(moving.reports[2]['loss']).toBeCloseTo(again.reports[0]['loss'], 12);
  });

  it('weight of an objective', () => {
    const trained = train(`${head}model m() { input x: [D]\n param w: [] = 1\n minimize a: cosine(2, 0.5) * sum[d](w * x[d])\n represent x }
train m { batch 1\n optimizer sgd(rate: 0.1, momentum: 0) }`, { x: rows, steps });
    let w = 1;
    for (let step = 0; step < steps; step++) {
      w -= 0.1 * cosine(2, 0.5, step) * rows[step].reduce((a, b) => a + b);
      expect(trained.parameter('w', step + 1)[0]).toBeCloseTo(w, 12);
    }
  });

  it('momentum and decay of an optimizer', () => {
    const trained = train(`${head}model m() { input x: [D]\n param w: [] = 1\n minimize a: w * x[0]\n represent x }
train m { batch 1\n optimizer sgd(rate: 0.1, momentum: linear(0.9, 0.5), decay: cosine(0.04, 0.4)) }`, { x: rows, steps });
    let [w, m] = [1, 0];
    for (let step = 0; step < steps; step++) {
      m = (0.9 - 0.4 * (step / steps)) * m + rows[step][0] + cosine(0.04, 0.4, step) * w;
      w -= 0.1 * m;
      expect(trained.parameter('w', step + 1)[0]).toBeCloseTo(w, 12);
    }
  });

  it('decay of AdamW beside a scheduled rate', () => {
    const trained = train(`${head}model m() { input x: [D]\n param w: [] = 1\n minimize a: w * x[0]\n represent x }
train m { batch 1\n optimizer adamw(rate: 0.01, decay: cosine(0.04, 0.4))\n schedule cosine() }`, { x: rows, steps });
    let [w, m, v] = [1, 0, 0];
    for (let step = 0; step < steps; step++) {
      const g = rows[step][0];
      m = 0.9 * m + 0.1 * g;
      v = 0.999 * v + 0.001 * g * g;
      const rate = 0.01 * cosine(1, 0, step);
      w -= rate * (m / (1 - 0.9 ** (step + 1)) / (Math.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-8) + cosine(0.04, 0.4, step) * w);
      expect(trained.parameter('w', step + 1)[0]).toBeCloseTo(w, 12);
    }
  });
});
