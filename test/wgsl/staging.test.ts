/** Tiles in workgroup memory, with one buffer and with two, on an adapter. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shapeKey } from '../../compiler/emit/measured-schedule.js';
import { candidateLabels } from '../../compiler/emit/wgsl/choose-schedule.js';
import { scheduleContract } from '../../compiler/emit/wgsl/schedule.js';
import type { ContractKernel, KernelProgram } from '../../compiler/fuse/kernel.js';
import type { Device } from '../../runtime/device/device.js';
import { numbers } from '../kernels/tools.js';
import { expectAgreement, gpuOptions, openTestDevice } from './harness.js';
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

const opened = await openTestDevice();
const reason = typeof opened === 'string' ? ` (skipped: ${opened})` : '';

describe.skipIf(typeof opened === 'string')(`read ahead on an adapter${reason}`, () => {
  let device: Device;
  beforeAll(() => { if (typeof opened !== 'string') device = opened; });
  afterAll(() => device.close());

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
