/** What a step of the benchmark's models and of a bundled one is made of, counted: launches, passes, memory. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CompiledModel, CompileTrainingOptions, LoadedProgram, TargetOptions } from '../../compiler/api.js';
import { compileCall, compileTraining, countTraining, loadProgram } from '../../compiler/pipeline.js';
import { memoryReader } from '../lower/harness.js';

const target: TargetOptions = {
  target: 'wasm', maxBindingBytes: 2 ** 32, maxBindings: 1000, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 32768,
  subgroups: false, software: false, threads: 2, relaxedSimd: false, disabled: [],
};

const options: CompileTrainingOptions = {
  model: null, set: {}, steps: 100, resident: true, embedBatch: 256, target,
  data: { examples: 10000, classes: 10, inputs: [{ name: 'x', element: 'u8', shape: [28, 28, 1] }] },
};

function load(file: string): LoadedProgram {
  const loaded = loadProgram(join(import.meta.dirname, '..', '..', file), memoryReader({}));
  expect(loaded.diagnostics).toEqual([]);
  return loaded;
}

const compile = (file: string, disabled: readonly string[] = []): CompiledModel => compileTraining(load(file), { ...options, target: { ...target, disabled } });

/** A usual discrete GPU. */
const gpu: TargetOptions = {
  target: 'wgsl', maxBindingBytes: 2 ** 31, maxBindings: 10, maxWorkgroupInvocations: 1024, maxWorkgroupStorageBytes: 49152,
  subgroups: true, subgroupSize: 32, software: false, threads: 1, relaxedSimd: false, disabled: [],
};

const launches = (c: CompiledModel): number => c.plan.entries['step'].launches.length;

describe('the augmentation of SimCLR', () => {
  it.each([['the CPU', 3, target], ['a GPU', 2, gpu], ['a GPU with less memory in workgroups', 5, { ...gpu, maxWorkgroupStorageBytes: 32768 }]] as const)('on %s is at most %i dispatches from bytes to the network\'s input', (_name, most, on) => {
    const { plan } = compileCall(load('bench/works/operations.ssl'), { name: 'augmentation', set: {}, inputs: { x: { element: 'u8', shape: [256, 32, 32, 3] } }, gradients: false, training: true, target: on });
    expect(plan.entries['call'].launches.length).toBeLessThanOrEqual(most);
  });
});

describe('a training step', () => {
  it.each([['bench/models/cnn.ssl', 11], ['bench/models/mlp.ssl', 9], ['models/vision/simclr.ssl', 25]])('of %s is at most %i launches, in memory near the least possible', (file, most) => {
    const compiled = compile(file);
    expect(launches(compiled)).toBeLessThanOrEqual(most);
    const { peakBytes, liveBytes } = compiled.plan.entries['step'];
    expect(peakBytes).toBeLessThanOrEqual(1.1 * liveBytes);
    // The optimizer is one map over the whole arena.
    const arena = compiled.kernels['step'].program.tensors.find((t) => t.kind === 'source' && t.name === 'parameters');
    expect(compiled.kernels['step'].kernels.filter((k) => k.stores.some((s) => s.tensor === arena?.id))).toHaveLength(1);
  });

  it.each([['bench/models/cnn.ssl', 16], ['bench/models/mlp.ssl', 13], ['models/vision/simclr.ssl', 36]])('of %s is at most %i dispatches on a GPU', (file, most) => {
    const { plan } = compileTraining(load(file), { ...options, target: gpu });
    const step = plan.entries['step'];
    expect(step.launches.length).toBeLessThanOrEqual(most);
    expect(step.peakBytes).toBeLessThanOrEqual(1.1 * step.liveBytes);
  });

  it('costs as much counted as compiled', () => {
    const file = 'models/vision/simclr.ssl';
    const [counted, compiled] = [countTraining(load(file), options), compile(file)];
    for (const [name, entry] of Object.entries(counted.plan.entries)) {
      const { launches: made, peakBytes, liveBytes } = compiled.plan.entries[name];
      expect(entry).toEqual({ name, peakBytes, liveBytes, launches: made.map(({ cost }) => ({ cost })) });
    }
  });

  it('of two views has half the launches, for no more bytes, that it has without twins', () => {
    const [together, apart] = [compile('models/vision/simclr.ssl'), compile('models/vision/simclr.ssl', ['twins'])];
    expect(launches(together)).toBeLessThan(0.7 * launches(apart));
    const bytes = (c: CompiledModel): number => c.plan.entries['step'].launches.reduce((n, l) => n + l.cost.bytesRead + l.cost.bytesWritten, 0);
    expect(bytes(together)).toBeLessThan(1.05 * bytes(apart));
  });

  it('takes mean and variance of a batch in one pass over it', () => {
    const { kernels } = compile('models/vision/simclr.ssl').kernels['step'];
    const passes = kernels.filter((k) => k.kind === 'reduce' && k.reduceExtents.join() === '256,28,28' && k.extents.join() === '2,24');
    // One forward, behind the convolution that makes it, and one backward.
    expect(passes).toHaveLength(2);
  });
});
