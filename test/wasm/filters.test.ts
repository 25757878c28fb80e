/** Convolutions and their gradients by minimal filtering on the CPU target: what is recognised, and how exact it is. */
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { filterBlocks } from '../../compiler/emit/wasm/filter-blocks.js';
import { findFilter } from '../../compiler/emit/wasm/minimal-filter.js';
import { scheduleContract } from '../../compiler/emit/wasm/schedule.js';
import { interpretKernels } from '../../compiler/fuse/interpret-kernels.js';
import type { ContractKernel, KernelProgram } from '../../compiler/fuse/kernel.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import type { Scalar } from '../../compiler/tensor/scalar.js';
import { accumulator, add, binary, float, index, int, mul, sub } from '../../compiler/tensor/scalar.js';
import type { Device } from '../../runtime/device/device.js';
import { openCpuDevice } from '../../runtime/device/cpu/open-cpu-device.js';
import { handMade, numbers, origin } from '../kernels/tools.js';
import { convolution } from '../wgsl/kernels.js';
import { exactOptions, runOn, testDevice } from './harness.js';

interface Shape {
  readonly pictures: number;
  readonly height: number;
  readonly width: number;
  readonly input: number;
  readonly output: number;
  readonly padding: number;
  /** One, if it is not said. */
  readonly stride?: number;
  /** Taps down and across, three if they are not said. */
  readonly taps?: readonly [number, number];
}

const total = accumulator('f32', 0);

/** A convolution, its gradient for the input, or that for the weights; weights are [3][3][in][out] or [out][3][3][in]. */
function stencil(kind: 'forward' | 'input' | 'weights', { pictures, height, width, input, output, padding, stride = 1, taps = [3, 3] }: Shape, outFirst: boolean): KernelProgram {
  const b = new ProgramBuilder(`${kind}_${pictures}_${height}_${width}_${input}_${output}_${padding}_${stride}`);
  const [h, w] = [height, width].map((size, d) => Math.floor((size + 2 * padding - taps[d]) / stride) + 1);
  const tensors = { x: [pictures, height, width, input], y: [pictures, h, w, output], w: outFirst ? [output, ...taps, input] : [...taps, input, output] };
  const source = (name: keyof typeof tensors) => b.source(name, 'data', 'f32', tensors[name], origin(name));
  const weight = (o: Scalar, i: Scalar, j: Scalar, c: Scalar): readonly Scalar[] => (outFirst ? [o, i, j, c] : [i, j, c, o]);
  const [i, j, k, l, m, n, p] = [0, 1, 2, 3, 4, 5, 6].map(index);
  const shifted = (x: Scalar, tap: Scalar): Scalar => sub(add(mul(x, int(stride)), tap), int(padding));
  const result = (shape: readonly number[]) => {
    const out = b.comprehension('f32', shape, null, float(0), origin('out'));
    b.output('out', out);
    return out;
  };
  const common = { kind: 'contract', name: '00_out', origins: [origin('out')], batch: [] } as const;
  const make = (): ContractKernel => {
    switch (kind) {
      case 'forward': return {
        ...common, extents: [pictures, h, w, output], reduceExtents: [...taps, input], rows: [0, 1, 2], columns: [3],
        // What the layer before still has to do is done on the way.
        left: binary('max', b.read(source('x'), [i, shifted(j, m), shifted(k, n), p], float(0)), float(-0.5)), right: b.read(source('w'), weight(l, m, n, p)),
        stores: [{ tensor: result([pictures, h, w, output]), value: add(total, float(1)) }],
      };
      case 'input': return {
        ...common, extents: tensors.x, reduceExtents: [output, ...taps], rows: [0, 1, 2], columns: [3],
        left: b.read(source('y'), [i, sub(add(j, int(padding)), n), sub(add(k, int(padding)), p), m], float(0)), right: b.read(source('w'), weight(m, n, p, l)),
        stores: [{ tensor: result(tensors.x), value: total }],
      };
      case 'weights': {
        const [o, di, dj, c] = outFirst ? [i, j, k, l] : [l, i, j, k];
        return {
          ...common, extents: tensors.w, reduceExtents: [pictures, h, w], rows: outFirst ? [0] : [3], columns: outFirst ? [1, 2, 3] : [0, 1, 2],
          left: b.read(source('y'), [m, n, p, o]), right: b.read(source('x'), [m, shifted(n, di), shifted(p, dj), c], float(0)),
          stores: [{ tensor: result(tensors.w), value: mul(total, float(2)) }],
        };
      }
    }
  };
  const kernel = make();
  return handMade(b.build(), [kernel]);
}

/** The filter of the only kernel, where it is taken. */
const filterOf = (kernels: KernelProgram): ReturnType<typeof findFilter> => {
  const [kernel] = kernels.kernels;
  return kernel.kind === 'contract' && scheduleContract(kernel, true).kind === 'filter' ? findFilter(kernel) : null;
};

const device = await openCpuDevice({ threads: 2 });
afterAll(() => device.close());

/** The largest error, by filtering and directly, as a part of the largest sum of the magnitudes of a result's terms. */
async function errors(kernels: KernelProgram): Promise<{ readonly filtered: number; readonly direct: number }> {
  const inputs = numbers(kernels.program, 7);
  const exact = interpretKernels(kernels, inputs).outputs.get('out') ?? new Float64Array();
  const run = async (of: typeof inputs, disabled: readonly string[]) => (await runOn(device, kernels, of, { ...exactOptions, threads: 2, disabled })).get('out') ?? new Float32Array();
  const magnitudes = await run(Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, x.map(Math.abs)])), ['filters']);
  const scale = Array.from(magnitudes).reduce((a, b) => Math.max(a, b), 0);
  const largest = async (disabled: readonly string[]): Promise<number> => {
    const found = await run(inputs, disabled);
    expect(found).toHaveLength(exact.length);
    return exact.reduce((most, e, at) => Math.max(most, Math.abs(found[at] - e) / scale), 0);
  };
  return { filtered: await largest([]), direct: await largest(['filters']) };
}

/** What `minimal-filter.ts` says of the error. */
const bound = 2e-6;

describe('minimal filtering', () => {
  const shapes: readonly (readonly [string, Shape])[] = [
    ['small pictures', { pictures: 3, height: 8, width: 8, input: 24, output: 32, padding: 1 }],
    ['pictures of one tile', { pictures: 17, height: 4, width: 4, input: 20, output: 32, padding: 1 }],
    ['a large picture in bands', { pictures: 1, height: 32, width: 24, input: 16, output: 16, padding: 1 }],
    ['ragged pictures', { pictures: 3, height: 14, width: 11, input: 20, output: 36, padding: 1 }],
    ['pictures without a border', { pictures: 2, height: 18, width: 18, input: 16, output: 20, padding: 0 }],
    ['many channels', { pictures: 10, height: 4, width: 4, input: 520, output: 32, padding: 1 }],
    ['two by two taps', { pictures: 5, height: 8, width: 9, input: 32, output: 40, padding: 0, taps: [2, 2] }],
    ['taps across', { pictures: 9, height: 7, width: 9, input: 32, output: 64, padding: 0, taps: [1, 3] }],
    ['taps down', { pictures: 9, height: 9, width: 5, input: 40, output: 48, padding: 0, taps: [3, 1] }],
  ];
  const strided: readonly (readonly [string, Shape])[] = [
    ['stride two, one tile', { pictures: 17, height: 7, width: 7, input: 32, output: 64, padding: 1, stride: 2 }],
    ['stride two, tiles of two sizes', { pictures: 9, height: 14, width: 12, input: 32, output: 60, padding: 1, stride: 2 }],
    ['stride two, in bands', { pictures: 1, height: 64, width: 16, input: 48, output: 48, padding: 1, stride: 2 }],
    ['stride two, four taps', { pictures: 5, height: 16, width: 16, input: 32, output: 48, padding: 1, stride: 2, taps: [4, 4] }],
    ['stride two, many channels', { pictures: 18, height: 8, width: 8, input: 264, output: 32, padding: 1, stride: 2 }],
  ];
  const cases = [...shapes.flatMap((c) => (['forward', 'input', 'weights'] as const).map((kind) => [kind, ...c] as const)), ...strided.flatMap((c) => (['forward', 'weights'] as const).map((kind) => [kind, ...c] as const))];
  it.each(cases)('%s: %s', async (kind, _name, shape) => {
    const kernels = stencil(kind, shape, shape.pictures % 2 === 0);
    expect(filterOf(kernels)?.stencil.kind).toBe(kind === 'weights' ? 'gradient' : 'filter');
    const { filtered, direct } = await errors(kernels);
    expect(filtered).toBeLessThan(bound);
    // Another computation, and one that can be switched off.
    expect(filtered).not.toBe(direct);
    expect(direct).toBeLessThan(bound);
  }, 60_000);

  it('is right wherever it is taken', async () => {
    const channels = fc.integer({ min: 4, max: 8 }).map((n) => 4 * n);
    const shape = fc.record({ pictures: fc.integer({ min: 1, max: 4 }), height: fc.integer({ min: 5, max: 18 }), width: fc.integer({ min: 5, max: 18 }), input: channels, output: channels, padding: fc.constantFrom(0, 1, 2),
      stride: fc.constantFrom(1, 2), taps: fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 })) });
    await fc.assert(fc.asyncProperty(fc.constantFrom('forward' as const, 'input' as const, 'weights' as const), shape, fc.boolean(), async (kind, of, outFirst) => {
      fc.pre(kind !== 'input' || of.stride === 1);
      const kernels = stencil(kind, of, outFirst);
      fc.pre(filterOf(kernels) !== null);
      expect((await errors(kernels)).filtered).toBeLessThan(bound);
    }), { numRuns: 24, seed: 1 });
  }, 120_000);

  // Weights of 12 MiB in points: the data comes first, in one group of pieces, and in two of which the second is smaller and its last piece too.
  it.each([['forward', 90, 1], ['input', 301, 2], ['forward', 301, 2]] as const)('maps weights by task where they are many: %s of %i pictures, in %i groups', async (kind, pictures, groups) => {
    const kernels = stencil(kind, { pictures, height: 4, width: 4, input: 288, output: 292, padding: 1 }, false);
    const [kernel] = kernels.kernels;
    const filter = filterOf(kernels);
    if (kernel.kind !== 'contract' || filter === null) throw new Error('no filter');
    const { groupPieces, pieces } = filterBlocks(kernel, filter, null, { kind: 'filter', tiles: 32 });
    expect(Math.ceil(pieces.count / (groupPieces ?? 0))).toBe(groups);
    const inputs = numbers(kernels.program, 5);
    const out = async (on: Device, disabled: readonly string[]): Promise<Float32Array> => {
      const found = (await runOn(on, kernels, inputs, { ...exactOptions, disabled })).get('out');
      if (!(found instanceof Float32Array)) throw new Error('no result');
      return found;
    };
    const [one, two, direct] = [await out(await testDevice(), []), await out(device, []), await out(device, ['filters'])];
    expect(Buffer.compare(Buffer.from(one.buffer), Buffer.from(two.buffer))).toBe(0);
    const [largest, error] = [direct.reduce((most, x) => Math.max(most, Math.abs(x)), 0), direct.reduce((most, x, at) => Math.max(most, Math.abs(x - one[at])), 0)];
    expect(error).toBeGreaterThan(0);
    expect(error).toBeLessThan(2e-5 * largest);
  }, 60_000);

  it.each((['forward', 'weights'] as const).flatMap((kind) => [1, 2].map((stride) => [kind, stride] as const)))('gives the same bits whatever the number of threads: %s at stride %d', async (kind, stride) => {
    const kernels = stencil(kind, { pictures: 19, height: 14, width: 12, input: 64, output: 64, padding: 1, stride }, false);
    expect(filterOf(kernels)).not.toBeNull();
    const inputs = numbers(kernels.program, 3);
    const [one, two] = await Promise.all([testDevice(), device].map(async (d) => runOn(await d, kernels, inputs)));
    expect(one.get('out')).toEqual(two.get('out'));
  });

  it('leaves alone what it cannot do, and what it would make slower', () => {
    expect(filterOf(convolution(2, 16, 32, 32, 2, 2, 0))).toBeNull();
    expect(filterOf(convolution(2, 16, 32, 32, 3, 3, 1))).toBeNull();
    expect(filterOf(convolution(2, 16, 32, 32, 7, 2, 3))).toBeNull();
    expect(filterOf(convolution(2, 16, 32, 32, 1, 1, 0))).toBeNull();
    expect(filterOf(convolution(2, 16, 32, 32, 5, 1, 2))).toBeNull();
    expect(filterOf(convolution(2, 16, 3, 32, 3, 1, 1))).toBeNull();
    expect(filterOf(convolution(2, 16, 30, 32, 3, 1, 1))).toBeNull();
    expect(filterOf(convolution(1, 4, 512, 512, 3, 1, 1))).toBeNull();
    expect(filterOf(convolution(64, 4, 512, 512, 3, 1, 1))).not.toBeNull();
  });
});
