/**
 * What a chain of slices makes for itself alone: tensors that only its later members read. Of such a tensor a task needs its own slices,
 * which lie in a worker's memory; the whole of it is never anywhere. Addresses in it are those that the whole tensor would have if the task's
 * slices were where they are: it may begin before all memory, whose addresses wrap, but nothing else of it is touched.
 */
import { sizeOf } from '../tensor/program.js';
import type { Program } from '../tensor/program.js';
import type { TensorId } from '../tensor/scalar.js';
import { readersOf } from './draft.js';
import type { Chain, Kernel } from './kernel.js';
import { wantedTensors } from './schedule-kernels.js';
import { sumsSlices } from './slices-of-task.js';

/** The chains with what each makes for itself. */
export function withOwnTensors(program: Program, kernels: readonly Kernel[], chains: readonly Chain[]): readonly Chain[] {
  if (chains.length === 0) return chains;
  const pinned = new Set(wantedTensors(program));
  const windowsOf = new Map<TensorId, TensorId[]>();
  for (const t of program.tensors) {
    if (t.kind === 'window') windowsOf.set(t.of, [...(windowsOf.get(t.of) ?? []), t.id]);
    if (t.kind === 'pack') for (const p of t.parts) pinned.add(p);
  }
  const readers = readersOf(kernels);
  return chains.map((chain) => {
    if (chain.cut !== 'slices') return chain;
    const inside = new Set(chain.members.map((m) => kernels[m.kernel]));
    const readInside = (id: TensorId): boolean => (readers.get(id) ?? []).every((k) => inside.has(k));
    const isWhole = (id: TensorId): boolean => {
      const window = program.tensors[id];
      return window.kind === 'window' && window.offset === 0 && sizeOf(window.shape) === sizeOf(program.tensors[window.of].shape) && !windowsOf.has(id);
    };
    const own = chain.members.flatMap((member): readonly TensorId[] => {
      const kernel = kernels[member.kernel];
      // A task's slices must lie side by side.
      const first = kernel.extents.flatMap((n, a) => (n > 1 ? [a] : [])).slice(0, member.outer.length + member.inner.length);
      if (sumsSlices({ kernel, member }) || [...member.outer, ...member.inner].join() !== first.join()) return [];
      return kernel.stores.map((s) => s.tensor).filter((id) => {
        const windows = windowsOf.get(id) ?? [];
        return program.tensors[id].kind === 'comprehension' && !pinned.has(id) && windows.every(isWhole) && [id, ...windows].every(readInside);
      });
    });
    const windows = own.flatMap((id) => (windowsOf.get(id) ?? []).filter((window) => readers.has(window)).map((window) => [window, id] as const));
    return { ...chain, own, ...(windows.length === 0 ? {} : { windows: new Map(windows) }) };
  });
}
