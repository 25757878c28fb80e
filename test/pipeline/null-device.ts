/** Dawn's null backend, which checks WGSL and runs nothing: whole plans are given to it. */
import { expect } from 'vitest';
import type { TargetOptions } from '../../compiler/api.js';
import type { Plan } from '../../compiler/plan/plan.js';
import { openDawn, requestAdapter } from '../../runtime/device/gpu/dawn.js';
import { GpuFailure } from '../../runtime/device/gpu/gpu-failure.js';
import { makePipeline } from '../../runtime/device/gpu/gpu-pipelines.js';

export interface NullDevice {
  readonly device: GPUDevice;
  readonly close: () => void;
}

export async function nullDevice(): Promise<NullDevice> {
  const adapter = await requestAdapter(await openDawn({ backend: 'null', adapter: null }));
  if (adapter === null) throw new Error('no null backend');
  const device = await adapter.requestDevice({ requiredFeatures: (['subgroups'] as const).filter((f) => adapter.features.has(f)) });
  const failure = new GpuFailure(device);
  return {
    device,
    close: () => {
      failure.check();
      failure.closing();
      device.destroy();
    },
  };
}

/** Every kernel of a plan must be accepted and stay within the device's limits. */
export async function acceptModules({ device }: NullDevice, plan: Plan, options: TargetOptions): Promise<void> {
  if (plan.code.target !== 'wgsl') throw new Error('not WGSL');
  const { modules } = plan.code;
  const launches = new Map(Object.values(plan.entries).flatMap((entry) => entry.launches).map((launch) => [launch.kernel, launch]));
  for (const launch of launches.values()) {
    expect(launch.bindings.length, launch.kernel).toBeLessThanOrEqual(options.maxBindings);
    expect(Math.max(...launch.workgroups), launch.kernel).toBeLessThanOrEqual(65535);
    const layout = device.createBindGroupLayout({ entries: launch.bindings.map((_b, binding) => ({ binding, visibility: 4, buffer: { type: 'storage' as const } })) });
    await makePipeline(device, launch.kernel, launch.origin, modules[launch.kernel], layout);
  }
}
