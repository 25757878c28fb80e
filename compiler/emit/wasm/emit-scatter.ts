/**
 * Segmented sums: a task owns a range of the axes without keys, clears its part of the result, then goes through the items
 * in order and adds each where its keys say. Every element is summed by one task in the order of the items, so the
 * result does not depend on the number of tasks. Sorted items: `emit-sorted-scatter.ts`.
 */
import type { ScatterKernel } from '../../fuse/kernel.js';
import { bytesOf } from '../../tensor/program.js';
import { indexVariables } from '../../tensor/scalar.js';
import { I32, op } from './binary.js';
import type { Context } from './context.js';
import { taskFunction } from './context.js';
import { chooseLanes } from './emit-map.js';
import { emitSortedScatter } from './emit-sorted-scatter.js';
import { Expressions } from './expressions.js';
import { Graph } from './graph.js';
import type { Node } from './graph.js';
import type { Environment } from './lower-scalar.js';
import { lowerScalar, slotOf, storeAddress } from './lower-scalar.js';
import type { Group, Lowering } from './nest.js';
import { decodeGroup, mergeGroups, emitPoints, planPoints, product, reachable } from './nest.js';

/** Most tasks that scan the same items, and what scanning one costs in elementary operations. */
export const mostScans = 8;
const scanCost = 8;

export function emitScatter(context: Context, name: string, kernel: ScatterKernel): number {
  if (kernel.sorted) return emitSortedScatter(context, name, kernel);
  const { memory } = context;
  const { extents, reduceExtents, keys } = kernel;
  const rank = extents.length;
  const all = [...extents, ...reduceExtents];
  const { tensor } = kernel.stores[0];
  const { element } = slotOf(memory, tensor);
  const keyed = new Set(keys.map((k) => k.axis));
  const inKeys = new Set(keys.flatMap((k) => [...indexVariables(k.value)]));
  const free = extents.flatMap((n, axis) => (n > 1 && !keyed.has(axis) ? [axis] : []));
  const outer = free.filter((axis) => inKeys.has(axis));
  const items = reduceExtents.flatMap((n, i) => (n > 1 ? [rank + i] : []));
  const sizeOfAxes = (axes: readonly number[]): number => product(axes.map((a) => all[a]));

  /** Every loop's variable, and what it gives: keys, the value, and the address of the element. */
  const lowered = (graph: Graph, innerGroups: readonly Group[]): { outer: Node; items: Node[]; keyed: Node[]; inner: Node[]; keys: Node[]; value: Node; address: Node } => {
    const axes = all.map(() => graph.int(0));
    const outerVariable = graph.variable('i32', 0, sizeOfAxes(outer) - 1);
    decodeGroup(graph, outer, all, outerVariable, axes);
    const itemVariables = items.map((a) => (axes[a] = graph.variable('i32', 0, all[a] - 1)));
    const inner = innerGroups.map((g) => graph.variable('i32', 0, sizeOfAxes(g) - 1));
    innerGroups.forEach((g, i) => decodeGroup(graph, g, all, inner[i], axes));
    const environment: Environment = { axes, accumulators: [] };
    const memo = new Map();
    const keyNodes = keys.map((k) => lowerScalar(graph, memory, environment, k.value, memo));
    const value = lowerScalar(graph, memory, environment, kernel.value, memo);
    const keyVariables = keys.map((k) => graph.variable('i32', 0, extents[k.axis] - 1));
    const place = axes.slice(0, rank);
    keys.forEach((k, i) => { place[k.axis] = keyVariables[i]; });
    return { outer: outerVariable, items: itemVariables, keyed: keyVariables, inner, keys: keyNodes, value, address: storeAddress(graph, memory, tensor, extents, place) };
  };
  const lower: Lowering = (groups) => {
    const nodes = lowered(new Graph(), groups);
    return { variables: nodes.inner, roots: [nodes.value], addresses: [{ node: nodes.address, bytes: bytesOf(element) }] };
  };
  const groups = mergeGroups(free.filter((axis) => !inKeys.has(axis)).map((a) => [a]), lower);
  const merged = lower(groups);
  const work = reachable(merged.roots).size;
  const columns = product(groups.map((g) => sizeOfAxes(g)));
  const rows = sizeOfAxes(outer);
  const count = product(reduceExtents);

  // More tasks scan the items again: only where an item's own work outweighs that.
  const scans = rows >= mostScans ? 1 : Math.max(1, Math.min(mostScans, Math.floor(columns / 16), Math.floor(columns * work / scanCost), Math.floor(count * columns * work / 32768)));
  const plan = planPoints(groups, all, chooseLanes(groups, all, merged), Math.ceil(scans * 8192 / columns));
  const block = Math.ceil(rows / Math.max(1, Math.min(rows, 48, Math.floor(rows * count * (columns * work + scanCost) / 16384))));

  taskFunction(context, name, ({ f, task }) => {
    const graph = new Graph();
    const e = new Expressions(f, graph, context.math);
    const nodes = lowered(graph, plan.groups);
    const points = (value: Node, roots: readonly Node[]): void => {
      emitPoints(e, plan, nodes.inner, () => f.get(task).i32(plan.tasks).op(op.i32remU), 1, () => roots, () => e.store([{ address: nodes.address, value, element }]));
    };
    const loops = (variables: readonly Node[], sizes: readonly number[], roots: readonly Node[], body: () => void): void => {
      if (variables.length === 0) { e.scope(body); return; }
      const local = f.local(I32);
      f.i32(0).set(local);
      e.loop(variables[0], local, () => f.i32(sizes[0]), 1, roots, () => loops(variables.slice(1), sizes.slice(1), roots, body));
    };
    const row = f.local(I32);
    const end = f.local(I32);
    f.get(task).i32(plan.tasks).op(op.i32divU).i32(block).op(op.i32mul).tee(row).i32(block).op(op.i32add).set(end);
    f.get(end).i32(rows).get(end).i32(rows).op(op.i32ltS).op(op.select).set(end);
    e.loop(nodes.outer, row, () => f.get(end), 1, [], () => {
      loops(nodes.keyed, keys.map((k) => extents[k.axis]), [], () => points(graph.constant(kernel.value.type, 0), []));
      loops(nodes.items, items.map((a) => all[a]), nodes.keys, () => {
        const at = nodes.keys.map((key) => {
          const local = f.local(I32);
          e.scalar(key);
          f.set(local);
          return local;
        });
        at.forEach((local, i) => {
          f.get(local).i32(extents[keys[i].axis]).op(op.i32ltU);
          if (i > 0) f.op(op.i32and);
        });
        f.if(() => e.scope(() => {
          nodes.keyed.forEach((variable, i) => e.bind(variable, at[i]));
          const before = graph.load(element, nodes.address, null);
          points(graph.binary('add', kernel.value.type, before, nodes.value), [nodes.value, nodes.address]);
          nodes.keyed.forEach((variable) => e.unbind(variable));
        }));
      });
    });
  });
  return plan.tasks * Math.ceil(rows / block);
}
