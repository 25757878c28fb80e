/**
 * Orders kernels so that whatever is read has been written, keeping the given order where there is a choice, and
 * drops kernels whose results nobody needs. Extra `before` pairs hold back a kernel that overwrites a source until
 * the others have read it.
 */
import { bug } from '../../grammar/diagnostics/report.js';
import type { Program } from '../tensor/program.js';
import { holds } from '../tensor/holds.js';
import { updateInputs } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { accumulator, rewriteAccumulators, visitWhere } from '../tensor/scalar.js';
import { basesOf, tensorsRead } from './draft.js';
import type { Kernel } from './kernel.js';

/** For each kernel, the indices of the kernels whose stores it reads (through windows and packs). */
export function dependencies(program: Program, kernels: readonly Kernel[]): readonly ReadonlySet<number>[] {
  const writers = new Map<TensorId, number[]>();
  kernels.forEach((k, i) => { for (const s of k.stores) writers.set(s.tensor, [...(writers.get(s.tensor) ?? []), i]); });
  return kernels.map((k, i) => {
    const needs = new Set<number>();
    for (const id of tensorsRead(k)) {
      for (const base of basesOf(program, id)) {
        if (base.kind === 'source') continue;
        for (const w of writers.get(base.id) ?? []) if (w !== i) needs.add(w);
      }
    }
    return needs;
  });
}

/** The order, or null when the constraints contradict each other. `before[i]` lists what must run before kernel i. */
export function topologicalOrder(before: readonly ReadonlySet<number>[]): readonly number[] | null {
  const order: number[] = [];
  const state = new Uint8Array(before.length);
  const visitKernel = (i: number): boolean => {
    if (state[i] === 2) return true;
    if (state[i] === 1) return false;
    state[i] = 1;
    // Those with one need, as most have, need no order.
    for (const j of before[i].size < 2 ? before[i] : [...before[i]].sort((a, b) => a - b)) if (!visitKernel(j)) return false;
    state[i] = 2;
    order.push(i);
    return true;
  };
  for (let i = 0; i < before.length; i++) if (!visitKernel(i)) return null;
  return order;
}

/** Whether every kernel stands behind those it needs. */
function isInOrder(program: Program, kernels: readonly Kernel[]): boolean {
  const lastWriter = new Map<TensorId, number>();
  kernels.forEach((k, i) => { for (const s of k.stores) lastWriter.set(s.tensor, i); });
  return kernels.every((k, i) => {
    for (const id of tensorsRead(k)) {
      for (const base of basesOf(program, id)) if (base.kind !== 'source' && (lastWriter.get(base.id) ?? -1) > i) return false;
    }
    return true;
  });
}

/** The kernels in an order that can be run. */
export function orderKernels(program: Program, kernels: readonly Kernel[]): readonly Kernel[] {
  if (isInOrder(program, kernels)) return kernels;
  const order = topologicalOrder(dependencies(program, kernels)) ?? bug('kernels need each other in a circle');
  return order.map((i) => kernels[i]);
}

/** The tensors that must exist when the program is done: outputs and the values of updates. */
export function wantedTensors(program: Program): ReadonlySet<TensorId> {
  const wanted = new Set<TensorId>();
  for (const id of [...program.outputs.map((o) => o.tensor), ...program.updates.flatMap(updateInputs)]) {
    for (const base of basesOf(program, id)) wanted.add(base.id);
  }
  return wanted;
}

/** Drops stores nobody reads, and kernels without stores. */
export function dropUnused(program: Program, kernels: readonly Kernel[], wanted: ReadonlySet<TensorId> = wantedTensors(program)): readonly Kernel[] {
  const needed = new Set<TensorId>(wanted);
  const kept: Kernel[] = [];
  for (const kernel of [...kernels].reverse()) {
    const stores = kernel.stores.filter((s) => needed.has(s.tensor) || program.tensors[s.tensor].kind === 'source');
    if (stores.length === 0) continue;
    const slim = stores.length === kernel.stores.length ? kernel : dropReductions({ ...kernel, stores });
    kept.push(slim);
    for (const id of tensorsRead(slim)) for (const base of basesOf(program, id)) needed.add(base.id);
  }
  return kept.reverse();
}

/** Removes reductions that no store uses and renumbers the accumulators. */
export function dropReductions(kernel: Kernel): Kernel {
  if (kernel.kind !== 'reduce') return kernel;
  const used = new Set<number>();
  for (const s of kernel.stores) visitWhere(holds.accumulator, s.value, (n) => { if (n.kind === 'accumulator') used.add(n.slot); });
  const slots = kernel.reductions.map((_, i) => i).filter((i) => used.has(i));
  if (slots.length === kernel.reductions.length || slots.length === 0) return kernel;
  const memo = new Map<Scalar, Scalar>();
  const renumber = (s: Scalar): Scalar => rewriteAccumulators(s, (n) => accumulator(n.type, slots.indexOf(n.slot)), memo);
  return {
    ...kernel,
    reductions: slots.map((i) => kernel.reductions[i]),
    stores: kernel.stores.map((s) => ({ tensor: s.tensor, value: renumber(s.value) })),
  };
}
