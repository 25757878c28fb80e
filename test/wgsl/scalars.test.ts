/** Scalar operators, reads, draws and element types on a software adapter, over their ranges, against the interpreter. */
import { afterAll, describe, expect, it } from 'vitest';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import type { Kernel } from '../../compiler/fuse/kernel.js';
import type { BinaryOperator, Scalar, UnaryOperator } from '../../compiler/tensor/scalar.js';
import { add, binary, cast, draw, float, index, int, mul, select, sub, unary } from '../../compiler/tensor/scalar.js';
import { interpretKernels } from '../../compiler/fuse/interpret-kernels.js';
import type { Device, HostArray } from '../../runtime/device/device.js';
import { expectClose, handMade, numbers, origin } from '../kernels/tools.js';
import { expectAgreement, openTestDevice, runOn, softwareOptions } from './harness.js';
import { elementwise } from './kernels.js';

const opened = await openTestDevice();
const reason = typeof opened === 'string' ? ` (skipped: ${opened})` : '';
const device = (): Device => {
  if (typeof opened === 'string') throw new Error(opened);
  return opened;
};

const special = [0, -0, 1, -1, 0.5, -0.5, 2, -2, 3, 1e-6, -1e-6, 1e-30, 1e30, -1e30, 0.7071, 1.4142, 88, -88, 100, -100, Infinity, -Infinity, NaN];
const grid = Array.from({ length: 401 }, (_, i) => (i - 200) / 16);
const many = Float32Array.from([...special, ...grid]);

describe.skipIf(typeof opened === 'string')(`scalars on an adapter${reason}`, () => {
  afterAll(() => device().close());

  it('unary operators agree over their ranges', async () => {
    const operators: readonly UnaryOperator[] = ['neg', 'abs', 'exp', 'log', 'log1p', 'sqrt', 'sin', 'cos', 'tanh', 'erf', 'floor', 'ceil', 'round'];
    const b = new ProgramBuilder('unary');
    const x = b.source('x', 'data', 'f32', [many.length], origin('x'));
    const kernels = operators.map((op): Kernel => {
      const out = b.comprehension('f32', [many.length], null, float(0), origin(op));
      b.output(op, out);
      return { kind: 'map', name: op, origins: [origin(op)], extents: [many.length], stores: [{ tensor: out, value: unary(op, b.identity(x)) }] };
    });
    const program = handMade(b.build(), kernels);
    const expected = interpretKernels(program, { x: many }).outputs;
    const found = await runOn(device(), program, { x: many }, softwareOptions);
    for (const op of operators) {
      const e = expected.get(op);
      const f = found.get(op);
      if (e === undefined || f === undefined) throw new Error(op);
      // Angles beyond what the range reduction covers have no accurate f32 sine; results near zero are compared absolutely.
      for (let i = 0; i < many.length; i++) {
        const x0 = many[i];
        if ((op === 'sin' || op === 'cos') && Math.abs(x0) > 12000 && Number.isFinite(x0)) continue;
        if (op === 'exp' && x0 > 88 && Number.isFinite(x0)) { expect(f[i], `exp(${x0})`).toBeGreaterThan(1e38); continue; }
        expectClose(Float32Array.of(f[i]), Float64Array.of(e[i]), 4e-6, `${op}(${x0})`);
      }
    }
  });

  it('binary operators agree on pairs', async () => {
    const operators: readonly BinaryOperator[] = ['add', 'sub', 'mul', 'div', 'idiv', 'mod', 'pow', 'min', 'max', 'atan2', 'lt', 'le', 'gt', 'ge', 'eq', 'ne'];
    const left: number[] = [];
    const right: number[] = [];
    const values = [0, 0.25, -0.25, 1, -1, 2, -2, 3, -3, 0.7, 5.5, -7.3, 19];
    for (const a of values) for (const c of values) { left.push(Math.fround(a)); right.push(Math.fround(c)); }
    const b = new ProgramBuilder('binary');
    const n = left.length;
    const x = b.source('x', 'data', 'f32', [n], origin('x'));
    const y = b.source('y', 'data', 'f32', [n], origin('y'));
    const kernels = operators.map((op): Kernel => {
      const value = binary(op, b.identity(x), b.identity(y));
      const out = b.comprehension(value.type === 'bool' ? 'bool' : 'f32', [n], null, value, origin(op));
      b.output(op, out);
      return { kind: 'map', name: op, origins: [origin(op)], extents: [n], stores: [{ tensor: out, value }] };
    });
    const program = handMade(b.build(), kernels);
    const inputs = { x: Float32Array.from(left), y: Float32Array.from(right) };
    const expected = interpretKernels(program, inputs).outputs;
    const found = await runOn(device(), program, inputs, softwareOptions);
    for (const op of operators) {
      for (let i = 0; i < n; i++) {
        const e = expected.get(op)?.[i] ?? NaN;
        const f = found.get(op)?.[i] ?? NaN;
        // A division by zero is only asked to be not finite: drivers differ in which.
        if (right[i] === 0 && ['div', 'idiv', 'mod'].includes(op)) continue;
        // Zero to a power and the sign of a zero angle's axis follow the formula, not every driver keeps -0.
        if (op === 'atan2' && left[i] === 0 && right[i] === 0) continue;
        expectClose(Float32Array.of(f), Float64Array.of(e), 1e-5, `${op}(${left[i]}, ${right[i]})`);
      }
    }
  });

  it('integers floor when they divide', async () => {
    const kernels = elementwise('integers', [41, 9], 'i32', () => {
      const a = sub(index(0), int(20));
      const b = add(mul(sub(index(1), int(4)), int(2)), int(1));
      return add(mul(binary('idiv', a, b), int(100)), binary('mod', a, b));
    });
    await expectAgreement(device(), kernels, {}, softwareOptions);
  });

  it('constant exponents', async () => {
    for (const exponent of [0, 1, 2, 3, 4, -1, -2, 0.5, -0.5, 1.7]) {
      const kernels = elementwise('powers', [64], 'f32', (b) => {
        const x = b.source('x', 'data', 'f32', [64], origin('x'));
        return binary('pow', add(b.identity(x), float(1.5)), float(exponent));
      });
      await expectAgreement(device(), kernels, numbers(kernels.program), softwareOptions);
    }
  });

  it('pixels, truth values and integers are stored and read', async () => {
    const shape = [3, 7, 5];
    const b = new ProgramBuilder('elements');
    const pixels = b.source('pixels', 'data', 'u8', shape, origin('pixels'));
    const flags = b.source('flags', 'data', 'bool', [7], origin('flags'));
    const counts = b.source('counts', 'data', 'i32', [3], origin('counts'));
    const pixel = b.read(pixels, [index(0), index(1), index(2)]);
    const flag = b.read(flags, [index(1)]);
    const count = b.read(counts, [index(0)]);
    const real = b.comprehension('f32', shape, null, float(0), origin('real'));
    const small = b.comprehension('u8', shape, null, int(0), origin('small'));
    const truth = b.comprehension('bool', shape, null, int(0), origin('truth'));
    b.output('real', real);
    b.output('small', small);
    b.output('truth', truth);
    const value = add(cast('f32', pixel), mul(cast('f32', count), float(0.5)));
    const program = handMade(b.build(), [
      { kind: 'map', name: 'a', origins: [origin('a')], extents: shape, stores: [{ tensor: real, value: select(flag, value, float(-1)) }, { tensor: truth, value: binary('gt', pixel, int(100)) }] },
      { kind: 'map', name: 'b', origins: [origin('b')], extents: shape, stores: [{ tensor: small, value: binary('mod', add(pixel, int(3)), int(256)) }] },
    ]);
    await expectAgreement(device(), program, numbers(program.program), softwareOptions);
  });

  it('guarded reads give the other value outside, and indices from data are clamped', async () => {
    const kernels = elementwise('reads', [6, 7], 'f32', (b) => {
      const x = b.source('x', 'data', 'f32', [4, 5], origin('x'));
      const at = b.source('at', 'data', 'i32', [6], origin('at'));
      const row = b.read(at, [index(0)]);
      const outside = b.read(x, [sub(index(0), int(1)), sub(index(1), int(1))], float(9));
      return add(outside, b.read(x, [binary('mod', row, int(4)), binary('min', index(1), int(4))]));
    });
    await expectAgreement(device(), kernels, numbers(kernels.program, 3), softwareOptions);
    const wild = elementwise('wild', [6], 'f32', (b) => {
      const x = b.source('x', 'data', 'f32', [4], origin('x'));
      const at = b.source('at', 'data', 'i32', [6], origin('at'));
      return b.read(x, [b.read(at, [index(0)])]);
    });
    const found = await runOn(device(), wild, { x: Float32Array.of(1, 2, 3, 4), at: Int32Array.of(-5, 0, 3, 4, 1000000000, -1000000000) }, softwareOptions);
    expect([...(found.get('out') ?? [])]).toEqual([1, 1, 4, 4, 4, 1]);
  });

  it('draws are the same bits as the interpreter\'s', async () => {
    const shape = [5, 33, 4];
    const kernels = elementwise('draws', shape, 'f32', (b) => {
      const seed = b.source('seed', 'clock', 'i32', [], origin('seed'));
      const lane = (n: 0 | 1 | 2 | 3): Scalar => draw(n, { site: int(0x9000000 + 7), seed: b.read(seed, []), step: int(3), example: index(0), element: index(1) });
      const which = (n: number): Scalar => binary('eq', index(2), int(n));
      return select(which(0), lane(0), select(which(1), lane(1), select(which(2), lane(2), lane(3))));
    });
    await expectAgreement(device(), kernels, { seed: Int32Array.of(-123456789) }, softwareOptions, 0);
  });

  it('a NaN is found by comparing a value with itself', async () => {
    const kernels = elementwise('nan', [4], 'bool', (b) => {
      const x = b.identity(b.source('x', 'data', 'f32', [4], origin('x')));
      return binary('ne', x, x);
    });
    const x = Float32Array.of(1, NaN, Infinity, -0);
    const found: HostArray | undefined = (await runOn(device(), kernels, { x }, softwareOptions)).get('out');
    expect([...(found ?? [])]).toEqual([0, 1, 0, 0]);
  });
});
