/** Tiles in workgroup memory: with one buffer and with two, read element by element and in vectors. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { shapeKey } from '../../compiler/emit/measured-schedule.js';
import { candidateLabels } from '../../compiler/emit/wgsl/choose-schedule.js';
import { scheduleContract } from '../../compiler/emit/wgsl/schedule.js';
import { fuse } from '../../compiler/fuse/fuse.js';
import type { ContractKernel, KernelProgram } from '../../compiler/fuse/kernel.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import type { Program } from '../../compiler/tensor/program.js';
import { add, binary, float, index, int, mul, sub } from '../../compiler/tensor/scalar.js';
import type { Device } from '../../runtime/device/device.js';
import { numbers, origin } from '../kernels/tools.js';
import { expectAgreement, gpuOptions, openTestDevice, planOf } from './harness.js';
import { convolution, product } from './kernels.js';

const contraction = ({ kernels: [kernel] }: KernelProgram): ContractKernel => {
  if (kernel.kind !== 'contract') throw new Error('no contraction');
  return kernel;
};

it('reads ahead where sums are long and both halves of the tiles fit', () => {
  const large = (steps: number): ContractKernel => contraction(product(1, 2048, 2048, steps, 'nn'));
  expect(scheduleContract(large(512), gpuOptions)).toMatchObject({ kind: 'tiles', blockRows: 128, buffers: 2 });
  expect(scheduleContract(large(16), gpuOptions)).toMatchObject({ buffers: 1 });
  expect(scheduleContract(large(512), { ...gpuOptions, maxWorkgroupStorageBytes: 16384 })).toMatchObject({ buffers: 1 });
  expect(candidateLabels(large(512), gpuOptions).filter((l) => l.includes('"buffers":2')).length).toBe(3);
});

/** Weights in a window of all parameters, `offset` elements from their start. */
function layer(offset: number, input: number): KernelProgram {
  const b = new ProgramBuilder('layer');
  const x = b.source('x', 'data', 'f32', [64, input], origin('x'));
  const parameters = b.source('parameters', 'parameters', 'f32', [8192], origin('parameters'));
  const w = b.window(parameters, offset, [input, 64], origin('w'));
  const y = b.comprehension('f32', [64, 64], { op: 'sum', extents: [input] }, mul(b.read(x, [index(0), index(2)]), b.read(w, [index(2), index(1)])), origin('y'));
  b.output('y', y);
  return fuse(b.build(), { disabled: [], maxBindings: 8, target: 'wgsl' });
}

describe('vectors are read', () => {
  const vectors = (program: KernelProgram): number => {
    const { code } = planOf(program, gpuOptions);
    return code.target === 'wgsl' ? Object.values(code.modules).join().split('array<vec4<').length - 1 : NaN;
  };
  it.each([
    ['along columns', 1, () => product(1, 64, 64, 64, 'nn')], ['along rows and columns', 2, () => product(1, 64, 64, 64, 'tn')],
    ['not where a row is no multiple of four', 1, () => product(1, 66, 64, 64, 'tn')], ['not across rows', 0, () => product(1, 64, 64, 64, 'nt')],
    ['of a window that begins at a multiple of four', 1, () => layer(64, 64)], ['of no other window', 0, () => layer(66, 64)],
  ] as const)('%s', (_name, expected, build) => expect(vectors(build())).toBe(expected));
});

/** A convolution of what is scaled, moved and bent, and the gradient of its weights. */
function normalized(count: number, side: number, input: number, output: number): Program {
  const b = new ProgramBuilder('normalized');
  const x = b.source('x', 'data', 'f32', [count, side, side, input], origin('x'));
  const [scale, shift] = ['scale', 'shift'].map((name) => b.source(name, 'parameters', 'f32', [input], origin(name)));
  const w = b.source('w', 'parameters', 'f32', [3, 3, input, output], origin('w'));
  const dy = b.source('dy', 'data', 'f32', [count, side, side, output], origin('dy'));
  const scaled = add(mul(b.identity(x), b.read(scale, [index(3)])), b.read(shift, [index(3)]));
  const y = b.comprehension('f32', [count, side, side, input], null, binary('max', scaled, float(0)), origin('y'));
  const at = (axis: number, tap: number) => sub(add(index(axis), index(tap)), int(1));
  const forward = mul(b.read(y, [index(0), at(1, 4), at(2, 5), index(6)], float(0)), b.read(w, [index(4), index(5), index(6), index(3)]));
  b.output('z', b.comprehension('f32', [count, side, side, output], { op: 'sum', extents: [3, 3, input] }, forward, origin('z')));
  const backward = mul(b.read(y, [index(4), at(5, 0), at(6, 1), index(2)], float(0)), b.read(dy, [index(4), index(5), index(6), index(3)]));
  b.output('dw', b.comprehension('f32', [3, 3, input, output], { op: 'sum', extents: [count, side, side] }, backward, origin('dw')));
  return b.build();
}

describe('maps before products', () => {
  const kinds = (program: Program, manyCores: boolean): readonly string[] => fuse(program, { disabled: ['long sums', 'chains'], maxBindings: 8, target: 'wgsl', manyCores }).kernels.map((k) => k.kind);
  it('are computed where they are staged on GPUs', () => {
    expect(kinds(normalized(6, 5, 8, 16), true)).toEqual(['contract', 'contract']);
    expect(kinds(normalized(6, 5, 8, 16), false)).toContain('map');
    // Not where few columns share what is computed.
    expect(kinds(normalized(6, 5, 8, 12), true)).toContain('map');
  });
});

const opened = await openTestDevice();
const reason = typeof opened === 'string' ? ` (skipped: ${opened})` : '';

describe.skipIf(typeof opened === 'string')(`read ahead on an adapter${reason}`, () => {
  let device: Device;
  beforeAll(() => { if (typeof opened !== 'string') device = opened; });
  afterAll(() => device.close());

  it('and generated sizes, some of which are read in vectors', async () => {
    const size = fc.integer({ min: 2, max: 20 }).chain((n) => fc.constantFrom(4 * n, 4 * n + 1, 2 * n));
    await fc.assert(fc.asyncProperty(size, size, size, fc.constantFrom('nn', 'tn', 'nt', 'tt'), async (rows, columns, steps, layout) => {
      const program = product(2, rows, columns, steps, layout);
      await expectAgreement(device, program, numbers(program.program, 3), gpuOptions, 1e-4);
    }), { numRuns: 3 });
  }, 120_000);

  it('and computed before', async () => {
    const program = fuse(normalized(7, 6, 8, 20), { disabled: ['chains'], maxBindings: 8, target: 'wgsl', manyCores: true });
    await expectAgreement(device, program, numbers(program.program, 3), gpuOptions, 1e-4);
  }, 60_000);

  it('and windows', async () => {
    await expectAgreement(device, layer(64, 40), numbers(layer(64, 40).program, 5), gpuOptions, 1e-4);
  }, 60_000);

  it.each([
    ['128x128', () => product(1, 130, 129, 300, 'nt')], ['128x64', () => product(2, 128, 64, 256, 'nn')], ['64x64', () => product(1, 70, 65, 77, 'tn')],
    ['64x64', () => convolution(2, 9, 16, 20, 3, 1, 1)],
  ] as const)('in tiles of %s', async (size, build) => {
    const program = build();
    const kernel = contraction(program);
    const [rows, columns] = size.split('x');
    const [label] = candidateLabels(kernel, gpuOptions).filter((l) => l.includes(`"blockRows":${rows},"blockColumns":${columns},`) && l.includes('"buffers":2'));
    expect(label).toBeDefined();
    const schedules = { [shapeKey(kernel, (id) => program.program.tensors[id].element)]: label };
    await expectAgreement(device, program, numbers(program.program, 7), { ...gpuOptions, schedules }, 1e-4);
  }, 120_000);
});
