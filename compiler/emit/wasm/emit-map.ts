/** Elementwise kernels: loops over the points, four at a time along the axis that suits memory best. */
import type { MapKernel } from '../../fuse/kernel.js';
import { bytesOf } from '../../tensor/program.js';
import type { Context } from './context.js';
import { taskFunction } from './context.js';
import { Expressions } from './expressions.js';
import { Graph } from './graph.js';
import type { Node } from './graph.js';
import type { Environment } from './lower-scalar.js';
import { lowerScalar, slotOf, storeAddress } from './lower-scalar.js';
import type { Group, Lowering, PointPlan } from './nest.js';
import { decodeGroup, emitPoints, laneCost, mergeGroups, planPoints, product, reachable } from './nest.js';

/** Variables for groups, and the axes they make up; axes of size 1 are 0. */
export function axesOf(graph: Graph, groups: readonly Group[], extents: readonly number[]): { variables: Node[]; axes: Node[] } {
  const axes = extents.map(() => graph.int(0));
  const variables = groups.map((g) => graph.variable('i32', 0, product(g.map((a) => extents[a])) - 1));
  groups.forEach((g, i) => decodeGroup(graph, g, extents, variables[i], axes));
  return { variables, axes };
}

/** The group with lanes that costs least, or null when none is long enough. */
export function chooseLanes(groups: readonly Group[], extents: readonly number[], lower: Lowering): number | null {
  const lowered = lower(groups);
  let best: number | null = null;
  let least = Infinity;
  groups.forEach((g, i) => {
    const size = product(g.map((a) => extents[a]));
    if (size < 4) return;
    const cost = laneCost(lowered.variables[i], size, lowered.roots, lowered.addresses);
    if (cost <= least) { least = cost; best = i; }
  });
  return best;
}

export const ownAxes = (extents: readonly number[]): Group[] => extents.map((_, i) => [i]).filter(([i]) => extents[i] > 1);

export function emitMap(context: Context, name: string, kernel: MapKernel): number {
  const { extents, stores } = kernel;
  const lowerStores = (graph: Graph, axes: readonly Node[]): { address: Node; value: Node; element: 'f32' | 'i32' | 'u8' | 'bool' }[] => {
    const environment: Environment = { axes, accumulators: [] };
    const memo = new Map();
    return stores.map((s) => ({
      address: storeAddress(graph, context.memory, s.tensor, extents, axes),
      value: lowerScalar(graph, context.memory, environment, s.value, memo),
      element: slotOf(context.memory, s.tensor).element,
    }));
  };
  const lower: Lowering = (groups) => {
    const graph = new Graph();
    const { variables, axes } = axesOf(graph, groups, extents);
    const items = lowerStores(graph, axes);
    return { variables, roots: items.map((s) => s.value), addresses: items.map((s) => ({ node: s.address, bytes: bytesOf(s.element) })) };
  };
  const groups = mergeGroups(ownAxes(extents), lower);
  const work = reachable(lower(groups).roots).size;
  const plan: PointPlan = planPoints(groups, extents, chooseLanes(groups, extents, lower), work);
  taskFunction(context, name, ({ f, task }) => {
    const graph = new Graph();
    const e = new Expressions(f, graph, context.math);
    const { variables, axes } = axesOf(graph, plan.groups, extents);
    const items = lowerStores(graph, axes);
    emitPoints(e, plan, variables, () => f.get(task), 1, () => items.flatMap((s) => [s.value, s.address]), () => e.store(items));
  });
  return plan.tasks;
}
