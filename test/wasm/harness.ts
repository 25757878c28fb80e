/** Runs kernel programs on the CPU target and compares them with the float64 interpreter. */
import { emitWasm } from '../../compiler/emit/wasm/emit-wasm.js';
import type { TargetOptions } from '../../compiler/api.js';
import { expectClose } from '../kernels/tools.js';
import { interpretKernels } from '../../compiler/fuse/interpret-kernels.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { planMemory } from '../../compiler/plan/plan-memory.js';
import type { Plan } from '../../compiler/plan/plan.js';
import type { Device, HostArray } from '../../runtime/device/device.js';
import { openCpuDevice } from '../../runtime/device/cpu/open-cpu-device.js';

export const exactOptions: TargetOptions = {
  target: 'wasm', maxBindingBytes: 2 ** 31, maxBindings: 1000, maxWorkgroupInvocations: 1, maxWorkgroupStorageBytes: 0,
  subgroups: false, software: true, threads: 1, relaxedSimd: false, disabled: [],
};

export function planOf(kernels: KernelProgram, options: TargetOptions = exactOptions): Plan {
  const memory = planMemory([kernels], { alignment: 256, arenaLimit: null });
  const [entry] = memory.entries;
  const emitted = emitWasm([{ kernels, placements: entry.placements }], memory.arenas, options);
  return {
    version: 1,
    arenas: memory.arenas,
    sources: memory.sources,
    entries: {
      main: {
        name: 'main',
        launches: emitted.tasks[0].map((tasks, i) => ({
          kernel: emitted.functions[0][i], class: kernels.kernels[i].kind, origin: '', cost: { flops: 0, bytesRead: 0, bytesWritten: 0, idealBytes: 0 }, workgroups: [tasks, 1, 1] as const, bindings: [],
        })),
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

export async function runOn(device: Device, kernels: KernelProgram, inputs: Inputs, options: TargetOptions = exactOptions): Promise<ReadonlyMap<string, HostArray>> {
  const session = await device.load(planOf(kernels, options));
  try {
    for (const [name, data] of Object.entries(inputs)) session.write(name, data);
    await session.run('main');
    const outputs = new Map<string, HostArray>();
    for (const o of kernels.program.outputs) outputs.set(o.name, await session.readOutput('main', o.name));
    return outputs;
  } finally {
    await session.close();
  }
}

let device: Promise<Device> | null = null;
/** One thread: tests of values need no more. */
export function testDevice(): Promise<Device> {
  device ??= openCpuDevice({ threads: 1 });
  return device;
}

/** Runs both ways and compares every output: |difference| <= tolerance * (1 + |expected|). */
export async function expectAgreement(kernels: KernelProgram, inputs: Inputs, tolerance = 2e-5): Promise<void> {
  const expected = interpretKernels(kernels, inputs);
  const found = await runOn(await testDevice(), kernels, inputs);
  for (const o of kernels.program.outputs) {
    const e = expected.outputs.get(o.name);
    if (e === undefined) throw new Error(`${o.name} was not computed`);
    expectClose(found.get(o.name), e, tolerance, `${kernels.name} ${o.name}`);
  }
}
