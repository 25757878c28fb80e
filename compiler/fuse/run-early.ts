/**
 * Runs a kernel as early as its operands allow when that frees more memory than it takes. The gradient of a weight is small and
 * reads two large tensors, an activation and the gradient that arrived; differentiation writes it down last, and until then
 * both would live.
 */
import type { Program } from '../tensor/program.js';
import { bytesOf, isComputed, sizeOf } from '../tensor/program.js';
import type { TensorId } from '../tensor/scalar.js';
import type { Draft } from './draft.js';
import { basesOf, tensorsRead } from './draft.js';
import type { Kernel } from './kernel.js';
import { dependencies, wantedTensors } from './schedule-kernels.js';

/** How often the kernels are gone through: what one move frees can make another worth it. */
const sweeps = 3;

export function runEarly(draft: Draft): Draft {
  let best = draft;
  let least = peakBytes(draft);
  for (let k = 0; k < sweeps; k++) {
    const next = sweep(best);
    const peak = peakBytes(next);
    if (peak >= least) break;
    best = next;
    least = peak;
  }
  return best;
}

/** The tensors that lie in memory of their own behind what a kernel reads. */
function operandsOf(program: Program, kernel: Kernel): ReadonlySet<TensorId> {
  const found = new Set<TensorId>();
  for (const id of tensorsRead(kernel)) for (const base of basesOf(program, id)) if (isComputed(base)) found.add(base.id);
  return found;
}

const bytes = (program: Program, id: TensorId): number => sizeOf(program.tensors[id].shape) * bytesOf(program.tensors[id].element);

function sweep({ program, kernels }: Draft): Draft {
  const needs = dependencies(program, kernels);
  const wanted = wantedTensors(program);
  const readers = new Map<TensorId, number[]>();
  kernels.forEach((k, i) => { for (const id of operandsOf(program, k)) readers.set(id, [...(readers.get(id) ?? []), i]); });
  const lastReader = new Map([...readers].map(([id, list]) => [id, list[list.length - 1]]));
  const order: number[] = [];
  const position = new Map<number, number>();
  kernels.forEach((kernel, i) => {
    let freed = 0;
    for (const id of operandsOf(program, kernel)) if (lastReader.get(id) === i && !wanted.has(id)) freed += bytes(program, id);
    const taken = kernel.stores.reduce((sum, s) => sum + bytes(program, s.tensor), 0);
    let earliest = 0;
    for (const n of needs[i]) earliest = Math.max(earliest, (position.get(n) ?? 0) + 1);
    if (freed > taken) {
      // What it frees must not be read by others after the place it moves to.
      for (const id of operandsOf(program, kernel)) {
        if (lastReader.get(id) !== i) continue;
        for (const r of readers.get(id) ?? []) if (r !== i) earliest = Math.max(earliest, (position.get(r) ?? 0) + 1);
      }
    } else earliest = order.length;
    order.splice(earliest, 0, i);
    for (let p = earliest; p < order.length; p++) position.set(order[p], p);
  });
  return { program, kernels: order.map((i) => kernels[i]) };
}

/** Most bytes of computed tensors alive at once. */
function peakBytes({ program, kernels }: Draft): number {
  const wanted = wantedTensors(program);
  const last = new Map<TensorId, number>();
  const first = new Map<TensorId, number>();
  kernels.forEach((k, i) => {
    for (const s of k.stores) if (!first.has(s.tensor)) first.set(s.tensor, i);
    for (const id of operandsOf(program, k)) last.set(id, i);
  });
  const change = new Float64Array(kernels.length + 1);
  for (const [id, at] of first) {
    if (wanted.has(id)) continue;
    change[at] += bytes(program, id);
    change[(last.get(id) ?? at) + 1] -= bytes(program, id);
  }
  let alive = 0;
  return change.reduce((most, d) => { alive += d; return Math.max(most, alive); }, 0);
}
