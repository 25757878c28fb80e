/**
 * Kernels that do not need each other run in one launch: the phases of an input gradient beside the gradient of the
 * weights, the statistics of all layers, the norms of all parameters. A launch is a list of kernels whose tasks are
 * independent; a kernel joins the earliest launch in which everything it needs is done. One that makes more than it lets go
 * of waits as long as it did before, so that no large tensor lives longer than it has to. Where the target can, a kernel also runs behind
 * the one it needs, in the same launch (`find-chains.ts`), and a small one after the whole launch whose results it needs: the last task of a
 * launch to be done can do so little work sooner than all threads can wait for each other and start again.
 */
import type { Program } from '../tensor/program.js';
import { bytesOf, sizeOf } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { visit } from '../tensor/scalar.js';
import type { FuseContext } from './draft.js';
import { basesOf, scalarsOf, tensorsRead } from './draft.js';
import type { ChainSearch } from './find-chains.js';
import { chainWith } from './find-chains.js';
import { loopExtents } from './inline-maps.js';
import type { Chain, Kernel } from './kernel.js';
import { withOwnTensors } from './own-tensors.js';
import { workgroupChainWith, withWorkgroupMemory } from './workgroup-chains.js';

/** Results so small that where they lie does not matter. */
const smallBytes = 1 << 16;

/** More kernels than this are not put into one launch. */
const mostKernels = 64;

/** What the tails of a launch may do in all, in scalar operations: some microseconds of one thread. A kernel that does no more than the second is one even where no launch goes. */
const mostTailWork = 1 << 16;
const tinyWork = 1 << 10;

export interface LaunchGroups {
  /** The kernels of each launch, as positions in the list given; every kernel once. */
  readonly launches: readonly (readonly number[])[];
  readonly chains: readonly Chain[];
  /** Positions of kernels that run after the others of their launch. */
  readonly tails: readonly number[];
}

/** Operations of a kernel that one task could do whole; infinite for kinds that have no such form. */
function tailWork(kernel: Kernel): number {
  if (kernel.kind !== 'map' && kernel.kind !== 'reduce' && kernel.kind !== 'contract') return Infinity;
  const seen = new Set<Scalar>();
  for (const s of scalarsOf(kernel)) visit(s, () => undefined, seen);
  return sizeOf(loopExtents(kernel)) * seen.size;
}

/** How many kernels must have run, one after the other, before each. */
function levelsOf(touches: readonly { readonly reads: ReadonlySet<TensorId>; readonly writes: ReadonlySet<TensorId> }[]): readonly number[] {
  const made = new Map<TensorId, number>();
  return touches.map(({ reads, writes }) => {
    let level = 0;
    for (const id of reads) level = Math.max(level, (made.get(id) ?? -1) + 1);
    for (const id of writes) made.set(id, level);
    return level;
  });
}

/** Kernels run behind others where `follow` says: in tasks of the CPU target, in chains and as tails; or in workgroups of a GPU. */
export function groupLaunches(program: Program, kernels: readonly Kernel[], follow: 'tasks' | 'workgroups' | null, context: FuseContext): LaunchGroups {
  const apart = new Set<number>();
  for (;;) {
    const groups = groupApart(program, kernels, follow, apart, context);
    if (follow !== 'workgroups') return { ...groups, chains: withOwnTensors(program, kernels, groups.chains) };
    const placed = withWorkgroupMemory(program, kernels, groups.chains, context.workgroup?.bytes ?? 0);
    if ('chains' in placed) return { ...groups, chains: placed.chains };
    for (const k of placed.apart) apart.add(k);
  }
}

/** The launches when the kernels of `apart` follow none in a workgroup. */
function groupApart(program: Program, kernels: readonly Kernel[], follow: 'tasks' | 'workgroups' | null, apart: ReadonlySet<number>, context: FuseContext): LaunchGroups {
  const chaining = follow === 'tasks';
  const launches: number[][] = [];
  const tails: number[][] = [];
  const isTail = (i: number): boolean => { const at = launchOf.get(i); return at !== undefined && tails[at].includes(i); };
  const workOfTails: number[] = [];
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
  const levels = chaining ? levelsOf(touches) : [];
  const readers = new Map<TensorId, number[]>();
  if (chaining) touches.forEach((t, i) => { for (const id of t.reads) readers.set(id, [...(readers.get(id) ?? []), i]); });
  /** Not where something large could run right behind the maker as well: what it reads would live until the launch after, beside all that the product makes. */
  const mayFollow = (product: number, maker: number): boolean =>
    [...touches[maker].writes].every((id) => (readers.get(id) ?? []).every((r) => r === product || levels[r] > levels[maker] + 1));
  kernels.forEach((_, i) => {
    const { reads, writes } = touches[i];
    const search: ChainSearch = { chains, writer: (id) => makers.get(id), launchOf: (k) => launchOf.get(k) ?? -1, mayFollow };
    const chain = follow === 'tasks' ? chainWith(program, kernels, i, search) : follow === 'workgroups' && !apart.has(i) ? workgroupChainWith(program, kernels, i, search, context) : null;
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
    while (at < launches.length && launches[at].length + tails[at].length >= mostKernels) at++;
    let tail = false;
    if (chain !== null && head !== undefined && behind <= head && !chain.members.some((m) => isTail(m.kernel)) && launches[head].length + tails[head].length < mostKernels) {
      at = head;
      for (const m of chain.members) chains.set(m.kernel, chain);
    }
    else if (chaining && earliest > 0 && launches[earliest - 1].length + tails[earliest - 1].length < mostKernels) {
      const work = tailWork(kernels[i]);
      if (work <= tinyWork || (at === launches.length && workOfTails[earliest - 1] + work <= mostTailWork)) {
        at = earliest - 1;
        tail = true;
        workOfTails[at] += work;
      }
    }
    if (at === launches.length) { launches.push([]); tails.push([]); workOfTails.push(0); }
    (tail ? tails : launches)[at].push(i);
    launchOf.set(i, at);
    for (const s of kernels[i].stores) makers.set(s.tensor, i);
    for (const id of reads) {
      lastReader.set(id, Math.max(lastReader.get(id) ?? -1, at));
      uses.set(id, (uses.get(id) ?? 1) - 1);
    }
    for (const id of writes) lastWriter.set(id, at);
  });
  return { launches: launches.map((l, k) => [...l, ...tails[k]]), chains: [...new Set(chains.values())], tails: tails.flat() };
}
