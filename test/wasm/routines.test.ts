/** Routines and segmented sums on the CPU target, against the float64 interpreter. */
import { expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import type { Program } from '../../compiler/tensor/program.js';
import { gather, gathers, runs, segments, sorting, triangular } from '../kernels/routines.js';
import { numbers } from '../kernels/tools.js';
import { expectAgreement } from './harness.js';

const programs: readonly (readonly [string, () => Program])[] = [
  ['rows sorted', () => sorting([3, 5, 37])],
  ['one long row sorted', () => sorting([1000])],
  ['integers sorted', () => sorting([4, 129], 'i32')],
  ['rows of one element', () => sorting([6, 1])],
  ['runs of rows', () => runs(5, 23, [])],
  ['sums over runs', () => runs(1, 40, [6])],
  ['sums of numbers over runs', () => runs(1, 700, [])],
  ['sums over runs of wide rows', () => runs(1, 300, [4, 33])],
  ['triangular systems', () => triangular(3, 9, 5)],
  ['one right side', () => triangular(2, 21, 1)],
  ['a larger system in pieces', () => triangular(1, 40, 130)],
  ['a matrix of size 1', () => triangular(70, 1, 3)],
  ['segments', () => segments({ items: [50], rows: [5], columns: [7] })],
  ['segments in pieces', () => segments({ items: [900], rows: [6], columns: [130] })],
  ['segments of numbers', () => segments({ items: [300], rows: [6], columns: [] })],
  ['segments counted', () => segments({ items: [300], rows: [9], columns: [], counts: true })],
  ['segments with a guard', () => segments({ items: [40], rows: [5], columns: [6], guarded: true })],
  ['segments of two axes of items', () => segments({ items: [10, 9], rows: [5], columns: [4, 3] })],
  ['segments by two keys', () => segments({ items: [200], rows: [3, 5], columns: [3] })],
  ['segments of every row', () => segments({ items: [60], rows: [5], columns: [3], batch: [4] })],
  ['segments of many rows', () => segments({ items: [60], rows: [5], columns: [1], batch: [30] })],
  ['gradient of a gather', () => gather(9, 12, 80)],
  ['gradients of large tables read in several places', () => gathers(5000, 16, [{ table: 0, items: 9, repeated: 3, sameRows: false }, { table: 1, items: 9, repeated: 1, sameRows: true }, { table: 0, items: 7, repeated: 1, sameRows: false }])],
];

it.each(programs)('%s', async (_name, build) => {
  const kernels = fuse(build(), { disabled: [], maxBindings: 8, target: 'wasm' });
  await expectAgreement(kernels, numbers(kernels.program, 3), 1e-4);
  expect.assertions(kernels.program.outputs.length);
});
