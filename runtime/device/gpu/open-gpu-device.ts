/** Opens a GPU (or a software adapter, when it is named) through Dawn as a `Device`. */
import type { Plan } from '../../../compiler/plan/plan.js';
import type { Device, Session } from '../device.js';
import { DeviceError } from '../device.js';
import { isSoftware, openDawn, requestAdapter } from './dawn.js';
import { deviceLimits, requiredLimits } from './gpu-limits.js';
import { matrixFeature, provenUnits } from './matrix-units.js';
import { GpuFailure } from './gpu-failure.js';
import { openGpuSession } from './gpu-session.js';
import type { GpuSession } from './gpu-session.js';

export interface GpuOptions {
  /** Part of an adapter's name: `NVIDIA`, `llvmpipe`. */
  readonly adapter?: string;
  /** `vulkan`, `metal`, `d3d12`, `opengles`. */
  readonly backend?: string;
  /** Whether an adapter that computes on the processor is welcome. */
  readonly software?: boolean;
}

/** Opens the adapter these options describe; a `DeviceError` `unavailable` says what is missing. */
export async function openGpuDevice(options: GpuOptions): Promise<Device> {
  const gpu = await openDawn({ backend: options.backend ?? null, adapter: options.adapter ?? null });
  const named = [options.adapter, options.backend].filter((x) => x !== undefined).join(' on ');
  const adapter = await requestAdapter(gpu).catch((error: unknown) => {
    if (error instanceof DeviceError && named !== '') throw new DeviceError('unavailable', `no GPU called \`${named}\` was found: ${error.message}`);
    throw error;
  });
  if (adapter === null) {
    throw new DeviceError('unavailable', named === '' ? 'no GPU was found: no driver that WebGPU can use is installed' : `no GPU called \`${named}\` was found`);
  }
  const { info } = adapter;
  if (isSoftware(info) && options.software !== true) {
    throw new DeviceError('unavailable', `the only adapter found, ${info.description || info.device}, computes on the processor; the CPU target is faster (name it to use it all the same)`);
  }
  const units = adapter.features.has(matrixFeature) ? await provenUnits(info, info.subgroupMatrixConfigs ?? []) : [];
  const { device, matrices } = await openDevice(gpu, adapter, units.length > 0);
  const failure = new GpuFailure(device);
  const sessions = new Set<GpuSession>();
  return {
    kind: 'gpu',
    name: nameOf(info),
    target: 'wgsl',
    limits: deviceLimits(adapter, matrices ? units : []),
    async load(plan: Plan): Promise<Session> {
      const session = await openGpuSession(device, failure, plan, () => sessions.delete(session));
      sessions.add(session);
      return session;
    },
    async close(): Promise<void> {
      for (const session of [...sessions]) await session.close();
      failure.closing();
      device.destroy();
      // Holding the instance and adapter here as well keeps them alive for as long as the device is.
      void gpu;
      void adapter;
    },
  };
}

/** The device with all it has that kernels use; without matrix units where it does not open with them. */
async function openDevice(gpu: GPU, adapter: GPUAdapter, matrices: boolean): Promise<{ readonly device: GPUDevice; readonly matrices: boolean }> {
  const isOffered = (name: string): name is GPUFeatureName => adapter.features.has(name);
  const features = ['subgroups', 'shader-f16', ...(matrices ? [matrixFeature] : [])].filter(isOffered);
  try {
    return { device: await adapter.requestDevice({ requiredFeatures: features, requiredLimits: requiredLimits(adapter) }), matrices };
  } catch (error) {
    // An adapter opens one device at most, even if it fails.
    const again = matrices ? await requestAdapter(gpu) : null;
    if (again !== null) return openDevice(gpu, again, false);
    throw new DeviceError('unavailable', `${nameOf(adapter.info)} could not be opened: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** `NVIDIA H100 (Vulkan)`, in the words the driver gives. */
export function nameOf(info: Pick<GPUAdapterInfo, 'vendor' | 'architecture' | 'device' | 'description'>): string {
  const name = info.device !== '' && !/^0x/.test(info.device) ? info.device.replace(/-+$/, '') : info.architecture || info.vendor || 'unknown GPU';
  return info.description === '' ? name : `${name} (${info.description})`;
}
