/** Dawn's null backend, which checks WGSL and runs nothing: whole plans are given to it. */
import { expect } from 'vitest';
import type { TargetOptions } from '../../compiler/api.js';
import type { Launch, Plan } from '../../compiler/plan/plan.js';
import { openDawn, requestAdapter } from '../../runtime/device/gpu/dawn.js';
import { GpuFailure } from '../../runtime/device/gpu/gpu-failure.js';
import { makePipeline } from '../../runtime/device/gpu/gpu-pipelines.js';

export interface NullDevice {
  readonly device: GPUDevice;
  readonly close: () => void;
}

/** `more`: features besides subgroups, where the backend has them. */
export async function nullDevice(more: readonly string[] = []): Promise<NullDevice> {
  const adapter = await requestAdapter(await openDawn({ backend: 'null', adapter: null }));
  if (adapter === null) throw new Error('no null backend');
  const device = await adapter.requestDevice({ requiredFeatures: ['subgroups', ...more].filter((f): f is GPUFeatureName => adapter.features.has(f)) });
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
    await acceptModule(device, launch, modules[launch.kernel], options);
  }
}

/** One module must be accepted, and its pipeline too where it needs no more workgroup memory than the null device has. */
export async function acceptModule(device: GPUDevice, launch: Launch, code: string, options: TargetOptions): Promise<void> {
  const shared = sharedBytes(code);
  expect(shared, launch.kernel).toBeLessThanOrEqual(options.maxWorkgroupStorageBytes);
  const layout = device.createBindGroupLayout({ entries: launch.bindings.map((_b, binding) => ({ binding, visibility: 4, buffer: { type: 'storage' as const } })) });
  if (shared <= device.limits.maxComputeWorkgroupStorageSize) {
    await makePipeline(device, launch.kernel, launch.origin, code, layout);
    return;
  }
  device.pushErrorScope('validation');
  device.createShaderModule({ code });
  const error = await device.popErrorScope();
  if (error !== null) expect.fail(`${launch.kernel}: ${error.message}`);
}

const bytesOfType: Readonly<Record<string, number>> = { f32: 4, i32: 4, u32: 4, bool: 4, vec4f: 16, vec4h: 8 };

/** Bytes of workgroup memory that a module declares. */
export function sharedBytes(code: string): number {
  return [...code.matchAll(/var<workgroup> \w+: array<(\w+), (\d+)>/g)].reduce((n, [, type, count]) => n + (bytesOfType[type] ?? NaN) * Number(count), 0);
}
