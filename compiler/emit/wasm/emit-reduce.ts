/**
 * Reductions: lanes along a parallel axis where neighbours are kept (column sums), else along a reduced one (row
 * sums). Few points with many elements each are cut into a fixed number of chunks, whose partial states the last
 * task of a point merges in order.
 */
import type { ReduceKernel } from '../../fuse/kernel.js';
import { bytesOf } from '../../tensor/program.js';
import type { State } from './accumulators.js';
import { finishedLocal, finishState, isReal, makeState, mergeLanes, mergeStates, resetState, resultType, takeElement, wordTypes } from './accumulators.js';
import { F32, I32, V128, op, simd } from './binary.js';
import type { Local } from './binary.js';
import type { Context } from './context.js';
import { taskFunction, whenLast } from './context.js';
import { mergeShifted, pushTotal } from './deviations.js';
import { axesOf, cutAxes, ownAxes, planCut } from './emit-map.js';
import { Expressions } from './expressions.js';
import { Graph } from './graph.js';
import type { Node } from './graph.js';
import { lowerScalar, slotOf, storeAddress } from './lower-scalar.js';
import type { Cut, Group, Lowering, Pass, PointPlan } from './nest.js';
import { decodeGroup, emitPoints, laneCost, mergeGroups, oncePerGroups, planPoints, product, reachable } from './nest.js';

/** Parts that few points with many elements are cut into, all together. */
export const mostChunks = 24;

/** The points of a reduction over the slices of a chain: all of those that are not kept apart, for every task. */
function planSums(lead: Group, groups: readonly Group[], extents: readonly number[], vector: number | null): PointPlan {
  const sizes = groups.map((g) => product(g.map((a) => extents[a])));
  const block = lead.length > 0 ? 1 : sizes[0];
  return { groups, sizes, vector, block, vectorBlock: vector === null ? 1 : sizes[vector], tasks: Math.ceil(sizes[0] / block) };
}

export function emitReduce(context: Context, name: string, kernel: ReduceKernel, cut: Cut | null = null): number {
  const { extents, reduceExtents, reductions, stores } = kernel;
  const p = extents.length;
  const all = [...extents, ...reduceExtents];
  const lowerBodies = (graph: Graph, axes: readonly Node[]): Node[] => {
    const memo = new Map();
    return reductions.map((r) => lowerScalar(graph, context.memory, { axes, accumulators: [] }, r.body, memo));
  };
  const lower = oncePerGroups<ReturnType<Lowering>>((groups) => {
    const graph = new Graph();
    const { variables, axes } = axesOf(graph, groups, all);
    const roots = lowerBodies(graph, axes);
    return { variables, roots, addresses: stores.map((s) => ({ node: storeAddress(graph, context.memory, s.tensor, extents, axes.slice(0, p)), bytes: bytesOf(slotOf(context.memory, s.tensor).element) })) };
  });
  // Parallel and reduced axes merge among themselves only: the position is what keeps them apart.
  const separate = ownAxes(all);
  const [pointAxes, reducedAxes] = [separate.filter(([a]) => a < p), separate.filter(([a]) => a >= p)];
  const summed = cut?.kind === 'slices' && cut.slices.some((a) => a >= p) ? cut : null;
  const first: Group[] = cut === null ? [] : [summed === null ? cutAxes(cut) : summed.lead].filter((g) => g.length > 0);
  const pointGroups = [...first, ...mergeGroups(pointAxes.filter(([a]) => first.every((g) => !g.includes(a))), (g) => lower([...first, ...g, ...reducedAxes]), first.length)];
  const slices: Group[] = summed === null ? [] : [summed.slices];
  const inner = mergeGroups([...slices, ...reducedAxes.filter(([a]) => slices.every((g) => !g.includes(a)))], (g) => lower([...pointGroups, ...g]), pointGroups.length);
  const groups = [...pointGroups, ...inner];
  const lowered = lower(groups);
  const size = (g: Group): number => product(g.map((a) => all[a]));
  const chunkOfCut = summed === null ? null : summed.block * size(inner[0]) / size(summed.slices);
  const summedNodes = reachable(lowered.roots);
  const allNodes = reachable([...lowered.roots, ...lowered.addresses.map((a) => a.node)]);
  let lanes: number | null = null;
  let least = Infinity;
  groups.forEach((g, i) => {
    if (size(g) < 4) return;
    const reduced = i >= pointGroups.length;
    // Slices begin where they begin.
    if (i === pointGroups.length && chunkOfCut !== null && chunkOfCut % 4 !== 0) return;
    const cost = laneCost(lowered.variables[i], size(g), reduced ? [] : lowered.addresses, reduced ? summedNodes : allNodes) + (reduced ? 16 / size(g) : 0);
    if (cost <= least) { least = cost; lanes = i; }
  });
  const laneGroup: number | null = lanes;
  const lanesReduced = laneGroup !== null && laneGroup >= pointGroups.length;
  const count = product(reduceExtents);
  const work = summedNodes.size;
  const points = product(extents);

  // Cut the reduction when its points alone make few tasks.
  const perPoint = summed !== null ? planSums(summed.lead, pointGroups, all, lanesReduced ? null : laneGroup) : cut !== null ? planCut(cut, pointGroups, all, lanesReduced ? null : laneGroup) : planPoints(pointGroups, all, lanesReduced ? null : laneGroup, work * count);
  const total = points * count * work;
  const firstSize = inner.length === 0 ? 1 : size(inner[0]);
  const unit = lanesReduced && laneGroup === pointGroups.length ? 16 : 1;
  const wantedChunks = perPoint.tasks >= 12 || total < 65536 ? 1 : Math.ceil(mostChunks / perPoint.tasks);
  const chunkSize = chunkOfCut ?? (cut !== null ? firstSize : Math.ceil(Math.ceil(firstSize / Math.min(wantedChunks, firstSize, Math.max(1, Math.floor(total / 32768)))) / unit) * unit);
  const chunks = Math.ceil(firstSize / chunkSize);
  const plan = perPoint;

  // The deviations of a sum's elements know the sum as well.
  const within = reductions.map((r) => (r.op === 'sum' ? reductions.findIndex((o) => o.op === 'deviations' && o.body === r.body) : -1));
  const held = reductions.filter((_, i) => within[i] < 0);
  const stateOf = reductions.map((r, i) => held.indexOf(within[i] < 0 ? r : reductions[within[i]]));
  const stateWords = held.flatMap((r) => wordTypes(r.op, r.body.type));
  const partials = context.partialsBase;
  if (chunks > 1) context.needs.partials = Math.max(context.needs.partials, chunks * stateWords.length * points * 4);
  const unroll = !lanesReduced && laneGroup !== null && held.length * work < 24 && (cut?.kind !== 'points' || cut.block % 16 === 0) && reductions.every((r) => r.op !== 'logsumexp') ? 4 : 1;

  taskFunction(context, name, ({ f, task }) => {
    // Of a chain, a task has a chunk of one of the leading points; alone, chunks follow one another with all their points.
    const pointsFirst = cut !== null || chunks === 1;
    const pushPointTask = (): void => { f.get(task); if (chunks > 1) f.i32(pointsFirst ? chunks : plan.tasks).op(pointsFirst ? op.i32divU : op.i32remU); };
    const chunk = f.local(I32);
    f.get(task).i32(pointsFirst ? chunks : plan.tasks).op(pointsFirst ? op.i32remU : op.i32divU).set(chunk);

    const setUp = () => {
      const graph = new Graph();
      const e = new Expressions(f, graph, context.math);
      const variables = plan.groups.map((g) => graph.variable('i32', 0, size(g) - 1));
      const chunkVariable = graph.variable('i32', 0, chunks - 1);
      const reduced = inner.map((g) => graph.variable('i32', 0, size(g) - 1));
      const results = graph.variables(reductions.map((r) => resultType(r.op, r.body.type)));
      /** Axes with the lane group moved on by `shift`. */
      const axesAt = (shift: number): Node[] => {
        const axes = all.map(() => graph.int(0));
        plan.groups.forEach((g, i) => decodeGroup(graph, g, all, i === plan.vector ? graph.linear([[variables[i], 1]], shift) : variables[i], axes));
        inner.forEach((g, i) => decodeGroup(graph, g, all, reduced[i], axes));
        return axes;
      };
      const flat = (axes: readonly Node[], sizes: readonly number[], from: number): Node => {
        let stride = 1;
        const terms: [Node, number][] = [];
        for (let d = sizes.length - 1; d >= 0; d--) { terms.push([axes[from + d], stride]); stride *= sizes[d]; }
        return graph.linear(terms);
      };
      const partialAddress = (axes: readonly Node[], chunkNode: Node, word: number): Node =>
        graph.linear([[chunkNode, stateWords.length * points * 4], [flat(axes, extents, 0), 4]], partials + word * points * 4);
      return { graph, e, variables, chunkVariable, reduced, results, axesAt, flat, partialAddress };
    };

    /** Finishes states and stores; one set of states per unrolled copy. */
    const finish = (s: ReturnType<typeof setUp>, states: readonly (readonly State[])[], pass: Pass): void => {
      states.forEach((own, copy) => {
        s.e.scope(() => {
          const axes = s.axesAt(copy * 4);
          reductions.forEach((r, i) => {
            const local = finishedLocal(f, resultType(r.op, r.body.type), pass.lanes);
            if (within[i] < 0) finishState(f, context.math, own[stateOf[i]], count); else pushTotal(f, own[stateOf[i]], count);
            f.set(local);
            s.e.bind(s.results[i], local, pass.lanes);
          });
          const memo = new Map();
          s.e.store(stores.map((st) => ({
            address: storeAddress(s.graph, context.memory, st.tensor, extents, axes),
            value: lowerScalar(s.graph, context.memory, { axes, accumulators: s.results }, st.value, memo),
            element: slotOf(context.memory, st.tensor).element,
          })));
          s.results.forEach((r) => s.e.unbind(r));
        });
      });
    };

    const s = setUp();
    s.e.bind(s.chunkVariable, chunk);
    const copies = (pass: Pass): number => (pass.lanes ? pass.step / 4 : 1);
    const unrolled: { readonly bodies: readonly Node[]; readonly axes: readonly Node[] }[] = [];
    /** The bodies of each unrolled copy; those of fewer copies are the first of them. */
    const bodiesOf = (pass: Pass): typeof unrolled => {
      while (unrolled.length < copies(pass)) {
        const axes = s.axesAt(unrolled.length * 4);
        unrolled.push({ axes, bodies: lowerBodies(s.graph, axes) });
      }
      return unrolled.slice(0, copies(pass));
    };
    emitPoints(s.e, plan, s.variables, pushPointTask, unroll, (pass) => bodiesOf(pass).flatMap((b) => b.bodies), (pass) => {
      const parts = bodiesOf(pass);
      const make = (l: boolean, joined = false): State[][] => parts.map(() => held.map((r) => makeState(f, r.op, r.body.type, l, joined)));
      const states = make(pass.lanes);
      const wide = lanesReduced ? make(true, true) : null;
      for (const own of [...states, ...(wide ?? [])]) for (const state of own) resetState(f, state);
      const roots = parts.flatMap((b) => b.bodies);
      const begin = (i: number, local: Local): void => { if (i === 0 && chunks > 1) f.get(chunk).i32(chunkSize).op(op.i32mul).set(local); else f.i32(0).set(local); };
      if (count > 0 && held.some((r) => r.op === 'deviations')) {
        // Deviations are from the first element.
        s.e.scope(() => {
          s.reduced.forEach((variable, i) => { const local = f.local(I32); begin(i, local); s.e.bind(variable, local); });
          parts.forEach(({ bodies }, copy) => held.forEach((r, k) => {
            if (r.op !== 'deviations') return;
            const body = bodies[reductions.indexOf(r)];
            if (pass.lanes) s.e.vector(body); else s.e.scalar(body);
            f.set(states[copy][k].words[0]);
            if (wide !== null) f.get(states[copy][k].words[0]).simd(simd.f32splat).set(wide[copy][k].words[0]);
          }));
          s.reduced.forEach((variable) => s.e.unbind(variable));
        });
      }
      const take = (target: State[][], l: boolean): void => {
        parts.forEach(({ bodies, axes }, copy) => {
          held.forEach((r, k) => {
            const state = target[copy][k];
            const body = bodies[reductions.indexOf(r)];
            const value = f.local(l ? V128 : body.type === 'f32' ? F32 : I32);
            if (l) s.e.vector(body); else s.e.scalar(body);
            f.set(value);
            const position = s.flat(axes, reduceExtents, p);
            takeElement(f, context.math, state, value, () => { if (l) s.e.vector(position); else s.e.scalar(position); });
          });
        });
      };
      const level = (i: number, l: boolean): void => {
        if (i === inner.length) { take(l && wide !== null ? wide : states, l); return; }
        const local = f.local(I32);
        const end = f.local(I32);
        const extent = size(inner[i]);
        begin(i, local);
        if (i === 0 && chunks > 1) {
          f.get(local).i32(chunkSize).op(op.i32add).set(end);
          f.get(end).i32(extent).get(end).i32(extent).op(op.i32ltS).op(op.select).set(end);
        } else f.i32(extent).set(end);
        const fixed = i === 0 && chunks > 1 ? null : extent;
        const pushEnd = (): void => { if (fixed !== null) f.i32(fixed); else f.get(end); };
        if (lanesReduced && laneGroup === pointGroups.length + i) {
          let inLanes = true;
          s.e.vectorLoop(s.reduced[i], local, fixed, pushEnd, roots, () => { level(i + 1, inLanes); inLanes = false; });
        } else s.e.loop(s.reduced[i], local, pushEnd, 1, roots, () => level(i + 1, l));
      };
      level(0, pass.lanes);
      if (wide !== null) states.forEach((own, copy) => own.forEach((state, i) => mergeLanes(f, context.math, state, wide[copy][i])));
      if (chunks === 1) { finish(s, states, pass); return; }
      states.forEach((own, copy) => {
        const axes = s.axesAt(copy * 4);
        let word = 0;
        const items: { address: Node; local: Local; real: boolean }[] = own.flatMap((state) => state.words.map((local, i) => ({ address: s.partialAddress(axes, s.chunkVariable, word++), local, real: isReal(state, i) })));
        s.e.storeLocals(items, pass.lanes);
      });
    });
    if (chunks === 1) return;
    whenLast(context, f, pushPointTask, chunks, () => {
      const m = setUp();
      emitPoints(m.e, plan, m.variables, pushPointTask, 1, () => [], (pass) => {
        const states = held.map((r) => makeState(f, r.op, r.body.type, pass.lanes));
        const axes = m.axesAt(0);
        const readWord = (state: State, k: number, i: number, chunkNode: Node, into: Local): void => {
          const word = held.slice(0, k).reduce((n, r) => n + wordTypes(r.op, r.body.type).length, i);
          const load = m.graph.load(isReal(state, i) ? 'f32' : 'i32', m.partialAddress(axes, chunkNode, word), null);
          if (pass.lanes) m.e.vector(load); else m.e.scalar(load);
          f.set(into);
        };
        states.forEach((state, k) => {
          resetState(f, state);
          if (state.reduce === 'deviations') readWord(state, k, 0, m.graph.int(0), state.words[0]);
        });
        const [local, taken] = [f.local(I32), f.local(F32)];
        f.i32(0).set(local);
        m.e.loop(m.chunkVariable, local, () => f.i32(chunks), 1, [], () => {
          const length = f.local(I32);
          f.i32(firstSize).get(local).i32(chunkSize).op(op.i32mul).op(op.i32sub).tee(length).i32(chunkSize).get(length).i32(chunkSize).op(op.i32ltS).op(op.select);
          f.i32(count / firstSize).op(op.i32mul).op(op.f32convertI32).set(taken);
          states.forEach((state, k) => {
            const from: State = { ...state, words: state.words.map((_, i) => f.local(pass.lanes ? V128 : isReal(state, i) ? F32 : I32)) };
            state.words.forEach((_, i) => readWord(state, k, i, m.chunkVariable, from.words[i]));
            if (state.reduce === 'deviations') mergeShifted(f, state, from, taken); else mergeStates(f, context.math, state, from);
          });
        });
        finish(m, [states], pass);
      });
    });
  });
  return plan.tasks * chunks;
}
