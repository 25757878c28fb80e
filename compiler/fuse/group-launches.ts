/**
 * Kernels that do not need each other run in one launch: the phases of an input gradient beside the gradient of the
 * weights, the statistics of all layers, the norms of all parameters. A launch is a list of kernels whose tasks are
 * independent; a kernel joins the earliest launch in which everything it needs is done. One that makes more than it lets go
 * of waits as long as it did before, so that no large tensor lives longer than it has to.
 */
import type { Program } from '../tensor/program.js';
import { bytesOf, sizeOf } from '../tensor/program.js';
import type { TensorId } from '../tensor/scalar.js';
import { basesOf, tensorsRead } from './draft.js';
import type { Kernel } from './kernel.js';

/** Results so small that where they lie does not matter. */
const smallBytes = 1 << 16;

/** More kernels than this are not put into one launch. */
const mostKernels = 64;

/** The kernels of each launch, as positions in the list given; every kernel once. */
export function groupLaunches(program: Program, kernels: readonly Kernel[]): readonly (readonly number[])[] {
  const launches: number[][] = [];
  const lastWriter = new Map<TensorId, number>();
  const lastReader = new Map<TensorId, number>();
  const touches = kernels.map((k) => {
    const bases = (ids: Iterable<TensorId>): ReadonlySet<TensorId> => new Set([...ids].flatMap((id) => basesOf(program, id).map((b) => b.id)));
    return { reads: bases(tensorsRead(k)), writes: bases(k.stores.map((s) => s.tensor)) };
  });
  const uses = new Map<TensorId, number>();
  for (const t of touches) for (const id of t.reads) uses.set(id, (uses.get(id) ?? 0) + 1);
  const bytes = (id: TensorId): number => sizeOf(program.tensors[id].shape) * bytesOf(program.tensors[id].element);
  kernels.forEach((_, i) => {
    const { reads, writes } = touches[i];
    let earliest = 0;
    for (const id of reads) earliest = Math.max(earliest, (lastWriter.get(id) ?? -1) + 1);
    for (const id of writes) earliest = Math.max(earliest, (lastWriter.get(id) ?? -1) + 1, (lastReader.get(id) ?? -1) + 1);
    const made = [...writes].filter((id) => program.tensors[id].kind !== 'source').reduce((n, id) => n + bytes(id), 0);
    const freed = [...reads].filter((id) => program.tensors[id].kind !== 'source' && uses.get(id) === 1).reduce((n, id) => n + bytes(id), 0);
    let at = made <= Math.max(smallBytes, freed) ? earliest : Math.max(earliest, launches.length - 1);
    while (at < launches.length && launches[at].length >= mostKernels) at++;
    if (at === launches.length) launches.push([]);
    launches[at].push(i);
    for (const id of reads) {
      lastReader.set(id, Math.max(lastReader.get(id) ?? -1, at));
      uses.set(id, (uses.get(id) ?? 1) - 1);
    }
    for (const id of writes) lastWriter.set(id, at);
  });
  return launches;
}
