/** What an adapter offers, as the limits a plan must respect and as those to ask the device for. */
import type { MatrixUnit } from '../../../compiler/api.js';
import type { DeviceLimits } from '../device.js';
import { isSoftware } from './dawn.js';

const asked = [
  'maxBufferSize', 'maxStorageBufferBindingSize', 'maxStorageBuffersPerShaderStage', 'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup', 'maxComputeWorkgroupSizeX',
] as const;

type AskedLimit = (typeof asked)[number];

/** What decides about an adapter, as an adapter has it and as the probing process reports it. */
export interface AdapterFacts {
  readonly info: Pick<GPUAdapterInfo, 'vendor' | 'architecture' | 'device' | 'description' | 'isFallbackAdapter'> & Partial<Pick<GPUAdapterInfo, 'subgroupMinSize' | 'subgroupMaxSize'>>;
  readonly limits: Readonly<Record<AskedLimit, number>>;
  readonly features: { has(name: string): boolean };
}

/** The adapter's own limits, where they matter to us; a device has WebGPU's least ones unless asked. */
export function requiredLimits(adapter: GPUAdapter): Record<string, number> {
  return Object.fromEntries(asked.map((name) => [name, adapter.limits[name]]));
}

/** `units`: those that can be relied on. */
export function deviceLimits(adapter: AdapterFacts, units: readonly MatrixUnit[] = []): DeviceLimits {
  const { limits, info } = adapter;
  const subgroups = adapter.features.has('subgroups');
  const sizes = subgroups && info.subgroupMinSize !== undefined && info.subgroupMinSize === info.subgroupMaxSize ? { subgroupSize: info.subgroupMinSize } : {};
  return {
    maxBindingBytes: Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize),
    maxBindings: limits.maxStorageBuffersPerShaderStage,
    maxWorkgroupInvocations: Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX),
    maxWorkgroupStorageBytes: limits.maxComputeWorkgroupStorageSize,
    subgroups,
    half: adapter.features.has('shader-f16'),
    ...sizes,
    ...(units.length === 0 || info.subgroupMaxSize === undefined ? {} : { matrixUnits: { lanes: info.subgroupMaxSize, shapes: units } }),
    software: isSoftware(info),
  };
}
