/** Runs kernel programs on an adapter and compares them with the float64 interpreter. */
import { existsSync } from 'node:fs';
import { emitWgsl } from '../../compiler/emit/wgsl/emit-wgsl.js';
import type { WgslOptions } from '../../compiler/emit/wgsl/emit-wgsl.js';
import { expectClose } from '../kernels/tools.js';
import { interpretKernels } from '../../compiler/fuse/interpret-kernels.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { planMemory } from '../../compiler/plan/plan-memory.js';
import type { Plan } from '../../compiler/plan/plan.js';
import type { TensorId } from '../../compiler/tensor/scalar.js';
import { DeviceError } from '../../runtime/device/device.js';
import type { Device, HostArray } from '../../runtime/device/device.js';
import { openGpuDevice } from '../../runtime/device/gpu/open-gpu-device.js';

export const softwareOptions: WgslOptions = {
  target: 'wgsl', maxBindingBytes: 128 << 20, maxBindings: 8, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 16384,
  subgroups: false, software: true, threads: 1, relaxedSimd: false, disabled: [],
};
/** Schedules of a software adapter whose subgroups have eight lanes, as lavapipe's have. */
export const lanesOptions: WgslOptions = { ...softwareOptions, subgroups: true, subgroupSize: 8 };
/** Schedules of a real GPU; a software adapter runs them too, slowly. */
export const gpuOptions: WgslOptions = { ...softwareOptions, software: false, maxWorkgroupStorageBytes: 32768 };
/** Schedules of a real GPU with subgroups, of any size. */
export const subgroupOptions: WgslOptions = { ...gpuOptions, subgroups: true };

/** Opens the software adapter VK_DRIVER_FILES names, or says why there is none. */
export async function openTestDevice(): Promise<Device | string> {
  const driver = process.env['VK_DRIVER_FILES'] ?? '';
  if (driver === '' || !existsSync(driver.split(':')[0])) return 'VK_DRIVER_FILES names no Vulkan driver (.ci/setup-lavapipe.sh fetches one)';
  try {
    return await openGpuDevice({ software: true });
  } catch (error) {
    if (error instanceof DeviceError) return error.message;
    throw error;
  }
}

export function planOf(kernels: KernelProgram, options: WgslOptions): Plan {
  const memory = planMemory([kernels], { alignment: 256, arenaLimit: null });
  const [entry] = memory.entries;
  const emitted = emitWgsl([{ kernels, placements: entry.placements }], options);
  return {
    version: 1,
    arenas: memory.arenas,
    sources: memory.sources,
    entries: {
      main: {
        name: 'main',
        launches: emitted.launches[0].map((launch, i) => ({ ...launch, class: kernels.kernels[i].kind, origin: kernels.kernels[i].name, cost: { flops: 0, bytesRead: 0, bytesWritten: 0, idealBytes: 0 } })),
        outputs: Object.fromEntries(kernels.program.outputs.map((o) => {
          const slot = entry.placements.get(o.tensor);
          if (slot === undefined) throw new Error(`no memory for ${o.name}`);
          return [o.name, slot];
        })),
        peakBytes: 0,
        liveBytes: 0,
      },
    },
    code: emitted.code,
  };
}

export type Inputs = Readonly<Record<string, HostArray>>;

export async function runOn(device: Device, kernels: KernelProgram, inputs: Inputs, options: WgslOptions): Promise<ReadonlyMap<string, HostArray>> {
  const session = await device.load(planOf(kernels, options));
  try {
    for (const [name, data] of Object.entries(inputs)) session.write(name, data);
    await session.run('main');
    const outputs = new Map<string, HostArray>();
    for (const o of kernels.program.outputs) outputs.set(o.name, await session.readOutput('main', o.name));
    await session.finish();
    return outputs;
  } finally {
    await session.close();
  }
}

/** Runs both ways and compares every output: |difference| <= tolerance * (1 + |expected|). */
export async function expectAgreement(device: Device, kernels: KernelProgram, inputs: Inputs, options: WgslOptions, tolerance = 2e-5): Promise<void> {
  const expected = interpretKernels(kernels, inputs);
  const found = await runOn(device, kernels, inputs, options);
  for (const [name, value] of expected.outputs) expectClose(found.get(name), value, tolerance, `${kernels.name}.${name}`);
}

export const tensorId = (n: number): TensorId => n as TensorId;
