/**
 * Loops over the points of a kernel: which neighbouring axes become one loop, which loop runs four lanes at a time,
 * and how the points are cut into tasks. Tasks never depend on the number of threads, so neither do results.
 */
import { bytesOf } from '../../tensor/program.js';
import type { Local } from './binary.js';
import { I32, op } from './binary.js';
import type { Expressions } from './expressions.js';
import type { Graph, Node } from './graph.js';
import { Strides } from './strides.js';

/** Neighbouring axes that run as one loop, by axis number. */
export type Group = readonly number[];

export const product = (numbers: readonly number[]): number => numbers.reduce((a, b) => a * b, 1);

/** Every node below the roots, once; addresses of tensors do not count. */
export function reachable(roots: readonly Node[]): Set<Node> {
  const seen = new Set<Node>();
  const walk = (n: Node): void => {
    if (seen.has(n) || n.op === 'base') return;
    seen.add(n);
    n.args.forEach(walk);
  };
  roots.forEach(walk);
  return seen;
}

/** Writes each axis of a group as a quotient and remainder of the group's variable. */
export function decodeGroup(graph: Graph, group: Group, extents: readonly number[], variable: Node, axes: Node[]): void {
  let rest = variable;
  for (let i = group.length - 1; i > 0; i--) {
    const size = graph.int(extents[group[i]]);
    axes[group[i]] = graph.binary('mod', 'i32', rest, size);
    rest = graph.binary('idiv', 'i32', rest, size);
  }
  if (group.length > 0) axes[group[0]] = rest;
}

/** How a set of groups looks to the code: the roots under a fresh graph. */
export type Lowering = (groups: readonly Group[]) => { readonly variables: readonly Node[]; readonly roots: readonly Node[]; readonly addresses: readonly { readonly node: Node; readonly bytes: number }[] };

/** What `lower` gives for each set of groups, made once. */
export function oncePerGroups<T>(lower: (groups: readonly Group[]) => T): (groups: readonly Group[]) => T {
  const known = new Map<string, T>();
  return (groups) => {
    const key = groups.map((g) => `${g.join()};`).join('');
    const lowered = known.get(key) ?? lower(groups);
    known.set(key, lowered);
    return lowered;
  };
}

const isDivision = (n: Node): boolean => n.type === 'i32' && (n.op === 'idiv' || n.op === 'mod');

const nodesOf = ({ roots, addresses }: ReturnType<Lowering>): ReadonlySet<Node> => reachable([...roots, ...addresses.map((a) => a.node)]);

/** Merges neighbouring groups as long as that costs no index arithmetic. `lower` may know of `before` groups that stand in front. */
export function mergeGroups(groups: readonly Group[], lower: Lowering, before = 0): Group[] {
  let best = groups.map((g) => [...g]);
  const cost = (candidate: readonly Group[]): number => [...nodesOf(lower(candidate))].filter(isDivision).length;
  if (best.length < 2) return best;
  const lowered = lower(best);
  const nodes = nodesOf(lowered);
  let count = [...nodes].filter(isDivision).length;
  if (count === 0) {
    // Every merge that leaves a quotient or remainder behind then costs something, and which do can be read off.
    const merged: number[][] = [];
    best.forEach((g, i) => {
      const [outer, inner] = [lowered.variables[before + i - 1], lowered.variables[before + i]];
      if (i > 0 && ![outer, inner].some((v) => lowered.roots.includes(v)) && runsOn(nodes, outer, inner)) merged[merged.length - 1].push(...g); else merged.push(g);
    });
    return merged;
  }
  for (let i = best.length - 2; i >= 0; i--) {
    const candidate = [...best.slice(0, i), [...best[i], ...best[i + 1]], ...best.slice(i + 2)];
    const next = cost(candidate);
    if (next > count) continue;
    best = candidate;
    count = next;
  }
  return best;
}

/** Whether both variables only occur together, in sums through which the inner runs on where it begins anew as the outer moves. */
function runsOn(nodes: ReadonlySet<Node>, outer: Node, inner: Node): boolean {
  const size = inner.high + 1;
  for (const n of nodes) {
    const o = n.args.indexOf(outer);
    const i = n.args.indexOf(inner);
    if (o < 0 && i < 0) continue;
    if (n.op !== 'linear' || o < 0 || i < 0 || n.coefficients[o] !== n.coefficients[i] * size) return false;
  }
  return true;
}

/** Cost of running four lanes along a variable: loads and stores that are not contiguous, divisions, a ragged end. `nodes`: all that are computed. */
export function laneCost(variable: Node, extent: number, addresses: readonly { readonly node: Node; readonly bytes: number }[], nodes: ReadonlySet<Node>): number {
  const strides = new Strides(variable, 0);
  let cost = 2;
  for (const n of nodes) {
    cost += 0.3;
    if (strides.of(n) === 0) continue;
    if (n.op === 'load') {
      const s = strides.of(n.args[0]);
      cost += s === bytesOf(n.element) ? 0.7 : s === 0 ? 1 : s === null ? 6 : 4;
    } else if ((n.op === 'idiv' || n.op === 'mod') && n.type === 'i32' && strides.of(n) === null) cost += 3;
  }
  for (const a of addresses) {
    const s = strides.of(a.node);
    cost += s === a.bytes ? 0.7 : s === null ? 6 : 4;
  }
  const rest = extent % 4;
  return cost * (extent - rest + 4 * rest) / extent;
}

/**
 * How a kernel of a chain is cut into tasks, so that all of them are cut alike (see `Chain`): `block` points of the `outer` axes
 * each, or `block` of the `slices` for one point of the `lead` axes.
 */
export type Cut =
  | { readonly kind: 'points'; readonly outer: Group; readonly block: number }
  | { readonly kind: 'slices'; readonly lead: Group; readonly slices: Group; readonly block: number };

export type SlicesCut = Extract<Cut, { kind: 'slices' }>;

/**
 * How the tasks of a function do those of a chain: `ahead` tasks that others wait for, then `each` for a task of the chain, fewer
 * (`last`) for every one of number `spans`.
 */
export interface Shares {
  readonly tasks: number;
  readonly ahead: number;
  readonly each: number;
  readonly last: number;
  readonly spans: number;
}

/** The number of tasks of a cut. */
export function tasksOf(cut: Cut, extents: readonly number[]): number {
  const size = (g: Group): number => product(g.map((a) => extents[a]));
  return cut.kind === 'points' ? Math.ceil(size(cut.outer) / cut.block) : size(cut.lead) * Math.ceil(size(cut.slices) / cut.block);
}

/** Loops over points: group 0 is cut into blocks for tasks, the vector group possibly too. */
export interface PointPlan {
  readonly groups: readonly Group[];
  readonly sizes: readonly number[];
  readonly vector: number | null;
  readonly block: number;
  readonly vectorBlock: number;
  readonly tasks: number;
  /** Blocks of group 0 end where a multiple of this ends. */
  readonly period?: number;
}

const targetTasks = 48;

/** `work` is the cost of a point, in elementary operations; `vector` the group with lanes. */
export function planPoints(groups: readonly Group[], extents: readonly number[], vector: number | null, work: number): PointPlan {
  const sizes = groups.map((g) => product(g.map((a) => extents[a])));
  // Enough loops in front become one for tasks to be cut from.
  let lead = 1;
  const limit = vector === null ? groups.length : Math.max(1, vector);
  while (lead < limit && product(sizes.slice(0, lead)) < 24) lead++;
  const cut: Group[] = groups.length === 0 ? [[]] : [groups.slice(0, lead).flat(), ...groups.slice(lead)];
  const cutSizes = cut.map((g) => product(g.map((a) => extents[a])));
  const at = vector === null || groups.length === 0 ? null : Math.max(0, vector - (lead - 1));
  const total = product(cutSizes) * work;
  const wanted = Math.max(1, Math.min(targetTasks, Math.floor(total / 8192)));
  const unit = at === 0 ? 16 : 1;
  const block = Math.ceil(Math.ceil(cutSizes[0] / wanted) / unit) * unit;
  const leadTasks = Math.ceil(cutSizes[0] / block);
  let vectorBlock = at === null ? 1 : cutSizes[at];
  if (at !== null && at > 0 && leadTasks * 2 <= wanted) vectorBlock = Math.max(16, Math.ceil(cutSizes[at] / Math.ceil(wanted / leadTasks) / 16) * 16);
  const vectorTasks = at === null || at === 0 ? 1 : Math.ceil(cutSizes[at] / vectorBlock);
  return { groups: cut, sizes: cutSizes, vector: at, block, vectorBlock, tasks: leadTasks * vectorTasks };
}

/** Number of lanes of a pass over the points: 4 with lanes (times an unrolling), else 1. */
export interface Pass {
  readonly step: number;
  readonly lanes: boolean;
}

/**
 * Emits the loops of one task. `roots(pass)` and `body(pass)` are asked for each pass over the vector group: unrolled
 * lanes, lanes, and single values at the end.
 */
export function emitPoints(e: Expressions, plan: PointPlan, variables: readonly Node[], pushTask: () => void, unroll: number, roots: (pass: Pass) => readonly Node[], body: (pass: Pass) => void): void {
  const { f } = e;
  const vectorTasks = plan.vector === null || plan.vector === 0 ? 1 : Math.ceil(plan.sizes[plan.vector] / plan.vectorBlock);
  const locals = variables.map(() => f.local(I32));
  const begin = (i: number, target: Local): void => {
    if (i === 0 && plan.period !== undefined) {
      const blocks = Math.ceil(plan.period / plan.block);
      pushTask();
      f.i32(blocks).op(op.i32divU).i32(plan.period).op(op.i32mul);
      pushTask();
      f.i32(blocks).op(op.i32remU).i32(plan.block).op(op.i32mul).op(op.i32add).set(target);
    } else if (i === 0) {
      pushTask();
      if (vectorTasks > 1) f.i32(vectorTasks).op(op.i32divU);
      f.i32(plan.block).op(op.i32mul).set(target);
    } else if (i === plan.vector && vectorTasks > 1) {
      pushTask();
      f.i32(vectorTasks).op(op.i32remU).i32(plan.vectorBlock).op(op.i32mul).set(target);
    } else f.i32(0).set(target);
  };
  const level = (i: number, pass: Pass | null): void => {
    if (i === plan.groups.length) { body(pass ?? { step: 1, lanes: false }); return; }
    const local = locals[i];
    const blockSize = i === 0 ? plan.block : i === plan.vector ? plan.vectorBlock : plan.sizes[i];
    const whole = blockSize >= plan.sizes[i] && (i > 0 || plan.period === undefined);
    begin(i, local);
    const end = f.local(I32);
    if (i === 0 && plan.period !== undefined) {
      const limit = f.local(I32);
      pushTask();
      f.i32(Math.ceil(plan.period / plan.block)).op(op.i32divU).i32(1).op(op.i32add).i32(plan.period).op(op.i32mul).set(limit);
      f.get(local).i32(blockSize).op(op.i32add).tee(end).get(limit).get(end).get(limit).op(op.i32ltS).op(op.select).set(end);
    } else if (whole) f.i32(plan.sizes[i]).set(end);
    else {
      f.get(local).i32(blockSize).op(op.i32add).i32(plan.sizes[i]);
      f.get(local).i32(blockSize).op(op.i32add).i32(plan.sizes[i]).op(op.i32ltS).op(op.select).set(end);
    }
    const pushEnd = (): void => { if (whole) f.i32(plan.sizes[i]); else f.get(end); };
    if (i !== plan.vector) {
      e.loop(variables[i], local, pushEnd, 1, roots(pass ?? { step: 1, lanes: false }), () => level(i + 1, pass));
      return;
    }
    const passes: Pass[] = [...(unroll > 1 ? [{ step: 4 * unroll, lanes: true }] : []), { step: 4, lanes: true }, { step: 1, lanes: false }];
    const size = plan.sizes[i];
    for (const p of passes) {
      if (size < p.step) continue;
      if (p.lanes) e.lanesAlong(variables[i]);
      const limit = f.local(I32);
      // Blocks start at multiples of 16, so rounding the end down rounds the length down.
      pushEnd();
      f.i32(-p.step).op(op.i32and).set(limit);
      e.loop(variables[i], local, () => f.get(limit), p.step, roots(p), () => level(i + 1, p));
      e.lanesAlong(null);
      if (size % p.step === 0 && (whole || blockSize % p.step === 0)) break;
    }
  };
  // Outer loops compute ahead for all passes together: what they share does not depend on lanes.
  level(0, null);
}
