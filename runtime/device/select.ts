/**
 * Which device a run uses. `auto`: a real GPU where there is one, else the CPU target, which is faster than any software
 * adapter; those are used only when named.
 */
import type { Device } from './device.js';
import { DeviceError } from './device.js';
import type { AdapterFact } from './gpu/list-adapters.js';
import type { GpuOptions } from './gpu/open-gpu-device.js';

const backends = new Set(['vulkan', 'metal', 'd3d12', 'd3d11', 'opengles']);

/**
 * Opens `auto`, `gpu`, `cpu`, a backend (`vulkan`, `metal`, `d3d12`, `opengles`), `software` (any adapter that computes on
 * the processor) or an adapter by a part of its name (`llvmpipe`, `NVIDIA`).
 */
export async function openDevice(choice: string): Promise<Device> {
  const options = await gpuOptionsFor(choice);
  return options === null ? openCpu() : openGpu(options);
}

/** Which adapter a choice names; null where it is the CPU target. */
export async function gpuOptionsFor(choice: string): Promise<GpuOptions | null> {
  switch (choice) {
    case 'cpu': return null;
    case 'gpu': {
      const facts = await lookForAdapters();
      if (facts.gpu === null) throw new DeviceError('unavailable', facts.why);
      return { backend: facts.gpu.backend };
    }
    case 'auto': {
      const { gpu } = await lookForAdapters();
      return gpu === null ? null : { backend: gpu.backend };
    }
    case 'software': {
      const emulated = (await lookForAdapters()).adapters.find((a) => a.software);
      if (emulated === undefined) throw new DeviceError('unavailable', 'no software adapter was found');
      return { backend: emulated.backend, software: true };
    }
    default: return backends.has(choice) ? { backend: choice, software: true } : { adapter: choice, software: true };
  }
}

async function openCpu(): Promise<Device> {
  const { openCpuDevice } = await import('./cpu/open-cpu-device.js');
  return openCpuDevice({});
}

/** What there is, found out in a process of its own, without a word on stderr. */
async function lookForAdapters(): Promise<{ readonly adapters: readonly AdapterFact[]; readonly gpu: AdapterFact | null; readonly why: string }> {
  const { listAdapters, usableGpu, whyNoGpu } = await import('./gpu/list-adapters.js');
  const facts = await listAdapters();
  return { adapters: facts.adapters, gpu: usableGpu(facts), why: whyNoGpu(facts) };
}

async function openGpu(options: GpuOptions): Promise<Device> {
  const { openGpuDevice } = await import('./gpu/open-gpu-device.js');
  return openGpuDevice(options);
}
