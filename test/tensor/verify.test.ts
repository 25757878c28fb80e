import { describe, expect, it } from 'vitest';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import type { Program } from '../../compiler/tensor/program.js';
import type { Scalar, TensorId } from '../../compiler/tensor/scalar.js';
import { accumulator, add, binary, cast, float, index, int, mul, plainBinary, plainSelect, read, select, sub } from '../../compiler/tensor/scalar.js';
import { verify } from '../../compiler/tensor/verify.js';
import { origin } from './check-gradient.js';

/** A program of sources x: f32[4, 3], n: i32[4], and one comprehension of shape [4] with this body. */
function programOf(body: (b: ProgramBuilder, x: TensorId, n: TensorId) => Scalar, reduce: readonly number[] | null = null): Program {
  const b = new ProgramBuilder('p');
  const x = b.source('x', 'batch', 'f32', [4, 3], origin);
  const n = b.source('n', 'batch', 'i32', [4], origin);
  b.output('y', b.comprehension('f32', [4], reduce === null ? null : { op: 'sum', extents: reduce }, body(b, x, n), origin));
  return b.build();
}

describe('verify', () => {
  it.each<[string, () => Program]>([
    ['an affine read inside', () => programOf((b, x) => b.read(x, [sub(int(3), index(0)), index(1)]), [3])],
    ['a guarded read', () => programOf((b, x) => b.read(x, [add(index(0), int(2)), int(-1)], float(0)))],
    ['mod and idiv', () => programOf((b, x) => b.read(x, [binary('mod', add(index(0), int(7)), int(4)), binary('idiv', index(0), int(2))]))],
    ['clamps', () => programOf((b, x) => b.read(x, [binary('min', binary('max', sub(index(0), int(2)), int(0)), int(3)), int(0)]))],
    ['a select of indices', () => programOf((b, x) => b.read(x, [index(0), select(binary('lt', index(0), int(2)), int(0), int(2))]))],
    ['data-dependent indices', () => programOf((b, x, n) => b.read(x, [b.read(n, [index(0)]), add(b.read(n, [index(0)]), index(0))]))],
  ])('accepts %s', (_, program) => { verify(program()); });

  it.each<[string, RegExp, () => Program]>([
    ['a read before its tensor', /reads %9, which does not exist/, () => programOf(() => read(9 as TensorId, [], 'f32'))],
    ['a read of itself', /reads %2, which comes after it/, () => programOf(() => read(2 as TensorId, [index(0)], 'f32'))],
    ['too few indices', /of 2 axes with 1 indices/, () => programOf((b, x) => b.read(x, [index(0)]))],
    ['an index variable out of range', /index variable 1 but has 1 axes/, () => programOf((b, x) => b.read(x, [index(0), index(1)], float(0)))],
    ['an unguarded read outside', /at 1\.\.4 on axis 0 of size 4 with nothing to guard it/, () => programOf((b, x) => b.read(x, [add(index(0), int(1)), int(0)]))],
    ['a window of a stride too far', /at 0\.\.4 on axis 1 of size 3/, () => programOf((b, x) => b.read(x, [index(0), mul(index(1), int(2))]), [3])],
    ['a wrong element', /stores i32 as f32/, () => programOf((b, _, n) => b.read(n, [index(0)]))],
    ['operands of two types', /add of f32 and i32/, () => programOf((b, x) => plainBinary('add', b.read(x, [index(0), int(0)]), index(0)))],
    ['a select by a number', /selects by a i32/, () => programOf(() => plainSelect(index(0), float(0), float(1)))],
    ['a float index', /at a f32 index/, () => programOf((b, x) => b.read(x, [index(0), cast('f32', index(0))]))],
    ['an accumulator', /accumulator/, () => programOf(() => accumulator('f32', 0))],
  ])('refuses %s', (_, message, program) => { expect(() => { verify(program()); }).toThrow(message); });

  it('refuses windows, packs and updates that do not fit', () => {
    const b = new ProgramBuilder('p');
    const flat = b.source('flat', 'state', 'f32', [128], origin);
    const part = b.window(flat, 0, [100], origin);
    const windowed = new ProgramBuilder('p');
    windowed.window(windowed.source('flat', 'state', 'f32', [128], origin), 100, [29], origin);
    expect(() => { verify(windowed.build()); }).toThrow(/does not fit in the 128 elements/);
    b.pack([part, part], origin, [0, 64]);
    expect(() => { verify(b.build()); }).toThrow(/over the part before it/);
    const updated = new ProgramBuilder('p');
    const s = updated.source('s', 'state', 'f32', [2], origin);
    updated.update(s, updated.comprehension('f32', [3], null, float(0), origin));
    expect(() => { verify(updated.build()); }).toThrow(/updated with %1 of shape \[3\]/);
  });
});
