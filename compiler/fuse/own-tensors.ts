/**
 * What a chain of slices makes for itself alone: tensors that only its later members read. Of such a tensor a task needs its own slices,
 * which lie in a worker's memory; the whole of it is never anywhere. Addresses in it are those that the whole tensor would have if the task's
 * slices were where they are: it may begin before all memory, whose addresses wrap, but nothing else of it is touched.
 */
import type { Program } from '../tensor/program.js';
import type { TensorId } from '../tensor/scalar.js';
import { readersOf } from './draft.js';
import { pinnedTensors } from './inline-maps.js';
import type { Chain, Kernel } from './kernel.js';
import { sumsSlices } from './slices-of-task.js';

/** The chains with what each makes for itself. */
export function withOwnTensors(program: Program, kernels: readonly Kernel[], chains: readonly Chain[]): readonly Chain[] {
  if (chains.length === 0) return chains;
  const pinned = pinnedTensors(program);
  const readers = readersOf(kernels);
  return chains.map((chain) => {
    if (chain.cut !== 'slices') return chain;
    const inside = new Set(chain.members.map((m) => kernels[m.kernel]));
    const own = chain.members.flatMap((member): readonly TensorId[] => {
      const kernel = kernels[member.kernel];
      // A task's slices must lie side by side.
      const first = kernel.extents.flatMap((n, a) => (n > 1 ? [a] : [])).slice(0, member.outer.length + member.inner.length);
      if (sumsSlices({ kernel, member }) || [...member.outer, ...member.inner].join() !== first.join()) return [];
      return kernel.stores.map((s) => s.tensor).filter((id) => program.tensors[id].kind === 'comprehension' && !pinned.has(id) && (readers.get(id) ?? []).every((k) => inside.has(k)));
    });
    return { ...chain, own };
  });
}
