/**
 * Loads Dawn (npm's `webgpu`) and makes its instances. The module is native and optional: where it is missing or does not
 * load, that is a `DeviceError` that says so. An instance that is collected while in use ends the process, so every one
 * made is kept until the process ends.
 */
import type * as Webgpu from 'webgpu';
import { tmpdir } from 'node:os';
import { DeviceError } from '../device.js';

/** The numbers of WebGPU's flags; Dawn's module does not define them as globals. */
export const bufferUsage = { mapRead: 0x1, copySource: 0x4, copyTarget: 0x8, storage: 0x80 } as const;
export const mapModeRead = 0x1;
export const computeStage = 0x4;

export interface DawnOptions {
  /** `vulkan`, `metal`, `d3d12`, `d3d11`, `opengles` or `null`; null lets Dawn choose. */
  readonly backend: string | null;
  /** Part of an adapter's name. */
  readonly adapter: string | null;
}

/** NVIDIA's Vulkan driver has 16-bit floats, which Dawn keeps back unless asked, as it does what is still an experiment: matrix units. */
export const dawnFeatures = 'enable-dawn-features=vulkan_enable_f16_on_nvidia,allow_unsafe_apis';

const instances = new Map<string, GPU>();

/** A Dawn instance for these options. */
export async function openDawn(options: DawnOptions): Promise<GPU> {
  const flags = [
    dawnFeatures,
    ...(options.backend === null ? [] : [`backend=${options.backend}`]),
    ...(options.adapter === null ? [] : [`adapter=${options.adapter}`]),
  ];
  const key = flags.join(',');
  const known = instances.get(key);
  if (known !== undefined) return known;
  const { create } = await loadModule();
  // Graphics libraries complain on stderr where this is not set.
  process.env['XDG_RUNTIME_DIR'] ??= tmpdir();
  const instance = create(flags);
  instances.set(key, instance);
  return instance;
}

async function loadModule(): Promise<typeof Webgpu> {
  try {
    const { importWebgpu } = await import('../../native-packages.js');
    return await importWebgpu();
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new DeviceError('unavailable', `the GPU runtime (npm package \`webgpu\`) did not load: ${why}`);
  }
}

/**
 * Asks for an adapter, by default the fastest; at the compatibility level too, when the core level finds none. Null when
 * nothing is there; Dawn's own words, which list the adapters it knows, when a name was given that is not among them.
 */
export async function requestAdapter(gpu: GPU): Promise<GPUAdapter | null> {
  try {
    const core = await gpu.requestAdapter({ powerPreference: 'high-performance' });
    return core ?? (await gpu.requestAdapter({ powerPreference: 'high-performance', featureLevel: 'compatibility' }));
  } catch (error) {
    throw new DeviceError('unavailable', error instanceof Error ? error.message : String(error));
  }
}

/** Whether an adapter computes on the processor. */
export function isSoftware(info: Pick<GPUAdapterInfo, 'vendor' | 'architecture' | 'device' | 'description' | 'isFallbackAdapter'>): boolean {
  return info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|softpipe|software|basic render|\bwarp\b|\bcpu\b/i.test(`${info.vendor} ${info.architecture} ${info.device} ${info.description}`);
}
