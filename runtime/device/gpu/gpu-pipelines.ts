/** Pipelines and bind groups of a plan, made once and in parallel; errors name the kernel, its `.ssl` line and the place in its text. */
import type { Plan } from '../../../compiler/plan/plan.js';
import { DeviceError } from '../device.js';
import { computeStage } from './dawn.js';

export interface PreparedLaunch {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
}

/** By entry, the launches in order. */
export async function preparePipelines(device: GPUDevice, plan: Plan, modules: Readonly<Record<string, string>>, arenas: readonly GPUBuffer[]): Promise<ReadonlyMap<string, readonly PreparedLaunch[]>> {
  const counts = new Map<string, { bindings: number; origin: string }>();
  for (const entry of Object.values(plan.entries)) {
    for (const launch of entry.launches) counts.set(launch.kernel, { bindings: launch.bindings.length, origin: launch.origin });
  }
  const layouts = new Map<number, GPUBindGroupLayout>();
  const layoutOf = (bindings: number): GPUBindGroupLayout => {
    let layout = layouts.get(bindings);
    if (layout === undefined) {
      layout = device.createBindGroupLayout({
        entries: Array.from({ length: bindings }, (_, binding) => ({ binding, visibility: computeStage, buffer: { type: 'storage' } })),
      });
      layouts.set(bindings, layout);
    }
    return layout;
  };
  const pipelines = new Map(await Promise.all([...counts].map(async ([kernel, { bindings, origin }]) => {
    const code = modules[kernel];
    if (code === undefined) throw new DeviceError('validation', `the plan has no code for kernel ${kernel}`);
    return [kernel, await makePipeline(device, kernel, origin, code, layoutOf(bindings))] as const;
  })));
  const groups = new Map<string, GPUBindGroup>();
  const prepared = new Map<string, readonly PreparedLaunch[]>();
  device.pushErrorScope('validation');
  for (const [name, entry] of Object.entries(plan.entries)) {
    prepared.set(name, entry.launches.map((launch) => {
      const key = JSON.stringify(launch.bindings);
      let bindGroup = groups.get(key);
      if (bindGroup === undefined) {
        bindGroup = device.createBindGroup({
          label: launch.kernel,
          layout: layoutOf(launch.bindings.length),
          entries: launch.bindings.map((b, binding) => ({ binding, resource: { buffer: arenas[b.arena], offset: b.offset, size: Math.ceil(b.bytes / 4) * 4 } })),
        });
        groups.set(key, bindGroup);
      }
      const pipeline = pipelines.get(launch.kernel);
      if (pipeline === undefined) throw new DeviceError('validation', `kernel ${launch.kernel} was not prepared`);
      return { pipeline, bindGroup, workgroups: launch.workgroups };
    }));
  }
  const error = await device.popErrorScope();
  if (error !== null) throw new DeviceError('validation', `a kernel's memory could not be bound: ${error.message}`);
  return prepared;
}

/** Compiles one module; a refusal gives the compiler's own messages with line and column. */
export async function makePipeline(device: GPUDevice, kernel: string, origin: string, code: string, layout: GPUBindGroupLayout): Promise<GPUComputePipeline> {
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ label: kernel, code });
  const scope = device.popErrorScope();
  const pipeline = device.createComputePipelineAsync({ label: kernel, layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }), compute: { module, entryPoint: 'main' } });
  pipeline.catch(() => undefined);
  const where = `kernel ${kernel}${origin === '' ? '' : ` (${origin})`}`;
  const problem = await scope;
  if (problem !== null) {
    const { messages } = await module.getCompilationInfo();
    const lines = code.split('\n');
    const errors = messages.filter((m) => m.type === 'error').map((m) => `${m.lineNum}:${m.linePos} ${m.message}\n    ${lines[m.lineNum - 1]?.trim() ?? ''}`);
    throw new DeviceError('validation', `${where} was refused by the device's compiler:\n${errors.length > 0 ? errors.join('\n') : problem.message}`);
  }
  try {
    return await pipeline;
  } catch (error) {
    throw new DeviceError('validation', `${where} could not be prepared: ${error instanceof Error ? error.message : String(error)}`);
  }
}
