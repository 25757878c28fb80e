/** Kernels of every class on the CPU target, against the float64 interpreter. */
import { describe, expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { attention } from '../fuse/attention.js';
import { convolution, product, reduction, similarity } from '../wgsl/kernels.js';
import { numbers } from '../kernels/tools.js';
import { exactOptions, expectAgreement } from './harness.js';

const programs: readonly (readonly [string, () => KernelProgram])[] = [
  ['product nn', () => product(1, 17, 19, 13, 'nn')],
  ['product nt', () => product(2, 33, 9, 40, 'nt')],
  ['product tn', () => product(1, 64, 64, 300, 'tn')],
  ['product tt', () => product(3, 5, 70, 31, 'tt')],
  ['product of size 1', () => product(1, 1, 1, 1, 'nn')],
  ['matrix times vector', () => product(1, 37, 1, 29, 'nt')],
  ['vector times matrix', () => product(1, 1, 37, 29, 'nn', false)],
  ['wide product', () => product(1, 130, 70, 20, 'nt', false)],
  ['product over several depth blocks', () => product(1, 20, 30, 700, 'nt')],
  ['product with a long sum', () => product(1, 9, 20, 5000, 'tn')],
  ['product with many blocks', () => product(1, 250, 300, 270, 'nn')],
  ['convolution', () => convolution(2, 9, 3, 10, 3, 1, 1)],
  ['strided convolution', () => convolution(2, 9, 5, 12, 3, 2, 1)],
  ['convolution of vectors', () => convolution(2, 9, 8, 12, 3, 2, 1)],
  ['1x1 convolution', () => convolution(1, 4, 8, 8, 1, 1, 0)],
  ['convolution without padding', () => convolution(3, 7, 1, 16, 5, 2, 0)],
  ...(['sum', 'max', 'min', 'prod', 'any', 'all', 'logsumexp', 'argmax', 'deviations'] as const).flatMap((op) => [
    [`${op} of rows`, () => reduction(op, 5, [3, 17], 'rows')] as const,
    [`${op} of columns`, () => reduction(op, 33, [70], 'columns')] as const,
    [`${op} in parts`, () => reduction(op, 3, [40, 1001], 'rows')] as const,
    [`${op} of columns in parts`, () => reduction(op, 21, [5000], 'columns')] as const,
  ]),
  ['sum to one number', () => reduction('sum', 1, [4001], 'rows')],
  ['logsumexp of one row', () => reduction('logsumexp', 1, [1500], 'rows')],
  ['argmax of one element', () => reduction('argmax', 3, [1], 'rows')],
  ['similarity reduced', () => similarity('reduce', 37, 11)],
  ['similarity reduced, several tiles', () => similarity('reduce', 150, 20)],
  ['similarity reduced, batched', () => similarity('reduce', 20, 8, 2)],
  ['similarity weighing', () => similarity('contract', 37, 11)],
  ['similarity weighing, several tiles', () => similarity('contract', 150, 60)],
  ['similarity weighing, batched', () => similarity('contract', 9, 40, 2)],
  ['similarity weighing, batched, with two scores', () => similarity('contract', 150, 60, 2, 2)],
  ['similarity weighing, batched, with two scores and products', () => similarity('contract', 150, 60, 2, 2, 2)],
  ['attention and its gradients', () => fuse(attention(2, 3, 37, 150, 20), exactOptions)],
  ['attention of one head and its gradients', () => fuse(attention(2, 1, 64, 40, 16), exactOptions)],
  ['attention of one example and its gradients', () => fuse(attention(1, 2, 21, 300, 9), exactOptions)],
];

describe('kernel classes on the CPU', () => {
  it.each(programs)('%s', async (_name, build) => {
    const kernels = build();
    const inputs = numbers(kernels.program, 7);
    // Similarities of long vectors would overflow when exponentiated.
    if ('z' in inputs) inputs['z'] = inputs['z'].map((x) => x / 4);
    await expectAgreement(kernels, inputs, 1e-4);
    expect.assertions(kernels.program.outputs.length);
  });

  it.each(['rows', 'columns'] as const)('takes the logsumexp of values far apart, along %s', async (along) => {
    const kernels = reduction('logsumexp', 6, [53], along);
    const { x } = numbers(kernels.program, 5);
    // Rising, falling, and one far above the rest in a different lane of each row.
    const value = (row: number, column: number): number => (row === 0 ? column : row === 1 ? -3 * column : column === 11 * row ? 90 : -90);
    const spread = x.map((v, at) => v + (along === 'rows' ? value(Math.floor(at / 53), at % 53) : value(at % 6, Math.floor(at / 6))));
    await expectAgreement(kernels, { x: spread }, 1e-5);
  });
});
