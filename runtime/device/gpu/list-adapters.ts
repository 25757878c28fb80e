/** What `sslc doctor` tells of graphics adapters: plain data, one entry a backend that was tried. Never throws. */
import type { DeviceLimits } from '../device.js';
import { isSoftware, openDawn, requestAdapter } from './dawn.js';
import { deviceLimits } from './gpu-limits.js';
import { nameOf } from './open-gpu-device.js';

export interface AdapterFact {
  readonly backend: string;
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  /** Driver and version, as the driver says it. */
  readonly driver: string;
  readonly software: boolean;
  /** A compatibility-level adapter: fewer bindings, no subgroups. */
  readonly core: boolean;
  readonly features: readonly string[];
  readonly limits: DeviceLimits;
}

export interface GpuFacts {
  /** Whether Dawn's native module loaded, and if not, why. */
  readonly dawn: { readonly loaded: boolean; readonly problem: string | null };
  readonly adapters: readonly AdapterFact[];
  /** Backends tried without finding an adapter, and why as far as it can be known. */
  readonly missing: readonly { readonly backend: string; readonly reason: string }[];
  /** What would make runs here faster, in words. */
  readonly advice: readonly string[];
}

const candidates: Partial<Record<NodeJS.Platform, readonly string[]>> = {
  linux: ['vulkan', 'opengles'],
  darwin: ['metal'],
  win32: ['d3d12', 'vulkan'],
};

const wanted = ['subgroups', 'shader-f16', 'timestamp-query', 'chromium-experimental-subgroup-matrix'];

export async function listAdapters(): Promise<GpuFacts> {
  const adapters: AdapterFact[] = [];
  const missing: { backend: string; reason: string }[] = [];
  try {
    await openDawn({ backend: null, adapter: null });
  } catch (error) {
    return { dawn: { loaded: false, problem: wordsOf(error) }, adapters, missing, advice: ['install the native GPU runtime again: `npm install webgpu`'] };
  }
  for (const backend of candidates[process.platform] ?? ['vulkan']) {
    try {
      const adapter = await requestAdapter(await openDawn({ backend, adapter: null }));
      if (adapter === null) missing.push({ backend, reason: reasonFor(backend) });
      else adapters.push(factOf(backend, adapter));
    } catch (error) {
      missing.push({ backend, reason: wordsOf(error) });
    }
  }
  return { dawn: { loaded: true, problem: null }, adapters, missing, advice: adviceFor(adapters) };
}

function wordsOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).trim();
}

function factOf(backend: string, adapter: GPUAdapter): AdapterFact {
  const { info } = adapter;
  return {
    backend,
    name: nameOf(info),
    vendor: info.vendor,
    architecture: info.architecture,
    driver: info.description,
    software: isSoftware(info),
    core: adapter.features.has('core-features-and-limits'),
    features: wanted.filter((f) => adapter.features.has(f)),
    limits: deviceLimits(adapter),
  };
}

function reasonFor(backend: string): string {
  switch (backend) {
    case 'vulkan': return 'no Vulkan driver that WebGPU accepts (needs the loader libvulkan.so.1 and a driver of Mesa 23 or later, or the GPU vendor\'s)';
    case 'opengles': return 'no OpenGL ES 3.1 driver (libEGL)';
    case 'metal': return 'no Metal device';
    default: return 'no Direct3D 12 device';
  }
}

function adviceFor(adapters: readonly AdapterFact[]): string[] {
  if (adapters.some((a) => !a.software)) return [];
  if (adapters.length > 0) {
    return ['the adapters found compute on the processor, where the CPU target is faster; a GPU with its vendor\'s driver would be faster still'];
  }
  return process.platform === 'linux'
    ? ['with a GPU in this machine: install its Vulkan driver (NVIDIA: the proprietary driver; AMD and Intel: mesa-vulkan-drivers) and libvulkan1']
    : ['no GPU was found; the CPU target is used'];
}
