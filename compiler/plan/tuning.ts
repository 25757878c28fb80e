/**
 * What there is to measure in a program: for each shape of kernel that the target can lay out in several ways, a plan with an
 * entry for every way. The plans work in the memory of the program's own plan, so that all kernels can be run by themselves.
 */
import type { TargetOptions } from '../api.js';
import { candidateLabels, isTunable, shapeKey } from '../emit/wgsl/choose-schedule.js';
import { emitWgsl } from '../emit/wgsl/emit-wgsl.js';
import type { Kernel, KernelProgram } from '../fuse/kernel.js';
import { costOf } from './cost.js';
import { planMemory } from './plan-memory.js';
import type { Plan } from './plan.js';

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

/** Kernels of all entries that have several schedules, each shape once, those that do the most first. */
export function tunables(programs: Readonly<Record<string, KernelProgram>>, target: TargetOptions): readonly Tunable[] {
  if (target.target !== 'wgsl') return [];
  const all = Object.values(programs);
  const memory = planMemory(all, { alignment: 256, arenaLimit: target.maxBindingBytes });
  const found = new Map<string, { readonly tunable: Tunable; readonly work: number }>();
  all.forEach((program, i) => {
    for (const kernel of program.kernels) {
      if (!isTunable(kernel)) continue;
      const key = shapeKey(kernel, (id) => program.program.tensors[id].element);
      if (found.has(key)) continue;
      const labels = candidateLabels(kernel, target);
      if (labels.length < 2) continue;
      const alone: KernelProgram = { ...program, kernels: [kernel], launches: [[0]] };
      const cost = costOf(kernel, program.program);
      const plans = labels.map((label): Plan => {
        const emitted = emitWgsl([{ kernels: alone, placements: memory.entries[i].placements }], { ...target, schedules: { [key]: label } });
        const launches = emitted.launches[0].map(({ kernel: name, workgroups, bindings }) => ({ kernel: name, workgroups, bindings, class: kernel.kind, cost, origin: kernel.name }));
        return { version: 1, arenas: memory.arenas, sources: memory.sources, code: emitted.code, entries: { main: { name: 'main', launches, outputs: {}, peakBytes: 0, liveBytes: 0 } } };
      });
      found.set(key, { work: cost.flops + cost.bytesRead + cost.bytesWritten, tunable: { key, title: titleOf(kernel), ...together(labels, plans) } });
    }
  });
  const total = [...found.values()].reduce((n, f) => n + f.work, 0);
  return [...found.values()].filter((f) => f.work >= least * total).sort((a, b) => b.work - a.work).map((f) => f.tunable);
}

const titleOf = (kernel: Kernel): string => `${kernel.name} (${kernel.kind} ${kernel.extents.join('x')})`;

/** One plan with an entry for each of several plans of one kernel. */
function together(labels: readonly string[], plans: readonly Plan[]): Pick<Tunable, 'entries' | 'plan'> {
  const modules: Record<string, string> = {};
  const features = new Set<string>();
  const entries: Record<string, Plan['entries'][string]> = {};
  plans.forEach((plan, k) => {
    const name = `schedule ${k}`;
    if (plan.code.target !== 'wgsl') return;
    for (const [module, text] of Object.entries(plan.code.modules)) modules[`${module}_${k}`] = text;
    plan.code.features.forEach((f) => features.add(f));
    const { main } = plan.entries;
    entries[name] = { ...main, name, launches: main.launches.map((launch) => ({ ...launch, kernel: `${launch.kernel}_${k}` })) };
  });
  return {
    entries: Object.fromEntries(labels.map((label, k) => [label, `schedule ${k}`])),
    plan: { ...plans[0], entries, code: { target: 'wgsl', modules, features: [...features].sort() } },
  };
}
