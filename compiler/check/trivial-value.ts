/**
 * The loss at the trivial solution as a formula. Values measured at a few batch sizes are fitted by the shapes such losses have:
 * a constant, a ln n, a ln(bB + c), bB + c. Where the number n is a setting of the model (or one more), the formula names the
 * setting, but only after the value was measured again with that setting changed: nothing rests on a coincidence.
 */

/** A value measured at a batch size. */
export interface Sample {
  readonly batch: number;
  readonly value: number;
}

export interface Formula {
  readonly text: string;
  /** It holds for other settings too, since it names the one that matters. */
  readonly named: boolean;
  readonly at: (batch: number) => number;
}

/** Numeric settings of the model, and the value measured when one of them is changed; null when it cannot be. */
export interface SettingsProbe {
  readonly settings: Readonly<Record<string, number>>;
  /** The values the user asked for, where the measured model is a smaller stand-in. */
  readonly asked: Readonly<Record<string, number>>;
  readonly changed: (name: string, value: number) => number | null;
}

const near = (x: number, y: number, tolerance = 1e-7): boolean => Math.abs(x - y) <= tolerance * Math.max(1, Math.abs(x), Math.abs(y));
const whole = (x: number): boolean => Math.abs(x - Math.round(x)) < 1e-6 * Math.max(1, Math.abs(x));

/** Factors that stand before a logarithm: one direction, both, their mean. */
const factors = [1, 2, 0.5, 4, 3, 0.25] as const;
const factor = (a: number): string => (a === 1 ? '' : `${a} `);

/** The formula of a value, or null when it is just a number. `samples` are at three batch sizes. */
export function describeTrivial(samples: readonly Sample[], probe: SettingsProbe): Formula | null {
  const value = samples[0].value;
  if (samples.every((s) => near(s.value, value, 1e-9))) return constantFormula(value, probe);
  return logarithmFormula(samples) ?? linearFormula(samples);
}

function constantFormula(value: number, probe: SettingsProbe): Formula | null {
  const named = (text: string, name: string, of: (setting: number) => number): Formula | null => {
    const now = probe.settings[name];
    if (!near(of(now), value)) return null;
    const other = Number.isInteger(now) ? now * 2 : now * 1.5;
    const measured = probe.changed(name, other);
    return measured !== null && near(measured, of(other)) ? { text, named: true, at: () => of(probe.asked[name]) } : null;
  };
  if (Math.abs(value) < 1e-9) return null;
  for (const name of Object.keys(probe.settings)) {
    if (probe.settings[name] === 0) continue;
    const found = named(name, name, (s) => s) ?? named(`-${name}`, name, (s) => -s);
    if (found !== null) return found;
    if (!Number.isInteger(probe.settings[name]) || probe.settings[name] < 2) continue;
    for (const a of factors) {
      const log = named(`${factor(a)}ln ${name}`, name, (s) => a * Math.log(s)) ?? named(`${factor(a)}ln(${name} + 1)`, name, (s) => a * Math.log(s + 1));
      if (log !== null) return log;
    }
  }
  // For a bare number only the plainest reading, and closely: more would fit numbers by chance.
  for (const a of [1, 2, 0.5] as const) {
    const n = Math.exp(value / a);
    if (value > 0.5 && n < (a === 1 ? 1e7 : 1e4) && Math.abs(n - Math.round(n)) < 1e-11 * n) return { text: `${factor(a)}ln ${Math.round(n)}`, named: false, at: () => value };
  }
  return null;
}

const sumText = (slope: number, rest: number): string => {
  const b = slope === 1 ? 'B' : `${Number(slope.toPrecision(4))}${Number.isInteger(slope) ? '' : ' '}B`;
  return rest === 0 ? b : rest < 0 ? `${b} - ${Number((-rest).toPrecision(4))}` : `${b} + ${Number(rest.toPrecision(4))}`;
};

function logarithmFormula(samples: readonly Sample[]): Formula | null {
  for (const a of factors) {
    const line = lineThrough(samples.map((s) => ({ batch: s.batch, value: Math.exp(s.value / a) })));
    if (line === null || !whole(line.slope) || !whole(line.rest) || Math.round(line.slope) === 0) continue;
    const slope = Math.round(line.slope);
    const rest = Math.round(line.rest);
    const inside = sumText(slope, rest);
    return { text: `${factor(a)}ln${inside === 'B' ? ' B' : `(${inside})`}`, named: false, at: (batch) => a * Math.log(slope * batch + rest) };
  }
  return null;
}

function linearFormula(samples: readonly Sample[]): Formula | null {
  const line = lineThrough(samples);
  if (line === null) return null;
  const rest = Math.abs(line.rest) < 1e-9 * Math.abs(line.slope) * samples[0].batch ? 0 : line.rest;
  return { text: sumText(line.slope, rest), named: false, at: (batch) => line.slope * batch + rest };
}

/** The line through the first two samples, when the others lie on it. */
function lineThrough(samples: readonly Sample[]): { slope: number; rest: number } | null {
  const [p, q] = samples;
  const slope = (q.value - p.value) / (q.batch - p.batch);
  const rest = p.value - slope * p.batch;
  return Number.isFinite(slope) && samples.every((s) => near(s.value, slope * s.batch + rest)) ? { slope, rest } : null;
}
