/**
 * Plans the memory of a model: where every materialized tensor of every entry lies. Sources are placed once, by name,
 * and shared by the entries; so that a pack's gaps stay zero and the host may read an output at leisure, packs and
 * outputs have memory of their own as well. Everything else reuses memory by lifetime.
 */
import { bug } from '../../grammar/diagnostics/report.js';
import type { KernelProgram } from '../fuse/kernel.js';
import { tensorsOfChains } from '../fuse/kernel.js';
import type { TensorId } from '../tensor/scalar.js';
import type { Allocations } from './lifetimes.js';
import { findAllocations, tensorBytes } from './lifetimes.js';
import type { PackedBlock } from './pack-intervals.js';
import { createBlock, liveBound, packIntervals, roundUp } from './pack-intervals.js';
import type { Arena, Slot, SourceSlot } from './plan.js';

export interface MemoryOptions {
  /** Every slot starts at a multiple of this many bytes (a window starts where its offset says). */
  readonly alignment: number;
  /** Most bytes of an arena, for devices that bind no more; null for as few arenas as possible. */
  readonly arenaLimit: number | null;
}

export interface EntryMemory {
  readonly name: string;
  readonly placements: ReadonlyMap<TensorId, Slot>;
  /** Bytes of transient memory the entry uses, and the most alive at once: the least any plan needs. */
  readonly peakBytes: number;
  readonly liveBytes: number;
}

export interface MemoryPlan {
  readonly arenas: readonly Arena[];
  /** In the order of the entries given. */
  readonly entries: readonly EntryMemory[];
  readonly sources: Readonly<Record<string, SourceSlot>>;
}

interface Block {
  bytes: number;
  readonly persistent: boolean;
}

type Place = { readonly arena: number; readonly offset: number };

export function planMemory(entries: readonly KernelProgram[], options: MemoryOptions): MemoryPlan {
  const arenas: Block[] = [];
  const found = entries.map(findAllocations);
  const sources = new Map<string, SourceSlot>();
  const owners = entries.map(() => new Map<TensorId, Place>());
  entries.forEach((entry, e) => {
    for (const id of found[e].persistent) {
      const tensor = entry.program.tensors[id];
      const known = tensor.kind === 'source' ? sources.get(tensor.name) : undefined;
      if (tensor.kind === 'source' && known !== undefined) {
        if (known.element !== tensor.element || known.shape.join() !== tensor.shape.join()) {
          bug(`source ${tensor.name} is ${known.element}[${known.shape.join()}] in one entry and ${tensor.element}[${tensor.shape.join()}] in ${entry.name}`);
        }
        owners[e].set(id, known);
        continue;
      }
      const bytes = tensorBytes(entry.program, id);
      const place = append(arenas, bytes, options);
      owners[e].set(id, place);
      if (tensor.kind === 'source') sources.set(tensor.name, { ...place, bytes, element: tensor.element, shape: tensor.shape, role: tensor.role, ...(tensor.runs === undefined ? {} : { runs: tensor.runs }) });
    }
  });
  const firstTransient = arenas.length;
  const peaks = entries.map((_, e) => placeTransients(arenas, firstTransient, found[e], owners[e], options));
  return {
    arenas: arenas.map((a) => ({ bytes: a.bytes, persistent: a.persistent })),
    entries: entries.map((entry, e) => {
      const own = tensorsOfChains(entry.chains);
      return {
        name: entry.name,
        placements: new Map(entry.materialized.map((id) => [id, slotOf(entry, found[e], owners[e], own, id)])),
        peakBytes: peaks[e],
        liveBytes: liveBound(found[e].transients, options.alignment),
      };
    }),
    sources: Object.fromEntries([...sources].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

/** What a chain makes for itself alone has a shape and no place. */
const nowhere: Place = { arena: 0, offset: 0 };

function slotOf(entry: KernelProgram, allocations: Allocations, owners: ReadonlyMap<TensorId, Place>, own: ReadonlySet<TensorId>, id: TensorId): Slot {
  const tensor = entry.program.tensors[id];
  const { owner, byteOffset } = allocations.locate(id);
  const place = own.has(id) ? nowhere : owners.get(owner) ?? bug(`${tensor.origin.name} has no memory`);
  return { arena: place.arena, offset: place.offset + byteOffset, bytes: tensorBytes(entry.program, id), element: tensor.element, shape: tensor.shape };
}

/** A new range at the end of the first persistent arena that has room. */
function append(arenas: Block[], bytes: number, { alignment, arenaLimit }: MemoryOptions): Place {
  const size = roundUp(bytes, alignment);
  let arena = arenas.findIndex((a) => arenaLimit === null || a.bytes + size <= arenaLimit);
  if (arena < 0) arena = arenas.push({ bytes: 0, persistent: true }) - 1;
  const offset = arenas[arena].bytes;
  arenas[arena].bytes += size;
  return { arena, offset };
}

/**
 * Places an entry's transients; entries share the arenas after `first`, since one runs at a time. Without a limit all
 * lie in one arena. With one, the largest tensors choose first, each the first arena with room for it.
 */
function placeTransients(arenas: Block[], first: number, found: Allocations, owners: Map<TensorId, Place>, { alignment, arenaLimit }: MemoryOptions): number {
  const whole = packIntervals(found.transients, alignment);
  if (found.transients.length === 0) return 0;
  const limit = arenaLimit === null || whole.bytes <= arenaLimit ? Infinity : arenaLimit;
  const peaks: number[] = [];
  if (limit === Infinity) {
    found.transients.forEach((l, i) => owners.set(l.id, { arena: first, offset: whole.offsets[i] }));
    peaks.push(whole.bytes);
  } else {
    const blocks: PackedBlock[] = [];
    for (const l of [...found.transients].sort((a, b) => b.bytes - a.bytes || a.first - b.first || a.id - b.id)) {
      let home = -1;
      let offset: number | null = null;
      while (offset === null) {
        home++;
        // What is larger than the limit gets an arena to itself: the device says what is wrong with it.
        if (home === blocks.length) blocks.push(createBlock(alignment));
        offset = blocks[home].place(l, blocks[home].bytes() === 0 ? Infinity : limit);
      }
      owners.set(l.id, { arena: first + home, offset });
    }
    peaks.push(...blocks.map((b) => b.bytes()));
  }
  peaks.forEach((bytes, i) => {
    if (arenas.length <= first + i) arenas.push({ bytes: 0, persistent: false });
    arenas[first + i].bytes = Math.max(arenas[first + i].bytes, bytes);
  });
  return peaks.reduce((a, b) => a + b, 0);
}
