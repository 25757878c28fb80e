/** 16-bit floats on an adapter that has them: what is stored is rounded, whatever kernel stores or reads it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import type { Device } from '../../runtime/device/device.js';
import { halved, roundings, roundTrip } from '../kernels/half.js';
import { numbers } from '../kernels/tools.js';
import { expectAgreement, gpuOptions, openTestDevice, runOn, softwareOptions } from './harness.js';
import { convolution, product, reduction, similarity } from './kernels.js';

const opened = await openTestDevice();
const reason = typeof opened === 'string' ? ` (skipped: ${opened})` : opened.limits.half === true ? '' : ' (skipped: the adapter has no shader-f16)';
let device: Device;

const programs: readonly (readonly [string, typeof gpuOptions, () => KernelProgram])[] = [
  ['product', softwareOptions, () => product(3, 5, 70, 31, 'tt')],
  ['product in tiles', gpuOptions, () => product(1, 64, 70, 130, 'nt')],
  ['strided convolution', softwareOptions, () => convolution(2, 9, 5, 12, 3, 2, 1)],
  ['sum of rows', gpuOptions, () => reduction('sum', 5, [3, 17], 'rows')],
  ['sum of columns', softwareOptions, () => reduction('sum', 33, [70], 'columns')],
  ['similarity reduced', softwareOptions, () => similarity('reduce', 37, 11)],
  ['similarity weighing', softwareOptions, () => similarity('contract', 37, 11)],
];

describe.skipIf(reason !== '')(`16-bit floats on an adapter${reason}`, () => {
  beforeAll(() => { if (typeof opened !== 'string') device = opened; });
  afterAll(() => device.close());

  it('are rounded to nearest, ties to even', async () => {
    const { given, expected } = roundings();
    const found = (await runOn(device, roundTrip(given.length), { x: given }, softwareOptions)).get('y');
    expected.forEach((e, i) => {
      // Zeros may lose their sign, and a driver may take subnormal floats for zero.
      if (!Object.is((found?.[i] ?? NaN) + 0, e + 0)) expect.fail(`${given[i]} became ${found?.[i]}, not ${e}`);
    });
  });

  it.each(programs)('%s', async (_name, options, build) => {
    const kernels = halved(build());
    await expectAgreement(device, kernels, numbers(kernels.program, 7), options, 1e-3);
    expect.assertions(kernels.program.outputs.length);
  });
});
