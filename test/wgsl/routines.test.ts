/** Routines and segmented sums on a software adapter, with its own schedules and those of a GPU, against the float64 interpreter. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import type { Program } from '../../compiler/tensor/program.js';
import type { Device } from '../../runtime/device/device.js';
import { gather, gathers, runs, segments, sorting, triangular } from '../kernels/routines.js';
import { numbers } from '../kernels/tools.js';
import { expectAgreement, gpuOptions, openTestDevice, softwareOptions } from './harness.js';

const opened = await openTestDevice();
const reason = typeof opened === 'string' ? ` (skipped: ${opened})` : '';
let device: Device;

const programs: readonly (readonly [string, () => Program])[] = [
  ['rows sorted', () => sorting([3, 5, 37])],
  ['integers sorted', () => sorting([4, 129], 'i32')],
  ['a long row of integers sorted', () => sorting([5000], 'i32')],
  ['long rows sorted', () => sorting([3, 700])],
  ['a power of two of integers sorted', () => sorting([2, 256], 'i32')],
  ['runs of rows', () => runs(5, 23, [])],
  ['sums over runs', () => runs(1, 40, [6])],
  ['sums of numbers over runs', () => runs(1, 300, [])],
  ['triangular systems', () => triangular(3, 9, 5)],
  ['a matrix of more rows than threads', () => triangular(1, 70, 1)],
  ['segments', () => segments({ items: [50], rows: [5], columns: [7] })],
  ['segments of wide rows', () => segments({ items: [40], rows: [6], columns: [3000] })],
  ['segments counted', () => segments({ items: [300], rows: [9], columns: [], counts: true })],
  ['segments with a guard and two axes', () => segments({ items: [10, 9], rows: [5], columns: [4, 3], guarded: true })],
  ['segments by two keys', () => segments({ items: [200], rows: [3, 5], columns: [3] })],
  ['segments of every row', () => segments({ items: [60], rows: [5], columns: [3], batch: [4] })],
  ['gradient of a gather', () => gather(9, 12, 80)],
  ['gradients of large tables read in several places', () => gathers(5000, 16, [{ table: 0, items: 9, repeated: 3, sameRows: false }, { table: 1, items: 9, repeated: 1, sameRows: true }, { table: 0, items: 7, repeated: 1, sameRows: false }])],
];

describe.skipIf(typeof opened === 'string')(`routines on an adapter${reason}`, () => {
  beforeAll(() => { if (typeof opened !== 'string') device = opened; });
  afterAll(() => device.close());
  for (const [schedules, options] of [['software', softwareOptions], ['gpu', gpuOptions]] as const) {
    it.each(programs)(`%s, ${schedules} schedules`, async (_name, build) => {
      const kernels = fuse(build(), { disabled: [], maxBindings: 8, target: 'wgsl', manyCores: schedules === 'gpu' });
      await expectAgreement(device, kernels, numbers(kernels.program, 3), options, 1e-4);
      expect.assertions(kernels.program.outputs.length);
    });
  }
});
