/** Similarity losses: the matrix of all pairs never exists, forward or backward, and the results are the interpreter's. */
import { describe, expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import { interpretKernels } from '../../compiler/fuse/interpret-kernels.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { materializedOfSize } from '../../compiler/fuse/verify-kernels.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import type { Program } from '../../compiler/tensor/program.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import { difference, numbers } from './generate.js';
import { attention } from './attention.js';
import { crossEntropy, infoNce, ntXent } from './nt-xent.js';

const options = { disabled: [], maxBindings: 8, target: 'wasm' } as const;

function inputsOf(program: Program): Record<string, Float64Array> {
  const inputs: Record<string, Float64Array> = {};
  for (const t of program.tensors) {
    if (t.kind === 'source') inputs[t.name] = t.element === 'i32' ? Float64Array.from({ length: sizeOf(t.shape) }, (_, i) => (i * 5) % 7) : numbers(sizeOf(t.shape), t.id);
  }
  return inputs;
}

function check(program: Program): KernelProgram {
  const kernels = fuse(program, options);
  const inputs = inputsOf(program);
  expect(difference(interpret(program, inputs).outputs, interpretKernels(kernels, inputs).outputs)).toBeLessThan(1e-9);
  return kernels;
}

describe('similarity losses', () => {
  it.each([[2, 3], [4, 5], [9, 4], [16, 12]])('NT-Xent of %i pairs in %i dimensions needs no matrix', (batch, width) => {
    for (const divided of [true, false]) {
      const kernels = check(ntXent(batch, width, divided));
      const rows = 2 * batch;
      const big = materializedOfSize(kernels, rows * rows).filter((id) => kernels.program.tensors[id].shape.join() !== `${rows},${width}`);
      expect(big).toEqual([]);
      // Logsumexp, positives, loss, gradient.
      expect(kernels.kernels.map((k) => k.kind)).toEqual(['online', 'reduce', 'reduce', 'online']);
    }
  });

  it('InfoNCE with a queue needs no matrix', () => {
    const kernels = check(infoNce(6, 50, 5));
    expect(materializedOfSize(kernels, 300)).toEqual([]);
  });

  it('cross-entropy over a vocabulary needs no logits', () => {
    const kernels = check(crossEntropy(8, 31, 5));
    expect(materializedOfSize(kernels, 248)).toEqual([]);
  });

  it('has the matrix when the pass is off', () => {
    const kernels = fuse(ntXent(16, 12, true), { ...options, disabled: ['online'] });
    expect(materializedOfSize(kernels, 1024).length).toBeGreaterThan(0);
  });
});

describe('attention', () => {
  it.each([[1, 1, 7, 9, 5], [2, 3, 10, 11, 4], [3, 2, 16, 16, 7], [1, 4, 9, 33, 6], [3, 1, 12, 12, 4]])('of %i examples, %i heads, %i by %i tokens in %i dimensions needs no matrix, forward or backward', (batch, heads, rows, columns, width) => {
    const kernels = check(attention(batch, heads, rows, columns, width));
    const shapes = kernels.materialized.map((id) => kernels.program.tensors[id]).filter((t) => t.kind === 'comprehension').map((t) => t.shape);
    // Rows by width, columns by width, rows: nothing has both rows and columns.
    expect(shapes.filter((shape) => sizeOf(shape) > batch * heads * Math.max(rows, columns) * width)).toEqual([]);
    expect(shapes.filter((shape) => shape.includes(rows) && rows !== columns && shape.includes(columns))).toEqual([]);
    // Logsumexp, mean of values, gradients of values and keys together, and of queries; sum of the gradient along the result.
    expect(kernels.kernels.map((k) => k.kind).sort()).toEqual(['online', 'online', 'online', 'online', 'reduce']);
    expect(kernels.kernels.map((k) => (k.kind === 'online' ? k.scores.length : 0)).sort()).toEqual([0, 1, 1, 2, 2]);
    expect(kernels.kernels.map((k) => (k.kind === 'online' && k.combine.kind === 'contract' ? k.combine.products.length : 0)).sort()).toEqual([0, 0, 1, 1, 2]);
  });

  it.each([[2, 2, 64, 64, 64], [64, 3, 65, 65, 64]])('of %i examples, %i heads, %i by %i tokens in %i dimensions keeps matrices no larger than their operands', (batch, heads, rows, columns, width) => {
    expect(fuse(attention(batch, heads, rows, columns, width), options).kernels.some((k) => k.kind === 'online')).toBe(false);
  });

  it.each([[64, 6, 197, 64], [1, 3, 197, 64], [2, 1, 512, 32]])('of %i examples, %i heads and %i tokens is streamed', (batch, heads, tokens, width) => {
    const kernels = fuse(attention(batch, heads, tokens, tokens, width), options);
    expect(materializedOfSize(kernels, batch * heads * tokens * tokens)).toEqual([]);
  });
});
