/** When the guard speaks, and when it must not. */
import { expect, test } from 'vitest';
import { createCollapseGuard, type Collapse } from '../../runtime/train/collapse-guard.js';

const trivial = { value: Math.log(511), formula: 'ln(2B - 1)' };
const healthy = { std: 0.03, rank: 40, length: 2 };
const same = { std: 1e-5, rank: 1.01, length: 2 };
const line = { std: 0.06, rank: 1.4, length: 2 };

/** Steps 1 to `until`, a measure every 50 steps; what the guard said. */
function run(until: number, loss: (step: number) => number, measure: (step: number) => { std: number; rank: number; length: number }, known = true): { readonly said: Collapse[]; readonly healthy: number | null } {
  const guard = createCollapseGuard(64, known ? trivial : null);
  const said: Collapse[] = [];
  for (let step = 0; step <= until; step++) {
    if (step > 0) guard.step(step, { loss: loss(step) });
    const found = step % 50 === 0 ? guard.embedding(step, measure(step)) : null;
    if (found !== null) said.push(found);
  }
  return { said, healthy: guard.healthy() };
}

test('a uniform collapse is told once, with its loss, and the step before it is known', () => {
  const { said, healthy: last } = run(1000, (s) => (s < 300 ? 5 : trivial.value + 1e-4), (s) => (s < 300 ? healthy : same));
  expect(said).toEqual([{ form: 'uniform', step: 500, since: 300, message: 'uniform collapse: loss = ln(2B - 1) = 6.236 for 200 steps, and the unit embeddings deviate by 1.0e-5, spread ones by 0.13' }]);
  expect(last).toBe(250);
});

test('a loss near the trivial value alone says nothing, nor do narrow embeddings whose loss has left it', () => {
  expect(run(2000, () => trivial.value, () => healthy).said).toEqual([]);
  // A deep network at its start: all embeddings alike for a while.
  expect(run(2000, () => trivial.value - 0.5, (s) => (s < 200 ? same : healthy)).said).toEqual([]);
  // Rank 1.01 stays a dimensional collapse, but not a uniform one.
  expect(run(2000, () => 3, () => same).said.map((c) => c.form)).toEqual(['dimensional']);
  expect(run(2000, () => 3, () => ({ std: 1e-5, rank: 30, length: 2 })).said).toEqual([]);
});

test('one good measure begins the count anew, and a second collapse is told again', () => {
  expect(run(2000, () => trivial.value, (s) => (s % 200 === 0 ? healthy : same)).said).toEqual([]);
  const twice = run(2000, () => trivial.value, (s) => (s >= 900 && s < 1000 ? healthy : same));
  expect(twice.said.map((c) => c.step)).toEqual([200, 1200]);
});

test('embeddings that shrink to nothing have collapsed, whatever directions are left', () => {
  const shrunk = { std: 0.1, rank: 30, length: 1e-6 };
  expect(run(600, () => trivial.value, (s) => (s < 100 ? healthy : shrunk)).said).toMatchObject([{ form: 'uniform', since: 100, message: expect.stringContaining('have 5.0e-7 of their length') }]);
  expect(run(600, () => 3, (s) => (s < 100 ? healthy : shrunk)).said).toEqual([]);
});

test('a dimensional collapse, and a uniform one without a known loss', () => {
  expect(run(600, () => 1, (s) => (s < 100 ? healthy : line)).said).toMatchObject([{ form: 'dimensional', step: 300, since: 100 }]);
  expect(run(600, () => 1, () => same, false).said).toMatchObject([{ form: 'uniform', step: 200, message: expect.stringContaining('for 200 steps') }]);
});

/** Steps 1 to `until` of a healthy encoder; what two networks' outputs deviate by, as a share of 1/sqrt(D). */
function projected(until: number, loss: (step: number) => number, shares: (step: number) => readonly [number, number]): { readonly said: Collapse[]; readonly healthy: number | null } {
  const guard = createCollapseGuard(64, trivial, [{ net: 'g', report: 'std.g', size: 16 }, { net: 'head', report: 'std.head', size: 100 }]);
  const said: Collapse[] = [];
  for (let step = 0; step <= until; step++) {
    const [g, head] = shares(step);
    for (const found of [step > 0 ? guard.step(step, { loss: loss(step), 'std.g': g / 4, 'std.head': head / 10 }) : null, step % 50 === 0 ? guard.embedding(step, healthy) : null]) if (found !== null) said.push(found);
  }
  return { said, healthy: guard.healthy() };
}

test('outputs that the loss compares collapse behind a healthy encoder: told once, with the network', () => {
  const { said, healthy: last } = projected(1000, (s) => (s < 310 ? 5 : trivial.value), (s) => [0.8, s < 300 ? 0.5 : 0.02]);
  expect(said).toEqual([{ form: 'uniform', step: 509, since: 300, message: 'uniform collapse: loss = ln(2B - 1) = 6.236 for 209 steps, and the unit outputs of `head`, which it compares, deviate by 2.0e-3 from one line, spread ones by 0.10' }]);
  expect(last).toBe(250);
});

test('compared outputs say nothing alone, nor while the loss has left its trivial value, nor with a good step between', () => {
  expect(projected(2000, () => 5, () => [0.01, 0.01]).said).toEqual([]);
  expect(projected(2000, () => trivial.value, () => [0.2, 1]).said).toEqual([]);
  expect(projected(2000, () => trivial.value, (s) => [s % 150 === 0 ? 0.3 : 0.01, 1]).said).toEqual([]);
  // A loss that begins near the trivial value, and outputs that take a while to come apart.
  expect(projected(2000, () => trivial.value, (s) => [Math.min(1, 0.01 + s / 1500), 1]).said).toEqual([]);
});

test('codes of which one takes nearly all have collapsed, whatever the embeddings do', () => {
  const codes = [{ report: 'used', size: 300 }, { report: 'few', size: 4 }];
  const watch = (used: (step: number) => number): { readonly said: Collapse[]; readonly healthy: number | null } => {
    const guard = createCollapseGuard(64, trivial, [], codes);
    const said: Collapse[] = [];
    for (let step = 1; step <= 600; step++) {
      for (const found of [guard.step(step, { loss: 3, used: used(step), few: 1 }), step % 50 === 0 ? guard.embedding(step, healthy) : null]) if (found !== null) said.push(found);
    }
    return { said, healthy: guard.healthy() };
  };
  expect(watch((s) => (s < 310 ? 120 : 1.04))).toEqual({
    said: [{ form: 'codes', step: 510, since: 310, message: 'collapse of the codes: `used` = 1.04 of 300 in use for 200 steps' }], healthy: 300,
  });
  expect(watch((s) => (s % 150 === 0 ? 5 : 1)).said).toEqual([]);
});
