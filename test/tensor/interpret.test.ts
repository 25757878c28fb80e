import { describe, expect, it } from 'vitest';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { erf, roundHalfEven } from '../../compiler/tensor/elementary.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import { add, binary, cast, float, index, int, mul, select, sub, unary } from '../../compiler/tensor/scalar.js';

const origin = { span: null, name: 't' };
const numbers = (n: number, seed = 1): number[] => Array.from({ length: n }, (_, i) => Math.sin(seed * 12.9898 + i * 78.233) * 2);

describe('interpret', () => {
  it('multiplies matrices', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'batch', 'f32', [3, 4], origin);
    const w = b.source('w', 'parameters', 'f32', [4, 5], origin);
    const y = b.comprehension('f32', [3, 5], { op: 'sum', extents: [4] }, mul(b.read(x, [index(0), index(2)]), b.read(w, [index(2), index(1)])), origin);
    b.output('y', y);
    const [xs, ws] = [numbers(12), numbers(20, 2)];
    const out = interpret(b.build(), { x: xs, w: ws }).outputs.get('y');
    for (let i = 0; i < 3; i++) for (let j = 0; j < 5; j++) {
      let sum = 0;
      for (let k = 0; k < 4; k++) sum += xs[i * 4 + k] * ws[k * 5 + j];
      expect(out?.[i * 5 + j]).toBeCloseTo(sum, 12);
    }
  });

  it('convolves with stride and padding', () => {
    const [H, S, stride, pad] = [7, 3, 2, 1];
    const O = Math.floor((H + 2 * pad - S) / stride) + 1;
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'batch', 'f32', [H, 2], origin);
    const w = b.source('w', 'parameters', 'f32', [S, 2, 3], origin);
    const at = sub(add(mul(index(0), int(stride)), index(2)), int(pad));
    const y = b.comprehension('f32', [O, 3], { op: 'sum', extents: [S, 2] },
      mul(b.read(x, [at, index(3)], float(0)), b.read(w, [index(2), index(3), index(1)])), origin);
    b.output('y', y);
    const [xs, ws] = [numbers(H * 2), numbers(S * 6, 2)];
    const out = interpret(b.build(), { x: xs, w: ws }).outputs.get('y');
    for (let i = 0; i < O; i++) for (let o = 0; o < 3; o++) {
      let sum = 0;
      for (let d = 0; d < S; d++) for (let c = 0; c < 2; c++) {
        const p = i * stride + d - pad;
        if (p >= 0 && p < H) sum += xs[p * 2 + c] * ws[(d * 2 + c) * 3 + o];
      }
      expect(out?.[i * 3 + o]).toBeCloseTo(sum, 12);
    }
  });

  it.each(['sum', 'max', 'min', 'prod', 'logsumexp', 'argmax', 'any', 'all', 'deviations'] as const)('reduces by %s', (op) => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'batch', 'f32', [3, 6], origin);
    const value = b.read(x, [index(0), index(1)]);
    const logical = op === 'any' || op === 'all';
    const body = logical ? binary('gt', value, float(0.5)) : value;
    const y = b.comprehension(logical ? 'bool' : op === 'argmax' ? 'i32' : 'f32', [3], { op, extents: [6] }, body, origin);
    b.output('y', y);
    const xs = numbers(18, 4);
    const out = interpret(b.build(), { x: xs }).outputs.get('y');
    const expected = {
      sum: (r: number[]) => r.reduce((a, c) => a + c, 0),
      max: (r: number[]) => Math.max(...r),
      min: (r: number[]) => Math.min(...r),
      prod: (r: number[]) => r.reduce((a, c) => a * c, 1),
      logsumexp: (r: number[]) => Math.log(r.reduce((a, c) => a + Math.exp(c), 0)),
      argmax: (r: number[]) => r.indexOf(Math.max(...r)),
      any: (r: number[]) => Number(r.some((c) => c > 0.5)),
      all: (r: number[]) => Number(r.every((c) => c > 0.5)),
      deviations: (r: number[]) => r.reduce((a, c) => a + (c - r.reduce((s, x) => s + x, 0) / r.length) ** 2, 0),
    }[op];
    for (let i = 0; i < 3; i++) expect(out?.[i]).toBeCloseTo(expected(xs.slice(i * 6, i * 6 + 6)), 12);
  });

  it('masks logsumexp with a large finite number', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'batch', 'f32', [3], origin);
    const body = select(binary('ne', index(0), index(1)), b.read(x, [index(1)]), float(-1e30));
    b.output('y', b.comprehension('f32', [3], { op: 'logsumexp', extents: [3] }, body, origin));
    const out = interpret(b.build(), { x: [1, 2, 3] }).outputs.get('y');
    expect(out?.[0]).toBeCloseTo(Math.log(Math.exp(2) + Math.exp(3)), 12);
    expect(out?.[2]).toBeCloseTo(Math.log(Math.exp(1) + Math.exp(2)), 12);
  });

  it('gathers, clamps data-dependent indices, windows, packs and updates', () => {
    const b = new ProgramBuilder('p');
    const flat = b.source('flat', 'state', 'f32', [128], origin);
    const word = b.source('word', 'batch', 'i32', [3], origin);
    const table = b.window(flat, 64, [4, 2], origin);
    const y = b.comprehension('f32', [3, 2], null, b.read(table, [b.read(word, [index(0)]), index(1)]), origin);
    const z = b.comprehension('f32', [3, 2], null, mul(b.identity(y), float(10)), origin);
    b.output('y', y);
    b.update(flat, b.pack([z, z], origin));
    const result = interpret(b.build(), { flat: Array.from({ length: 128 }, (_, i) => i), word: [3, 0, 9] });
    expect([...(result.outputs.get('y') ?? [])]).toEqual([70, 71, 64, 65, 70, 71]);
    const after = result.sources.get('flat');
    expect(after?.[0]).toBe(700);
    expect(after?.[10]).toBe(0);
    expect(after?.[65]).toBe(710);
  });

  it('refuses a read outside that nothing guards', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'batch', 'f32', [3], origin);
    b.output('y', b.comprehension('f32', [3], null, b.read(x, [add(index(0), int(1))]), origin));
    expect(() => interpret(b.build(), { x: [1, 2, 3] })).toThrow(/read at 3 on axis 0 of size 3/);
  });

  it('casts, rounds half to even, floors mod and idiv', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'batch', 'f32', [5], origin);
    const v = b.read(x, [index(0)]);
    b.output('trunc', b.comprehension('i32', [5], null, cast('i32', v), origin));
    b.output('round', b.comprehension('f32', [5], null, unary('round', v), origin));
    b.output('mod', b.comprehension('i32', [5], null, binary('mod', cast('i32', v), int(3)), origin));
    b.output('idiv', b.comprehension('i32', [5], null, binary('idiv', cast('i32', v), int(3)), origin));
    const out = interpret(b.build(), { x: [-2.5, -1.5, 0.5, 1.5, 7.9] }).outputs;
    expect([...(out.get('trunc') ?? [])]).toEqual([-2, -1, 0, 1, 7]);
    expect([...(out.get('round') ?? [])].map((r) => r + 0)).toEqual([-2, -2, 0, 2, 8]);
    expect([...(out.get('mod') ?? [])]).toEqual([1, 2, 0, 1, 1]);
    expect([...(out.get('idiv') ?? [])]).toEqual([-1, -1, 0, 0, 2]);
    expect(roundHalfEven(2.5)).toBe(2);
    expect(erf(0.5)).toBeCloseTo(0.5204998778130465, 15);
    expect(erf(-2)).toBeCloseTo(-0.9953222650189527, 15);
    expect(erf(9)).toBe(1);
  });

  it('computes a shared subexpression once', () => {
    let v = index(0);
    for (let i = 0; i < 60; i++) v = add(v, v);
    const b = new ProgramBuilder('p');
    b.output('y', b.comprehension('i32', [2], null, v, origin));
    expect([...(interpret(b.build(), {}).outputs.get('y') ?? [])]).toEqual([0, 0]);
  });
});
