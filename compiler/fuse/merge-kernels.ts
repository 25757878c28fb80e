/**
 * Three ways for two kernels over the same points to become one:
 * - an epilogue: a map that reads another kernel's results at its own points joins that kernel;
 * - sibling reductions over the same axes of the same data become one reduction with several results;
 * - sibling maps over the same points that load the same data become one map with several stores.
 * Two kernels merge only when no third must run between them, and when the result binds few enough tensors.
 */
import type { Program } from '../tensor/program.js';
import { sizeOf } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { accumulator, rewriteAccumulators, rewriteReads, scalarTypeOf } from '../tensor/scalar.js';
import type { Draft, FuseContext } from './draft.js';
import { basesOf, isConstant, mergeOrigins, tensorsIn, tensorsRead } from './draft.js';
import { takesEpilogues } from './kernel.js';
import type { Kernel, MapKernel, ReduceKernel } from './kernel.js';
import { bindingsOf, KernelGraph } from './kernel-graph.js';
import { isIdentity } from './place-updates.js';
import { dropUnused, orderKernels, wantedTensors } from './schedule-kernels.js';
import { pinnedTensors } from './inline-maps.js';

/** Kernels this small cost their launch, so they merge even when they share no data. */
const smallPoints = 4096;

export function mergeEpilogues(draft: Draft, context: FuseContext): Draft {
  const graph = new KernelGraph(draft.program, draft.kernels);
  const pinned = pinnedTensors(draft.program);
  for (let i = 0; i < graph.size; i++) {
    for (let again = true; again;) {
      again = false;
      const consumer = graph.at(i);
      if (consumer === null || consumer.kind !== 'map') break;
      for (const p of [...graph.needsOf(i)].sort((a, b) => b - a)) {
        const producer = graph.at(p);
        if (producer === null || !takesEpilogues(producer) || producer.extents.join() !== consumer.extents.join()) continue;
        const merged = withEpilogue(draft.program, producer, consumer);
        if (merged === null || !graph.canMerge(i, p)) continue;
        const gone = new Set(producer.stores.map((s) => s.tensor).filter((t) => !pinned.has(t) && !graph.isReadOutside(t, [i, p])));
        const slim = { ...merged, stores: merged.stores.filter((s) => !gone.has(s.tensor)) };
        if (bindingsOf(draft.program, slim) > Math.max(context.maxBindings, bindingsOf(draft.program, producer))) continue;
        // The merged kernel stays where the consumer was: a map may then take part in further merges.
        graph.merge(i, p, slim);
        again = slim.kind === 'map';
        break;
      }
    }
  }
  return finish(draft, graph);
}

/** The producer with the consumer's stores added, or null when the consumer looks at other points of its results. */
function withEpilogue(program: Program, producer: Kernel, consumer: MapKernel): Kernel | null {
  const values = new Map(producer.stores.map((s) => [s.tensor, s.value]));
  for (const id of tensorsRead(consumer)) {
    const tensor = program.tensors[id];
    // Results seen through a window or a pack are not at the same points.
    if (tensor.kind === 'window' || tensor.kind === 'pack') {
      const stack: TensorId[] = [id];
      for (let t = stack.pop(); t !== undefined; t = stack.pop()) {
        if (values.has(t)) return null;
        const inner = program.tensors[t];
        if (inner.kind === 'window') stack.push(inner.of);
        if (inner.kind === 'pack') stack.push(...inner.parts);
      }
    }
  }
  let legal = true;
  const memo = new Map<Scalar, Scalar>();
  const replace = (s: Scalar): Scalar => rewriteReads(s, (n) => {
    const value = values.get(n.tensor);
    if (value === undefined) return n;
    const tensor = program.tensors[n.tensor];
    if (!isIdentity(n, consumer.extents, tensor.shape) || tensor.element === 'u8' || value.type !== scalarTypeOf(tensor.element)) legal = false;
    return value;
  }, memo);
  const stores = consumer.stores.map((s) => ({ tensor: s.tensor, value: replace(s.value) }));
  if (!legal) return null;
  return { ...producer, stores: [...producer.stores, ...stores], origins: mergeOrigins(producer.origins, consumer.origins) };
}

export function mergeSiblings(draft: Draft, context: FuseContext): Draft {
  // Where memory was worth computing twice for, a merge must not pull what the later kernel needs to the earlier one's place.
  const recomputes = draft.program.tensors.some((t) => t.phase === 'recomputed');
  const graph = new KernelGraph(draft.program, draft.kernels);
  const groups = new Map<string, number[]>();
  for (let i = 0; i < graph.size; i++) {
    const k = graph.at(i);
    if (k === null || (k.kind !== 'map' && k.kind !== 'reduce')) continue;
    const key = `${k.kind} ${k.extents.join()} ${k.kind === 'reduce' ? k.reduceExtents.join() : ''}`;
    groups.set(key, [...(groups.get(key) ?? []), i]);
  }
  for (const members of groups.values()) {
    for (let m = 0; m < members.length; m++) {
      for (let n = m + 1; n < members.length; n++) {
        const [i, j] = [members[m], members[n]];
        const [a, b] = [graph.at(i), graph.at(j)];
        if (a === null || b === null || !shareData(draft.program, a, b)) continue;
        if (recomputes && (isRecomputed(draft.program, a) !== isRecomputed(draft.program, b) || [...graph.needsOf(j)].some((need) => need > i))) continue;
        const related = graph.related(i, j);
        const merged = related ? (graph.canMerge(i, j) ? withLateStores(draft.program, a, b) ?? withLateStores(draft.program, b, a) : null)
          : a.kind === 'reduce' && b.kind === 'reduce' ? besides(a, b) : a.kind === 'map' && b.kind === 'map' ? mapsBesides(a, b) : null;
        if (merged === null) continue;
        if (bindingsOf(draft.program, merged) > context.maxBindings) continue;
        graph.merge(i, j, merged);
      }
    }
  }
  return finish(draft, graph);
}

/** Whether the kernel computes something a second time, to free memory between: merged with the first, it would free none. */
function isRecomputed(program: Program, kernel: Kernel): boolean {
  return kernel.stores.some((s) => program.tensors[s.tensor].phase === 'recomputed');
}

/** Whether merging saves a pass over a tensor as large as the loops, or a launch that costs more than its work, or finding the same places in a table twice. */
function shareData(program: Program, a: Kernel, b: Kernel): boolean {
  const work = sizeOf(a.extents) * (a.kind === 'reduce' ? sizeOf(a.reduceExtents) : 1);
  if (work <= smallPoints) return true;
  const inA = tensorsRead(a);
  const tables = tablesOf(program, a);
  return [...tensorsRead(b)].some((t) => inA.has(t) && sizeOf(program.tensors[t].shape) * 2 > work) || [...tablesOf(program, b)].some((t) => tables.has(t));
}

/** The tables that a plan holds and a kernel reads. */
function tablesOf(program: Program, kernel: Kernel): ReadonlySet<TensorId> {
  return new Set([...tensorsRead(kernel)].filter((id) => isConstant(program, id)));
}

function besides(a: ReduceKernel, b: ReduceKernel): ReduceKernel {
  const shift = a.reductions.length;
  const memo = new Map<Scalar, Scalar>();
  const moved = b.stores.map((s) => ({ tensor: s.tensor, value: rewriteAccumulators(s.value, (n) => accumulator(n.type, n.slot + shift), memo) }));
  return { ...a, reductions: [...a.reductions, ...b.reductions], stores: [...a.stores, ...moved], origins: mergeOrigins(a.origins, b.origins) };
}

/** Two reductions of which the second needs the first's results only at the end, at its own points. */
function withLateStores(program: Program, first: Kernel, second: Kernel): Kernel | null {
  if (first.kind !== 'reduce' || second.kind !== 'reduce') return null;
  const made = new Set(first.stores.map((s) => s.tensor));
  const later = new Set(second.stores.map((s) => s.tensor));
  if ([...tensorsRead(first)].some((t) => basesOf(program, t).some((b) => later.has(b.id)))) return null;
  if (second.reductions.some((r) => [...tensorsIn([r.body])].some((t) => basesOf(program, t).some((b) => made.has(b.id))))) return null;
  const both = besides(first, second);
  // The second's stores, moved to their slots, are an epilogue of the first with the second's reductions.
  const late: MapKernel = { kind: 'map', name: '', origins: second.origins, extents: second.extents, stores: both.stores.slice(first.stores.length) };
  return withEpilogue(program, { ...both, stores: first.stores }, late);
}

function mapsBesides(a: MapKernel, b: MapKernel): MapKernel {
  return { ...a, stores: [...a.stores, ...b.stores], origins: mergeOrigins(a.origins, b.origins) };
}

function finish(draft: Draft, graph: KernelGraph): Draft {
  const ordered = orderKernels(draft.program, graph.kernels());
  return { ...draft, kernels: dropUnused(draft.program, ordered, wantedTensors(draft.program)) };
}
