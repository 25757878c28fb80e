/** Runs kernel programs on an adapter and compares them with the float64 interpreter. */
import { existsSync } from 'node:fs';
import { expect } from 'vitest';
import { emitWgsl } from '../../compiler/emit/wgsl/emit-wgsl.js';
import type { WgslOptions } from '../../compiler/emit/wgsl/emit-wgsl.js';
import { interpretKernels } from '../../compiler/fuse/interpret-kernels.js';
import type { Kernel, KernelProgram } from '../../compiler/fuse/kernel.js';
import { planMemory } from '../../compiler/plan/plan-memory.js';
import type { Plan } from '../../compiler/plan/plan.js';
import type { Program } from '../../compiler/tensor/program.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import type { TensorId } from '../../compiler/tensor/scalar.js';
import { DeviceError } from '../../runtime/device/device.js';
import type { Device, HostArray } from '../../runtime/device/device.js';
import { openGpuDevice } from '../../runtime/device/gpu/open-gpu-device.js';

export const softwareOptions: WgslOptions = {
  target: 'wgsl', maxBindingBytes: 128 << 20, maxBindings: 8, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 16384,
  subgroups: false, software: true, threads: 1, relaxedSimd: false, disabled: [],
};
/** Schedules of a real GPU; a software adapter runs them too, slowly. */
export const gpuOptions: WgslOptions = { ...softwareOptions, software: false, maxWorkgroupStorageBytes: 32768 };

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
        launches: emitted.launches[0].map((launch, i) => ({ ...launch, class: kernels.kernels[i].kind, origin: kernels.kernels[i].name, cost: { flops: 0, bytesRead: 0, bytesWritten: 0 } })),
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

export function expectClose(found: HostArray | undefined, expected: Float64Array, tolerance: number, what: string): void {
  expect(found?.length, what).toBe(expected.length);
  if (found === undefined) return;
  for (let i = 0; i < expected.length; i++) {
    const e = expected[i];
    const f: number = found[i];
    const same = Number.isNaN(e) ? Number.isNaN(f) : Math.abs(e) === Infinity ? f === e : Math.abs(f - e) <= tolerance * (1 + Math.abs(e));
    if (!same) expect.fail(`${what}[${i}]: expected ${e}, found ${f}`);
  }
}

/** A program of kernels made by hand: everything read or stored lies in memory. */
export function handMade(program: Program, kernels: readonly Kernel[]): KernelProgram {
  return { name: program.name, program, kernels, materialized: program.tensors.map((t) => t.id) };
}

export const origin = (name: string): { span: null; name: string } => ({ span: null, name });

/** Reproducible numbers for a tensor. */
export function numbers(program: Program, seed = 1): Record<string, HostArray> {
  let state = seed >>> 0 || 1;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const inputs: Record<string, HostArray> = {};
  for (const t of program.tensors) {
    if (t.kind !== 'source') continue;
    const n = sizeOf(t.shape);
    const draw = (f: () => number): number[] => Array.from({ length: n }, f);
    inputs[t.name] = t.element === 'f32' ? Float32Array.from(draw(() => Math.fround(next() * 2 - 1)))
      : t.element === 'u8' ? Uint8Array.from(draw(() => Math.floor(next() * 256)))
        : t.element === 'bool' ? Int32Array.from(draw(() => Math.floor(next() * 2)))
          : Int32Array.from(draw(() => Math.floor(next() * 7)));
  }
  return inputs;
}

export const tensorId = (n: number): TensorId => n as TensorId;
