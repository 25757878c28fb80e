/** Activation checkpointing: the same numbers from less memory. */
import { describe, expect, it } from 'vitest';
import type { CompiledModel, TargetOptions } from '../../compiler/api.js';
import { compileTraining, loadProgram } from '../../compiler/pipeline.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import type { Program } from '../../compiler/tensor/program.js';
import { recomputeActivations } from '../../compiler/tensor/recompute.js';
import { verify } from '../../compiler/tensor/verify.js';
import { memoryReader } from '../lower/harness.js';
import { batch, compile, expectSameValues, models } from './steps.js';

const cpu: TargetOptions = {
  target: 'wasm', maxBindingBytes: 2 ** 32, maxBindings: 1000, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 32768,
  subgroups: false, software: false, threads: 2, relaxedSimd: false, disabled: [],
};

/** A source's value in a test: small, and different from place to place. */
function values(program: Program): Record<string, Float64Array> {
  return Object.fromEntries(program.tensors.flatMap((t, k) => (t.kind !== 'source' ? [] : [[t.name, Float64Array.from({ length: sizeOf(t.shape) }, (_, i) => {
    if (t.element === 'f32') return 0.5 + 0.4 * Math.sin(0.37 * i + k);
    return t.element === 'u8' ? (i * 37) % 256 : t.role === 'clock' ? 3 : i % 4;
  })]])));
}

/** A residual network of 33 convolutions. */
function deep(activations: string, width: number, side: number): CompiledModel {
  const loaded = loadProgram('main.ssl', memoryReader({ 'main.ssl': `
use std.vision { basic_block, conv_block, mlp }
use std.layers { global_average }
use std.energies { nt_xent }
use std.optimizers { sgd }
use std.views { flip, noise }
backbone deep(x: [H, W, C]) = x |> conv_block(${width})${` |> basic_block(${width})`.repeat(16)} |> global_average
model big() {
  input x: u8[H, W, C]
  view a, b ~ (x |> flip |> noise(0.1))
  net f = deep
  minimize contrast: nt_xent(0.5)(f(a), f(b))
  represent f(x)
}
train big { batch ${batch}; optimizer sgd(rate: 0.1)${activations} }
` }));
  expect(loaded.diagnostics).toEqual([]);
  return compileTraining(loaded, {
    model: null, set: {}, steps: 8, resident: true, embedBatch: batch, target: cpu,
    data: { examples: 12, classes: null, inputs: [{ name: 'x', element: 'u8', shape: [side, side, 3] }] },
  });
}

function expectSame(step: Program, again: Program): void {
  verify(again);
  const given = values(step);
  const [a, b] = [interpret(step, given), interpret(again, given)];
  expectSameValues(b.outputs, a.outputs, 0);
  expectSameValues(b.sources, a.sources, 0);
}

describe('recomputed activations', () => {
  it.each(models)('of $name with $channels channels give the same numbers', (m) => {
    const { step } = compile(m, cpu).programs;
    expectSame(step, recomputeActivations(step));
  });

  it('of a deep network give the same numbers', () => {
    const [keep, recompute] = [deep('', 2, 4), deep('; activations "recompute"', 2, 4)].map((c) => c.programs['step']);
    expect(keep.tensors.some((t) => t.phase === 'recomputed')).toBe(false);
    expect(recompute.tensors.some((t) => t.phase === 'recomputed')).toBe(true);
    expectSame(keep, recompute);
  });

  it('leave at most two fifths of the memory of a deep network, for about a third more arithmetic', () => {
    const cost = ({ plan }: CompiledModel): { peak: number; flops: number } => ({ peak: plan.entries['step'].peakBytes, flops: plan.entries['step'].launches.reduce((n, l) => n + l.cost.flops, 0) });
    const [keep, recompute] = [cost(deep('', 8, 32)), cost(deep('; activations "recompute"', 8, 32))];
    expect(recompute.peak).toBeLessThan(0.4 * keep.peak);
    expect(recompute.flops).toBeGreaterThan(keep.flops * 1.1);
    expect(recompute.flops).toBeLessThan(keep.flops * 1.5);
  });

  it('can be nothing else than kept or recomputed', () => {
    expect(() => deep('; activations "forget"', 2, 4)).toThrow(/activations/);
  });
});
