/** The library's energies, regularizers, optimizers and schedules against their published formulas (`formulas.ts`), values and gradients. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { formulas, type Formula, type Inputs } from './formulas.js';
import { evaluateCall, load, numbers, type Given } from './harness.js';
import { optimizers } from './optimizer-formulas.js';
import { schedules } from './schedule-formulas.js';

const std = (name: string): string => `models/std/${name}.ssl`;
const title = ({ name, set }: { readonly name: string; readonly set?: Readonly<Record<string, string>> }): string => `${name} ${Object.entries(set ?? {}).map(([k, v]) => `${k}=${v}`).join(' ')}`;

test('every energy, regularizer, optimizer and schedule has a formula', () => {
  const declared = readdirSync('models/std').flatMap((f) => [...readFileSync(join('models/std', f), 'utf8').matchAll(/^(?:energy|regularizer|optimizer|schedule) (\w+)/gm)].map((m) => m[1]));
  const known = new Set([...formulas, ...optimizers, ...schedules].map((f) => f.name));
  expect(declared.filter((name) => !known.has(name))).toEqual([]);
});

function inputsOf(f: Formula, seed: number): Inputs {
  return Object.fromEntries(Object.entries(f.shapes).map(([name, [rows, columns]], k) =>
    [name, Array.from({ length: rows }, (_, i) => numbers(columns ?? 1, seed + 100 * k + i).map((v) => v + (f.shift ?? 0)))]));
}

const given = (f: Formula, x: Inputs): Record<string, Given> => Object.fromEntries(Object.entries(f.shapes).map(([name, [rows, columns]]) =>
  [name, { shape: columns === null ? [rows] : [rows, columns], values: x[name].flat() }]));

describe('a formula of the library', () => {
  test.each(formulas.map((f) => [title(f), f] as const))('%s', (_, f) => {
    const loaded = load(std(f.file));
    for (const seed of [1, 2, 3]) {
      const x = inputsOf(f, seed);
      const { outputs } = evaluateCall(loaded, f.name, given(f, x), { set: f.set, gradients: true });
      const value = f.value(x);
      const expected = typeof value === 'number' ? [value] : value;
      const found = [...(outputs.get('out')?.values ?? [])];
      expect(found.length).toBe(expected.length);
      expected.forEach((v, i) => expect(found[i]).toBeCloseTo(v, 9));
      const total = (at: Inputs): number => { const v = f.value(at); return typeof v === 'number' ? v : v.reduce((a, b) => a + b, 0); };
      for (const [name, m] of Object.entries(x)) {
        const gradient = outputs.get(`grad.${name}`)?.values ?? new Float64Array();
        m.forEach((row, i) => row.forEach((_v, d) => {
          const moved = (delta: number): Inputs => ({ ...x, [name]: m.map((r, k) => (k === i ? r.map((y, e) => (e === d ? y + delta : y)) : r)) });
          const difference = f.stopped?.includes(name) === true ? 0 : (total(moved(1e-6)) - total(moved(-1e-6))) / 2e-6;
          expect(Math.abs(gradient[i * row.length + d] - difference), `grad.${name}[${i}, ${d}]`).toBeLessThan(1e-6 * Math.max(1, Math.abs(difference)));
        }));
      }
    }
  });
});

describe('a sketch along random directions', () => {
  const loaded = load(std('regularizers'));
  const sigreg = (values: readonly number[], width: number, set: Record<string, string>, step: number): number =>
    evaluateCall(loaded, 'sigreg', { z: { shape: [values.length / width, width], values } }, { set, step }).outputs.get('out')?.values[0] ?? NaN;
  /** Sums of twelve uniform numbers are nearly normal. */
  const normal = Array.from({ length: 240 }, (_, i) => numbers(12, 7 * i + 3).reduce((a, b) => a + b, 0) / 2);

  test('is 0.402 an example for embeddings that are all zero, and about 1.05 for normal ones', () => {
    expect(sigreg(new Array<number>(40).fill(0), 4, { slices: '5' }, 0) / 10).toBeCloseTo(0.402, 3);
    const many = Array.from({ length: 12 }, (_, step) => sigreg(normal, 6, { slices: '8' }, step));
    expect(many.reduce((a, b) => a + b, 0) / many.length).toBeGreaterThan(0.5);
    expect(many.reduce((a, b) => a + b, 0) / many.length).toBeLessThan(2);
  });

  test('takes new directions in each step, the same for the same step, of unit length', () => {
    const z = numbers(20, 5);
    expect(sigreg(z, 4, { slices: '3' }, 1)).toBe(sigreg(z, 4, { slices: '3' }, 1));
    expect(sigreg(z, 4, { slices: '3' }, 1)).not.toBe(sigreg(z, 4, { slices: '3' }, 2));
    // Turning all embeddings half around changes no cosine and no square of a sine.
    expect(sigreg(z.map((v) => -v), 4, { slices: '3' }, 1)).toBeCloseTo(sigreg(z, 4, { slices: '3' }, 1), 9);
  });
});

test('the support set gives its nearest entry, and no gradient', () => {
  const loaded = load(std('energies'));
  const query = [[1, 0.1], [0.2, -1], [-1, -0.9]], support = [[0, 1], [0.9, 0], [-1, -1], [0.1, -0.8]];
  const { outputs } = evaluateCall(loaded, 'nearest', { query: { shape: [3, 2], values: query.flat() }, support: { shape: [4, 2], values: support.flat() } }, { gradients: true });
  expect([...(outputs.get('out')?.values ?? [])]).toEqual([0.9, 0, 0.1, -0.8, -1, -1]);
  expect([...(outputs.get('grad.query')?.values ?? [1])].every((g) => g === 0)).toBe(true);
});

test('the second moment is the mean of the outer products of unit vectors', () => {
  const z = [[3, 4], [0, 2], [-1, 0]];
  const { outputs } = evaluateCall(load(std('energies')), 'second_moment', { z: { shape: [3, 2], values: z.flat() } });
  const expected = [(0.36 + 0 + 1) / 3, 0.48 / 3, 0.48 / 3, (0.64 + 1) / 3];
  [...(outputs.get('out')?.values ?? [])].forEach((v, i) => expect(v).toBeCloseTo(expected[i], 12));
});

test('whitened groups have no mean, unit variance and no covariance, and the triangle of Cholesky', () => {
  const z = numbers(12 * 3, 4);
  const r = evaluateCall(load(std('energies')), 'whiten', { z: { shape: [12, 3], values: z } }, { set: { size: '6' } }).outputs.get('out')?.values ?? [];
  for (const g of [0, 1]) {
    const rows = [0, 1, 2, 3, 4, 5].map((n) => (g * 6 + n) * 3);
    for (let i = 0; i < 3; i++) {
      expect(rows.reduce((a, n) => a + r[n + i], 0)).toBeCloseTo(0, 9);
      for (let j = 0; j < 3; j++) expect(rows.reduce((a, n) => a + r[n + i] * r[n + j], 0) / 5).toBeCloseTo(i === j ? 1 : 0, 9);
    }
    // L^-1 is lower triangular with a positive diagonal: the first whitened dimension is the first one, scaled.
    const mean = rows.reduce((a, n) => a + z[n], 0) / 6;
    const deviation = Math.sqrt(rows.reduce((a, n) => a + (z[n] - mean) ** 2, 0) / 5);
    for (const n of rows) expect(r[n]).toBeCloseTo((z[n] - mean) / deviation, 9);
  }
});

describe('an optimizer', () => {
  test.each(optimizers.map((o) => [title(o), o] as const))('%s follows its formula for four steps', (_, o) => {
    const loaded = load(std('optimizers'));
    let w = numbers(5, 3), moments = o.start(5);
    for (let step = 0; step < 4; step++) {
      const g = numbers(5, 11 + step);
      const sources = { 'state.m': moments.m, 'state.v': moments.v };
      const r = evaluateCall(loaded, o.name, { w: { shape: [5], values: w }, g: { shape: [5], values: g } }, { set: o.set, step, sources });
      const next = o.step(w, g, step, moments);
      moments = next.state;
      w = next.w;
      const found = [...(r.outputs.get('out')?.values ?? [])];
      w.forEach((v, i) => expect(found[i]).toBeCloseTo(v, 9));
    }
  });
});

describe('a schedule', () => {
  test.each(schedules.map((s) => [title(s), s] as const))('%s', (_, s) => {
    const loaded = s.text === undefined ? load(std('schedules')) : load('schedule.ssl', s.text);
    for (let step = 0; step <= s.steps; step++) {
      const r = evaluateCall(loaded, s.text === undefined ? s.name : 'wrapped', {}, { set: { ...s.set, steps: `${s.steps}`, epochs: `${s.epochs}` }, step });
      expect(r.outputs.get('out')?.values[0], `at step ${step}`).toBeCloseTo(s.value(step), 9);
    }
  });
});
