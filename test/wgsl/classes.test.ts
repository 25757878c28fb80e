/** Kernels of every class on a software adapter, against the float64 interpreter. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shapeKey } from '../../compiler/emit/measured-schedule.js';
import { candidateLabels } from '../../compiler/emit/wgsl/choose-schedule.js';
import { fuse } from '../../compiler/fuse/fuse.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import type { Device } from '../../runtime/device/device.js';
import { attention } from '../fuse/attention.js';
import { numbers } from '../kernels/tools.js';
import { expectAgreement, gpuOptions, lanesOptions, openTestDevice, softwareOptions, subgroupOptions } from './harness.js';
import { convolution, product, reduction, similarity } from './kernels.js';

const opened = await openTestDevice();
const reason = typeof opened === 'string' ? ` (skipped: ${opened})` : '';
let device: Device;

const programs: readonly (readonly [string, () => KernelProgram])[] = [
  ['product nn', () => product(1, 17, 19, 13, 'nn')],
  ['product nt', () => product(2, 33, 9, 40, 'nt')],
  ['product tn', () => product(1, 64, 64, 300, 'tn')],
  ['product tt', () => product(3, 5, 70, 31, 'tt')],
  ['product of size 1', () => product(1, 1, 1, 1, 'nn')],
  ['matrix times vector', () => product(1, 37, 1, 29, 'nt')],
  ['vector times matrix', () => product(1, 1, 37, 29, 'nn', false)],
  ['wide product', () => product(1, 130, 70, 20, 'nt', false)],
  ['product in tiles of 128 x 128', () => product(32, 129, 130, 2, 'nn', false)],
  ['product in tiles of 128 x 64', () => product(32, 129, 65, 2, 'tn', false)],
  ['product in tiles of 64 x 64', () => product(24, 65, 65, 3, 'nt')],
  ['convolution', () => convolution(2, 9, 3, 10, 3, 1, 1)],
  ['strided convolution', () => convolution(2, 9, 5, 12, 3, 2, 1)],
  ['1x1 convolution', () => convolution(1, 4, 8, 8, 1, 1, 0)],
  ['convolution without padding', () => convolution(3, 7, 1, 16, 5, 2, 0)],
  ...(['sum', 'max', 'min', 'prod', 'any', 'all', 'logsumexp', 'argmax', 'deviations'] as const).flatMap((op) => [
    [`${op} of rows`, () => reduction(op, 5, [3, 17], 'rows')] as const,
    [`${op} of columns`, () => reduction(op, 33, [70], 'columns')] as const,
    // Long enough that a GPU gives each row a workgroup.
    [`${op} of long rows`, () => reduction(op, 3, [4, 301], 'rows')] as const,
  ]),
  ['sum to one number', () => reduction('sum', 1, [4001], 'rows')],
  ['logsumexp of one row', () => reduction('logsumexp', 1, [1500], 'rows')],
  ['argmax of one element', () => reduction('argmax', 3, [1], 'rows')],
  ['similarity reduced', () => similarity('reduce', 37, 11)],
  ['similarity reduced, batched', () => similarity('reduce', 20, 8, 2)],
  ['similarity weighing', () => similarity('contract', 37, 11)],
  ['similarity weighing, batched', () => similarity('contract', 9, 40, 2)],
  ['similarity reduced, whole blocks', () => similarity('reduce', 64, 16)],
  ['similarity weighing, wide, batched, with two scores and products', () => similarity('contract', 70, 130, 2, 2, 2)],
  ['similarity weighing, batched, with two scores', () => similarity('contract', 9, 11, 2, 2)],
  ['similarity weighing, in tiles of 64 x 128', () => similarity('contract', 20, 66, 410)],
  ['attention and its gradients', () => fuse(attention(2, 2, 9, 17, 4), softwareOptions)],
  ['attention of one head and its gradients', () => fuse(attention(2, 1, 9, 10, 4), softwareOptions)],
  ['attention of one example and its gradients', () => fuse(attention(1, 2, 12, 9, 5), softwareOptions)],
];

describe.skipIf(typeof opened === 'string')(`kernel classes on an adapter${reason}`, () => {
  beforeAll(() => { if (typeof opened !== 'string') device = opened; });
  afterAll(() => device.close());
  for (const [schedules, options] of [['software', softwareOptions], ['lanes', lanesOptions], ['gpu', gpuOptions], ['subgroup', subgroupOptions]] as const) {
    // lavapipe takes many seconds to compile a tiled online kernel; one of each kind is run, the null backend checks the others.
    const tiled = ['similarity reduced', 'similarity weighing, wide, batched, with two scores and products', 'similarity weighing, in tiles of 64 x 128'];
    const chosen = programs.filter(([name]) => {
      switch (schedules) {
        case 'software': return !name.includes('tiles');
        case 'lanes': return /product|times|convolution|similarity|attention/.test(name) && !name.includes('tiles');
        case 'gpu': return !/^(similarity|attention)/.test(name) || tiled.includes(name);
        case 'subgroup': return / of long rows$| of one row$|to one number$/.test(name);
      }
    });
    it.each(chosen)(`${schedules} schedules: %s`, async (_name, build) => {
      const kernels = build();
      await expectAgreement(device, kernels, numbers(kernels.program, 7), options, 1e-4);
      expect.assertions(kernels.program.outputs.length);
    });
  }

  it.each(['reduce', 'contract'] as const)('gpu schedules: similarity in tiles of 32 rows, %s', async (kind) => {
    const kernels = similarity(kind, 20, 66, 410);
    const [kernel] = kernels.kernels;
    if (kernel.kind !== 'online') throw new Error('no streamed product');
    const label = candidateLabels(kernel, gpuOptions).find((l) => l.includes('"blockRows":32'));
    expect(label).toBeDefined();
    const schedules = { [shapeKey(kernel, (id) => kernels.program.tensors[id].element)]: label ?? '' };
    await expectAgreement(device, kernels, numbers(kernels.program, 7), { ...gpuOptions, schedules }, 1e-4);
  });
});
