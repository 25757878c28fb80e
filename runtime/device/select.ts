/**
 * Which device a run uses. `auto`: a real GPU where there is one, else the CPU target, which is faster than any software
 * adapter; those are used only when named.
 */
import type { Device } from './device.js';
import { DeviceError } from './device.js';

const backends = new Set(['vulkan', 'metal', 'd3d12', 'd3d11', 'opengles']);

/**
 * Opens `auto`, `gpu`, `cpu`, a backend (`vulkan`, `metal`, `d3d12`, `opengles`), `software` (any adapter that computes on
 * the processor) or an adapter by a part of its name (`llvmpipe`, `NVIDIA`).
 */
export async function openDevice(choice: string): Promise<Device> {
  switch (choice) {
    case 'cpu': return openCpu();
    case 'gpu': return openGpu({});
    case 'auto': {
      try {
        return await openGpu({});
      } catch (error) {
        if (error instanceof DeviceError && error.event === 'unavailable') return openCpu();
        throw error;
      }
    }
    case 'software': return openGpu({ software: true });
    default: return openGpu(backends.has(choice) ? { backend: choice, software: true } : { adapter: choice, software: true });
  }
}

async function openCpu(): Promise<Device> {
  const { openCpuDevice } = await import('./cpu/open-cpu-device.js');
  return openCpuDevice({});
}

async function openGpu(options: { readonly adapter?: string; readonly backend?: string; readonly software?: boolean }): Promise<Device> {
  const { openGpuDevice } = await import('./gpu/open-gpu-device.js');
  return openGpuDevice(options);
}
