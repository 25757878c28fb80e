/**
 * The CPU target: kernels become functions of one WebAssembly module over one shared memory. Kernels that differ only in the
 * tensors they touch share one, which takes the addresses as parameters; what is exported for each kernel calls it with its
 * own. Tasks of a kernel are independent; the runtime hands them to threads.
 */
import type { TargetOptions } from '../../api.js';
import type { Chain, Kernel, KernelProgram, Member } from '../../fuse/kernel.js';
import { chainOfKernel } from '../../fuse/kernel.js';
import type { Arena, Code, Slot } from '../../plan/plan.js';
import type { TensorId } from '../../tensor/scalar.js';
import type { Local } from './binary.js';
import { FunctionBuilder, I32, Module, base64, op } from './binary.js';
import { choiceOf } from './choose-schedule.js';
import type { Context } from './context.js';
import { addressParameters, counterBytes } from './context.js';
import { emitChain } from './emit-chain.js';
import type { Link } from './emit-chain.js';
import { emitContract } from './emit-contract.js';
import { emitMap } from './emit-map.js';
import { emitOnline } from './emit-online.js';
import { emitReduce } from './emit-reduce.js';
import { emitRoutine } from './emit-routine.js';
import { emitScatter } from './emit-scatter.js';
import { signatureOf } from './kernel-signature.js';
import { slotOf } from './lower-scalar.js';
import { MathFunctions } from './math.js';

export interface WasmEntry {
  readonly kernels: KernelProgram;
  readonly placements: ReadonlyMap<TensorId, Slot>;
  /** Measured schedules, where they are not the target's. */
  readonly schedules?: Readonly<Record<string, string>>;
}

export interface WasmModule {
  readonly code: Extract<Code, { target: 'wasm' }>;
  /** Per entry, per launch: the number of its tasks. */
  readonly tasks: readonly (readonly number[])[];
  /** Per entry, per launch: the function exported for it, `PROGRAM.KERNEL`. */
  readonly functions: readonly (readonly string[])[];
}

const pageBytes = 65536;

/** Steps in which the parts of a launch go through their tasks. */
export const stepsTogether = 64;

const align = (n: number, unit: number): number => Math.ceil(n / unit) * unit;

/** Emits the kernels of all entries. A kernel is exported as `PROGRAM.KERNEL`, and as `KERNEL` where that is not ambiguous. */
export function emitWasm(entries: readonly WasmEntry[], arenas: readonly Arena[], options: TargetOptions): WasmModule {
  const bases: number[] = [];
  // Room in front: four lanes may be loaded from up to three elements before a tensor.
  let at = 1024;
  for (const arena of arenas) {
    bases.push(at);
    at = align(at + arena.bytes, 256);
  }
  const countersBase = align(at + 1024, 256);
  // Counters stay zero between launches, so no launch keeps its partial results over another's counters.
  const partialsBase = countersBase + counterBytes * Math.max(1, ...entries.flatMap(({ kernels }) => kernels.launches.map((l) => l.length)));
  const module = new Module();
  const math = new MathFunctions(module, options.relaxedSimd);
  const needs = { scratch: 0, partials: 0 };
  const counts = new Map<string, number>();
  for (const { kernels } of entries) for (const k of kernels.kernels) counts.set(k.name, (counts.get(k.name) ?? 0) + 1);
  const shared = new Map<string, Shared>();
  const entrySchedules = entries.map((entry) => entry.schedules ?? options.schedules);
  const chains = entries.map(({ kernels }) => chainOfKernel(kernels));
  const tails = entries.map(({ kernels }) => new Set(kernels.tails));
  const launches = entries.map(({ kernels, placements, schedules = options.schedules }, e) => kernels.launches.map((launch) => {
    // Kernels that run together keep their partial results apart.
    let partials = partialsBase;
    const parts = unitsOf(chains[e], launch).map(({ chain, members }): Part & { readonly tail: boolean } => {
      const own = members.map((m) => kernels.kernels[m.kernel]);
      const signatures = own.map((kernel) => signatureOf(kernel, placements));
      const tensors = [...new Set(signatures.flatMap((s) => s.tensors))];
      const key = `${entrySchedules.indexOf(schedules)} ${chain?.cut ?? ''} ${chain?.own.map((t) => tensors.indexOf(t)).join() ?? ''} ${[...(chain?.windows ?? [])].flat().map((t) => tensors.indexOf(t)).join()} ${members.map((m, i) => `${m.outer.join()} ${m.inner.join()} ${signatures[i].tensors.map((t) => tensors.indexOf(t)).join()} ${signatures[i].text}`).join(' ')}`;
      // Where partial results lie, and what counts who has made them, is written into the code of those who keep some.
      const placed = `${partials} ${members.map((m) => launch.indexOf(m.kernel)).join()} ${key}`;
      const known = shared.get(key) ?? shared.get(placed);
      const code = known ?? emitShared(chain, members.map((member, i) => ({ member, kernel: own[i], countersBase: countersBase + launch.indexOf(member.kernel) * counterBytes })), tensors, shared.size, {
        module, math, placements, relaxed: options.relaxedSimd, ...choiceOf({ disabled: options.disabled, ...(schedules === undefined ? {} : { schedules }) }), partialsBase: partials,
      });
      if (known === undefined) shared.set(code.needs.partials === 0 ? key : placed, code);
      const name = `${kernels.name}.${own[0].name}`;
      const f = new FunctionBuilder([I32, I32, I32], []).get(0).get(1).get(2);
      for (const t of tensors) {
        const slot = slotOf({ placements }, t);
        f.i32(bases[slot.arena] + slot.offset);
      }
      const index = module.add(f.call(module.indexOf(code.name)));
      module.export(name, index);
      if (counts.get(own[0].name) === 1 && name !== own[0].name) module.export(own[0].name, index);
      needs.scratch = Math.max(needs.scratch, code.needs.scratch);
      partials += align(code.needs.partials, 256);
      return { name, tasks: code.tasks, tail: tails[e].has(members[0].kernel) };
    });
    needs.partials = Math.max(needs.partials, partials - partialsBase);
    const last = parts.filter((p) => p.tail);
    const together = parts.length - last.length === 1 ? parts[0] : emitTogether(module, parts.filter((p) => !p.tail));
    // The last counter of the first tail, which no kernel uses.
    const behind = launch.findIndex((k) => tails[e].has(k));
    return last.length === 0 ? together : emitTails(module, together, last, countersBase + (behind + 1) * counterBytes - 4);
  }));
  const memoryBytes = align(partialsBase + needs.partials, pageBytes);
  const scratchBytes = align(needs.scratch, 4096);
  const binary = module.build(1, [memoryBytes, scratchBytes]);
  return {
    code: { target: 'wasm', binary: base64(binary), bases, memoryBytes, scratchBase: memoryBytes, scratchBytes, relaxed: options.relaxedSimd },
    tasks: launches.map((l) => l.map((p) => p.tasks)),
    functions: launches.map((l) => l.map((p) => p.name)),
  };
}

/** A function of the module and the number of its tasks. */
interface Part {
  readonly name: string;
  readonly tasks: number;
}

/** A function that takes the addresses of its tensors. */
interface Shared extends Part {
  readonly needs: Context['needs'];
}

/** What runs as one: a kernel, or a chain. */
interface Unit {
  readonly chain: Chain | null;
  readonly members: readonly Member[];
}

function unitsOf(chains: ReadonlyMap<number, Chain>, launch: readonly number[]): readonly Unit[] {
  return launch.flatMap((k): Unit[] => {
    const chain = chains.get(k) ?? null;
    if (chain === null) return [{ chain, members: [{ kernel: k, outer: [], inner: [] }] }];
    return chain.members[0].kernel === k ? [{ chain, members: chain.members }] : [];
  });
}

function emitShared(
  chain: Chain | null, members: readonly (Pick<Link, 'kernel' | 'member'> & Pick<Context, 'countersBase'>)[], tensors: readonly TensorId[], number: number,
  context: Omit<Context, 'memory' | 'needs' | 'countersBase' | 'scratchOffset'> & Pick<WasmEntry, 'placements'>,
): Shared {
  const parameters = new Map(tensors.map((t, i) => [t, addressParameters + i]));
  const links = members.map(({ kernel, member, countersBase }, i): Link => ({
    kernel, member, name: `shared ${number}${i === 0 ? '' : ` behind ${i}`}`,
    context: { ...context, countersBase, memory: { placements: context.placements, parameters }, scratchOffset: 0, needs: { scratch: 0, partials: 0 } },
  }));
  if (chain !== null) return emitChain(chain, links);
  const [{ context: own, kernel, name }] = links;
  return { name, tasks: emitKernel(own, name, kernel), needs: own.needs };
}

/**
 * One function for several parts, which go through their tasks side by side: each of its tasks runs as large a share of every part's.
 * What several parts read, the gradient that both operands of a product need among them, is then still in the cache for all but the first.
 */
function emitTogether(module: Module, parts: readonly Part[]): Part {
  const tasks = Math.min(stepsTogether, parts.reduce((n, p) => n + p.tasks, 0));
  const f = new FunctionBuilder([I32, I32, I32], []);
  const [first, end] = [f.local(I32), f.local(I32)];
  f.count(0, () => f.get(1), 1, () => parts.forEach((part, i) => {
    // Tasks before the STEPth: STEP * its tasks / all steps, from different places, so that few tasks do not all come at once.
    const before = (steps: number, into: Local): void => {
      f.get(0).i32(steps).op(op.i32add).i32(part.tasks).op(op.i32mul).i32(Math.floor((i * tasks) / parts.length)).op(op.i32add).i32(tasks).op(op.i32divU).set(into);
    };
    before(0, first);
    before(1, end);
    f.get(first).get(end).op(op.i32ltS).if(() => f.get(first).get(end).get(2).call(module.indexOf(part.name)));
  }));
  const name = `${parts[0].name}_and_${parts.length - 1}_more`;
  module.export(name, module.add(f));
  return { name, tasks };
}

/** A function for the tasks of `part` whose last task, when all are done, runs those of `tails`, one tail after the other. `counter` is an address of its own. */
function emitTails(module: Module, part: Part, tails: readonly Part[], counter: number): Part {
  const f = new FunctionBuilder([I32, I32, I32], []);
  const count = f.local(I32);
  f.get(0).get(1).get(2).call(module.indexOf(part.name));
  f.get(1).get(0).op(op.i32sub).set(count);
  f.i32(counter).get(count).atomicAdd().get(count).op(op.i32add).i32(part.tasks).op(op.i32eq).if(() => {
    f.i32(counter).i32(0).atomicStore();
    for (const tail of tails) f.i32(0).i32(tail.tasks).get(2).call(module.indexOf(tail.name));
  });
  const name = `${part.name}_then_${tails.length}`;
  module.export(name, module.add(f));
  return { name, tasks: part.tasks };
}

/** Emits one kernel under `name` and gives the number of its tasks. */
function emitKernel(context: Context, name: string, kernel: Kernel): number {
  switch (kernel.kind) {
    case 'map': return emitMap(context, name, kernel);
    case 'reduce': return emitReduce(context, name, kernel);
    case 'contract': return emitContract(context, name, kernel).tasks;
    case 'online': return emitOnline(context, name, kernel);
    case 'scatter': return emitScatter(context, name, kernel);
    case 'routine': return emitRoutine(context, name, kernel);
  }
}
