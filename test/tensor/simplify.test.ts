import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { foldRanges } from '../../compiler/tensor/index-algebra.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import { printProgram } from '../../compiler/tensor/print.js';
import type { Program } from '../../compiler/tensor/program.js';
import { rangeOf } from '../../compiler/tensor/ranges.js';
import type { Scalar } from '../../compiler/tensor/scalar.js';
import { add, binary, cast, div, float, index, int, mul, select, sub, unary } from '../../compiler/tensor/scalar.js';
import { simplify } from '../../compiler/tensor/simplify.js';
import { verify } from '../../compiler/tensor/verify.js';
import { checkSimplified, numbers, origin } from './check-gradient.js';

const named = (name: string): { span: null; name: string } => ({ span: null, name });

/** An i32 expression over two index variables. */
const indexExpression: fc.Arbitrary<Scalar> = fc.letrec<{ e: Scalar }>((tie) => ({
  e: fc.oneof({ maxDepth: 4 },
    fc.constantFrom(index(0), index(1)), fc.integer({ min: -6, max: 9 }).map(int),
    fc.tuple(fc.constantFrom('add' as const, 'sub' as const, 'min' as const, 'max' as const), tie('e'), tie('e')).map(([op, a, b]) => binary(op, a, b)),
    fc.tuple(fc.constantFrom('mod' as const, 'idiv' as const, 'mul' as const), tie('e'), fc.integer({ min: 1, max: 12 })).map(([op, a, n]) => binary(op, a, int(n))),
    fc.tuple(fc.constantFrom('lt' as const, 'le' as const, 'eq' as const, 'gt' as const, 'ge' as const, 'ne' as const), tie('e'), tie('e'), tie('e')).map(([op, a, b, c]) => select(binary(op, a, b), c, a))),
})).e;

function evaluate(body: Scalar, shape: readonly number[]): number[] {
  const b = new ProgramBuilder('p');
  b.output('y', b.comprehension('i32', shape, null, body, origin));
  return [...(interpret(b.build(), {}).outputs.get('y') ?? [])];
}

describe('index algebra', () => {
  it('keeps every value and stays within its range', () => {
    fc.assert(fc.property(indexExpression, fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 9 }), (e, n, m) => {
      const shape = [n, m];
      const expected = evaluate(e, shape);
      expect(evaluate(foldRanges(e, (v) => shape[v], null), shape)).toEqual(expected);
      const { low, high } = rangeOf(e, (v) => shape[v]);
      expect(Math.min(...expected)).toBeGreaterThanOrEqual(low);
      expect(Math.max(...expected)).toBeLessThanOrEqual(high);
    }), { numRuns: 500, seed: 3 });
  });

  it('undoes reshapes', () => {
    const flat = add(mul(index(0), int(12)), add(mul(index(1), int(4)), index(2)));
    const extents = [5, 3, 4];
    const fold = (s: Scalar): Scalar => foldRanges(s, (v) => extents[v], null);
    expect(fold(binary('idiv', flat, int(12)))).toEqual(index(0));
    expect(fold(binary('mod', binary('idiv', flat, int(4)), int(3)))).toEqual(index(1));
    expect(fold(binary('mod', flat, int(4)))).toEqual(index(2));
  });
});

/** Twelve tensors, most of them needless. */
function wordy(): Program {
  const b = new ProgramBuilder('wordy');
  const x = b.source('x', 'batch', 'f32', [4, 6], named('x'));
  const u = b.source('u', 'data', 'u8', [6, 4], named('u'));
  const one = b.comprehension('f32', [4, 6], null, float(1), named('one'));
  const transposed = b.comprehension('f32', [6, 4], null, b.read(x, [index(1), index(0)]), named('transposed'));
  const pixels = b.comprehension('f32', [6, 4], null, cast('f32', b.identity(u)), named('pixels'));
  const stopped = b.comprehension('f32', [6, 4], null, unary('stop', add(mul(b.identity(transposed), b.read(one, [index(1), index(0)])), div(b.identity(pixels), float(4)))), named('stopped'));
  const again = b.comprehension('f32', [6, 4], null, unary('stop', add(mul(b.identity(transposed), b.read(one, [index(1), index(0)])), div(b.identity(pixels), float(4)))), named('again'));
  b.comprehension('f32', [6], { op: 'sum', extents: [4] }, b.read(again, [index(0), index(1)]), named('unused'));
  const total = b.comprehension('f32', [6], { op: 'sum', extents: [4, 1] }, sub(b.read(stopped, [index(0), index(1)]), mul(b.read(again, [index(0), sub(index(1), index(2))]), float(3))), named('total'));
  const guarded = b.comprehension('f32', [6, 4], null, b.read(transposed, [sub(index(0), int(1)), index(1)], float(0)), named('guarded'));
  b.output('total', total);
  b.output('guarded', guarded);
  return b.build();
}

describe('simplify', () => {
  it('keeps meaning with any pass left out', () => {
    checkSimplified(wordy(), { x: numbers(24), u: numbers(24, 2).map((v) => Math.round(Math.abs(v) * 60)) });
  });

  it('prints what is left, and the same bytes each time', () => {
    const simple = simplify(wordy());
    verify(simple);
    expect(printProgram(simple)).toMatchInlineSnapshot(`
      "program wordy
      %0 x: f32[4,6] = source batch "x"
      %1 u: u8[6,4] = source data "u"
      %2 stopped: f32[6,4] = %0[i1, i0] + f32(%1[i0, i1]) * 0.25
      %3 total: f32[6] = sum[4] (%2[i0, r0] - %2[i0, r0] * 3)
      %4 guarded: f32[6,4] = (%0[i1, i0-1] else 0)
      output total = %3
      output guarded = %4
      "
    `);
    expect(printProgram(simplify(wordy()))).toBe(printProgram(simple));
    expect(printProgram(simplify(simple))).toBe(printProgram(simple));
  });

  it('leaves out what is disabled', () => {
    const size = (disabled: readonly string[]): number => simplify(wordy(), { disabled }).tensors.length;
    expect(size(['dead'])).toBe(wordy().tensors.length);
    expect(size(['inline'])).toBeGreaterThan(size([]));
    expect(size(['share'])).toBeGreaterThan(size([]));
    expect(printProgram(simplify(wordy(), { disabled: ['stop'] }))).toContain('stop(');
  });

  it('divides exactly or not at all', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'batch', 'f32', [3], named('x'));
    b.output('y', b.comprehension('f32', [3], null, div(b.identity(x), float(8)), named('y')));
    b.output('z', b.comprehension('f32', [3], null, div(b.identity(x), float(3)), named('z')));
    const text = printProgram(simplify(b.build()));
    expect(text).toContain('%0[i0] * 0.125');
    expect(text).toContain('%0[i0] / 3');
  });

  it('keeps the guard of a map whose axes it cannot move', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'batch', 'f32', [6], named('x'));
    const slice = b.comprehension('f32', [3], null, b.read(x, [add(index(0), int(2))]), named('slice'));
    b.output('y', b.comprehension('f32', [5], null, b.read(slice, [sub(index(0), int(1))], float(0)), named('y')));
    checkSimplified(b.build(), { x: [1, 2, 3, 4, 5, 6] });
    expect([...(interpret(simplify(b.build()), { x: [1, 2, 3, 4, 5, 6] }).outputs.get('y') ?? [])]).toEqual([0, 3, 4, 5, 0]);
  });
});
