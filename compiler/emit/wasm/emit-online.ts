/**
 * Products consumed on the fly: a task holds a block of rows, streams tiles of the other operand past it, and keeps of
 * every tile of scores only the state of its reductions, or its weights' product with the values. Scores of several products
 * lie side by side.
 */
import type { OnlineKernel } from '../../fuse/kernel.js';
import type { MaskedBlocks } from '../../fuse/masked-blocks.js';
import { maskedBlocks } from '../../fuse/masked-blocks.js';
import type { Scalar } from '../../tensor/scalar.js';
import { indexVariables } from '../../tensor/scalar.js';
import type { State } from './accumulators.js';
import { finishState, finishedLocal, isReal, makeState, mergeLanes, resetState, resultType, takeElement } from './accumulators.js';
import { F32, I32, V128, op } from './binary.js';
import type { FunctionBuilder, Local } from './binary.js';
import { chooseOnline } from './choose-schedule.js';
import type { Context } from './context.js';
import { taskFunction } from './context.js';
import { Expressions } from './expressions.js';
import { Graph } from './graph.js';
import type { Node } from './graph.js';
import { lowerScalar, slotOf, storeAddress } from './lower-scalar.js';
import { decodeGroup, product } from './nest.js';
import { onlineBlocks } from './online-blocks.js';
import { chooseTile, emitPanelProduct, pack, roundUp } from './panels.js';

const depthBlock = 256;
const padding = 4;

export function emitOnline(context: Context, name: string, kernel: OnlineKernel): number {
  const { extents, streamedExtents, innerExtents, stores, combine } = kernel;
  const p = extents.length;
  const q = p + streamedExtents.length;
  const all = [...extents, ...streamedExtents, ...innerExtents];
  const { batch, rows, columns, streamed, tile, rowBlock, rowBlocks, streamBlock } = onlineBlocks(kernel, chooseOnline(kernel, context, (t) => slotOf(context.memory, t).element));
  const sizeOf = (axes: readonly number[]): number => product(axes.map((a) => all[a]));
  const [B, M, N, J] = [sizeOf(batch), sizeOf(rows), sizeOf(columns), sizeOf(streamed)];
  const outTile = chooseTile(tile.rows === 1 ? 1 : rowBlock, N);
  const outRows = roundUp(rowBlock, outTile.rows);

  // The worker's memory: left rows, right panels, scores, then states, or weights, values and sums.
  const scoreStride = streamBlock * 4;
  const weightStride = (streamBlock + padding) * 4;
  const outStride = roundUp(N, outTile.columns) * 4;
  const reductions = combine.kind === 'reduce' ? combine.reductions : [];
  const wordCount = reductions.reduce((n, r) => n + (r.op === 'logsumexp' || r.op === 'argmax' ? 2 : 1), 0);
  let bytes = 0;
  const area = (size: number): number => { const at = bytes; bytes = roundUp(bytes + size, 64); return at; };
  const scores = kernel.scores.map(({ inner, left, right }) => {
    const axes = inner.filter((a) => all[a] > 1).sort((a, b) => a - b);
    const size = sizeOf(axes);
    const leftStride = (roundUp(size, 4) + padding) * 4;
    return { axes, size, depth: Math.min(depthBlock, roundUp(size, 4)), leftOf: left, rightOf: right, leftStride, leftAt: area(rowBlock * leftStride), scoreAt: area(rowBlock * scoreStride) };
  });
  const rightAt = area(Math.max(...scores.map((s) => s.depth)) * streamBlock * 4);
  const stateAt = area(rowBlock * wordCount * 32);
  const products = combine.kind === 'contract' ? combine.products : [];
  const weightAt = area(products.length > 0 ? outRows * weightStride : 0);
  const valueAt = area(products.length > 0 ? streamBlock * outStride : 0);
  const outAt = products.map(() => area(outRows * outStride));
  context.needs.scratch = Math.max(context.needs.scratch, bytes + 1024);

  const mask = maskedBlocks(kernel);
  const graph = new Graph();
  const variable = (size: number): Node => graph.variable('i32', 0, Math.max(0, size - 1));
  const scratchNode = graph.variable('i32');
  const [b, r0, j0] = [variable(B), variable(M), variable(J)];
  const zero = graph.int(0);
  const environment = (at: { r?: Node; c?: Node; j?: Node }, inner: { readonly axes: readonly number[]; readonly at: Node } | null = null): Node[] => {
    const axes = all.map(() => zero);
    decodeGroup(graph, batch, all, b, axes);
    decodeGroup(graph, rows, all, at.r ?? zero, axes);
    decodeGroup(graph, columns, all, at.c ?? zero, axes);
    decodeGroup(graph, streamed, all, at.j ?? zero, axes);
    if (inner !== null) decodeGroup(graph, inner.axes, all, inner.at, axes);
    return axes;
  };
  const at = (offset: number, ...terms: (readonly [Node, number])[]): Node => graph.linear([[scratchNode, 1], ...terms], offset);
  const lower = (axes: readonly Node[], accumulators: readonly Node[], s: Scalar, memo: Map<Scalar, Node> = new Map()): Node => lowerScalar(graph, context.memory, { axes, accumulators }, s, memo);
  const panelOf = (c: Node, c0: Node, width: number): [Node, Node] => [
    graph.linear([[graph.binary('idiv', 'i32', c, graph.int(width)), 1], [graph.binary('idiv', 'i32', c0, graph.int(width)), -1]]),
    graph.binary('mod', 'i32', c, graph.int(width)),
  ];

  taskFunction(context, name, ({ f, task, scratch }) => {
    const e = new Expressions(f, graph, context.math);
    const v = (): Local => f.local(I32);
    const [lb, lr0, lj0, lk0, r1, j1, k1, rowCount] = [v(), v(), v(), v(), v(), v(), v(), v()];
    const [right, weight, value] = [v(), v(), v()];
    const outs = outAt.map((offset) => ({ local: v(), offset }));
    const lefts = scores.map(({ leftAt }) => ({ local: v(), offset: leftAt }));
    const results = scores.map(({ scoreAt }) => ({ local: v(), offset: scoreAt }));
    const end = (target: Local, begin: Local, step: number, size: number): void => {
      f.get(begin).i32(step).op(op.i32add).tee(target).i32(size).get(target).i32(size).op(op.i32ltS).op(op.select).set(target);
    };
    f.get(task).i32(rowBlocks).op(op.i32divU).set(lb);
    f.get(task).i32(rowBlocks).op(op.i32remU).i32(rowBlock).op(op.i32mul).set(lr0);
    end(r1, lr0, rowBlock, M);
    f.get(r1).get(lr0).op(op.i32sub).set(rowCount);
    const areas = [...lefts, ...results, { local: right, offset: rightAt }, { local: weight, offset: weightAt }, { local: value, offset: valueAt }, ...outs];
    for (const { local, offset } of areas) f.get(scratch).i32(offset).op(op.i32add).set(local);
    e.bind(scratchNode, scratch);
    e.bind(b, lb);
    e.bind(r0, lr0);
    const rowLoop = (variable_: Node) => ({ variable: variable_, local: f.local(I32), extent: rowBlock, begin: () => f.get(lr0), pushEnd: () => f.get(r1) });
    scores.forEach(({ axes, size, leftOf, leftAt, leftStride }) => e.scope(() => {
      const [r, k] = [variable(M), variable(size)];
      pack(e, lower(environment({ r }, { axes, at: k }), [], leftOf), at(leftAt, [r, leftStride], [r0, -leftStride], [k, 4]), rowLoop(r),
        { variable: k, local: f.local(I32), extent: size, begin: () => f.i32(0), pushEnd: () => f.i32(size) });
    }));
    const stateAddress = (r: Node, word: number, lanes: boolean): Node => at(stateAt + word * 32 + (lanes ? 0 : 16), [r, wordCount * 32], [r0, -wordCount * 32]);
    /** Both forms of every reduction's state: four lanes, and one for ragged ends. */
    const states = reductions.map((r) => ({ wide: makeState(f, r.op, r.body.type, true, true), single: makeState(f, r.op, r.body.type, false) }));
    const eachWord = (visit: (state: State, index: number, word: number) => void): void => {
      let word = 0;
      for (const s of states) for (let i = 0; i < s.wide.words.length; i++, word++) { visit(s.wide, i, word); visit(s.single, i, word); }
    };
    const moveStates = (r: Node, save: boolean): void => eachWord((state, i, word) => {
      e.scalar(stateAddress(r, word, state.lanes));
      const real = isReal(state, i);
      if (save) {
        f.get(state.words[i]);
        if (state.lanes) f.storeV(); else if (real) f.storeF32(); else f.storeI32();
      } else {
        if (state.lanes) f.loadV(); else if (real) f.loadF32(); else f.loadI32();
        f.set(state.words[i]);
      }
    });
    const overRows = (roots: (r: Node) => readonly Node[], body: (r: Node) => void): void => e.scope(() => {
      const r = variable(M);
      const lr = f.local(I32);
      f.get(lr0).set(lr);
      e.loop(r, lr, () => f.get(r1), 1, roots(r), () => body(r));
    });
    if (reductions.length > 0) overRows(() => [], (r) => {
      for (const s of states) { resetState(f, s.wide); resetState(f, s.single); }
      moveStates(r, true);
    });

    /** All pairs of the rows and the streamed columns from j0 to j1. */
    const wholeBlock = (): void => {
      const streamLoop = (j: Node) => ({ variable: j, local: f.local(I32), extent: streamBlock, begin: () => f.get(lj0), pushEnd: () => f.get(j1) });
      scores.forEach(({ axes, size, depth, rightOf, leftStride }, slot) => {
        const k0 = variable(size);
        f.i32(0).set(lk0);
        f.count(lk0, () => f.i32(size), depthBlock, () => e.scope(() => {
          e.bind(k0, lk0);
          end(k1, lk0, depthBlock, size);
          e.scope(() => {
            const [j, k] = [variable(J), variable(size)];
            const [panel, inPanel] = panelOf(j, j0, tile.columns);
            pack(e, lower(environment({ j }, { axes, at: k }), [], rightOf), at(rightAt, [panel, depth * tile.columns * 4], [k, tile.columns * 4], [k0, -tile.columns * 4], [inPanel, 4]), streamLoop(j),
              { variable: k, local: f.local(I32), extent: depth, begin: () => f.get(lk0), pushEnd: () => f.get(k1) });
          });
          const from = f.local(I32);
          f.get(lefts[slot].local).get(lk0).i32(4).op(op.i32mul).op(op.i32add).set(from);
          emitPanelProduct(f, {
            tile, leftStride, resultStride: scoreStride, depth, left: from, right, result: results[slot].local, relaxed: context.relaxed,
            pushRows: () => f.get(rowCount), pushColumns: () => f.get(j1).get(lj0).op(op.i32sub), pushDepth: () => f.get(k1).get(lk0).op(op.i32sub), pushAdd: () => f.get(lk0),
          });
          e.unbind(k0);
        }));
      });
      const scoresOf = (r: Node, j: Node): Node[] => scores.map(({ scoreAt }) => graph.load('f32', at(scoreAt, [r, scoreStride], [r0, -scoreStride], [j, 4], [j0, -4]), null));
      const j = variable(J);
      const overStream = (roots: readonly Node[], body: (lanes: boolean) => void): void => {
        const lj = f.local(I32);
        f.get(lj0).set(lj);
        let lanes = true;
        e.vectorLoop(j, lj, null, () => f.get(j1), roots, () => { body(lanes); lanes = false; });
      };
      if (combine.kind === 'reduce') {
        const bodies = (r: Node): Node[] => {
          const memo = new Map();
          const axes = environment({ r, j });
          return reductions.map((x) => lower(axes, scoresOf(r, j), x.body, memo));
        };
        overRows(bodies, (r) => {
          moveStates(r, false);
          const nodes = bodies(r);
          const axes = environment({ r, j });
          let stride = 1;
          const terms: [Node, number][] = [];
          for (let d = q - 1; d >= p; d--) { terms.push([axes[d], stride]); stride *= all[d]; }
          const position = graph.linear(terms);
          overStream(nodes, (lanes) => {
            nodes.forEach((node, i) => {
              const local = f.local(lanes ? V128 : node.type === 'f32' ? F32 : I32);
              if (lanes) e.vector(node); else e.scalar(node);
              f.set(local);
              takeElement(f, context.math, lanes ? states[i].wide : states[i].single, local, () => { if (lanes) e.vector(position); else e.scalar(position); });
            });
          });
          moveStates(r, true);
        });
      }
      products.forEach((m, k) => e.scope(() => {
        const weightOf = (r: Node): { value: Node; address: Node } => ({
          value: lower(environment({ r, j }), scoresOf(r, j), m.weight),
          address: at(weightAt, [r, weightStride], [r0, -weightStride], [j, 4], [j0, -4]),
        });
        overRows((r) => Object.values(weightOf(r)), (r) => {
          const w = weightOf(r);
          overStream([w.value, w.address], () => e.store([{ ...w, element: 'f32' }]));
        });
        e.scope(() => {
          // Values: the streamed axis is summed now, the columns lie in panels.
          const [js, c] = [variable(J), variable(N)];
          const [panel, inPanel] = panelOf(c, zero, outTile.columns);
          pack(e, lower(environment({ j: js, c }), [], m.value), at(valueAt, [panel, streamBlock * outTile.columns * 4], [js, outTile.columns * 4], [j0, -outTile.columns * 4], [inPanel, 4]), streamLoop(js),
            { variable: c, local: f.local(I32), extent: N, begin: () => f.i32(0), pushEnd: () => f.i32(N) });
        });
        emitPanelProduct(f, {
          tile: outTile, leftStride: weightStride, resultStride: outStride, depth: streamBlock, left: weight, right: value, result: outs[k].local, relaxed: context.relaxed,
          pushRows: () => f.get(rowCount), pushColumns: () => f.i32(N), pushDepth: () => f.get(j1).get(lj0).op(op.i32sub), pushAdd: () => { if (mask === null) f.get(lj0); else f.i32(1); },
        });
      }));
    };
    /** Leaves out blocks of which the mask leaves nothing, where that changes nothing. */
    const masking = ({ variables, masked, values }: MaskedBlocks): ((whole: () => void) => void) => {
      const [lastRow, lastStreamed] = [variable(M), variable(J)];
      const [atRow, atStreamed, skips] = [v(), v(), v()];
      const ends = (axes: readonly Node[]): Node[] => {
        const all_ = [...axes];
        [all_[variables.rows[0]], all_[variables.rows[1]], all_[variables.streamed[0]], all_[variables.streamed[1]]] = [r0, lastRow, j0, lastStreamed];
        return all_;
      };
      f.get(r1).i32(1).op(op.i32sub).set(atRow);
      e.bind(lastRow, atRow);
      for (const { local } of outs) clear(f, local, outRows * outStride);
      return (whole) => {
        f.get(j1).i32(1).op(op.i32sub).set(atStreamed);
        e.bind(lastStreamed, atStreamed);
        e.scope(() => e.scalar(lower(ends(environment({})), [], masked)));
        if (combine.kind === 'reduce') {
          f.if(() => e.scope(() => overRows(() => [], (r) => {
            moveStates(r, false);
            values.forEach((s, i) => {
              const local = f.local(s.type === 'f32' ? F32 : I32);
              e.scalar(lower(ends(environment({ r })), [], s));
              f.set(local);
              takeElement(f, context.math, states[i].single, local, () => f.get(lj0));
            });
            moveStates(r, true);
          })), () => e.scope(whole));
        } else {
          f.set(skips);
          // Weights that are not zero by what they are, as those of a softmax, must be so by their values.
          for (const s of values) if (s.kind !== 'const' || s.value !== 0) f.get(skips).if(() => e.scope(() => {
            const alongRows = kernel.rows.some((a) => indexVariables(s).has(a));
            const k = variable(alongRows ? M : J);
            const local = v();
            f.get(alongRows ? lr0 : lj0).set(local);
            e.loop(k, local, () => f.get(alongRows ? r1 : j1), 1, [], () => {
              e.scalar(lower(environment(alongRows ? { r: k } : { j: k }), [], s));
              f.f32(0).op(op.f32ne).if(() => { f.i32(0).set(skips); });
            });
          }));
          f.get(skips).op(op.i32eqz).if(() => e.scope(whole));
        }
        e.unbind(lastStreamed);
      };
    };
    const skipsBlock = mask === null ? null : masking(mask);
    f.i32(0).set(lj0);
    f.count(lj0, () => f.i32(J), streamBlock, () => e.scope(() => {
      e.bind(j0, lj0);
      end(j1, lj0, streamBlock, J);
      if (skipsBlock === null) wholeBlock(); else skipsBlock(wholeBlock);
      e.unbind(j0);
    }));

    const itemsOf = (axes: readonly Node[], accumulators: readonly Node[]): Parameters<Expressions['store']>[0][number][] => {
      const memo = new Map();
      return stores.map((s) => ({
        address: storeAddress(graph, context.memory, s.tensor, extents, axes.slice(0, p)),
        value: lower(axes, accumulators, s.value, memo),
        element: slotOf(context.memory, s.tensor).element,
      }));
    };
    if (combine.kind === 'reduce') {
      const totals = graph.variables(reductions.map((r) => resultType(r.op, r.body.type)));
      overRows(() => [], (r) => {
        moveStates(r, false);
        states.forEach((s, i) => {
          mergeLanes(f, context.math, s.single, s.wide);
          const local = finishedLocal(f, resultType(s.single.reduce, reductions[i].body.type), false);
          finishState(f, context.math, s.single, J);
          f.set(local);
          e.bind(totals[i], local);
        });
        e.store(itemsOf(environment({ r }), totals));
        totals.forEach((x) => e.unbind(x));
      });
      return;
    }
    e.scope(() => {
      const [r, c] = [variable(M), variable(N)];
      const sums = outAt.map((offset) => graph.load('f32', at(offset, [r, outStride], [r0, -outStride], [c, 4]), null));
      const items = itemsOf(environment({ r, c }), sums);
      const roots = items.flatMap((s) => [s.value, s.address]);
      const [lr, lc] = [f.local(I32), f.local(I32)];
      f.get(lr0).set(lr);
      e.loop(r, lr, () => f.get(r1), 1, roots, () => {
        f.i32(0).set(lc);
        e.vectorLoop(c, lc, N, () => f.i32(N), roots, () => e.store(items));
      });
    });
  });
  return B * rowBlocks;
}

/** Zeros in `bytes` of the worker's memory, a multiple of 16. */
function clear(f: FunctionBuilder, at: Local, bytes: number): void {
  const offset = f.local(I32);
  f.i32(0).set(offset);
  f.count(offset, () => f.i32(bytes), 16, () => f.get(at).get(offset).op(op.i32add).f32x4(0).storeV());
}
