/** What never exists in memory, counted: attention's matrices of tokens by tokens, logits over a vocabulary, similarities of all pairs. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CallInput, TargetOptions } from '../../compiler/api.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { materializedOfSize } from '../../compiler/fuse/verify-kernels.js';
import { compileCall, compileTraining, loadProgram } from '../../compiler/pipeline.js';
import type { Plan } from '../../compiler/plan/plan.js';
import { load, memoryReader } from '../lower/harness.js';

const cpu: TargetOptions = {
  target: 'wasm', maxBindingBytes: 2 ** 32, maxBindings: 1000, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 32768,
  subgroups: false, software: false, threads: 2, relaxedSimd: false, disabled: [],
};
const gpu: TargetOptions = { ...cpu, target: 'wgsl', maxBindingBytes: 128 << 20, maxBindings: 8 };
const targets = [['the CPU', cpu], ['a GPU', gpu]] as const;

/** Two blocks of a vision transformer at ViT-tiny's width, 3 heads, on pictures of 224 x 224 in patches of 16 x 16. */
const vit = `
use std.vit { vision_transformer }
use std.energies { nt_xent }
use std.optimizers { adam }
model step() {
  input a: [224, 224, 3], b: [224, 224, 3]
  net   f = vision_transformer(192, 2, 3, 16)
  minimize  contrast: nt_xent(0.5)(f(a), f(b))
  represent f(a)
}
train step {
  batch     2
  steps     10
  optimizer adam(rate: 0.001)
}`;
const tokens = 197;

function vitStep(target: TargetOptions): { readonly kernels: KernelProgram; readonly plan: Plan } {
  const inputs = ['a', 'b'].map((name) => ({ name, element: 'f32' as const, shape: [224, 224, 3] }));
  const compiled = compileTraining(load(vit), { model: null, set: {}, steps: 10, resident: true, embedBatch: 2, target, data: { examples: 2, classes: null, inputs } });
  return { kernels: compiled.kernels['step'], plan: compiled.plan };
}

const square = ({ program, materialized }: KernelProgram): readonly string[] =>
  materialized.map((id) => program.tensors[id]).filter((t) => t.shape.filter((n) => n === tokens).length > 1).map((t) => t.origin.name);

describe('a training step of a vision transformer', () => {
  it.each(targets)('keeps no tensor of tokens by tokens at 197 tokens on %s', (_, target) => {
    const { kernels, plan } = vitStep(target);
    expect(square(kernels)).toEqual([]);
    // A block: logsumexp, mean of values, gradients of values, keys and queries, of which the CPU makes the first two together. The loss: logsumexp and gradient.
    expect(kernels.kernels.filter((k) => k.kind === 'online')).toHaveLength(2 * (target.target === 'wasm' ? 4 : 5) + 2);
    const { peakBytes, liveBytes } = plan.entries['step'];
    expect(peakBytes).toBeLessThanOrEqual(1.1 * liveBytes);
  });

  it('has such tensors when streaming is off', () => {
    expect(square(vitStep({ ...cpu, disabled: ['online'] }).kernels).length).toBeGreaterThan(0);
  });
});

const operations = loadProgram(join(import.meta.dirname, '..', '..', 'bench', 'works', 'operations.ssl'), memoryReader({}));

function call(target: TargetOptions, name: string, inputs: Readonly<Record<string, CallInput>>): { readonly kernels: KernelProgram; readonly peakBytes: number } {
  const compiled = compileCall(operations, { name, set: {}, inputs, gradients: true, training: true, target });
  return { kernels: compiled.kernels['call'], peakBytes: compiled.plan.entries['call'].peakBytes };
}

const f32 = (...shape: number[]): CallInput => ({ element: 'f32', shape });

describe.each(targets)('on %s', (_, target) => {
  it.each([256, 768])('cross-entropy of 4096 x 30522 from hidden states of width %i has no logits, forward or backward', (width) => {
    const { kernels, peakBytes } = call(target, 'vocabulary', { h: f32(4096, width), w: f32(30522, width), label: { element: 'i32', shape: [4096] } });
    // The gradient of the vocabulary is the largest of what there is.
    expect(materializedOfSize(kernels, 30522 * width + 1)).toEqual([]);
    expect(peakBytes).toBeLessThan(1.01 * 4 * 30522 * width);
  });

  it.each([4096, 16384])('NT-Xent of %i rows takes memory for the embeddings and their gradient, not for the pairs', (rows) => {
    const { peakBytes } = call(target, 'contrast', { u: f32(rows / 2, 128), v: f32(rows / 2, 128) });
    expect(peakBytes).toBeLessThan(2.1 * 4 * rows * 128);
  });
});
