/**
 * Routines on the CPU: a task sorts rows (a merge sort of key and position in the worker's own memory), walks along sorted rows, factors matrices
 * (Cholesky and Banachiewicz, row by row), or solves for a range of right sides (substitution, four columns at a time).
 */
import type { RoutineKernel } from '../../fuse/kernel.js';
import { routineRank } from '../../tensor/program.js';
import type { FunctionBuilder, Local } from './binary.js';
import { F32, I32, V128, op, simd } from './binary.js';
import type { Context, TaskFunction } from './context.js';
import { taskFunction } from './context.js';
import { Expressions } from './expressions.js';
import { Graph } from './graph.js';
import type { Node } from './graph.js';
import { addressOf, lowerScalar } from './lower-scalar.js';
import type { Group } from './nest.js';
import { decodeGroup, emitPoints, planPoints, product } from './nest.js';

export function emitRoutine(context: Context, name: string, kernel: RoutineKernel): number {
  switch (kernel.op) {
    case 'argsort': return emitArgsort(context, name, kernel);
    case 'first_equal': return emitFirstEqual(context, name, kernel);
    case 'cholesky': return emitCholesky(context, name, kernel);
    case 'solve': case 'solve_transposed': return emitSolve(context, name, kernel);
  }
}

const mostTasks = 48;

interface Batches {
  readonly graph: Graph;
  readonly e: Expressions;
  readonly batch: Node;
  /** Lowers operand number `operand` at these own indices. */
  readonly operand: (operand: number, own: readonly Node[]) => Node;
  /** Byte address of the result at these trailing indices. */
  readonly address: (trailing: readonly Node[]) => Node;
  /** Value of the result there, as it is in memory when it is evaluated. */
  readonly result: (trailing: readonly Node[]) => Node;
}

/** Runs `body` for every index of the leading axes. `pieces` tasks share one; `work` is one's cost. Gives the number of tasks. */
function forBatches(context: Context, name: string, kernel: RoutineKernel, pieces: number, work: number, body: (t: TaskFunction, b: Batches, pushPiece: () => void) => void): number {
  const { memory } = context;
  const rank = kernel.extents.length;
  const leading = rank - routineRank(kernel.op);
  const count = product(kernel.extents.slice(0, leading));
  const block = Math.ceil(count / Math.max(1, Math.min(count, mostTasks, Math.floor(count * work / 8192))));
  const { tensor } = kernel.stores[0];
  const group: Group = kernel.extents.slice(0, leading).map((_, axis) => axis);
  taskFunction(context, name, (t) => {
    const { f, task } = t;
    const graph = new Graph();
    const e = new Expressions(f, graph, context.math);
    const batch = graph.variable('i32', 0, count - 1);
    const leadingAxes = group.map(() => graph.int(0));
    decodeGroup(graph, group, kernel.extents, batch, leadingAxes);
    const padding = kernel.extents.slice(leading).map(() => graph.int(0));
    const address = (trailing: readonly Node[]): Node => {
      let stride = 4;
      const terms: [Node, number][] = [];
      for (let d = trailing.length - 1; d >= 0; d--) { terms.push([trailing[d], stride]); stride *= kernel.extents[leading + d]; }
      return graph.linear([[batch, stride], ...terms, [addressOf(graph, memory, tensor), 1]]);
    };
    const b: Batches = {
      graph, e, batch, address,
      operand: (k, own) => lowerScalar(graph, memory, { axes: [...leadingAxes, ...padding, ...own], accumulators: [] }, kernel.operands[k]),
      result: (trailing) => graph.load(kernel.op === 'argsort' || kernel.op === 'first_equal' ? 'i32' : 'f32', address(trailing), null),
    };
    const local = f.local(I32);
    const end = f.local(I32);
    f.get(task).i32(pieces).op(op.i32divU).i32(block).op(op.i32mul).tee(local).i32(block).op(op.i32add).set(end);
    f.get(end).i32(count).get(end).i32(count).op(op.i32ltS).op(op.select).set(end);
    e.loop(batch, local, () => f.get(end), 1, [], () => body(t, b, () => f.get(task).i32(pieces).op(op.i32remU)));
  });
  return pieces * Math.ceil(count / block);
}

/** Loops `variable` from what `pushBegin` pushes. */
function loopFrom(b: Batches, f: FunctionBuilder, variable: Node, pushBegin: () => void, pushEnd: () => void, roots: readonly Node[], body: (local: Local) => void): void {
  const local = f.local(I32);
  pushBegin();
  f.set(local);
  b.e.loop(variable, local, pushEnd, 1, roots, () => body(local));
}

function emitArgsort(context: Context, name: string, kernel: RoutineKernel): number {
  const [n] = kernel.ownExtents;
  // Two rounds of pairs; the merge may look one pair past the end.
  context.needs.scratch = Math.max(context.needs.scratch, 16 * n + 16);
  return forBatches(context, name, kernel, 1, n * 8 * Math.max(1, Math.ceil(Math.log2(n))), ({ f, scratch }, b) => {
    const i = b.graph.variable('i32', 0, n - 1);
    const operand = b.operand(0, [i]);
    loopFrom(b, f, i, () => f.i32(0), () => f.i32(n), [operand], (local) => {
      const key = f.local(I32);
      b.e.scalar(operand);
      if (operand.type === 'f32') orderOf(f);
      f.set(key);
      const at = f.local(I32);
      f.get(scratch).get(local).i32(3).op(op.i32shl).op(op.i32add).tee(at).get(key).storeI32();
      f.get(at).get(local).storeI32(4);
    });
    const sorted = mergeSort(f, scratch, n);
    loopFrom(b, f, i, () => f.i32(0), () => f.i32(n), [], (local) => {
      b.e.scalar(b.address([i]));
      f.get(sorted).get(local).i32(3).op(op.i32shl).op(op.i32add).loadI32(4).storeI32();
    });
  });
}

function emitFirstEqual(context: Context, name: string, kernel: RoutineKernel): number {
  const [n] = kernel.ownExtents;
  return forBatches(context, name, kernel, 1, n * 4, ({ f }, b) => {
    const i = b.graph.variable('i32', 0, n - 1);
    const operand = b.operand(0, [i]);
    const [key, before, first] = [f.local(I32), f.local(I32), f.local(I32)];
    loopFrom(b, f, i, () => f.i32(0), () => f.i32(n), [operand], (local) => {
      b.e.scalar(operand);
      // A new run begins at the first element and wherever the key is another one.
      f.tee(key).get(before).op(op.i32ne).get(local).op(op.i32eqz).op(op.i32or).if(() => { f.get(local).set(first); });
      f.get(key).set(before);
      b.e.scalar(b.address([i]));
      f.get(first).storeI32();
    });
  });
}

/** [f32] -> [i32] in the same order: -0 as 0, NaN last. */
function orderOf(f: FunctionBuilder): void {
  const [x, bits] = [f.local(F32), f.local(I32)];
  f.tee(x).op(op.i32reinterpretF32).tee(bits).get(bits).i32(31).op(op.i32shrS).i32(0x7fffffff).op(op.i32and).op(op.i32xor);
  f.i32(0).get(x).f32(0).op(op.f32ne).op(op.select);
  f.i32(0x7fffffff).get(x).get(x).op(op.f32eq).op(op.select);
}

/** Sorts `n` pairs (key, position) at `scratch` by key, keeping the order of equal ones; gives the local with their final address. */
function mergeSort(f: FunctionBuilder, scratch: Local, n: number): Local {
  const total = 8 * n;
  const [from, to, width, low, middle, high, a, b, o, pair] = Array.from({ length: 10 }, () => f.local(I32));
  const within = (push: () => void, target: Local): void => {
    push();
    f.tee(target).i32(total).get(target).i32(total).op(op.i32ltS).op(op.select).set(target);
  };
  const take = (side: Local): void => { f.get(from).get(side).op(op.i32add).set(pair).get(side).i32(8).op(op.i32add).set(side); };
  f.get(scratch).set(from).get(scratch).i32(total).op(op.i32add).set(to).i32(8).set(width);
  f.block(() => f.loop(() => {
    f.get(width).i32(total).op(op.i32geS).brIf(1);
    f.i32(0).set(low);
    f.block(() => f.loop(() => {
      f.get(low).i32(total).op(op.i32geS).brIf(1);
      within(() => f.get(low).get(width).op(op.i32add), middle);
      within(() => f.get(middle).get(width).op(op.i32add), high);
      f.get(low).set(a).get(middle).set(b).get(low).set(o);
      f.count(o, () => f.get(high), 8, () => {
        f.get(a).get(middle).op(op.i32ltS);
        f.get(b).get(high).op(op.i32geS);
        f.get(from).get(a).op(op.i32add).loadI32().get(from).get(b).op(op.i32add).loadI32().op(op.i32leS);
        f.op(op.i32or).op(op.i32and).if(() => take(a), () => take(b));
        f.get(to).get(o).op(op.i32add).get(pair).loadI32().storeI32();
        f.get(to).get(o).op(op.i32add).get(pair).loadI32(4).storeI32(4);
      });
      f.get(high).set(low).br(0);
    }));
    f.get(from).get(to).set(from).set(to);
    f.get(width).i32(1).op(op.i32shl).set(width).br(0);
  }));
  return from;
}

function emitCholesky(context: Context, name: string, kernel: RoutineKernel): number {
  const [n] = kernel.ownExtents;
  return forBatches(context, name, kernel, 1, n ** 3 / 3 + n * n, ({ f }, b) => {
    const { graph, e } = b;
    const [i, j, k] = [0, 1, 2].map(() => graph.variable('i32', 0, n - 1));
    const symmetric = graph.binary('mul', 'f32', graph.binary('add', 'f32', b.operand(0, [i, j]), b.operand(0, [j, i])), graph.constant('f32', 0.5));
    const term = graph.binary('mul', 'f32', b.result([i, k]), b.result([j, k]));
    const [lanes, sum] = [f.local(V128), f.local(F32)];
    loopFrom(b, f, i, () => f.i32(0), () => f.i32(n), [], (row) => {
      loopFrom(b, f, j, () => f.i32(0), () => f.get(row).i32(1).op(op.i32add), [], (column) => {
        f.f32x4(0).set(lanes);
        e.scalar(symmetric);
        f.set(sum);
        let inLanes = true;
        const step = f.local(I32);
        f.i32(0).set(step);
        e.vectorLoop(k, step, null, () => f.get(column), [], () => {
          if (inLanes) { f.get(lanes); e.vector(term); f.simd(simd.f32add).set(lanes); } else { f.get(sum); e.scalar(term); f.op(op.f32sub).set(sum); }
          inLanes = false;
        });
        f.get(sum);
        for (let lane = 0; lane < 4; lane++) f.get(lanes).lane(simd.f32extract, lane).op(op.f32sub);
        f.set(sum);
        e.scalar(b.address([i, j]));
        f.get(sum).op(op.f32sqrt).get(sum);
        e.scalar(b.result([j, j]));
        f.op(op.f32div).get(row).get(column).op(op.i32eq).op(op.select).storeF32();
      });
      loopFrom(b, f, j, () => f.get(row).i32(1).op(op.i32add), () => f.i32(n), [], () => {
        e.scalar(b.address([i, j]));
        f.f32(0).storeF32();
      });
    });
  });
}

function emitSolve(context: Context, name: string, kernel: RoutineKernel): number {
  const [n, , columns] = kernel.ownExtents;
  const transposed = kernel.op === 'solve_transposed';
  const rank = kernel.extents.length;
  const all = [...kernel.extents, ...kernel.ownExtents];
  const groups: Group[] = columns > 1 ? [[rank + 2]] : [];
  const batches = product(kernel.extents.slice(0, rank - 2));
  const pieces = batches >= 8 ? 1 : Math.max(1, Math.min(8, Math.floor(columns / 16), Math.floor(n * n * columns / 8192)));
  const plan = planPoints(groups, all, columns >= 4 ? 0 : null, Math.ceil(pieces * 8192 / columns));
  return forBatches(context, name, kernel, plan.tasks, n * n * columns, ({ f }, b, pushPiece) => {
    const { graph, e } = b;
    const [step, k] = [graph.variable('i32', 0, n - 1), graph.variable('i32', 0, n - 1)];
    const variables = plan.groups.map((g) => graph.variable('i32', 0, product(g.map((a) => all[a])) - 1));
    const zero = graph.int(0);
    const c = columns > 1 ? variables[0] : zero;
    const i = transposed ? graph.linear([[step, -1]], n - 1) : step;
    const set = (value: Node): void => emitPoints(e, plan, variables, pushPiece, 1, () => [], () => e.store([{ address: b.address([i, c]), value, element: 'f32' }]));
    const own = b.result([i, c]);
    const factor = b.operand(0, transposed ? [k, i, zero] : [i, k, zero]);
    loopFrom(b, f, step, () => f.i32(0), () => f.i32(n), [], (local) => {
      set(b.operand(1, [i, zero, c]));
      loopFrom(b, f, k, () => { if (transposed) f.i32(n).get(local).op(op.i32sub); else f.i32(0); }, () => { if (transposed) f.i32(n); else f.get(local); }, [factor], () => {
        set(graph.binary('sub', 'f32', own, graph.binary('mul', 'f32', factor, b.result([k, c]))));
      });
      set(graph.binary('div', 'f32', own, b.operand(0, [i, i, zero])));
    });
  });
}
