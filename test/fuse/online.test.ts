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
