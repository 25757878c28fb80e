/** Updates of rows: kernels do what the program says, in place where that is safe and through a copy of the rows where it is not. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import { interpretKernels } from '../../compiler/fuse/interpret-kernels.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import type { Program } from '../../compiler/tensor/program.js';
import { add, binary, float, index, int, mul } from '../../compiler/tensor/scalar.js';
import { verify } from '../../compiler/tensor/verify.js';
import { origin } from '../kernels/tools.js';

interface Shape {
  readonly height: number;
  readonly width: number;
  readonly rows: readonly number[];
}

type Reading = 'nobody' | 'another row' | 'another kernel' | 'the same pass';

/** Rows of two tables take values made of each other's old rows; `reading` says who else looks at a table. */
function program({ height, width, rows }: Shape, reading: Reading): Program {
  const b = new ProgramBuilder('rows');
  const p = b.source('p', 'parameters', 'f32', [height, width], origin('p'));
  const q = b.source('q', 'state', 'f32', [height, width], origin('q'));
  const at = b.source('at', 'data', 'i32', [rows.length], origin('at'));
  const row = b.read(at, [index(0)]);
  const [old, other] = [b.read(p, [row, index(1)]), b.read(q, [row, index(1)])];
  const near = reading === 'another row' ? b.read(p, [binary('mod', add(row, int(1)), int(height)), index(1)]) : float(0);
  const first = b.comprehension('f32', [rows.length, width], null, add(add(old, mul(float(2), other)), near), origin('first'));
  const second = b.comprehension('f32', [rows.length, width], null, add(mul(float(0.5), old), mul(other, other)), origin('second'));
  if (reading === 'another kernel') b.output('sum', b.comprehension('f32', [], { op: 'sum', extents: [height, width] }, b.read(p, [index(0), index(1)]), origin('sum')));
  if (reading === 'the same pass') b.output('seen', b.comprehension('f32', [rows.length, width], null, mul(old, other), origin('seen')));
  b.update(p, first, at);
  b.update(q, second, at);
  const built = b.build();
  verify(built);
  return built;
}

function inputs({ height, width, rows }: Shape): Record<string, number[]> {
  const wave = (salt: number): number[] => Array.from({ length: height * width }, (_, i) => Math.sin(salt * i + 0.3));
  return { p: wave(0.7), q: wave(1.3), at: [...rows] };
}

/** Rows named once, and places without a row. */
const shapes = fc.record({ height: fc.integer({ min: 2, max: 9 }), width: fc.integer({ min: 1, max: 5 }), seed: fc.integer({ min: 0, max: 1000 }) }).map(({ height, width, seed }): Shape => {
  const order = Array.from({ length: height }, (_, r) => r).sort((a, b) => ((a * 7 + seed) % 11) - ((b * 7 + seed) % 11) || a - b);
  return { height, width, rows: order.slice(0, 1 + (seed % height)).flatMap((r) => (seed % 3 === 0 ? [-1, r] : [r])) };
});

const written = ({ program: p, kernels }: KernelProgram): readonly string[] => kernels.map((k) => k.stores.map((s) => { const t = p.tensors[s.tensor]; return `${t.kind === 'source' ? t.name : 'value'}${s.row === undefined ? '' : ' by row'}`; }).sort().join());

describe('updates of rows', () => {
  it.each(['nobody', 'another row', 'another kernel', 'the same pass'] as const)('mean the same as kernels, with %s reading', (reading) => {
    fc.assert(fc.property(shapes, (shape) => {
      const built = program(shape, reading);
      const expected = interpret(built, inputs(shape));
      for (const disabled of [[], ['updates'], ['siblings'], ['inline', 'epilogues']]) {
        const found = interpretKernels(fuse(built, { disabled, maxBindings: 8, target: 'wasm' }), inputs(shape));
        expect(found.sources).toEqual(expected.sources);
        expect(found.outputs).toEqual(expected.outputs);
      }
    }), { numRuns: 40 });
  });

  it('are one kernel where both tables need each other\'s old rows', () => {
    const shape = { height: 6, width: 3, rows: [4, -1, 2] };
    const compile = (reading: Reading): readonly string[] => written(fuse(program(shape, reading), { disabled: [], maxBindings: 8, target: 'wasm' }));
    expect(compile('nobody')).toEqual(['p by row,q by row']);
    expect(compile('the same pass')).toEqual(['value', 'p by row,q by row']);
    expect(compile('another row')).toEqual(['value,value', 'p by row', 'q by row']);
  });

  it('leave rows that are not named, and read no row where none is', () => {
    const shape = { height: 4, width: 2, rows: [-1, 2, 4] };
    const { sources } = interpret(program(shape, 'nobody'), inputs(shape));
    const before = inputs(shape);
    expect([...(sources.get('p') ?? [])].map((x, i) => x === before['p'][i])).toEqual([true, true, true, true, false, false, true, true]);
  });
});
