/**
 * Which memory a kernel program needs and when. Allocations are what owns memory: sources, packs (with their parts
 * inside), and kernel outputs; windows lie inside others. A transient lives from the launch that writes it to the last
 * that reads it, both included.
 */
import { bug } from '../../grammar/diagnostics/report.js';
import { tensorsTouched } from '../fuse/draft.js';
import type { KernelProgram } from '../fuse/kernel.js';
import { tensorsOfChains } from '../fuse/kernel.js';
import type { Program } from '../tensor/program.js';
import { bytesOf, isComputed, sizeOf } from '../tensor/program.js';
import type { TensorId } from '../tensor/scalar.js';

/** A tensor as a range of the allocation that holds it. */
export interface Location {
  readonly owner: TensorId;
  readonly byteOffset: number;
}

/** A transient allocation: alive while launches `first`..`last` run. */
export interface Lifetime {
  readonly id: TensorId;
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
}

export interface Allocations {
  readonly locate: (id: TensorId) => Location;
  /** Owners that outlive a run: sources, packs and what the host reads. */
  readonly persistent: readonly TensorId[];
  readonly transients: readonly Lifetime[];
}

/** Bytes a tensor takes, at least one element. */
export function tensorBytes(program: Program, id: TensorId): number {
  const tensor = program.tensors[id];
  return Math.max(1, sizeOf(tensor.shape)) * bytesOf(tensor.element);
}

export function findAllocations(kernels: KernelProgram): Allocations {
  const { program } = kernels;
  const packOf = new Map<TensorId, Location>();
  // What a chain makes for itself lies in the workers' memory.
  const own = tensorsOfChains(kernels.chains);
  const used = new Set(kernels.materialized.filter((id) => !own.has(id)));
  for (const t of program.tensors) {
    if (t.kind === 'pack' && used.has(t.id)) t.parts.forEach((part, i) => packOf.set(part, { owner: t.id, byteOffset: t.offsets[i] * bytesOf(t.element) }));
  }
  const locate = (id: TensorId): Location => {
    const tensor = program.tensors[id];
    if (tensor.kind === 'window') {
      const inner = locate(tensor.of);
      return { owner: inner.owner, byteOffset: inner.byteOffset + tensor.offset * bytesOf(tensor.element) };
    }
    return packOf.get(id) ?? { owner: id, byteOffset: 0 };
  };
  const outputs = new Set(program.outputs.map((o) => locate(o.tensor).owner));
  const spans = new Map<TensorId, { first: number; last: number }>();
  const touch = (id: TensorId, at: number): void => {
    if (own.has(id)) return;
    const { owner } = locate(id);
    const span = spans.get(owner);
    if (span === undefined) spans.set(owner, { first: at, last: at });
    else span.last = at;
  };
  kernels.launches.forEach((launch, at) => { for (const k of launch) for (const id of tensorsTouched(kernels.kernels[k])) touch(id, at); });
  for (const id of used) if (!spans.has(locate(id).owner)) touch(id, 0);
  const isPersistent = (id: TensorId): boolean => !isComputed(program.tensors[id]) || outputs.has(id);
  const owners = [...spans.keys()].sort((a, b) => a - b);
  return {
    locate,
    persistent: owners.filter(isPersistent),
    transients: owners.filter((id) => !isPersistent(id)).map((id) => {
      const span = spans.get(id) ?? bug('no lifetime');
      return { id, bytes: tensorBytes(program, id), ...span };
    }),
  };
}
