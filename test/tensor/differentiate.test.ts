import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import { differentiate } from '../../compiler/tensor/differentiate.js';
import type { Program, ReduceOperator } from '../../compiler/tensor/program.js';
import type { BinaryOperator, Scalar, UnaryOperator } from '../../compiler/tensor/scalar.js';
import { add, binary, cast, draw, float, index, int, mul, operands, select, sub, unary } from '../../compiler/tensor/scalar.js';
import { checkGradient, numbers, origin } from './check-gradient.js';

const runs = { numRuns: 40, seed: 7 };

/** The bodies of the reductions that gradients added, by output name. */
function bodyOf(program: Program, output: string): Scalar {
  const found = program.outputs.find((o) => o.name === output);
  const tensor = found === undefined ? undefined : program.tensors[found.tensor];
  if (tensor === undefined || tensor.kind !== 'comprehension') throw new Error(`no comprehension ${output}`);
  return tensor.body;
}

function isProductOfReads(s: Scalar): boolean {
  return s.kind === 'binary' && s.op === 'mul' && operands(s).every((o) => o.kind === 'read');
}

describe('scalar derivatives', () => {
  const domain: { readonly [K in UnaryOperator]: (x: number) => number } = {
    neg: (x) => x, abs: (x) => x, exp: (x) => x, log: (x) => Math.abs(x) + 0.3, log1p: (x) => Math.abs(x) - 0.5, sqrt: (x) => Math.abs(x) + 0.3,
    sin: (x) => x, cos: (x) => x, tanh: (x) => x, erf: (x) => x, floor: (x) => x, ceil: (x) => x, round: (x) => x, not: (x) => x, stop: (x) => x,
  };
  for (const op of Object.keys(domain) as UnaryOperator[]) {
    if (op === 'not' || op === 'stop') continue;
    it(op, () => {
      const b = new ProgramBuilder('p');
      const x = b.source('x', 'parameters', 'f32', [9], origin);
      const y = b.comprehension('f32', [9], null, unary(op, b.identity(x)), origin);
      checkGradient(b, y, [x], { x: numbers(9, 3).map(domain[op]) });
    });
  }

  const operators: BinaryOperator[] = ['add', 'sub', 'mul', 'div', 'pow', 'min', 'max', 'atan2', 'mod'];
  for (const op of operators) {
    it(op, () => {
      const b = new ProgramBuilder('p');
      const x = b.source('x', 'parameters', 'f32', [9], origin);
      const z = b.source('z', 'parameters', 'f32', [9], origin);
      const y = b.comprehension('f32', [9], null, binary(op, b.identity(x), b.identity(z)), origin);
      const positive = (v: number): number => Math.abs(v) + 0.4;
      checkGradient(b, y, [x, z], { x: numbers(9, 3).map(positive), z: numbers(9, 5).map(positive) });
    });
  }

  it('passes nothing through stop, comparisons and integers, and zero at the kinks', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'parameters', 'f32', [3], origin);
    const v = b.identity(x);
    const body = add(add(unary('stop', mul(v, v)), cast('f32', cast('i32', v))), add(binary('max', v, float(0)), unary('abs', v)));
    const y = b.comprehension('f32', [3], null, body, origin);
    const loss = b.comprehension('f32', [], { op: 'sum', extents: [3] }, b.read(y, [index(0)]), origin);
    const [g] = differentiate(b, loss, [x]);
    b.output('g', g);
    expect([...(interpret(b.build(), { x: [0, 1, -1] }).outputs.get('g') ?? [])].map((e) => e + 0)).toEqual([0, 2, -1]);
  });

  it('differentiates select on both sides and powers with constant exponents', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'parameters', 'f32', [8], origin);
    const v = b.identity(x);
    const body = select(binary('gt', v, float(0.2)), binary('pow', v, float(2)), mul(v, binary('pow', unary('abs', v), float(1.5))));
    checkGradient(b, b.comprehension('f32', [8], null, body, origin), [x], { x: numbers(8, 9) });
  });
});

describe('reductions', () => {
  it.each(['sum', 'max', 'min', 'prod', 'logsumexp', 'deviations'] as ReduceOperator[])('%s', (op) => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 99 }), (n, m, k, seed) => {
      const b = new ProgramBuilder('p');
      const x = b.source('x', 'parameters', 'f32', [n, m, k], origin);
      const w = b.source('w', 'parameters', 'f32', [m], origin);
      const body = mul(b.read(x, [index(0), index(1), index(2)]), b.read(w, [index(1)]));
      const y = b.comprehension('f32', [n], { op, extents: [m, k] }, body, origin);
      checkGradient(b, y, [x, w], { x: numbers(n * m * k, seed), w: numbers(m, seed + 1) });
    }), { ...runs, numRuns: 15 });
  });

  it('prod with zeros, and max with a mask', () => {
    for (const zeros of [1, 2]) {
      const b = new ProgramBuilder('p');
      const x = b.source('x', 'parameters', 'f32', [4], origin);
      checkGradient(b, b.comprehension('f32', [], { op: 'prod', extents: [4] }, b.read(x, [index(0)]), origin), [x], { x: [2, 0, zeros === 2 ? 0 : 3, 5] }, 1e-4);
    }
    const b = new ProgramBuilder('p');
    const s = b.source('s', 'parameters', 'f32', [5, 5], origin);
    const masked = select(binary('ne', index(0), index(1)), b.read(s, [index(0), index(1)]), float(-1e30));
    const y = b.comprehension('f32', [5], { op: 'logsumexp', extents: [5] }, masked, origin);
    const z = b.comprehension('f32', [5], { op: 'max', extents: [5] }, masked, origin);
    checkGradient(b, b.comprehension('f32', [5], null, mul(b.identity(y), b.identity(z)), origin), [s], { s: numbers(25, 5) });
  });

  it('max gives the gradient to the first of ties', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'parameters', 'f32', [4], origin);
    const y = b.comprehension('f32', [], { op: 'max', extents: [4] }, b.read(x, [index(0)]), origin);
    b.output('g', differentiate(b, y, [x])[0]);
    expect([...(interpret(b.build(), { x: [1, 3, 3, 2] }).outputs.get('g') ?? [])]).toEqual([0, 1, 0, 0]);
  });
});

describe('inverted reads', () => {
  const convolution = fc.record({
    size: fc.integer({ min: 1, max: 9 }), taps: fc.integer({ min: 1, max: 4 }), stride: fc.integer({ min: 1, max: 3 }), pad: fc.integer({ min: 0, max: 3 }),
    channels: fc.integer({ min: 1, max: 2 }), out: fc.integer({ min: 1, max: 2 }), flip: fc.boolean(), seed: fc.integer({ min: 1, max: 99 }),
  });

  it('convolutions of any size, stride and padding', () => {
    fc.assert(fc.property(convolution, ({ size, taps, stride, pad, channels, out, flip, seed }) => {
      const n = Math.floor((size + 2 * pad - taps) / stride) + 1;
      fc.pre(n >= 1);
      const b = new ProgramBuilder('p');
      const x = b.source('x', 'parameters', 'f32', [size, channels], origin);
      const w = b.source('w', 'parameters', 'f32', [taps, channels, out], origin);
      const tap = flip ? sub(int(taps - 1), index(2)) : index(2);
      const at = sub(add(mul(index(0), int(stride)), tap), int(pad));
      const y = b.comprehension('f32', [n, out], { op: 'sum', extents: [taps, channels] }, mul(b.read(x, [at, index(3)], float(0)), b.read(w, [index(2), index(3), index(1)])), origin);
      checkGradient(b, y, [x, w], { x: numbers(size * channels, seed), w: numbers(taps * channels * out, seed + 1) });
    }), { ...runs, numRuns: 60 });
  });

  it('random affine reads of two axes', () => {
    const coefficient = fc.integer({ min: -2, max: 3 });
    fc.assert(fc.property(fc.array(fc.tuple(coefficient, coefficient, coefficient, fc.integer({ min: -2, max: 2 })), { minLength: 2, maxLength: 2 }),
      fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 3 })), fc.boolean(), (rows, [n, m, k], exponential) => {
        const b = new ProgramBuilder('p');
        const x = b.source('x', 'parameters', 'f32', [5, 4], origin);
        const w = b.source('w', 'parameters', 'f32', [n, k], origin);
        const at = rows.map(([p, q, r, c]) => add(add(add(mul(index(0), int(p)), mul(index(1), int(q))), mul(index(2), int(r))), int(c)));
        const read = b.read(x, at, float(0.5));
        const other = b.read(w, [index(0), index(2)]);
        const body = exponential ? unary('exp', sub(mul(read, other), float(1))) : mul(read, other);
        const y = b.comprehension('f32', [n, m], { op: 'sum', extents: [k] }, body, origin);
        checkGradient(b, y, [x, w], { x: numbers(20, n), w: numbers(n * k, m) });
      }), { ...runs, numRuns: 60 });
  });

  it('reshapes, rotations, tiles, repeats and windows of data', () => {
    const shape = fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 3 }));
    fc.assert(fc.property(shape, fc.integer({ min: -3, max: 7 }), fc.integer({ min: 1, max: 3 }), fc.constantFrom('reshape', 'rotate', 'tile', 'repeat', 'partial'), ([n, m, k], shift, times, what) => {
      const b = new ProgramBuilder('p');
      const x = b.source('x', 'parameters', 'f32', [n, m, k], origin);
      const total = n * m * k;
      let y;
      if (what === 'reshape') {
        // [k * n, m] from [n, m, k] in row-major order.
        const flat = add(mul(index(0), int(m)), index(1));
        const at = [binary('idiv', flat, int(m * k)), binary('mod', binary('idiv', flat, int(k)), int(m)), binary('mod', flat, int(k))];
        y = b.comprehension('f32', [k * n, m], null, b.read(x, at), origin);
      } else {
        const first = what === 'rotate' ? binary('mod', add(index(0), int(shift)), int(n))
          : what === 'tile' ? binary('mod', index(0), int(n))
          : what === 'repeat' ? binary('idiv', index(0), int(times))
          : binary('mod', add(index(0), index(3)), int(n));
        const rows = what === 'rotate' || what === 'partial' ? n : n * times;
        y = what === 'partial'
          ? b.comprehension('f32', [Math.max(1, rows - 1), m, k], { op: 'sum', extents: [2] }, mul(b.read(x, [first, index(1), index(2)]), b.read(x, [index(0), index(1), index(2)])), origin)
          : b.comprehension('f32', [rows, m, k], null, b.read(x, [first, index(1), index(2)]), origin);
      }
      const program = checkGradient(b, y, [x], { x: numbers(total, shift + 9) });
      if (what === 'rotate' || what === 'reshape') expect(program.tensors.filter((t) => t.kind === 'comprehension' && t.reduce !== null)).toHaveLength(1);
    }), { ...runs, numRuns: 70 });
  });

  it('gathers as sums with equal indices', () => {
    const b = new ProgramBuilder('p');
    const table = b.source('table', 'parameters', 'f32', [6, 3], origin);
    const word = b.source('word', 'batch', 'i32', [4], origin);
    const y = b.comprehension('f32', [4, 3], null, mul(b.read(table, [b.read(word, [index(0)]), index(1)]), b.read(table, [index(0), index(1)])), origin);
    checkGradient(b, y, [table], { table: numbers(18), word: [5, 2, 2, 0] });
  });

  it('diagonals, transposes, slices and concatenations', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'parameters', 'f32', [4, 4], origin);
    const z = b.source('z', 'parameters', 'f32', [3, 4], origin);
    const joined = select(binary('lt', index(0), int(4)), b.read(x, [index(0), index(1)], float(0)), b.read(z, [sub(index(0), int(4)), index(1)], float(0)));
    const c = b.comprehension('f32', [7, 4], null, joined, origin);
    const d = b.comprehension('f32', [4], null, mul(b.read(x, [index(0), index(0)]), b.read(c, [add(index(0), int(3)), sub(int(3), index(0))])), origin);
    checkGradient(b, d, [x, z], { x: numbers(16), z: numbers(12, 2) });
  });

  it('differentiates what stands outside a guarded read', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'parameters', 'f32', [4], origin);
    const e = b.source('e', 'parameters', 'f32', [6], origin);
    const y = b.comprehension('f32', [6], null, mul(b.read(x, [sub(index(0), int(1))], b.read(e, [index(0)])), b.read(e, [index(0)])), origin);
    checkGradient(b, y, [x, e], { x: numbers(4), e: numbers(6, 2) });
  });

  it('draws and conditions only weigh', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'parameters', 'f32', [6], origin);
    const uniform = draw(0, { site: int(1), seed: int(3), step: int(4), example: index(0), element: int(0) });
    const y = b.comprehension('f32', [6], null, select(binary('lt', uniform, float(0.5)), mul(b.identity(x), uniform), float(0)), origin);
    checkGradient(b, y, [x], { x: numbers(6) });
  });
});

describe('windows and packs', () => {
  it('windows of an arena as leaves and as parts', () => {
    for (const leaves of [true, false]) {
      const b = new ProgramBuilder('p');
      const arena = b.source('arena', 'parameters', 'f32', [128], origin);
      const w = b.window(arena, 0, [3, 4], origin);
      const v = b.window(arena, 64, [4], origin);
      const packed = b.pack([b.comprehension('f32', [3], { op: 'sum', extents: [4] }, mul(b.read(w, [index(0), index(1)]), b.read(v, [index(1)])), origin), v], origin);
      const y = b.comprehension('f32', [128], null, mul(b.identity(packed), b.identity(packed)), origin);
      const program = checkGradient(b, y, leaves ? [w, v] : [arena], { arena: numbers(128) });
      if (!leaves) expect(program.tensors[program.outputs[1].tensor].kind).toBe('pack');
    }
  });

  it('overlapping windows', () => {
    const b = new ProgramBuilder('p');
    const arena = b.source('arena', 'parameters', 'f32', [40], origin);
    const w = b.window(arena, 3, [3, 4], origin);
    const s = b.window(arena, 7, [], origin);
    const y = b.comprehension('f32', [3, 4], null, mul(b.identity(w), b.read(s, [])), origin);
    checkGradient(b, y, [arena], { arena: numbers(40) });
  });
});

describe('gradients keep their form', () => {
  it('products and stride-1 convolutions stay sum(read * read)', () => {
    const b = new ProgramBuilder('p');
    const [B, H, C, O, S] = [2, 5, 3, 4, 3];
    const x = b.source('x', 'batch', 'f32', [B, H, H, C], origin);
    const w = b.source('w', 'parameters', 'f32', [S, S, C, O], origin);
    // y[b, i, j, o] = sum[di, dj, c]((x[b, i + di - 1, j + dj - 1, c] else 0) * w[di, dj, c, o])
    const at = [index(0), sub(add(index(1), index(4)), int(1)), sub(add(index(2), index(5)), int(1)), index(6)];
    const y = b.comprehension('f32', [B, H, H, O], { op: 'sum', extents: [S, S, C] }, mul(b.read(x, at, float(0)), b.read(w, [index(4), index(5), index(6), index(3)])), origin);
    const program = checkGradient(b, y, [x, w], { x: numbers(B * H * H * C), w: numbers(S * S * C * O, 2) });
    for (const name of ['grad0', 'grad1']) expect(isProductOfReads(bodyOf(program, name))).toBe(true);
  });

  it('strided convolutions too, the divisibility inside the index', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'batch', 'f32', [2, 7, 3], origin);
    const w = b.source('w', 'parameters', 'f32', [3, 3, 4], origin);
    const at = [index(0), sub(add(mul(index(1), int(2)), index(3)), int(1)), index(4)];
    const y = b.comprehension('f32', [2, 4, 4], { op: 'sum', extents: [3, 3] }, mul(b.read(x, at, float(0)), b.read(w, [index(3), index(4), index(2)])), origin);
    const program = checkGradient(b, y, [x, w], { x: numbers(42), w: numbers(36, 2) });
    for (const name of ['grad0', 'grad1']) expect(isProductOfReads(bodyOf(program, name))).toBe(true);
  });

  it('what reads one row of two is summed for that row alone', () => {
    const b = new ProgramBuilder('p');
    const [rows, width, count] = [2, 5, 3];
    const x = b.source('x', 'parameters', 'f32', [rows, count, width], origin);
    const y = b.comprehension('f32', [width, width], { op: 'sum', extents: [count] }, mul(b.read(x, [int(0), index(2), index(0)]), b.read(x, [int(1), index(2), index(1)])), origin);
    const program = checkGradient(b, y, [x], { x: numbers(rows * count * width) });
    const sums = program.tensors.filter((t) => t.kind === 'comprehension' && t.reduce !== null && t.shape.includes(count));
    expect(sums.map((t) => t.shape)).toEqual([[count, width], [count, width]]);
  });
});
