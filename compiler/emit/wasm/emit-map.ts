/** Elementwise kernels: loops over the points, four at a time along the axis that suits memory best. */
import type { MapKernel } from '../../fuse/kernel.js';
import { bytesOf } from '../../tensor/program.js';
import { op } from './binary.js';
import type { ElementType } from '../../tensor/scalar.js';
import type { Context } from './context.js';
import { taskFunction } from './context.js';
import { Expressions } from './expressions.js';
import { Graph } from './graph.js';
import type { Node } from './graph.js';
import type { Environment } from './lower-scalar.js';
import { lowerScalar, slotOf, storeAddress } from './lower-scalar.js';
import type { Cut, Group, Lowering, PointPlan } from './nest.js';
import { decodeGroup, emitPoints, laneCost, mergeGroups, oncePerGroups, planPoints, product, reachable, tasksOf } from './nest.js';

/** Variables for groups, and the axes they make up; axes of size 1 are 0. */
export function axesOf(graph: Graph, groups: readonly Group[], extents: readonly number[]): { variables: Node[]; axes: Node[] } {
  const axes = extents.map(() => graph.int(0));
  const variables = groups.map((g) => graph.variable('i32', 0, product(g.map((a) => extents[a])) - 1));
  groups.forEach((g, i) => decodeGroup(graph, g, extents, variables[i], axes));
  return { variables, axes };
}

/** The group with lanes that costs least, or null when none is long enough. `lowered` is how the groups look to the code. */
export function chooseLanes(groups: readonly Group[], extents: readonly number[], lowered: ReturnType<Lowering>): number | null {
  const nodes = reachable([...lowered.roots, ...lowered.addresses.map((a) => a.node)]);
  let best: number | null = null;
  let least = Infinity;
  groups.forEach((g, i) => {
    const size = product(g.map((a) => extents[a]));
    if (size < 4) return;
    const cost = laneCost(lowered.variables[i], size, lowered.addresses, nodes);
    if (cost <= least) { least = cost; best = i; }
  });
  return best;
}

export const ownAxes = (extents: readonly number[]): Group[] => extents.map((_, i) => [i]).filter(([i]) => extents[i] > 1);

/** The axes that a cut of points is along, outermost first. */
export const cutAxes = (cut: Cut): Group => (cut.kind === 'points' ? cut.outer : [...cut.lead, ...cut.slices]);

/** The points of a kernel of a chain; the cut's axes are the first group. */
export function planCut(cut: Cut, groups: readonly Group[], extents: readonly number[], vector: number | null): PointPlan {
  const sizes = groups.map((g) => product(g.map((a) => extents[a])));
  // Slices begin where they begin, which lanes along them could not.
  const lanes = cut.kind === 'slices' && vector === 0 ? null : vector;
  const period = cut.kind === 'slices' ? { period: product(cut.slices.map((a) => extents[a])) } : {};
  return { groups, sizes, vector: lanes, block: cut.block, vectorBlock: lanes === null ? 1 : sizes[lanes], tasks: tasksOf(cut, extents), ...period };
}

export function emitMap(context: Context, name: string, kernel: MapKernel, cut: Cut | null = null): number {
  const { extents, stores } = kernel;
  const [{ row }] = stores;
  const lowerStores = (graph: Graph, axes: readonly Node[]): { address: Node; value: Node; element: ElementType }[] => {
    const environment: Environment = { axes, accumulators: [] };
    const memo = new Map();
    const place = row === undefined ? axes : [lowerScalar(graph, context.memory, environment, row, memo), ...axes.slice(1)];
    return stores.map((s) => ({
      address: storeAddress(graph, context.memory, s.tensor, extents, place),
      value: lowerScalar(graph, context.memory, environment, s.value, memo),
      element: slotOf(context.memory, s.tensor).element,
    }));
  };
  const lower = oncePerGroups((groups) => {
    const graph = new Graph();
    const { variables, axes } = axesOf(graph, groups, extents);
    const items = lowerStores(graph, axes);
    return { graph, axes, items, variables, roots: items.map((s) => s.value), addresses: items.map((s) => ({ node: s.address, bytes: bytesOf(s.element) })) };
  });
  // Rows are written as wholes: one test says whether a point of the first axis is one.
  const first: Group[] = row !== undefined ? [[0]] : cut === null ? [] : [cutAxes(cut)];
  const groups = [...first, ...mergeGroups(ownAxes(extents).filter(([a]) => first.every((g) => !g.includes(a))), (g) => lower([...first, ...g]), first.length)];
  const lowered = lower(groups);
  const lanes = chooseLanes(groups, extents, lowered);
  const plan = cut === null ? planPoints(groups, extents, row !== undefined && lanes === 0 ? null : lanes, reachable(lowered.roots).size) : planCut(cut, groups, extents, lanes);
  taskFunction(context, name, ({ f, task }) => {
    // Most often the loops are those looked at last.
    const { graph, variables, axes, items } = lower(plan.groups);
    const e = new Expressions(f, graph, context.math);
    const rowNode = row === undefined ? null : lowerScalar(graph, context.memory, { axes, accumulators: [] }, row);
    const rows = slotOf(context.memory, stores[0].tensor).shape[0];
    emitPoints(e, plan, variables, () => f.get(task), 1, () => items.flatMap((s) => [s.value, s.address]), () => {
      if (rowNode === null) { e.store(items); return; }
      e.scalar(rowNode);
      f.i32(rows).op(op.i32ltU).if(() => e.scope(() => e.store(items)));
    });
  });
  return plan.tasks;
}
