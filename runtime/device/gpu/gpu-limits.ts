/** What an adapter offers, as the limits a plan must respect and as those to ask the device for. */
import type { DeviceLimits } from '../device.js';
import { isSoftware } from './dawn.js';

const asked = [
  'maxBufferSize', 'maxStorageBufferBindingSize', 'maxStorageBuffersPerShaderStage', 'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup', 'maxComputeWorkgroupSizeX',
] as const;

/** The adapter's own limits, where they matter to us; a device has WebGPU's least ones unless asked. */
export function requiredLimits(adapter: GPUAdapter): Record<string, number> {
  return Object.fromEntries(asked.map((name) => [name, adapter.limits[name]]));
}

export function deviceLimits(adapter: GPUAdapter): DeviceLimits {
  const { limits } = adapter;
  return {
    maxBindingBytes: Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize),
    maxBindings: limits.maxStorageBuffersPerShaderStage,
    maxWorkgroupInvocations: Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX),
    maxWorkgroupStorageBytes: limits.maxComputeWorkgroupStorageSize,
    subgroups: adapter.features.has('subgroups'),
    software: isSoftware(adapter.info),
  };
}
