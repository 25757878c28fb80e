/**
 * What there is to measure in a program: for each shape of kernel that the target can lay out in several ways, a plan with an
 * entry for every way. The plans work in the memory of the program's own plan, so that all kernels can be run by themselves.
 */
import type { TargetOptions } from '../api.js';
import type { TunableKernel } from '../emit/measured-schedule.js';
import { shapeKey } from '../emit/measured-schedule.js';
import * as wasm from '../emit/wasm/choose-schedule.js';
import { emitWasm } from '../emit/wasm/emit-wasm.js';
import * as wgsl from '../emit/wgsl/choose-schedule.js';
import { emitWgsl } from '../emit/wgsl/emit-wgsl.js';
import type { Kernel, KernelProgram } from '../fuse/kernel.js';
import { costLaunches } from './cost.js';
import type { MemoryPlan } from './plan-memory.js';
import { planMemory } from './plan-memory.js';
import type { Entry, Launch, Plan } from './plan.js';

export interface Tunable {
  /** The kernel's shape: what a winner is remembered by. */
  readonly key: string;
  readonly title: string;
  /** The entry of each schedule in `plan`, by the schedule's name; the cost model's comes first. */
  readonly entries: Readonly<Record<string, string>>;
  readonly plan: Plan;
}

/** Of all the work, kernels with less than this part are not worth measuring. */
const least = 0.005;

/** A kernel by itself, in the memory of its program. */
interface Alone {
  readonly kernels: KernelProgram;
  readonly kernel: TunableKernel;
  readonly key: string;
  readonly labels: readonly string[];
  readonly placements: MemoryPlan['entries'][number]['placements'];
  readonly memory: MemoryPlan;
}

/** Kernels of all entries that have several schedules, each shape once, those that do the most first. */
export function tunables(programs: Readonly<Record<string, KernelProgram>>, target: TargetOptions): readonly Tunable[] {
  const all = Object.values(programs);
  const memory = planMemory(all, { alignment: 256, arenaLimit: target.target === 'wgsl' ? target.maxBindingBytes : null });
  const found = new Map<string, { readonly alone: Alone; readonly work: number }>();
  all.forEach((program, i) => {
    // A workgroup's chain has the schedules that suit all its members, some of whose tensors are nowhere else.
    const inWorkgroups = new Set(program.chains.flatMap((c) => (c.cut === 'workgroups' ? c.members.map((m) => m.kernel) : [])));
    program.kernels.forEach((kernel, k) => {
      if (inWorkgroups.has(k) || !isTunable(kernel, target)) return;
      const labels = candidateLabels(kernel, target);
      if (labels.length < 2) return;
      const key = shapeKey(kernel, (id) => program.program.tensors[id].element);
      const kernels: KernelProgram = { ...program, kernels: [kernel], launches: [[0]], chains: [], tails: [] };
      const [{ flops, idealBytes }] = costLaunches(kernels, kernels.launches, target);
      if (!found.has(key)) found.set(key, { work: flops + idealBytes, alone: { kernels, kernel, key, labels, placements: memory.entries[i].placements, memory } });
    });
  });
  const total = [...found.values()].reduce((n, f) => n + f.work, 0);
  return [...found.values()].filter((f) => f.work >= least * total).sort((a, b) => b.work - a.work).map(({ alone }) => {
    const names = alone.labels.map((_, k) => `schedule ${k}`);
    return {
      key: alone.key, title: `${alone.kernel.name} (${alone.kernel.kind} ${alone.kernel.extents.join('x')})`,
      entries: Object.fromEntries(alone.labels.map((label, k) => [label, names[k]])),
      plan: target.target === 'wgsl' ? wgslPlan(alone, names, target) : wasmPlan(alone, names, target),
    };
  });
}

const isTunable = (kernel: Kernel, { target }: TargetOptions): kernel is TunableKernel => (target === 'wgsl' ? wgsl.isTunable(kernel) : wasm.isTunable(kernel));

function candidateLabels(kernel: TunableKernel, target: TargetOptions): readonly string[] {
  if (target.target === 'wgsl') return wgsl.candidateLabels(kernel, target);
  return wasm.isTunable(kernel) ? wasm.candidateLabels(kernel, wasm.choiceOf(target)) : [];
}

function entryOf(name: string, launches: readonly Pick<Launch, 'kernel' | 'workgroups' | 'bindings'>[], { kernel, kernels }: Alone, target: TargetOptions): Entry {
  const [cost] = costLaunches(kernels, kernels.launches, target);
  return { name, launches: launches.map((l) => ({ ...l, class: kernel.kind, cost, origin: kernel.name })), outputs: {}, peakBytes: 0, liveBytes: 0 };
}

/** A module of shaders for each schedule. */
function wgslPlan(alone: Alone, names: readonly string[], target: TargetOptions): Plan {
  const modules: Record<string, string> = {};
  const features = new Set<string>();
  const entries = names.map((name, k) => {
    const { code, launches } = emitWgsl([{ kernels: alone.kernels, placements: alone.placements }], { ...target, schedules: { [alone.key]: alone.labels[k] } });
    for (const [module, text] of Object.entries(code.modules)) modules[`${module}_${k}`] = text;
    code.features.forEach((f) => features.add(f));
    return [name, entryOf(name, launches[0].map((l) => ({ ...l, kernel: `${l.kernel}_${k}` })), alone, target)];
  });
  return { version: 1, arenas: alone.memory.arenas, sources: alone.memory.sources, entries: Object.fromEntries(entries), code: { target: 'wgsl', modules, features: [...features].sort() } };
}

/** One module, with a program for each schedule. */
function wasmPlan(alone: Alone, names: readonly string[], target: TargetOptions): Plan {
  const { code, tasks, functions } = emitWasm(names.map((name, k) => ({
    kernels: { ...alone.kernels, name }, placements: alone.placements, schedules: { [alone.key]: alone.labels[k] },
  })), alone.memory.arenas, target);
  const entries = names.map((name, k) => [name, entryOf(name, tasks[k].map((count, l) => ({ kernel: functions[k][l], workgroups: [count, 1, 1] as const, bindings: [] })), alone, target)]);
  return { version: 1, arenas: alone.memory.arenas, sources: alone.memory.sources, entries: Object.fromEntries(entries), code };
}
