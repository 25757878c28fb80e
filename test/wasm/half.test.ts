/** 16-bit floats on the CPU target: what is stored is rounded, whatever kernel stores or reads it. */
import { describe, expect, it } from 'vitest';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { halved, roundings, roundTrip } from '../kernels/half.js';
import { numbers } from '../kernels/tools.js';
import { convolution, product, reduction, similarity } from '../wgsl/kernels.js';
import { expectAgreement, runOn, testDevice } from './harness.js';

const programs: readonly (readonly [string, () => KernelProgram])[] = [
  ['product nn', () => product(1, 17, 19, 13, 'nn')],
  ['product tt', () => product(3, 5, 70, 31, 'tt')],
  ['product with a long sum', () => product(1, 9, 20, 5000, 'tn')],
  ['strided convolution', () => convolution(2, 9, 5, 12, 3, 2, 1)],
  ['convolution of one channel', () => convolution(2, 9, 1, 10, 3, 1, 1)],
  ['sum of rows', () => reduction('sum', 5, [3, 17], 'rows')],
  ['sum of columns', () => reduction('sum', 33, [70], 'columns')],
  ['logsumexp of rows', () => reduction('logsumexp', 5, [41], 'rows')],
  ['similarity reduced', () => similarity('reduce', 37, 11)],
  ['similarity weighing', () => similarity('contract', 37, 11)],
];

describe('16-bit floats on the CPU', () => {
  // An odd length: whole vectors, and single elements at the end.
  it('are rounded to nearest, ties to even', async () => {
    const { given, expected } = roundings();
    expect(given.length % 4).not.toBe(0);
    const found = (await runOn(await testDevice(), roundTrip(given.length), { x: given })).get('y');
    expected.forEach((e, i) => { if (!Object.is(found?.[i], e)) expect.fail(`${given[i]} became ${found?.[i]}, not ${e}`); });
  });

  it.each(programs)('%s', async (_name, build) => {
    const kernels = halved(build());
    await expectAgreement(kernels, numbers(kernels.program, 7), 1e-3);
  });
});
