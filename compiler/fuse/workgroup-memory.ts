/**
 * What a chain on a GPU makes for its own members alone lies in the memory of the workgroup that makes it: tensors that later members read
 * directly and nobody else needs. Those whose lifetimes do not meet have the same place.
 */
import { packIntervals } from '../plan/pack-intervals.js';
import type { Program } from '../tensor/program.js';
import { sizeOf } from '../tensor/program.js';
import type { TensorId } from '../tensor/scalar.js';
import { readersOf, tensorsRead } from './draft.js';
import { pinnedTensors } from './inline-maps.js';
import type { Kernel, Member } from './kernel.js';
import { sliceCounts, slicesOfWorkgroup } from './workgroup-slices.js';

export interface WorkgroupMemory {
  /** Where the workgroup's slices of each tensor begin, in words of four bytes, one an element. */
  readonly places: ReadonlyMap<TensorId, number>;
  readonly words: number;
}

const wordBytes = 4;

/** The tensors that only members read, those made first before. */
export function tensorsOfMembers(program: Program, kernels: readonly Kernel[], members: readonly Member[], readers = readersOf(kernels)): readonly TensorId[] {
  const inside = new Set(members.map((m) => kernels[m.kernel]));
  const pinned = pinnedTensors(program);
  return [...inside].flatMap((k) => k.stores.map((s) => s.tensor)).filter((id) => {
    const tensor = program.tensors[id];
    return tensor.kind === 'comprehension' && tensor.element !== 'u8' && !pinned.has(id) && (readers.get(id) ?? []).every((k) => inside.has(k));
  });
}

/** Places for a chain's own tensors. */
export function placeOwn(own: readonly TensorId[], kernels: readonly Kernel[], members: readonly Member[]): WorkgroupMemory {
  const links = members.map((member) => ({ kernel: kernels[member.kernel], member }));
  const block = slicesOfWorkgroup(links) ?? 1;
  const lifetimes = own.map((id) => {
    const first = links.findIndex(({ kernel }) => kernel.stores.some((s) => s.tensor === id));
    const { kernel, member } = links[first];
    const last = links.reduce((at, l, i) => (tensorsRead(l.kernel).has(id) ? i : at), first);
    return { id, first, last, bytes: wordBytes * block * (sizeOf(kernel.extents) / sizeOf(sliceCounts({ kernel, member }))) };
  });
  const { offsets, bytes } = packIntervals(lifetimes, wordBytes);
  return { places: new Map(own.map((id, i) => [id, offsets[i] / wordBytes])), words: own.length === 0 ? 0 : bytes / wordBytes };
}
