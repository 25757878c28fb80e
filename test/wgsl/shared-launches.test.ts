/** Kernels that share a dispatch, those whose threads wait for one another among them, and small ones that follow one another in a workgroup. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { emitWgsl } from '../../compiler/emit/wgsl/emit-wgsl.js';
import type { WgslOptions } from '../../compiler/emit/wgsl/emit-wgsl.js';
import { fuse } from '../../compiler/fuse/fuse.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { planMemory } from '../../compiler/plan/plan-memory.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import type { TensorId } from '../../compiler/tensor/scalar.js';
import { float, index, mul, unary } from '../../compiler/tensor/scalar.js';
import type { Device } from '../../runtime/device/device.js';
import { numbers } from '../kernels/tools.js';
import { expectAgreement, gpuOptions, openTestDevice, subgroupOptions } from './harness.js';

const origin = { span: null, name: 'x' };
const fused = (b: ProgramBuilder): KernelProgram => fuse(b.build(), { disabled: [], maxBindings: 8, target: 'wgsl' });

/** Two products of different depths, which need not wait for each other, and sums of long rows beside them. */
function besides(): KernelProgram {
  const b = new ProgramBuilder('besides');
  const product = (n: number, depth: number): void => {
    const x = b.source(`x${n}`, 'data', 'f32', [200, depth], origin);
    const w = b.source(`w${n}`, 'data', 'f32', [depth, 150], origin);
    b.output(`y${n}`, b.comprehension('f32', [200, 150], { op: 'sum', extents: [depth] }, mul(b.read(x, [index(0), index(2)]), b.read(w, [index(2), index(1)])), origin));
  };
  product(0, 40);
  product(1, 60);
  const z = b.source('z', 'data', 'f32', [9, 1500], origin);
  b.output('s', b.comprehension('f32', [9], { op: 'sum', extents: [1500] }, b.read(z, [index(0), index(1)]), origin));
  return fused(b);
}

/** Two products with x, of which one reads it in vectors and one has neighbouring steps in it, and the sums of its columns. */
function sharing(): KernelProgram {
  const b = new ProgramBuilder('sharing');
  const x = b.source('x', 'data', 'f32', [96, 64], origin);
  const w = b.source('w', 'data', 'f32', [64, 72], origin);
  const v = b.source('v', 'data', 'f32', [96, 40], origin);
  b.output('forward', b.comprehension('f32', [96, 72], { op: 'sum', extents: [64] }, mul(b.read(x, [index(0), index(2)]), b.read(w, [index(2), index(1)])), origin));
  b.output('weights', b.comprehension('f32', [64, 40], { op: 'sum', extents: [96] }, mul(b.read(x, [index(2), index(0)]), b.read(v, [index(2), index(1)])), origin));
  b.output('sums', b.comprehension('f32', [64], { op: 'sum', extents: [96] }, b.read(x, [index(1), index(0)]), origin));
  return fused(b);
}

/** More small tensors than a kernel may bind, most of them side by side in memory. */
function manySmall(): KernelProgram {
  const b = new ProgramBuilder('many_small');
  for (let n = 0; n < 9; n++) {
    const x = b.source(`x${n}`, 'data', 'f32', [5 + n, 40], origin);
    b.output(`y${n}`, b.comprehension('f32', [5 + n], { op: n % 2 === 0 ? 'sum' : 'max', extents: [40] }, b.read(x, [index(0), index(1)]), origin));
  }
  return fused(b);
}

/** A sum of few numbers, what is made of it, and a sum of that: each a workgroup, one after the other. */
function afterwards(): KernelProgram {
  const b = new ProgramBuilder('afterwards');
  const x = b.source('x', 'data', 'f32', [6, 90], origin);
  const sum = b.comprehension('f32', [6], { op: 'sum', extents: [90] }, b.read(x, [index(0), index(1)]), origin);
  const spread = b.comprehension('f32', [6, 7], null, unary('sin', mul(b.read(sum, [index(0)]), unary('cos', b.read(x, [index(0), index(1)])))), origin);
  b.output('spread', spread);
  b.output('total', b.comprehension('f32', [7], { op: 'max', extents: [6] }, mul(b.read(spread, [index(1), index(0)]), float(2)), origin));
  return fused(b);
}

const dispatches = (kernels: KernelProgram, options: WgslOptions): readonly (readonly number[])[] =>
  emitWgsl([{ kernels, placements: planMemory([kernels], { alignment: 256, arenaLimit: null }).entries[0].placements }], options).launches[0].map((l) => l.parts);

const schedules: readonly (readonly [string, WgslOptions])[] = [['without subgroups', gpuOptions], ['with subgroups', subgroupOptions]];

describe('dispatches', () => {
  it.each(schedules)('hold kernels whose threads wait for one another, as many in each: %s', (_name, options) => {
    const kernels = besides();
    expect(kernels.launches.map((l) => l.length)).toEqual([3]);
    expect(dispatches(kernels, options)).toEqual([[0, 1, 2]]);
  });

  it.each(schedules)('hold small kernels one after the other: %s', (_name, options) => {
    const kernels = afterwards();
    expect(kernels.launches.length).toBeGreaterThan(1);
    expect(dispatches(kernels, options)).toHaveLength(1);
  });

  it.each(schedules)('hold a kernel that reads in vectors what others read one by one: %s', (_name, options) => {
    const kernels = sharing();
    expect(dispatches(kernels, options)).toEqual([[0, 1, 2]]);
    const { code } = emitWgsl([{ kernels, placements: planMemory([kernels], { alignment: 256, arenaLimit: null }).entries[0].placements }], options);
    expect(code.target === 'wgsl' && Object.values(code.modules).join()).toMatch(/x_data: array<vec4<f32>>/);
  });

  it('hold more small tensors than they can bind apart', () => {
    expect(dispatches(manySmall(), gpuOptions)).toHaveLength(1);
  });

  it('keep large kernels apart that need one another', () => {
    const b = new ProgramBuilder('apart');
    const x = b.source('x', 'data', 'f32', [500, 90], origin);
    const sum: TensorId = b.comprehension('f32', [500], { op: 'sum', extents: [90] }, b.read(x, [index(0), index(1)]), origin);
    b.output('y', b.comprehension('f32', [500, 90], null, mul(b.read(x, [index(0), index(1)]), b.read(sum, [index(0)])), origin));
    expect(dispatches(fused(b), gpuOptions).length).toBeGreaterThan(1);
  });
});

const opened = await openTestDevice();
const reason = typeof opened === 'string' ? ` (skipped: ${opened})` : '';

describe.skipIf(typeof opened === 'string')(`dispatches on an adapter${reason}`, () => {
  let device: Device;
  beforeAll(() => { if (typeof opened !== 'string') device = opened; });
  afterAll(() => device.close());

  it.each(schedules.flatMap(([name, options]) => ([['besides', besides], ['afterwards', afterwards], ['sharing', sharing], ['manySmall', manySmall]] as const).map(([what, build]) => [what, name, build, options] as const)))('compute what they should: %s, %s', async (_what, _name, build, options) => {
    const kernels = build();
    await expectAgreement(device, kernels, numbers(kernels.program), options, 1e-4);
  });
});
