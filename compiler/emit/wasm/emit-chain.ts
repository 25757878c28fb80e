/**
 * Chains: kernels that run behind one another in one launch, task by task. All are cut alike, so that what a task reads of an
 * earlier kernel of the chain is what that kernel's same task has just written.
 */
import { bug } from '../../../grammar/diagnostics/report.js';
import type { Chain, Kernel, Member } from '../../fuse/kernel.js';
import { sizeAlong } from '../../tensor/program.js';
import { FunctionBuilder } from './binary.js';
import type { Context } from './context.js';
import { callTask, taskParameters } from './context.js';
import { emitContract } from './emit-contract.js';
import { emitMap } from './emit-map.js';
import { emitReduce } from './emit-reduce.js';
import type { Cut } from './nest.js';
import { roundUp } from './panels.js';

/** Tasks of a chain that can be cut anywhere. */
const targetTasks = 48;

/** A kernel of a chain, and the function it becomes. */
export interface Link {
  readonly kernel: Kernel;
  readonly member: Member;
  readonly name: string;
  readonly context: Context;
}

/** Emits the chain, of which `links` are the members in order; gives the function that runs it and the number of its tasks. */
export function emitChain(chain: Chain, links: readonly Link[]): { readonly name: string; readonly tasks: number } {
  const [head, ...rest] = links;
  const { extents } = head.kernel;
  const size = (axes: readonly number[]): number => sizeAlong(axes, extents);
  if (chain.cut === 'points') {
    const inColumns = links.some(({ member }) => Math.max(...member.outer) > Math.max(-1, ...member.inner));
    const block = roundUp(Math.ceil(size(head.member.outer) / targetTasks), inColumns ? 16 : 4);
    const cutOf = ({ member }: Link): Cut => ({ kind: 'points', outer: member.outer, block });
    return inTurn(links, links.map((l) => emitLink(l, cutOf(l))));
  }
  // Leading points stand before the rows; the same of the reduction's points are its own leading ones.
  const leading = head.member.outer.filter((a) => a < Math.min(...head.member.inner));
  const cutOf = (l: Link, block: number): Cut => ({ kind: 'rows', lead: l.member.outer.slice(0, leading.length), rows: l.member.inner, block });
  if (head.kernel.kind === 'contract') {
    const [follower] = rest;
    const tasks = emitContract(head.context, head.name, head.kernel, {
      lead: leading,
      emit: (block) => { emitLink(follower, cutOf(follower, block)); return follower.name; },
    });
    return { name: head.name, tasks };
  }
  const rows = size(head.member.inner);
  const block = Math.min(rows, roundUp(Math.ceil(rows / Math.max(1, Math.ceil(targetTasks / size(leading)))), 4));
  return inTurn(links, links.map((l) => emitLink(l, cutOf(l, block))));
}

function emitLink({ context, kernel, name }: Link, cut: Cut): number {
  if (kernel.kind === 'map') return emitMap(context, name, kernel, cut);
  if (kernel.kind === 'reduce') return emitReduce(context, name, kernel, cut);
  return bug(`a ${kernel.kind} kernel cannot run behind another`);
}

/** A function that runs each task of all links, one link after the other. */
function inTurn(links: readonly Link[], tasks: readonly number[]): { readonly name: string; readonly tasks: number } {
  if (tasks.some((n) => n !== tasks[0])) bug(`the kernels behind ${links[0].name} are cut differently`);
  const { context } = links[0];
  const f = new FunctionBuilder(taskParameters(context), []);
  f.count(0, () => f.get(1), 1, () => { for (const { name } of links) callTask(context, f, name, 0); });
  const name = `${links[0].name} and ${links.length - 1} behind`;
  context.module.name(name, context.module.add(f));
  return { name, tasks: tasks[0] };
}
