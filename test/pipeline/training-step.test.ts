/** Whole training steps of the bundled models, small, on the CPU target against the float64 interpreter of the same tensor programs. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TargetOptions } from '../../compiler/api.js';
import type { Device } from '../../runtime/device/device.js';
import { openCpuDevice } from '../../runtime/device/cpu/open-cpu-device.js';
import { batch, compile, expectSameSteps, models, titleOf } from './steps.js';

const target: TargetOptions = {
  target: 'wasm', maxBindingBytes: 2 ** 32, maxBindings: 1000, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 32768,
  subgroups: false, software: false, threads: 2, relaxedSimd: false, disabled: [],
};

describe('a training step', () => {
  let device: Device;
  beforeAll(async () => { device = await openCpuDevice({ threads: 2, exact: true }); });
  afterAll(async () => { await device.close(); });

  it.each(models.map((m) => [titleOf(m), m] as const))('of %s agrees with the interpreter', async (_, m) => {
    await expectSameSteps(device, compile(m, target), m);
  }, 120_000);
});

describe('a plan', () => {
  it('is the same, byte for byte, when it is made again', () => {
    const m = models[0];
    expect(JSON.stringify(compile(m, target).plan)).toBe(JSON.stringify(compile(m, target).plan));
  });

  it('never holds the matrix of similarities', () => {
    const m = { ...models[0], set: { ...models[0].set } };
    const compiled = compile(m, target);
    const kernels = compiled.kernels['step'];
    const side2 = 2 * batch;
    const square = kernels.materialized.filter((id) => kernels.program.tensors[id].shape.join() === `${side2},${side2}`);
    // width 8 = 2 * batch here, so the embeddings themselves have that shape; only a product of two of them would be named `s`
    expect(square.map((id) => kernels.program.tensors[id].origin.name).filter((n) => /(^|\.)s$/.test(n))).toEqual([]);
  });
});
