/**
 * The bundled models' training, small, as WGSL. All of it is checked by Dawn's null backend, which needs no driver, with the schedules
 * of GPUs and of software adapters; where an adapter is found, whole steps run on it and agree with the float64 interpreter.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TargetOptions } from '../../compiler/api.js';
import { openDawn, requestAdapter } from '../../runtime/device/gpu/dawn.js';
import { GpuFailure } from '../../runtime/device/gpu/gpu-failure.js';
import { makePipeline } from '../../runtime/device/gpu/gpu-pipelines.js';
import { gpuOptions, openTestDevice, softwareOptions } from '../wgsl/harness.js';
import { compile, expectSameSteps, models, titleOf } from './steps.js';

const opened = await openTestDevice();
const reason = typeof opened === 'string' ? ` (skipped: ${opened})` : '';

describe('the WGSL of a training', () => {
  let device: GPUDevice;
  let failure: GpuFailure;
  beforeAll(async () => {
    const adapter = await requestAdapter(await openDawn({ backend: 'null', adapter: null }));
    if (adapter === null) throw new Error('no null backend');
    device = await adapter.requestDevice();
    failure = new GpuFailure(device);
  });
  afterAll(() => {
    failure.check();
    failure.closing();
    device.destroy();
  });

  const schedules: readonly (readonly [string, TargetOptions])[] = [['a GPU', gpuOptions], ['a software adapter', softwareOptions]];
  it.each(models.flatMap((m) => schedules.map(([name, options]) => [titleOf(m), name, m, options] as const)))('of %s for %s is accepted', async (_title, _name, m, options) => {
    const { plan } = compile(m, options);
    if (plan.code.target !== 'wgsl') throw new Error('not WGSL');
    const { modules } = plan.code;
    const launches = new Map(Object.values(plan.entries).flatMap((entry) => entry.launches).map((launch) => [launch.kernel, launch]));
    for (const launch of launches.values()) {
      expect(launch.bindings.length, launch.kernel).toBeLessThanOrEqual(options.maxBindings);
      expect(Math.max(...launch.workgroups), launch.kernel).toBeLessThanOrEqual(65535);
      const layout = device.createBindGroupLayout({ entries: launch.bindings.map((_b, binding) => ({ binding, visibility: 4, buffer: { type: 'storage' as const } })) });
      await makePipeline(device, launch.kernel, launch.origin, modules[launch.kernel], layout);
    }
  });
});

describe.skipIf(typeof opened === 'string')(`a training step on an adapter${reason}`, () => {
  afterAll(async () => { if (typeof opened !== 'string') await opened.close(); });

  it.each(models.map((m) => [titleOf(m), m] as const))('of %s agrees with the interpreter', async (_, m) => {
    if (typeof opened === 'string') throw new Error(opened);
    await expectSameSteps(opened, compile(m, softwareOptions), m);
  }, 300_000);
});
