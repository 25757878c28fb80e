/**
 * Chains: kernels that run behind one another in one launch, task by task. All are cut alike, so that what a task reads of an
 * earlier kernel of the chain is what that kernel's same task has just written.
 */
import { bug } from '../../../grammar/diagnostics/report.js';
import type { Chain, ContractKernel, Kernel, Member } from '../../fuse/kernel.js';
import type { Sliced } from '../../fuse/slices-of-task.js';
import { slicesOfTask } from '../../fuse/slices-of-task.js';
import { bytesOf, sizeAlong, sizeOf } from '../../tensor/program.js';
import type { ElementType, TensorId } from '../../tensor/scalar.js';
import type { Local } from './binary.js';
import { FunctionBuilder, I32, op } from './binary.js';
import type { Context } from './context.js';
import { callTasks, keepBytes, pushWorkerMemory, taskParameters } from './context.js';
import { emitContract } from './emit-contract.js';
import { emitMap } from './emit-map.js';
import { emitReduce } from './emit-reduce.js';
import { slotOf } from './lower-scalar.js';
import type { Cut, Shares, SlicesCut } from './nest.js';
import { tasksOf } from './nest.js';
import { roundUp } from './panels.js';
import type { ContractPlan } from './plan-contract.js';
import { planContract, slicesOfPictures } from './plan-contract.js';

/** Tasks of a chain that can be cut anywhere. */
const targetTasks = 48;

/** A kernel of a chain, and the function it becomes. */
export interface Link {
  readonly kernel: Kernel;
  readonly member: Member;
  readonly name: string;
  readonly context: Context;
}

/** A function that runs a chain, the number of its tasks, and what a worker needs for it. */
export interface EmittedChain {
  readonly name: string;
  readonly tasks: number;
  readonly needs: Context['needs'];
}

/** Emits the chain, of which `links` are the members in order. */
export function emitChain(chain: Chain, links: readonly Link[]): EmittedChain {
  const [{ kernel: { extents }, member, context, name: first }] = links;
  const needs = { scratch: 0, partials: 0 };
  const elementOf = (id: TensorId): ElementType => slotOf(context.memory, id).element;
  const cuts = chainCuts(chain, links, (kernel, cut) => planContract(context, elementOf, kernel, cut), (id) => bytesOf(elementOf(id)));
  const [{ block }] = cuts;
  const parts = links.map((link, i): Part => {
    // Every kernel has memory of its own: the packed operand of a product stays for the next task.
    const own = { ...link.context, scratchOffset: needs.scratch + keepBytes, partialsBase: context.partialsBase + needs.partials, needs: { scratch: 0, partials: 0 } };
    const part = emitLink({ ...link, context: own }, cuts[i]);
    const keep = needs.scratch;
    needs.scratch += keepBytes + roundUp(own.needs.scratch, keepBytes);
    needs.partials += roundUp(own.needs.partials, 256);
    return { ...part, keep };
  });
  const count = tasksOf(cuts[0], extents);
  if (parts.some((p) => p.each === 1 && p.tasks - p.ahead !== count)) bug(`the kernels behind ${first} are cut differently`);
  const ahead = parts.reduce((n, p) => n + p.ahead, 0);
  const f = new FunctionBuilder(taskParameters(context), []);
  const [from, to] = [f.local(I32), f.local(I32)];
  const areas = chain.own.map((id): Area => {
    const sliceBytes = bytesOfSlice(links, id);
    const seenAs = [...(chain.windows ?? [])].flatMap(([window, of]) => (of === id ? [window] : []));
    const addresses = [id, ...seenAs].map((t) => context.memory.parameters.get(t) ?? bug(`tensor ${t} has no address`));
    const area = { addresses, at: needs.scratch, sliceBytes };
    needs.scratch += roundUp(block * sliceBytes, keepBytes);
    return area;
  });
  const slices = sizeAlong(member.inner, extents);
  for (const { keep } of parts) pushWorkerMemory(f, keep).i32(-1).storeI32();
  const task = f.local(I32);
  const blocks = Math.ceil(slices / block);
  const run = (): void => {
    // The first slice of the task: (task / blocks) * slices + (task % blocks) * block.
    if (areas.length > 0) f.get(task).i32(blocks).op(op.i32divU).i32(slices).op(op.i32mul).get(task).i32(blocks).op(op.i32remU).i32(block).op(op.i32mul).op(op.i32add).set(from);
    for (const { addresses: [first, ...others], at, sliceBytes } of areas) {
      pushWorkerMemory(f, at).get(from).i32(sliceBytes).op(op.i32mul).op(op.i32sub).set(first);
      for (const address of others) f.get(first).set(address);
    }
    for (const part of parts) callPart(context, f, part, task, from, to);
  };
  f.count(0, () => f.get(1), 1, () => {
    f.get(0).i32(ahead).op(op.i32sub).set(task);
    if (ahead === 0) run(); else f.get(task).i32(0).op(op.i32ltS).if(() => callAhead(context, f, parts, task, from, to), run);
  });
  const name = `${first} and ${links.length - 1} behind`;
  context.module.name(name, context.module.add(f));
  return { name, tasks: ahead + count, needs };
}

/** Where a worker keeps a task's slices of what the chain makes for itself. The kernels see the address that the whole tensor would have. */
interface Area {
  readonly addresses: readonly Local[];
  readonly at: number;
  readonly sliceBytes: number;
}

function bytesOfSlice(links: readonly Link[], id: TensorId): number {
  const { kernel, member, context } = links.find((l) => l.kernel.stores.some((s) => s.tensor === id)) ?? bug(`tensor ${id} is made elsewhere`);
  return sizeOf(kernel.extents) / sizeAlong([...member.outer, ...member.inner], kernel.extents) * bytesOf(slotOf(context.memory, id).element);
}

/** A function that does the part of one kernel, and where that notes what it keeps. */
interface Part extends Shares {
  readonly name: string;
  readonly keep: number;
}

/** Runs a kernel's part of a task of the chain. */
function callPart(context: Context, f: FunctionBuilder, { name, ahead, each, last, spans }: Part, task: Local, from: Local, to: Local): void {
  f.get(task).i32(each).op(op.i32mul).i32(ahead).op(op.i32add).tee(from);
  if (each === last) f.i32(each);
  else f.i32(last).i32(each).get(task).i32(spans).op(op.i32remU).i32(spans - 1).op(op.i32eq).op(op.select);
  f.op(op.i32add).set(to);
  callTasks(context, f, name, from, to);
}

/** Runs a task that others wait for; its number, in `task`, ends before 0. */
function callAhead(context: Context, f: FunctionBuilder, parts: readonly Part[], task: Local, from: Local, to: Local): void {
  let end = 0;
  for (const { name, ahead } of [...parts].reverse()) {
    const begin = end - ahead;
    if (ahead > 0) {
      f.get(task).i32(begin).op(op.i32geS).get(task).i32(end).op(op.i32ltS).op(op.i32and).if(() => {
        f.get(task).i32(begin).op(op.i32sub).tee(from).i32(1).op(op.i32add).set(to);
        callTasks(context, f, name, from, to);
      });
    }
    end = begin;
  }
}

function emitLink({ context, kernel, name }: Link, cut: Cut): Omit<Part, 'keep'> {
  const whole = { name, ahead: 0, each: 1, last: 1, spans: 1 };
  if (kernel.kind === 'map') return { ...whole, tasks: emitMap(context, name, kernel, cut) };
  if (kernel.kind === 'reduce') return { ...whole, tasks: emitReduce(context, name, kernel, cut) };
  if (kernel.kind === 'contract' && cut.kind === 'slices') return { name, ...emitContract(context, name, kernel, cut) };
  return bug(`a ${kernel.kind} kernel cannot run in a chain of ${cut.kind}`);
}

/** How a product is computed when it is cut so. */
export type PlanOf = (kernel: ContractKernel, cut: SlicesCut | null) => ContractPlan;

/** The cut of every kernel of a chain. */
export function chainCuts(chain: Chain, links: readonly Sliced[], planOf: PlanOf, elementBytes: (id: TensorId) => number): readonly Cut[] {
  const [{ kernel: { extents }, member }] = links;
  const block = chain.cut === 'points' ? pointsBlock(sizeAlong(member.outer, extents), links) : slicesBlock(links, planOf, elementBytes);
  return links.map(({ member: { outer, inner } }) => (chain.cut === 'points' ? { kind: 'points', outer, block } : { kind: 'slices', lead: outer, slices: inner, block }));
}

/** Slices of a task, which tear no picture apart that is filtered. */
function slicesBlock(links: readonly Sliced[], planOf: PlanOf, elementBytes: (id: TensorId) => number): number {
  let [unit, least] = [1, 1];
  for (const { kernel, member: { outer, inner } } of links) {
    if (kernel.kind !== 'contract') continue;
    const pictures = slicesOfPictures(planOf(kernel, { kind: 'slices', lead: outer, slices: inner, block: 1 }), kernel, inner);
    unit = Math.max(unit, pictures.unit);
    least = Math.max(least, pictures.least);
  }
  return slicesOfTask(links, elementBytes, unit, least);
}

/** Points of a task. */
function pointsBlock(points: number, links: readonly Sliced[]): number {
  const inColumns = links.some(({ member }) => Math.max(...member.outer) > Math.max(-1, ...member.inner));
  return roundUp(Math.ceil(points / targetTasks), inColumns ? 16 : 4);
}
