/**
 * Segmented sums of sorted items: a task has a range of rows, searches for the first item that belongs to it and then goes along rows and
 * items side by side. Every row is cleared and summed while it is in the cache, every item read once: rows + items, and a search a task.
 */
import type { ScatterKernel } from '../../fuse/kernel.js';
import { bytesOf } from '../../tensor/program.js';
import { I32, op } from './binary.js';
import type { Local } from './binary.js';
import type { Context } from './context.js';
import { taskFunction } from './context.js';
import { chooseLanes } from './emit-map.js';
import { Expressions } from './expressions.js';
import { Graph } from './graph.js';
import type { Node } from './graph.js';
import type { Environment } from './lower-scalar.js';
import { lowerScalar, slotOf, storeAddress } from './lower-scalar.js';
import type { Group, Lowering, PointPlan } from './nest.js';
import { decodeGroup, emitPoints, mergeGroups, product, reachable } from './nest.js';

/** Most tasks, as elsewhere, and the least work of one, in elementary operations. */
const mostTasks = 48;
const leastWork = 16384;

interface Lowered {
  readonly row: Node;
  readonly item: Node;
  readonly inner: readonly Node[];
  readonly key: Node;
  readonly value: Node;
  readonly address: Node;
}

export function emitSortedScatter(context: Context, name: string, kernel: ScatterKernel): number {
  const { memory } = context;
  const { extents, reduceExtents: [items], keys: [key] } = kernel;
  const rank = extents.length;
  const all = [...extents, items];
  const { tensor } = kernel.stores[0];
  const { element } = slotOf(memory, tensor);
  const free = extents.flatMap((n, axis) => (n > 1 && axis !== key.axis ? [axis] : []));
  const sizeOfGroup = (g: Group): number => product(g.map((a) => all[a]));

  const lowered = (graph: Graph, groups: readonly Group[]): Lowered => {
    const axes = all.map(() => graph.int(0));
    const row = (axes[key.axis] = graph.variable('i32', 0, extents[key.axis] - 1));
    const item = (axes[rank] = graph.variable('i32', 0, items - 1));
    const inner = groups.map((g) => graph.variable('i32', 0, sizeOfGroup(g) - 1));
    groups.forEach((g, i) => decodeGroup(graph, g, all, inner[i], axes));
    const environment: Environment = { axes, accumulators: [] };
    const memo = new Map();
    return {
      row, item, inner, key: lowerScalar(graph, memory, environment, key.value, memo), value: lowerScalar(graph, memory, environment, kernel.value, memo),
      address: storeAddress(graph, memory, tensor, extents, axes.slice(0, rank)),
    };
  };
  const lower: Lowering = (groups) => {
    const nodes = lowered(new Graph(), groups);
    return { variables: nodes.inner, roots: [nodes.value], addresses: [{ node: nodes.address, bytes: bytesOf(element) }] };
  };
  const groups = mergeGroups(free.map((a) => [a]), lower);
  const merged = lower(groups);
  const sizes = groups.map(sizeOfGroup);
  const columns = product(sizes);
  // A row is never divided among tasks.
  const lanes = chooseLanes(groups, all, merged);
  const plan: PointPlan = { groups, sizes, vector: lanes, block: sizes[0] ?? 1, vectorBlock: lanes === null ? 1 : sizes[lanes], tasks: 1 };
  const rows = extents[key.axis];
  const work = rows * columns + items * columns * reachable(merged.roots).size;
  const block = Math.ceil(rows / Math.max(1, Math.min(rows, mostTasks, Math.floor(work / leastWork))));

  taskFunction(context, name, ({ f, task }) => {
    const graph = new Graph();
    const e = new Expressions(f, graph, context.math);
    const nodes = lowered(graph, plan.groups);
    const points = (value: Node, roots: readonly Node[]): void => {
      emitPoints(e, plan, nodes.inner, () => f.i32(0), 1, () => roots, () => e.store([{ address: nodes.address, value, element }]));
    };
    const [row, end, item, last, middle, next] = Array.from({ length: 6 }, () => f.local(I32));
    const pushKey = (at: Local): void => e.scope(() => {
      e.bind(nodes.item, at);
      e.scalar(nodes.key);
      e.unbind(nodes.item);
    });
    /** The row that the next item is for; none has a negative one. */
    const look = (): void => { f.get(item).i32(items).op(op.i32ltS).if(() => { pushKey(item); f.set(next); }, () => { f.i32(-1).set(next); }); };
    f.get(task).i32(block).op(op.i32mul).tee(row).i32(block).op(op.i32add).set(end);
    f.get(end).i32(rows).get(end).i32(rows).op(op.i32ltS).op(op.select).set(end);
    f.i32(0).set(item).i32(items).set(last);
    f.block(() => f.loop(() => {
      f.get(item).get(last).op(op.i32geS).brIf(1);
      f.get(item).get(last).op(op.i32add).i32(1).op(op.i32shrS).set(middle);
      pushKey(middle);
      f.get(row).op(op.i32ltS).if(() => { f.get(middle).i32(1).op(op.i32add).set(item); }, () => { f.get(middle).set(last); });
      f.br(0);
    }));
    look();
    e.loop(nodes.row, row, () => f.get(end), 1, [], () => {
      points(graph.constant(kernel.value.type, 0), [nodes.address]);
      f.block(() => f.loop(() => {
        f.get(next).get(row).op(op.i32ne).brIf(1);
        e.scope(() => {
          e.bind(nodes.item, item);
          points(graph.binary('add', kernel.value.type, graph.load(element, nodes.address, null), nodes.value), [nodes.value, nodes.address]);
          e.unbind(nodes.item);
        });
        f.get(item).i32(1).op(op.i32add).set(item);
        look();
        f.br(0);
      }));
    });
  });
  return Math.ceil(rows / block);
}
