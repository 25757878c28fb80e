/**
 * Kernels that do not need each other run in one launch: the phases of an input gradient beside the gradient of the
 * weights, the statistics of all layers, the norms of all parameters. A launch is a list of kernels whose tasks are
 * independent; a kernel joins the earliest launch in which everything it needs is done. One that makes more than it lets go
 * of waits as long as it did before, so that no large tensor lives longer than it has to. Where the target can, a kernel also runs behind
 * the one it needs, in the same launch (`find-chains.ts`).
 */
import type { Program } from '../tensor/program.js';
import { bytesOf, sizeOf } from '../tensor/program.js';
import type { TensorId } from '../tensor/scalar.js';
import { basesOf, tensorsRead } from './draft.js';
import { chainWith } from './find-chains.js';
import type { Chain, Kernel } from './kernel.js';

/** Results so small that where they lie does not matter. */
const smallBytes = 1 << 16;

/** More kernels than this are not put into one launch. */
const mostKernels = 64;

export interface LaunchGroups {
  /** The kernels of each launch, as positions in the list given; every kernel once. */
  readonly launches: readonly (readonly number[])[];
  readonly chains: readonly Chain[];
}

export function groupLaunches(program: Program, kernels: readonly Kernel[], chaining: boolean): LaunchGroups {
  const launches: number[][] = [];
  const launchOf = new Map<number, number>();
  const makers = new Map<TensorId, number>();
  const chains = new Map<number, Chain>();
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
    const chain = chaining ? chainWith(program, kernels, i, chains, (id) => makers.get(id)) : null;
    const head = chain === null ? undefined : launchOf.get(chain.members[0].kernel);
    const ahead = new Set(chain?.members.slice(0, -1).flatMap((m) => [...touches[m.kernel].writes]));
    /** The first launch it may run in, by itself and behind the others of its chain. */
    let earliest = 0;
    let behind = 0;
    for (const id of reads) {
      const after = (lastWriter.get(id) ?? -1) + 1;
      earliest = Math.max(earliest, after);
      // What an earlier kernel of the chain makes may be made in the same launch.
      behind = Math.max(behind, ahead.has(id) ? after - 1 : after);
    }
    for (const id of writes) {
      const free = Math.max(lastWriter.get(id) ?? -1, lastReader.get(id) ?? -1) + 1;
      earliest = Math.max(earliest, free);
      behind = Math.max(behind, free);
    }
    const made = [...writes].filter((id) => program.tensors[id].kind !== 'source').reduce((n, id) => n + bytes(id), 0);
    const freed = [...reads].filter((id) => program.tensors[id].kind !== 'source' && uses.get(id) === 1).reduce((n, id) => n + bytes(id), 0);
    let at = made <= Math.max(smallBytes, freed) ? earliest : Math.max(earliest, launches.length - 1);
    while (at < launches.length && launches[at].length >= mostKernels) at++;
    if (chain !== null && head !== undefined && behind <= head && launches[head].length < mostKernels) {
      at = head;
      for (const m of chain.members) chains.set(m.kernel, chain);
    }
    if (at === launches.length) launches.push([]);
    launches[at].push(i);
    launchOf.set(i, at);
    for (const s of kernels[i].stores) makers.set(s.tensor, i);
    for (const id of reads) {
      lastReader.set(id, Math.max(lastReader.get(id) ?? -1, at));
      uses.set(id, (uses.get(id) ?? 1) - 1);
    }
    for (const id of writes) lastWriter.set(id, at);
  });
  return { launches, chains: [...new Set(chains.values())] };
}
