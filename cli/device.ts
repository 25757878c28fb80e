/** The device a command runs on, and what a plan for it must respect. */
import { availableParallelism } from 'node:os';
import type { TargetOptions } from '../compiler/api.js';
import type { Device } from '../runtime/device/device.js';
import { openDevice } from '../runtime/device/select.js';

/** With SSLC_DEBUG=1 a program is verified after every pass, to tell which one broke it. */
const verifyOnce = (process.env.SSLC_DEBUG ?? '') === '';

/** Opens a device, hands it over, and closes it whatever happens. */
export async function withDevice<T>(choice: string, use: (device: Device) => Promise<T>): Promise<T> {
  const device = await openDevice(choice);
  try {
    return await use(device);
  } finally {
    await device.close();
  }
}

/** The target that plans for this device are made for. */
export function targetOf(device: Device): TargetOptions {
  const threads = 'threads' in device && typeof device.threads === 'number' ? device.threads : availableParallelism();
  const relaxedSimd = 'relaxedSimd' in device && device.relaxedSimd === true;
  return { ...device.limits, target: device.target, threads, relaxedSimd, verifyOnce, disabled: [] };
}

/** A target for looking at programs without opening a device: the CPU's, or WebGPU's smallest. */
export function plainTarget(target: 'wasm' | 'wgsl'): TargetOptions {
  return {
    target,
    maxBindingBytes: target === 'wasm' ? 2 ** 32 : 2 ** 27,
    maxBindings: target === 'wasm' ? 1024 : 8,
    maxWorkgroupInvocations: 256,
    maxWorkgroupStorageBytes: 16384,
    subgroups: false,
    half: true,
    software: false,
    // Fixed, so that what is shown does not depend on the machine.
    threads: 2,
    relaxedSimd: false,
    verifyOnce,
    disabled: [],
  };
}
