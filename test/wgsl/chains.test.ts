/** Kernels that follow one another in workgroups: which do, what they keep in a workgroup's memory, and that they compute what they should. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import fc from 'fast-check';
import type { WgslOptions } from '../../compiler/emit/wgsl/emit-wgsl.js';
import type { FuseOptions } from '../../compiler/fuse/fuse.js';
import { fuse } from '../../compiler/fuse/fuse.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { compileCall, loadProgram } from '../../compiler/pipeline.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import type { Program } from '../../compiler/tensor/program.js';
import type { ElementType, Scalar, TensorId } from '../../compiler/tensor/scalar.js';
import { add, binary, cast, float, index, int, mul, select, sub, unary } from '../../compiler/tensor/scalar.js';
import type { Device } from '../../runtime/device/device.js';
import { numbers, origin } from '../kernels/tools.js';
import { memoryReader } from '../lower/harness.js';
import { root } from '../models/harness.js';
import { expectAgreement, gpuOptions, openTestDevice, planOf, subgroupOptions } from './harness.js';

const options: FuseOptions = { disabled: [], maxBindings: 8, target: 'wgsl', manyCores: true, workgroup: { bytes: 32768, threads: 256, matrices: false } };
const chained = (program: Program, more: Partial<FuseOptions> = {}): KernelProgram => fuse(program, { ...options, ...more });

/** Rows made to have length one, and how much of each row is positive. */
function rows(count: number, length: number): Program {
  const b = new ProgramBuilder('rows');
  const x = b.source('x', 'data', 'f32', [count, length], origin('x'));
  const squares = b.comprehension('f32', [count], { op: 'sum', extents: [length] }, mul(b.read(x, [index(0), index(1)]), b.read(x, [index(0), index(1)])), origin('squares'));
  const unit = b.comprehension('f32', [count, length], null, mul(b.read(x, [index(0), index(1)]), unary('exp', mul(float(-0.5), unary('log', add(b.read(squares, [index(0)]), float(1e-3)))))), origin('unit'));
  b.output('unit', unit);
  b.output('positive', b.comprehension('f32', [count], { op: 'max', extents: [length] }, b.read(unit, [index(0), index(1)]), origin('positive')));
  return b.build();
}

/** Columns of each of two batches about their mean, over their deviation. */
function columns(batch: number, channels: number): Program {
  const b = new ProgramBuilder('columns');
  const x = b.source('x', 'data', 'f32', [2, batch, channels], origin('x'));
  const at = b.read(x, [index(0), index(2), index(1)]);
  const of = (op: 'sum' | 'deviations'): TensorId => b.comprehension('f32', [2, channels], { op, extents: [batch] }, at, origin(op));
  const [sum, deviations] = [of('sum'), of('deviations')];
  const channel = [index(0), index(2)];
  const centred = sub(b.read(x, [index(0), index(1), index(2)]), mul(b.read(sum, channel), float(1 / batch)));
  b.output('y', b.comprehension('f32', [2, batch, channels], null, binary('div', centred, unary('sqrt', add(mul(b.read(deviations, channel), float(1 / batch)), float(1e-3)))), origin('y')));
  return b.build();
}

/** Pictures drawn about their mean, twice, then blurred along rows and columns; a table of whole numbers by picture shifts them. */
function pictures(count: number, side: number, element: ElementType = 'u8'): Program {
  const b = new ProgramBuilder('pictures');
  const x = b.source('x', 'data', element, [count, side, side, 3], origin('x'));
  const turn = b.source('turn', 'data', 'i32', [count], origin('turn'));
  const [i, j, k, c] = [index(0), index(1), index(2), index(3)];
  const shift = b.comprehension('i32', [count, side], null, binary('mod', add(b.read(turn, [i]), index(1)), int(side)), origin('shift'));
  const moved = b.read(x, [i, j, b.read(shift, [i, k]), c]);
  let y = b.comprehension('f32', [count, side, side, 3], null, element === 'u8' ? mul(cast('f32', moved), float(1 / 255)) : moved, origin('moved'));
  for (const strength of [1.5, 0.7]) {
    const grey = mul(float(1 / (side * side)), add(b.read(y, [i, index(1), index(2), int(0)]), b.read(y, [i, index(1), index(2), int(1)])));
    const mean = b.comprehension('f32', [count], { op: 'sum', extents: [side, side] }, grey, origin('mean'));
    const level = b.read(mean, [i]);
    y = b.comprehension('f32', [count, side, side, 3], null, unary('tanh', add(level, mul(float(strength), sub(b.read(y, [i, j, k, c]), level)))), origin('drawn'));
  }
  const blur = (of: TensorId, along: 1 | 2): TensorId => {
    const place = [j, k].map((a, d) => (d + 1 === along ? sub(add(a, index(4)), int(1)) : a));
    return b.comprehension('f32', [count, side, side, 3], { op: 'sum', extents: [3] }, mul(select(binary('eq', index(4), int(1)), float(0.5), float(0.25)), b.read(of, [i, place[0], place[1], c], float(0))), origin('blur'));
  };
  b.output('y', blur(blur(y, 1), 2));
  return b.build();
}

/** A map, and the sums of its rows in pieces of `piece`. */
function pieces(count: number, rowsOf: number, piece: number, channels: number): Program {
  const b = new ProgramBuilder('pieces');
  const x = b.source('x', 'data', 'f32', [count, rowsOf * piece, channels], origin('x'));
  const y = b.comprehension('f32', [count, rowsOf * piece, channels], null, unary('sin', b.read(x, [index(0), index(1), index(2)])), origin('y'));
  b.output('y', y);
  const sum = (value: Scalar): TensorId => b.comprehension('f32', [rowsOf, count, channels], { op: 'sum', extents: [piece] }, value, origin('parts'));
  b.output('parts', sum(b.read(y, [index(1), add(mul(index(0), int(piece)), index(3)), index(2)])));
  return b.build();
}

/** Pictures through a map, a convolution of three by three taps with a bias, and the sums and deviations of its channels in each picture. */
function convolved(count: number, side: number, input: number, output: number): Program {
  const b = new ProgramBuilder('convolved');
  const x = b.source('x', 'data', 'f32', [count, side, side, input], origin('x'));
  const w = b.source('w', 'parameters', 'f32', [3, 3, input, output], origin('w'));
  const bias = b.source('bias', 'parameters', 'f32', [output], origin('bias'));
  const bent = b.comprehension('f32', [count, side, side, input], null, unary('tanh', b.identity(x)), origin('bent'));
  b.output('bent', bent);
  const at = (axis: number, tap: number): Scalar => sub(add(index(axis), index(tap)), int(1));
  const taps = mul(b.read(bent, [index(0), at(1, 4), at(2, 5), index(6)], float(0)), b.read(w, [index(4), index(5), index(6), index(3)]));
  const sum = b.comprehension('f32', [count, side, side, output], { op: 'sum', extents: [3, 3, input] }, taps, origin('taps'));
  const y = b.comprehension('f32', [count, side, side, output], null, add(b.identity(sum), b.read(bias, [index(3)])), origin('y'));
  b.output('y', y);
  for (const op of ['sum', 'deviations'] as const) {
    b.output(op, b.comprehension('f32', [output, count], { op, extents: [side, side] }, b.read(y, [index(1), index(2), index(3), index(0)]), origin(op)));
  }
  return b.build();
}

const inChains = (kernels: KernelProgram): readonly (readonly number[])[] => kernels.chains.map((c) => c.members.map((m) => m.kernel));

describe('chains in workgroups', () => {
  it('hold sums of rows and the maps that use them', () => {
    const kernels = chained(rows(300, 40));
    expect(kernels.launches).toHaveLength(1);
    expect(inChains(kernels)).toEqual([kernels.kernels.map((_, k) => k)]);
  });

  it('hold sums of columns, as many side by side as come in a line', () => {
    const kernels = chained(columns(64, 32));
    expect(kernels.launches).toHaveLength(1);
    expect(planOf(kernels, gpuOptions).entries['main'].launches[0].workgroups).toEqual([8, 1, 1]);
  });

  it('hold a map and sums of pieces of it: a slice is a piece', () => {
    const kernels = chained(pieces(40, 7, 4, 16));
    expect(kernels.launches).toHaveLength(1);
    expect(kernels.chains[0].members.map((m) => m.grain)).toEqual([4, 1]);
  });

  it('hold products, whose tiles they fill, and what is before and behind them', () => {
    expect(chained(convolved(60, 8, 4, 16)).launches).toHaveLength(1);
    // Units that multiply matrices of f32 do products faster by themselves.
    const units = chained(convolved(60, 8, 4, 16), { workgroup: { bytes: 32768, threads: 256, matrices: true } });
    expect(units.chains.flatMap((c) => c.members).map((m) => units.kernels[m.kernel].kind)).not.toContain('contract');
    // Three pictures are most of a tile, and there are not as many.
    expect(chained(convolved(2, 4, 4, 16)).chains.flatMap((c) => c.members).map((m) => chained(convolved(2, 4, 4, 16)).kernels[m.kernel].kind)).not.toContain('contract');
  });

  it('keep what lies between in the memory of a workgroup, and end where there is no room for it', () => {
    const whole = chained(pictures(64, 16));
    expect(whole.launches).toHaveLength(1);
    const own = new Set(whole.chains.flatMap((c) => c.own));
    const stored = whole.kernels.flatMap((k) => k.stores.map((s) => s.tensor)).filter((id) => !own.has(id));
    expect(stored).toEqual(whole.program.outputs.map((o) => o.tensor));
    // Two of the pictures between do not fit beside what reductions need.
    const tight = chained(pictures(64, 16), { workgroup: { bytes: 12288, threads: 256, matrices: false } });
    expect(tight.launches.length).toBeGreaterThan(1);
    expect(tight.launches.length).toBeLessThan(chained(pictures(64, 16), { disabled: ['chains'] }).launches.length);
  });

  it('are not for few large slices, nor for what sums over them', () => {
    expect(chained(rows(4, 100000)).chains).toEqual([]);
    const b = new ProgramBuilder('over');
    const x = b.source('x', 'data', 'f32', [300, 40], origin('x'));
    const y = b.comprehension('f32', [300, 40], null, unary('sin', b.identity(x)), origin('y'));
    b.output('y', y);
    b.output('sum', b.comprehension('f32', [40], { op: 'sum', extents: [300] }, b.read(y, [index(1), index(0)]), origin('sum')));
    // Along the other axis, its lines are taken whole.
    for (const { members } of chained(b.build()).chains) expect(members.map((m) => m.inner)).toEqual([[1], [0]]);
  });
});

const opened = await openTestDevice();
const reason = typeof opened === 'string' ? ` (skipped: ${opened})` : '';
const schedules: readonly (readonly [string, WgslOptions])[] = [['without subgroups', gpuOptions], ['with subgroups', subgroupOptions]];

describe.skipIf(typeof opened === 'string')(`chains on an adapter${reason}`, () => {
  let device: Device;
  beforeAll(() => { if (typeof opened !== 'string') device = opened; });
  afterAll(() => device.close());

  const agrees = async (program: Program, target: WgslOptions, seed = 1): Promise<void> => {
    const kernels = chained(program);
    await expectAgreement(device, kernels, numbers(kernels.program, seed), target, 1e-4);
  };

  it.each(schedules.flatMap(([name, target]) => ([
    ['rows', () => rows(300, 40)], ['long rows', () => rows(70, 2000)], ['columns', () => columns(64, 32)], ['pictures', () => pictures(9, 12)], ['pictures of floats', () => pictures(5, 7, 'f32')],
    ['pieces', () => pieces(40, 7, 4, 16)], ['convolutions', () => convolved(20, 8, 4, 16)], ['wide convolutions', () => convolved(12, 8, 5, 62)], ['small convolutions', () => convolved(32, 4, 8, 36)],
  ] as const).map(([what, build]) => [what, name, build, target] as const)))('compute what they should: %s, %s', async (_what, _name, build, target) => {
    expect(chained(build()).chains).not.toEqual([]);
    await agrees(build(), target);
  }, 120_000);

  it('compute an augmentation of pictures in one dispatch', async () => {
    const inputs = { x: { element: 'u8', shape: [9, 12, 12, 3] } } as const;
    const { call } = compileCall(loadProgram(join(root, 'bench/works/operations.ssl'), memoryReader({})), { name: 'augmentation', set: {}, inputs, gradients: false, training: true, target: subgroupOptions }).kernels;
    expect(planOf(call, subgroupOptions).entries['main'].launches).toHaveLength(1);
    await expectAgreement(device, call, numbers(call.program, 5), subgroupOptions, 1e-4);
  }, 120_000);

  it('whatever the sizes', async () => {
    const n = fc.integer({ min: 2, max: 24 });
    await fc.assert(fc.asyncProperty(fc.constantFrom('rows', 'columns', 'pieces'), n, n, n, async (what, a, b, c) => {
      await agrees(what === 'rows' ? rows(3 * a, b * c) : what === 'columns' ? columns(a, 8 * b) : pieces(a, b, 2 + (c % 5), 3 + a), subgroupOptions, a);
    }), { numRuns: 8 });
  }, 120_000);
});
