/** `std.NET`: which networks' outputs the loss compares, and how far apart they lie, against float64 values worked out here. */
import { expect, test } from 'vitest';
import { range, values } from './harness.js';
import { train, type Rows, type Values } from './training.js';

const rows = { x: Array.from({ length: 8 }, (_, i) => values(10, i + 1)), steps: 1 } satisfies Rows;

const program = (body: string, batch = 'batch 8'): string => `use std.layers { linear }
use std.optimizers { sgd }
use std.energies { negative_cosine }
model m() {
  input x: [D]
  net f = linear(12, bias: false)
  net g = linear(9, bias: false)
  net predict = linear(9, bias: false)
${body}
  represent f(x)
}
train m { ${batch}; optimizer sgd(rate: 0) }
`;

/** x @ w, rows of x, w as it lies in memory. */
const through = (x: readonly (readonly number[])[], w: readonly number[], out: number): number[][] => x.map((r) => range(out, (o) => r.reduce((s, v, i) => s + v * w[i * out + o], 0)));

function deviation(z: readonly (readonly number[])[]): number {
  const unit = z.map((r) => r.map((v) => v / Math.hypot(...r)));
  const squares = unit.flatMap((p) => unit.map((q) => p.reduce((s, v, d) => s + v * q[d], 0) ** 2));
  return Math.sqrt((1 - squares.reduce((a, b) => a + b, 0) / squares.length) / z[0].length);
}

const siamese = program(`  target slow = ema(g, 0.9)
  let p = g(f(x)), q = slow(f(2 * x))
  minimize agree: negative_cosine(predict(p), stop(q)) + negative_cosine(predict(p), stop(g(f(-x + 1))))`);

test('networks whose output enters the loss are watched, not those behind them nor slow copies', () => {
  const { built, reports, parameter } = train(siamese, rows);
  expect(built.manifest.compared).toEqual([{ net: 'predict', report: 'std.predict', size: 9 }, { net: 'g', report: 'std.g', size: 9 }]);
  const h = through(rows.x.map((r) => r.map((v) => 1 - v)), parameter('f.w', 0), 12);
  expect(reports[0]['std.g']).toBeCloseTo(deviation(through(h, parameter('g.w', 0), 9)), 9);
  const z = through(through(rows.x, parameter('f.w', 0), 12), parameter('g.w', 0), 9);
  expect(reports[0]['std.predict']).toBeCloseTo(deviation(through(z, parameter('predict.w', 0), 9)), 9);
});

test('a virtual batch reports the same', () => {
  const plain = train(siamese, rows);
  const chunked = train(siamese.replace('batch 8', 'batch 4; virtual_batch 8'), rows);
  expect(chunked.built.manifest.compared).toEqual(plain.built.manifest.compared);
  for (const name of ['std.g', 'std.predict']) expect(chunked.reports[0][name]).toBeCloseTo(plain.reports[0][name], 9);
});

test('0 where outputs are equal, opposite or nothing; and nothing is watched of few dimensions', () => {
  const one = program('  minimize fit: mean(f(x)^2)');
  const with_ = (change: (values: Values) => Values, x: Rows = rows): number => train(one, x, change).reports[0]['std.f'];
  const direction = values(10, 3);
  const line = { ...rows, x: Array.from({ length: 8 }, (_, i) => direction.map((v) => (i % 2 === 0 ? 1 : -2) * v)) };
  expect(with_((v) => v)).toBeGreaterThan(0.1);
  expect(with_((v) => v, line)).toBeLessThan(1e-7);
  expect(with_((v) => ({ ...v, parameters: Array.from(v['parameters'], () => 0) }))).toBe(0);
  expect(train(one.replace('linear(12', 'linear(7'), rows).built.manifest.compared).toEqual([]);
});
