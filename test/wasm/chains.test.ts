/** Kernels that run behind one another in a launch, task by task: they compute what they compute alone, on any number of threads. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import type { Scalar, TensorId } from '../../compiler/tensor/scalar.js';
import { add, binary, float, index, int, mul, select, sub, unary } from '../../compiler/tensor/scalar.js';
import { openCpuDevice } from '../../runtime/device/cpu/open-cpu-device.js';
import { numbers } from '../kernels/tools.js';
import { expectAgreement, runOn } from './harness.js';

const origin = { span: null, name: 'x' };
const options = { disabled: [], maxBindings: 1000, target: 'wasm' } as const;

/** Costly enough that nobody computes it twice. */
const heavy = (x: Scalar): Scalar => unary('exp', unary('tanh', unary('sin', mul(x, float(0.7)))));

/** Rows normalized: a reduction, and a map behind it. */
function rows(count: number, width: number): ProgramBuilder {
  const b = new ProgramBuilder('rows');
  const x = b.source('x', 'data', 'f32', [count, width], origin);
  const square = b.comprehension('f32', [count], { op: 'sum', extents: [width] }, mul(b.read(x, [index(0), index(1)]), b.read(x, [index(0), index(1)])), origin);
  b.output('y', b.comprehension('f32', [count, width], null, mul(b.read(x, [index(0), index(1)]), b.read(square, [index(0)])), origin));
  return b;
}

/** Columns of each of two groups, centred: lanes along the points. */
function columns(groups: number, height: number, width: number): ProgramBuilder {
  const b = new ProgramBuilder('columns');
  const x = b.source('x', 'data', 'f32', [groups, height, width], origin);
  const total = b.comprehension('f32', [groups, width], { op: 'sum', extents: [height] }, b.read(x, [index(0), index(2), index(1)]), origin);
  b.output('y', b.comprehension('f32', [groups, height, width], null, sub(b.read(x, [index(0), index(1), index(2)]), mul(b.read(total, [index(0), index(2)]), float(1 / height))), origin));
  return b;
}

/** A costly map, the mean of its rows, and a map that turns each row round and takes the mean off. */
function picture(count: number, height: number, width: number): ProgramBuilder {
  const b = new ProgramBuilder('picture');
  const x = b.source('x', 'data', 'f32', [count, height, width], origin);
  const made = b.comprehension('f32', [count, height, width], null, heavy(b.read(x, [index(0), index(1), index(2)])), origin);
  const mean = b.comprehension('f32', [count], { op: 'sum', extents: [height, width] }, mul(b.read(made, [index(0), index(1), index(2)]), float(1 / (height * width))), origin);
  const turned = b.read(made, [index(0), index(1), sub(int(width - 1), index(2))]);
  b.output('y', b.comprehension('f32', [count, height, width], null, heavy(sub(turned, b.read(mean, [index(0)]))), origin));
  return b;
}

/** A costly map, and sums over all but its first and last axes. */
function statistics(groups: number, height: number, width: number): ProgramBuilder {
  const b = new ProgramBuilder('statistics');
  const x = b.source('x', 'data', 'f32', [groups, height, 3, width], origin);
  const at = [index(0), index(1), index(2), index(3)];
  const made = b.comprehension('f32', [groups, height, 3, width], null, heavy(b.read(x, at)), origin);
  const read = b.read(made, [index(0), index(2), index(3), index(1)]);
  b.output('made', made);
  b.output('sum', b.comprehension('f32', [groups, width], { op: 'sum', extents: [height, 3] }, read, origin));
  b.output('most', b.comprehension('f32', [groups, width], { op: 'max', extents: [height, 3] }, read, origin));
  b.output('deviations', b.comprehension('f32', [groups, width], { op: 'deviations', extents: [height, 3] }, read, origin));
  return b;
}

/** A product, and sums of its columns in each of two groups of rows. */
function product(groups: number, height: number, width: number, depth: number): ProgramBuilder {
  const b = new ProgramBuilder('product');
  const x = b.source('x', 'data', 'f32', [groups, height, depth], origin);
  const w = b.source('w', 'data', 'f32', [depth, width], origin);
  const made: TensorId = b.comprehension('f32', [groups, height, width], { op: 'sum', extents: [depth] }, mul(b.read(x, [index(0), index(1), index(3)]), b.read(w, [index(3), index(2)])), origin);
  const read = b.read(made, [index(0), index(2), index(1)]);
  b.output('made', made);
  b.output('sum', b.comprehension('f32', [groups, width], { op: 'sum', extents: [height] }, read, origin));
  b.output('square', b.comprehension('f32', [groups, width], { op: 'sum', extents: [height] }, mul(read, read), origin));
  b.output('deviations', b.comprehension('f32', [groups, width], { op: 'deviations', extents: [height] }, read, origin));
  return b;
}

/** Pictures (made by a costly map, or as they are), convolved, and what came out summed over all of each group of them. */
function convolved(groups: number, pictures: number, size: number, channels: number, width: number, stride = 2, mapped = true): ProgramBuilder {
  const b = new ProgramBuilder('convolved');
  const x = b.source('x', 'data', 'f32', [groups, pictures, size, size, channels], origin);
  const w = b.source('w', 'data', 'f32', [3, 3, channels, width], origin);
  const made = mapped ? b.comprehension('f32', [groups, pictures, size, size, channels], null, heavy(b.read(x, [0, 1, 2, 3, 4].map(index))), origin) : x;
  const half = Math.ceil(size / stride);
  const tap = (at: number, k: number): Scalar => sub(add(mul(index(at), int(stride)), index(k)), int(1));
  const y = b.comprehension('f32', [groups, pictures, half, half, width], { op: 'sum', extents: [3, 3, channels] },
    mul(b.read(made, [index(0), index(1), tap(2, 5), tap(3, 6), index(7)], float(0)), b.read(w, [index(5), index(6), index(7), index(4)])), origin);
  const here = b.read(y, [index(0), index(2), index(3), index(4), index(1)]);
  const sums = (op: 'sum' | 'deviations'): TensorId => b.comprehension('f32', [groups, width], { op, extents: [pictures, half, half] }, here, origin);
  if (mapped) b.output('made', made);
  b.output('y', y);
  b.output('mean', b.comprehension('f32', [groups, width], null, mul(b.identity(sums('sum')), float(1 / (pictures * half * half))), origin));
  b.output('deviations', sums('deviations'));
  return b;
}

/** Two products of the same rows, one of fewer columns of pixels, laid side by side by a map, and sums of that: only the last two are kept. */
function interleaved(pictures: number, height: number, channels: number): ProgramBuilder {
  const b = new ProgramBuilder('interleaved');
  const x = b.source('x', 'data', 'f32', [pictures, height, 5, channels], origin);
  const w = b.source('w', 'data', 'f32', [2, channels, 20], origin);
  const part = (k: number, columns: number): TensorId => b.comprehension('f32', [pictures, height, columns, 20], { op: 'sum', extents: [channels] },
    mul(b.read(x, [index(0), index(1), index(2), index(4)]), b.read(w, [int(k), index(4), index(3)])), origin);
  const [even, odd] = [part(0, 5), part(1, 4)];
  const at = [index(0), index(1), binary('idiv', index(2), int(2)), index(3)];
  const z = b.comprehension('f32', [pictures, height, 9, 20], null, heavy(select(binary('eq', binary('mod', index(2), int(2)), int(0)), b.read(even, at), b.read(odd, at, float(0)))), origin);
  b.output('z', z);
  b.output('sum', b.comprehension('f32', [20], { op: 'sum', extents: [pictures, height, 9] }, b.read(z, [index(1), index(2), index(3), index(0)]), origin));
  return b;
}

/** A sum of rows by groups of their elements, and a product of what it gives, row by row. */
function pooled(rows: number, width: number): ProgramBuilder {
  const b = new ProgramBuilder('pooled');
  const x = b.source('x', 'data', 'f32', [rows, width, 4], origin);
  const w = b.source('w', 'data', 'f32', [width, 24], origin);
  const pool = b.comprehension('f32', [rows, width], { op: 'sum', extents: [4] }, heavy(b.read(x, [index(0), index(1), index(2)])), origin);
  b.output('y', b.comprehension('f32', [rows, 24], { op: 'sum', extents: [width] }, mul(b.read(pool, [index(0), index(2)]), b.read(w, [index(2), index(1)])), origin));
  return b;
}

/** Pictures of one channel, convolved twice and averaged: what lies between is many times what goes in and comes out. */
function embedded(pictures: number, size: number, channels: number, flat = false): ProgramBuilder {
  const b = new ProgramBuilder('embedded');
  const x = b.source('x', 'data', 'f32', [pictures, size, size, 1], origin);
  const layer = (of: TensorId, from: number, to: number): TensorId => {
    const w = b.source(`w${to}`, 'data', 'f32', [3, 3, from, to], origin);
    const tap = (at: number, k: number): Scalar => sub(add(index(at), index(k)), int(1));
    const y = b.comprehension('f32', [pictures, size, size, to], { op: 'sum', extents: [3, 3, from] },
      mul(b.read(of, [index(0), tap(1, 4), tap(2, 5), index(6)], float(0)), b.read(w, [index(4), index(5), index(6), index(3)])), origin);
    return b.comprehension('f32', [pictures, size, size, to], null, heavy(b.identity(y)), origin);
  };
  const between = layer(x, 1, channels);
  const y = layer(between, channels, channels + 4);
  if (flat) {
    // Pixels of both layers in a row, which reads them through windows.
    const [first, second] = [[between, channels], [y, channels + 4]].map(([of, to]) => b.window(of as TensorId, 0, [pictures, size * size * to], origin));
    const length = size * size * channels;
    b.output('row', b.comprehension('f32', [pictures, 2 * length], null, heavy(select(binary('lt', index(1), int(length)), b.read(first, [index(0), index(1)], float(0)), b.read(second, [index(0), sub(index(1), int(length))], float(0)))), origin));
  }
  b.output('y', b.comprehension('f32', [pictures, channels + 4], { op: 'sum', extents: [size, size] }, b.read(y, [index(0), index(2), index(3), index(1)]), origin));
  return b;
}

const cuts = (k: KernelProgram): string[] => k.chains.map((c) => `${c.cut} ${c.members.map((m) => k.kernels[m.kernel].kind).join(' ')}`);

describe('chains', () => {
  it.each<[string, () => ProgramBuilder, string[]]>([
    ['a map behind a reduction of rows', () => rows(301, 70), ['points reduce map']],
    ['a map behind a reduction of columns', () => columns(2, 37, 150), ['points reduce map']],
    ['ragged columns', () => columns(3, 21, 101), ['points reduce map']],
    ['a reduction behind a map, and a map behind both', () => picture(258, 9, 7), ['points map reduce map']],
    ['sums behind a map', () => statistics(2, 501, 20), ['slices map reduce']],
    ['sums behind a map, of one group and ragged columns', () => statistics(1, 333, 7), ['slices map reduce']],
    ['sums behind a product', () => product(2, 403, 44, 50), ['slices contract reduce']],
    ['sums behind a product of one group, and ragged columns', () => product(1, 700, 37, 300), ['slices contract reduce']],
    ['sums behind a convolution behind a map', () => convolved(2, 70, 6, 8, 24), ['slices map contract reduce']],
    ['sums behind a convolution behind a map, all ragged', () => convolved(1, 37, 7, 5, 19), ['slices map contract reduce']],
    ['sums behind a filtered convolution behind a map', () => convolved(2, 35, 8, 16, 24, 1), ['slices map contract reduce']],
    ['sums behind a filtered convolution of ragged pictures behind a map', () => convolved(1, 37, 9, 20, 32, 1), ['slices map contract reduce']],
    ['sums behind a filtered convolution of large pictures behind a map', () => convolved(1, 17, 32, 16, 16, 1), ['slices map contract reduce']],
    ['sums behind a filtered convolution', () => convolved(2, 29, 12, 16, 32, 1, false), ['slices contract reduce']],
    ['sums behind a filtered convolution of few large pictures', () => convolved(1, 3, 30, 16, 20, 1, false), ['slices contract reduce']],
    ['two products, a map behind both, and sums of it', () => interleaved(97, 5, 30), ['slices contract contract map reduce']],
    ['a product behind a reduction of other axes', () => pooled(401, 40), ['slices reduce contract']],
  ])('%s', async (_name, build, expected) => {
    const kernels = fuse(build().build(), options);
    expect(cuts(kernels)).toEqual(expected);
    expect(kernels.launches).toHaveLength(1);
    await expectAgreement(kernels, numbers(kernels.program), 1e-4);
  });

  // The second and third have more between than there is memory before a worker's own.
  it.each([[40, 6, 8, false], [300, 8, 12, false], [250, 8, 12, true]])('keep what only they read in a worker\'s memory: %i pictures of %i pixels and %i channels, through windows: %s', async (pictures, size, channels, flat) => {
    const kernels = fuse(embedded(pictures, size, channels, flat).build(), options);
    expect(cuts(kernels)).toEqual([`slices contract contract ${flat ? 'map ' : ''}reduce`]);
    expect(kernels.chains[0].windows?.size ?? 0).toBe(flat ? 2 : 0);
    expect(kernels.chains[0].own.map((id) => kernels.program.tensors[id].shape)).toEqual([[pictures, size, size, channels], [pictures, size, size, channels + 4]]);
    await expectAgreement(kernels, numbers(kernels.program), 1e-4);
  });

  /** The three axes of what is made in every order, kept or reduced, and a map over all of them in that order behind. */
  const orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
  it.each(orders.flatMap((order) => [1, 2].flatMap((kept) => [null, 6].map((depth): [number[], number, number | null] => [order, kept, depth]))))('compute what they should with axes %j, %i kept, behind a product of depth %j', async (order, kept, depth) => {
    const sizes = [9, 290, 9];
    const b = new ProgramBuilder('orders');
    const x = b.source('x', 'data', 'f32', depth === null ? sizes : [9, 290, depth], origin);
    const w = b.source('w', 'data', 'f32', [depth ?? 1, 9], origin);
    const made = depth === null ? b.comprehension('f32', sizes, null, heavy(b.read(x, [index(0), index(1), index(2)])), origin)
      : b.comprehension('f32', sizes, { op: 'sum', extents: [depth] }, mul(b.read(x, [index(0), index(1), index(3)]), b.read(w, [index(3), index(2)])), origin);
    const extents = order.map((a) => sizes[a]);
    const here = b.read(made, sizes.map((_, a) => index(order.indexOf(a))));
    const total = b.comprehension('f32', extents.slice(0, kept), { op: 'sum', extents: extents.slice(kept) }, here, origin);
    b.output('made', made);
    b.output('total', total);
    b.output('y', b.comprehension('f32', extents, null, heavy(sub(here, mul(b.read(total, extents.slice(0, kept).map((_, a) => index(a))), float(1e-3)))), origin));
    for (const disabled of [[], ['chains']]) {
      const kernels = fuse(b.build(), { ...options, disabled });
      if (disabled.length > 0) expect(kernels.chains).toEqual([]);
      await expectAgreement(kernels, numbers(kernels.program), 1e-4);
    }
  });

  it('compute what they should, whatever the sizes', async () => {
    const size = (min: number, max: number): fc.Arbitrary<number> => fc.integer({ min, max });
    await fc.assert(fc.asyncProperty(size(1, 3), size(14, 60), size(2, 9), size(1, 9), size(4, 40), async (groups, pictures, pixels, channels, width) => {
      for (const b of [convolved(groups, pictures, pixels, channels, width), convolved(groups, pictures, pixels, 16, 4 * Math.ceil(width / 4), 1, pictures % 2 === 0), interleaved(groups * pictures, pixels, channels), pooled(groups * pictures * 5, width)]) {
        const kernels = fuse(b.build(), options);
        await expectAgreement(kernels, numbers(kernels.program), 1e-4);
      }
    }), { numRuns: 6, seed: 19 });
  }, 120_000);

  it('give the same bits on one thread and on three', async () => {
    for (const build of [() => rows(301, 70), () => picture(258, 9, 7), () => statistics(2, 501, 20), () => product(2, 403, 44, 50), () => convolved(2, 70, 6, 8, 24), () => convolved(2, 35, 8, 16, 24, 1), () => interleaved(97, 5, 30), () => embedded(300, 8, 12)]) {
      const kernels = fuse(build().build(), options);
      const results = await Promise.all([1, 3].map(async (threads) => {
        const device = await openCpuDevice({ threads, exact: true });
        try { return await runOn(device, kernels, numbers(kernels.program)); } finally { await device.close(); }
      }));
      expect(results[1]).toEqual(results[0]);
    }
  });

  it('are not made where a reduction looks at the elements of another task', () => {
    const b = new ProgramBuilder('shifted');
    const x = b.source('x', 'data', 'f32', [500, 24], origin);
    const made = b.comprehension('f32', [500, 24], null, heavy(b.read(x, [index(0), index(1)])), origin);
    const first = b.read(made, [int(0), index(0)]);
    b.output('made', made);
    b.output('sum', b.comprehension('f32', [24], { op: 'sum', extents: [500] }, sub(b.read(made, [index(1), index(0)]), first), origin));
    expect(fuse(b.build(), options).chains).toEqual([]);
  });

  it.each([['a map', null], ['a product', 50]])('hold where the sums of groups behind %s stand the other way round', async (_name, depth) => {
    const b = new ProgramBuilder('turned');
    const x = b.source('x', 'data', 'f32', [20, 400, depth ?? 20], origin);
    const w = b.source('w', 'data', 'f32', [depth ?? 20, 20], origin);
    const made = depth === null ? b.comprehension('f32', [20, 400, 20], null, heavy(b.read(x, [index(0), index(1), index(2)])), origin)
      : b.comprehension('f32', [20, 400, 20], { op: 'sum', extents: [depth] }, mul(b.read(x, [index(0), index(1), index(3)]), b.read(w, [index(3), index(2)])), origin);
    b.output('made', made);
    b.output('sum', b.comprehension('f32', [20, 20], { op: 'sum', extents: [400] }, b.read(made, [index(1), index(2), index(0)]), origin));
    const kernels = fuse(b.build(), options);
    expect(cuts(kernels)).toEqual([`slices ${depth === null ? 'map' : 'contract'} reduce`]);
    await expectAgreement(kernels, numbers(kernels.program), 1e-4);
  });

  it.each([[1, 300, 512], [3, 297, 300]])('are not made where a map looks at part of the points: %i x %i of %i', async (groups, width, height) => {
    const b = new ProgramBuilder('part');
    const x = b.source('x', 'data', 'f32', [groups, height, 20], origin);
    const y = b.source('y', 'data', 'f32', [groups, width, 20], origin);
    const total = b.comprehension('f32', [groups, height], { op: 'sum', extents: [20] }, b.read(x, [index(0), index(1), index(2)]), origin);
    b.output('total', total);
    b.output('y', b.comprehension('f32', [groups, width, 20], null, sub(b.read(y, [index(0), index(1), index(2)]), b.read(total, [index(0), index(1)])), origin));
    const kernels = fuse(b.build(), options);
    expect(kernels.chains).toEqual([]);
    await expectAgreement(kernels, numbers(kernels.program), 1e-4);
  });

  it('are not made where a map looks at the results of other points', () => {
    const b = new ProgramBuilder('crossed');
    const x = b.source('x', 'data', 'f32', [300, 300], origin);
    const total = b.comprehension('f32', [300], { op: 'sum', extents: [300] }, b.read(x, [index(0), index(1)]), origin);
    b.output('y', b.comprehension('f32', [300, 300], null, add(b.read(total, [index(0)]), binary('mul', b.read(total, [index(1)]), b.read(x, [index(0), index(1)]))), origin));
    expect(fuse(b.build(), options).chains).toEqual([]);
  });
});
