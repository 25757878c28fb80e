/**
 * Products: tasks are blocks of rows x columns (x parts of a long sum); each packs its operands, whatever expressions
 * they are, into the worker's memory and multiplies panels. Parts of a sum meet in shared memory, where the last task
 * of a block adds them in order.
 */
import type { ContractKernel } from '../../fuse/kernel.js';
import { bytesOf } from '../../tensor/program.js';
import type { Scalar } from '../../tensor/scalar.js';
import { addParts } from './add-parts.js';
import type { Local } from './binary.js';
import { I32, op } from './binary.js';
import type { Context } from './context.js';
import { keepBytes, taskFunction } from './context.js';
import { contractBlocks, depthBlock } from './contract-blocks.js';
import { emitEpilogue } from './emit-epilogue.js';
import { emitFilterGradient } from './emit-filter-gradient.js';
import { emitFilter } from './emit-filter.js';
import { Expressions } from './expressions.js';
import { Graph } from './graph.js';
import type { Node } from './graph.js';
import { lowerScalar, slotOf } from './lower-scalar.js';
import type { Shares, SlicesCut } from './nest.js';
import { decodeGroup, product, reachable } from './nest.js';
import type { PackTables } from './panels.js';
import { emitPanelProduct, pack, tableBytes } from './panels.js';
import { planContract } from './plan-contract.js';
import { Strides } from './strides.js';

/** Emits the product, or its part of a chain that is cut so, and says how its tasks are shared among those of the chain. */
export function emitContract(context: Context, name: string, kernel: ContractKernel, cut: SlicesCut | null = null): Shares {
  const plan = planContract(context, (t) => slotOf(context.memory, t).element, kernel, cut);
  if (plan.kind === 'filter') {
    if (plan.filter.stencil.kind === 'filter') return emitFilter(context, name, kernel, plan.filter, plan.schedule, cut);
    const tasks = emitFilterGradient(context, name, kernel, plan.filter, plan.schedule);
    return { tasks, ahead: 0, each: tasks, last: tasks, spans: 1 };
  }
  const { extents, reduceExtents } = kernel;
  const {
    batch, rows, columns, left, right, tile, rowBlock, columnBlock, span, spans, rowBlocks, columnBlocks, blocks, splits, partBlocks, depth, resident, leftStride, leftBytes, rightBytes, resultBytes,
  } = contractBlocks(kernel, cut, plan.schedule);
  const all = [...extents, ...reduceExtents];
  const sums = neighboursLast(context, left, all, reduceExtents.map((_, i) => extents.length + i).filter((a) => all[a] > 1));
  const sizeOf = (axes: readonly number[]): number => product(axes.map((a) => all[a]));
  const [B, M, N, K] = [sizeOf(batch), sizeOf(rows), sizeOf(columns), sizeOf(sums)];

  const resultStride = columnBlock * 4;
  const tablesAt = leftBytes + rightBytes + resultBytes;
  context.needs.scratch = Math.max(context.needs.scratch, tablesAt + tableBytes(depth) + 1024);
  if (splits > 1) context.needs.partials = Math.max(context.needs.partials, blocks * splits * resultBytes);

  const graph = new Graph();
  const variable = (size: number): Node => graph.variable('i32', 0, Math.max(0, size - 1));
  const scratchNode = graph.variable('i32');
  const [b, r0, c0, k0] = [variable(B), variable(M), variable(N), variable(K)];
  const rightBase = graph.variable('i32');
  const environment = (r: Node, c: Node, k: Node): Node[] => {
    const axes = all.map(() => graph.int(0));
    decodeGroup(graph, batch, all, b, axes);
    decodeGroup(graph, rows, all, r, axes);
    decodeGroup(graph, columns, all, c, axes);
    decodeGroup(graph, sums, all, k, axes);
    return axes;
  };
  const zero = graph.int(0);
  const tables: PackTables = { address: graph.linear([[scratchNode, 1]], tablesAt), begin: k0, length: depth };
  let keep: Local = 0;
  taskFunction(context, name, ({ f, task, scratch }) => {
    const e = new Expressions(f, graph, context.math);
    const v = (): Local => f.local(I32);
    const [lb, lr0, lc0, lk0, r1, c1, k1, partEnd, rows_, columns_, key, block, part, lrb, leftAt, resultAt, rest] = [v(), v(), v(), v(), v(), v(), v(), v(), v(), v(), v(), v(), v(), v(), v(), v(), v()];
    const limit = (target: Local, size: number): void => { f.tee(target).i32(size).get(target).i32(size).op(op.i32ltS).op(op.select).set(target); };
    // task = (((part * B + b) * spans + span) * columnBlocks + column block) * rowBlocks + row block
    f.get(task).i32(rowBlocks).op(op.i32divU).set(key);
    f.get(key).i32(columnBlocks).op(op.i32divU).set(rest);
    f.get(task).i32(rowBlocks).op(op.i32remU).i32(rowBlock).op(op.i32mul).set(lr0);
    if (spans > 1) {
      f.get(rest).i32(spans).op(op.i32remU).i32(span).op(op.i32mul).tee(r1).get(lr0).op(op.i32add).set(lr0);
      f.get(lr0).i32(rowBlock).op(op.i32add).tee(c1).get(r1).i32(span).op(op.i32add).tee(r1).get(c1).get(r1).op(op.i32ltS).op(op.select);
      f.get(rest).i32(spans).op(op.i32divU).set(rest);
    } else f.get(lr0).i32(rowBlock).op(op.i32add);
    limit(r1, M);
    f.get(key).i32(columnBlocks).op(op.i32remU).i32(columnBlock).op(op.i32mul).tee(lc0).i32(columnBlock).op(op.i32add);
    limit(c1, N);
    // Every span has the same columns.
    if (spans > 1) f.get(key).i32(columnBlocks).op(op.i32remU).set(key);
    f.get(rest).i32(B).op(op.i32remU).set(lb);
    f.get(rest).i32(B).op(op.i32divU).set(part);
    f.get(task).i32(blocks).op(op.i32remU).set(block);
    f.get(r1).get(lr0).op(op.i32sub).set(rows_);
    f.get(c1).get(lc0).op(op.i32sub).set(columns_);
    f.get(part).i32(partBlocks * depthBlock).op(op.i32mul).tee(lk0).i32(partBlocks * depthBlock).op(op.i32add);
    limit(partEnd, K);
    f.get(scratch).set(leftAt);
    f.get(scratch).i32(leftBytes + rightBytes).op(op.i32add).set(resultAt);
    f.get(scratch).i32(leftBytes).op(op.i32add).set(lrb);
    e.bind(scratchNode, scratch);
    e.bind(b, lb);
    e.bind(r0, lr0);
    e.bind(c0, lc0);
    const first = f.local(I32);
    f.i32(0).set(first);
    f.count(lk0, () => f.get(partEnd), depthBlock, () => e.scope(() => {
      e.bind(k0, lk0);
      e.bind(rightBase, lrb);
      f.get(lk0).i32(depthBlock).op(op.i32add);
      f.tee(k1).get(partEnd).get(k1).get(partEnd).op(op.i32ltS).op(op.select).set(k1);
      const packRight = (): void => e.scope(() => {
        const c = variable(N);
        const k = variable(K);
        const value = lowerScalar(graph, context.memory, { axes: environment(zero, c, k), accumulators: [] }, right);
        packColumns(e, value, c, k);
      });
      const packColumns = (ex: Expressions, value: Node, c: Node, k: Node): void => {
        const panel = graph.linear([[graph.binary('idiv', 'i32', c, graph.int(tile.columns)), 1], [graph.binary('idiv', 'i32', c0, graph.int(tile.columns)), -1]]);
        const at = graph.binary('mod', 'i32', c, graph.int(tile.columns));
        const address = graph.linear([[rightBase, 1], [panel, depth * tile.columns * 4], [k, tile.columns * 4], [k0, -tile.columns * 4], [at, 4]]);
        pack(ex, value, address,
          { variable: c, local: f.local(I32), extent: columnBlock, begin: () => f.get(lc0), pushEnd: () => f.get(c1) },
          { variable: k, local: f.local(I32), extent: depth, begin: () => f.get(lk0), pushEnd: () => f.get(k1) }, tables);
      };
      if (resident) f.get(key).get(keep).op(op.i32ne).if(packRight); else packRight();
      e.scope(() => {
        const r = variable(M);
        const k = variable(K);
        const value = lowerScalar(graph, context.memory, { axes: environment(r, zero, k), accumulators: [] }, left);
        const address = graph.linear([[scratchNode, 1], [r, leftStride], [r0, -leftStride], [k, 4], [k0, -4]]);
        pack(e, value, address,
          { variable: r, local: f.local(I32), extent: rowBlock, begin: () => f.get(lr0), pushEnd: () => f.get(r1) },
          { variable: k, local: f.local(I32), extent: depth, begin: () => f.get(lk0), pushEnd: () => f.get(k1) }, tables);
      });
      emitPanelProduct(f, {
        tile, leftStride, resultStride, depth, left: leftAt, right: lrb, result: resultAt, relaxed: context.relaxed,
        pushRows: () => f.get(rows_), pushColumns: () => f.get(columns_), pushDepth: () => f.get(k1).get(lk0).op(op.i32sub), pushAdd: () => f.get(first),
      });
      f.i32(1).set(first);
      if (resident) f.get(lrb).i32(depth * columnBlock * 4).op(op.i32add).set(lrb);
    }));
    e.unbind(k0);
    e.unbind(rightBase);
    if (resident) f.get(key).set(keep);
    if (resident && cut !== null) f.get(scratch).i32(keepBytes).op(op.i32sub).get(key).storeI32();
    const epilogue = (): void => e.scope(() => {
      const r = variable(M);
      const c = variable(N);
      emitEpilogue(e, context, kernel, { variable: r, begin: lr0, end: r1 }, { variable: c, begin: lc0, end: c1 }, environment(r, c, zero),
        graph.linear([[scratchNode, 1], [r, resultStride], [r0, -resultStride], [c, 4], [c0, -4]], leftBytes + rightBytes));
    });
    const bytes = (): void => { f.get(rows_).i32(resultStride).op(op.i32mul); };
    addParts(context, f, { block, part, parts: splits, bytes: resultBytes, pushBytes: bytes, result: resultAt }, epilogue);
  }, ({ f, scratch }) => {
    keep = f.local(I32);
    // A task of a chain is a call of its own.
    if (cut === null) f.i32(-1); else f.get(scratch).i32(keepBytes).op(op.i32sub).loadI32();
    f.set(keep);
  });
  const last = Math.ceil((M - (spans - 1) * span) / rowBlock) * columnBlocks * splits;
  return { tasks: blocks * splits, ahead: 0, each: rowBlocks * columnBlocks * splits, last, spans };
}

/** The summed axes, last the one along which the left operand's elements are neighbours: it is packed four at a time. */
function neighboursLast(context: Context, left: Scalar, all: readonly number[], sums: readonly number[]): readonly number[] {
  const contiguous = (axis: number): boolean => {
    const graph = new Graph();
    const axes = all.map((size, a) => (a === axis || !sums.includes(a) ? graph.variable('i32', 0, size - 1) : graph.int(0)));
    const strides = new Strides(axes[axis], 0);
    const loads = [...reachable([lowerScalar(graph, context.memory, { axes, accumulators: [] }, left)])].filter((n) => n.op === 'load' && strides.of(n) !== 0);
    return loads.length > 0 && loads.every((n) => strides.of(n.args[0]) === bytesOf(n.element));
  };
  if (sums.length < 2 || contiguous(sums[sums.length - 1])) return sums;
  const best = sums.find((a) => all[a] % 4 === 0 && contiguous(a));
  return best === undefined ? sums : [...sums.filter((a) => a !== best), best];
}
