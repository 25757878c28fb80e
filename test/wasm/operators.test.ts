/** Every scalar operator on the CPU target, four lanes and one at a time, across its range, against Math. */
import { describe, expect, it } from 'vitest';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import type { ElementType, BinaryOperator, Scalar, UnaryOperator } from '../../compiler/tensor/scalar.js';
import { applyBinary, binary, cast, draw, float, index, int, select, unary } from '../../compiler/tensor/scalar.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { handMade, numbers, origin } from '../kernels/tools.js';
import { expectAgreement, runOn, testDevice } from './harness.js';

/** y[i] = f(a[i], b[i]) over n elements: lanes for the first multiple of four, single values for the rest. */
function elementwise(n: number, from: ElementType, to: ElementType, f: (a: Scalar, b: Scalar) => Scalar): KernelProgram {
  const b = new ProgramBuilder('elementwise');
  const [x, y] = ['a', 'b'].map((name) => b.source(name, 'data', from, [n], origin(name)));
  const out = b.comprehension(to, [n], null, float(0), origin('out'));
  b.output('out', out);
  return handMade(b.build(), [{ kind: 'map', name: 'k', origins: [], extents: [n], stores: [{ tensor: out, value: f(b.read(x, [index(0)]), b.read(y, [index(0)])) }] }]);
}

/** Distance in units in the last place of f32. */
function ulps(found: number, exact: number): number {
  if (Number.isNaN(exact)) return Number.isNaN(found) ? 0 : Infinity;
  const rounded = Math.fround(exact);
  if (found === rounded) return 0;
  if (!Number.isFinite(rounded) || !Number.isFinite(found)) return Math.abs(exact) > 3.3e38 && Math.abs(found) > 3.3e38 ? 1 : Infinity;
  const unit = Math.max(2 ** -149, 2 ** (Math.floor(Math.log2(Math.max(Math.abs(exact), 1e-45))) - 23));
  return Math.abs(found - exact) / unit;
}

const special = [0, -0, 1, -1, 0.5, -0.5, 1e-45, -1e-45, 1e-38, 1e-30, 1e30, -1e30, 3.4e38, -3.4e38, Infinity, -Infinity, NaN, 2, -2, 3, -3, 88, 88.8, -87.5, -103, 10, 1.5, 2.5];

function spread(low: number, high: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => low + ((high - low) * (i + 0.37)) / count);
}

function erf(x: number): number {
  // Series near 0, continued fraction far out: float64 accuracy.
  const a = Math.abs(x);
  if (Number.isNaN(x)) return NaN;
  if (a > 6) return Math.sign(x);
  if (a < 3) {
    let term = a;
    let sum = a;
    for (let n = 1; n < 200; n++) { term *= (-a * a) / n; sum += term / (2 * n + 1); }
    return Math.sign(x) * sum * 2 / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = (n / 2) / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction));
}

function halfToEven(x: number): number {
  const r = Math.round(x);
  return Math.abs(x % 1) === 0.5 && r % 2 !== 0 ? r - 1 : r;
}

const unaries: readonly (readonly [UnaryOperator, (x: number) => number, readonly number[], number])[] = [
  ['neg', (x) => -x, [...special], 0],
  ['abs', Math.abs, [...special], 0],
  ['sqrt', Math.sqrt, [...special, ...spread(0, 100, 200)], 0.5],
  ['floor', Math.floor, [...special, ...spread(-5, 5, 200)], 0],
  ['ceil', Math.ceil, [...special, ...spread(-5, 5, 200)], 0],
  ['round', halfToEven, [...special, ...spread(-5, 5, 201), -1.5, -2.5, 0.5, 3.5], 0],
  ['exp', Math.exp, [...special, ...spread(-104, 89, 2000), ...spread(-1, 1, 500)], 2],
  ['log', Math.log, [...special, ...spread(0, 3, 2000), ...spread(0, 1e6, 200), 1 + 1e-7, 1 - 1e-7], 2],
  ['log1p', Math.log1p, [...special, ...spread(-0.9999, 3, 2000), ...spread(-1e-5, 1e-5, 100), ...spread(0, 1e6, 200)], 2.5],
  ['sin', Math.sin, [0, -0, NaN, Infinity, -Infinity, ...spread(-30, 30, 2000)], 2],
  ['cos', Math.cos, [0, -0, NaN, Infinity, -Infinity, ...spread(-30, 30, 2000)], 2],
  ['tanh', Math.tanh, [...special, ...spread(-12, 12, 2000), ...spread(-1e-3, 1e-3, 50)], 2],
  ['erf', erf, [...special, ...spread(-6, 6, 2000), ...spread(-1e-3, 1e-3, 50)], 2.5],
];

describe('scalar operators on the CPU', () => {
  it.each(unaries)('%s', async (op, exact, range, tolerance) => {
    // One value more than a multiple of four: the last goes the way of single values, so run the list shifted too.
    for (const shift of [0, 1, 2, 3]) {
      const list = [...range.slice(shift), ...range.slice(0, shift), ...range.slice(0, (5 - (range.length % 4)) % 4)];
      const a = Float32Array.from(list);
      const kernels = elementwise(a.length, 'f32', 'f32', (x) => unary(op, x));
      const found = (await runOn(await testDevice(), kernels, { a, b: a })).get('out') ?? [];
      for (const [i, x] of a.entries()) {
        const y: number = found[i];
        const slack = (op === 'sin' || op === 'cos') && Math.abs(y - exact(x)) < 1e-7 ? 1e9 : tolerance;
        if (!(ulps(y, exact(x)) <= slack)) expect.fail(`${op}(${x}): expected ${exact(x)}, found ${y} (${ulps(y, exact(x))} ulp)`);
      }
    }
  });

  const pairs = special.flatMap((a) => special.map((b) => [a, b] as const));
  const more = spread(-4, 4, 400).map((a, i) => [a, spread(-3, 3, 400)[(i * 37) % 400]] as const);
  const binaries: readonly (readonly [BinaryOperator, number])[] = [
    ['add', 0.5], ['sub', 0.5], ['mul', 0.5], ['div', 0.5], ['min', 0], ['max', 0], ['atan2', 3], ['pow', 4],
    ['lt', 0], ['le', 0], ['gt', 0], ['ge', 0], ['eq', 0], ['ne', 0],
  ];
  it.each(binaries)('%s', async (op, tolerance) => {
    const list = op === 'pow' ? [...pairs, ...spread(0.01, 4, 400).map((a, i) => [a, spread(-8, 8, 400)[(i * 53) % 400]] as const), ...spread(-9, 9, 19).map((a) => [a, Math.round(a)] as const)] : [...pairs, ...more];
    const a = Float32Array.from(list.map((p) => p[0]));
    const b = Float32Array.from(list.map((p) => p[1]));
    const comparison = ['lt', 'le', 'gt', 'ge', 'eq', 'ne'].includes(op);
    const kernels = elementwise(a.length, 'f32', comparison ? 'bool' : 'f32', (x, y) => binary(op, x, y));
    const found = (await runOn(await testDevice(), kernels, { a, b })).get('out') ?? [];
    a.forEach((x, i) => {
      const e = applyBinary(op, x, b[i]);
      // log2 of the base is rounded once, so a power's error grows with the exponent.
      const slack = op === 'pow' && Math.abs(b[i]) > 1 ? tolerance + Math.abs(b[i]) / 2 : tolerance;
      if (!(ulps(found[i], e) <= slack)) expect.fail(`${op}(${x}, ${b[i]}): expected ${e}, found ${found[i]} (${ulps(found[i], e)} ulp)`);
    });
  });

  const ints: readonly (readonly [string, (a: Scalar, b: Scalar) => Scalar])[] = [
    ...(['add', 'sub', 'mul', 'idiv', 'mod', 'min', 'max'] as const).map((op) => [op, (a: Scalar, b: Scalar) => binary(op, binary('sub', a, int(3)), binary('add', b, int(1)))] as const),
    ...([1, 2, 3, 4, 5, 8, 12] as const).flatMap((d) => (['idiv', 'mod'] as const).map((op) => [`${op} by ${d}`, (a: Scalar) => binary(op, binary('mul', a, int(-7)), int(d))] as const)),
    ['idiv of an index', () => binary('add', binary('idiv', index(0), int(5)), binary('mod', index(0), int(12)))],
    ['neg and abs', (a) => unary('abs', binary('sub', unary('neg', a), int(2)))],
    ['select', (a, b) => select(binary('lt', a, b), binary('add', a, int(10)), b)],
    ['casts', (a, b) => cast('i32', binary('add', cast('f32', a), binary('mul', cast('f32', binary('lt', a, b)), float(-2.7))))],
    ['bool', (a, b) => cast('i32', binary('or', binary('and', cast('bool', a), unary('not', binary('eq', a, b))), binary('gt', a, int(5))))],
  ];
  it.each(ints)('i32 %s', async (_name, f) => {
    const kernels = elementwise(1001, 'i32', 'i32', f);
    await expectAgreement(kernels, numbers(kernels.program, 3), 0);
  });

  it('reads u8, bool and i32, and gathers', async () => {
    for (const from of ['u8', 'bool', 'i32'] as const) {
      const kernels = elementwise(515, from, 'f32', (a, b) => binary('mul', cast('f32', a), binary('add', cast('f32', b), float(0.25))));
      await expectAgreement(kernels, numbers(kernels.program, 5), 0);
    }
    const b = new ProgramBuilder('gather');
    const table = b.source('table', 'data', 'f32', [7, 9], origin('table'));
    const at = b.source('at', 'data', 'i32', [33], origin('at'));
    const out = b.comprehension('f32', [33, 9], null, float(0), origin('out'));
    b.output('out', out);
    const read = b.read(table, [b.read(at, [index(0)]), binary('sub', int(8), index(1))]);
    const guarded = b.read(table, [binary('sub', b.read(at, [index(0)]), int(3)), binary('add', index(1), int(2))], float(-5));
    await expectAgreement(handMade(b.build(), [{ kind: 'map', name: 'k', origins: [], extents: [33, 9], stores: [{ tensor: out, value: binary('add', read, guarded) }] }]), numbers(b.build(), 9), 1e-7);
  });

  it('draws the same numbers as the interpreter', async () => {
    const n = 403;
    const b = new ProgramBuilder('draws');
    const seed = b.source('clock.seed', 'clock', 'i32', [], origin('seed'));
    const out = b.comprehension('f32', [n, 3], null, float(0), origin('out'));
    b.output('out', out);
    const uniform = (lane: 0 | 1 | 2 | 3, element: Scalar): Scalar => draw(lane, { site: int(5), seed: b.read(seed, []), step: int(7), example: index(0), element });
    const value = binary('add', uniform(0, index(1)), binary('add', uniform(3, int(2)), uniform(1, int(2))));
    const kernels = handMade(b.build(), [{ kind: 'map', name: 'k', origins: [], extents: [n, 3], stores: [{ tensor: out, value }] }]);
    await expectAgreement(kernels, { 'clock.seed': Int32Array.of(-123456789) }, 1e-7);
  });
});
