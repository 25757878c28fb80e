/** Whole training steps of the library's models, small: fused kernels equal the interpreter and stay few. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import { interpretKernels } from '../../compiler/fuse/interpret-kernels.js';
import { buildTraining } from '../../compiler/lower/training-programs.js';
import { loadProgram, runPasses } from '../../compiler/pipeline.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import type { Program } from '../../compiler/tensor/program.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import { difference, numbers } from './generate.js';

const target = {
  target: 'wasm', maxBindingBytes: 1 << 27, maxBindings: 8, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 32768,
  subgroups: false, software: true, threads: 2, relaxedSimd: false, disabled: [],
} as const;

const reader = {
  read: (path: string): string | null => (existsSync(path) ? readFileSync(path, 'utf8') : null),
  resolve: (_from: string, request: string): string => request,
  library: (name: string): string => `models/${name.replace(/\./g, '/')}.ssl`,
};

function inputsOf(program: Program): Record<string, Float64Array> {
  const inputs: Record<string, Float64Array> = {};
  for (const t of program.tensors) {
    if (t.kind !== 'source') continue;
    const size = sizeOf(t.shape);
    if (t.element === 'f32') inputs[t.name] = numbers(size, t.id % 7).map((v) => (t.role === 'state' ? Math.abs(v) : v * 0.3));
    else inputs[t.name] = Float64Array.from({ length: size }, (_, i) => (t.element === 'u8' ? (i * 37) % 256 : t.role === 'clock' ? 3 : i % 6));
  }
  return inputs;
}

it.each<[string, Record<string, string>]>([['simclr', { channels: '4', hidden: '8', width: '8' }], ['moco_v2', { channels: '2', keys: '12' }]])('a training step of %s', (model, set) => {
  const loaded = loadProgram(`models/vision/${model}.ssl`, reader);
  const data = { examples: 6, inputs: [{ name: 'x', element: 'u8' as const, shape: [16, 16, 1] }], classes: 10 };
  const { programs } = buildTraining(loaded, { model: null, set, data, steps: 100, resident: true, embedBatch: 3, target });
  const program = runPasses(programs.step, target);
  const inputs = inputsOf(program);
  const kernels = fuse(program, target);
  const expected = interpret(program, inputs);
  const result = interpretKernels(kernels, inputs);
  expect(difference(expected.outputs, result.outputs)).toBeLessThan(1e-9);
  expect(difference(expected.sources, result.sources)).toBeLessThan(1e-9);
  expect(kernels.kernels.length).toBeLessThan(program.tensors.length / 2);
}, 30000);
