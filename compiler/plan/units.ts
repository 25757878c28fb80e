/**
 * What runs as one in a launch, a kernel or a chain: what it reads and writes, what it moves by itself through a cache of a given
 * size, and how it comes by what it reads, which decides what it can share with the others of its launch (`traffic.ts`).
 */
import { loopExtents } from '../fuse/inline-maps.js';
import { basesOf } from '../fuse/draft.js';
import type { Chain, Kernel } from '../fuse/kernel.js';
import { ownTensors } from '../fuse/kernel.js';
import type { Sliced } from '../fuse/slices-of-task.js';
import type { Program } from '../tensor/program.js';
import { bytesOf, sizeOf } from '../tensor/program.js';
import type { TensorId } from '../tensor/scalar.js';
import type { Access, Ranges, Reads } from './accesses.js';
import { lineBytesOf, patternOf, readAccesses, writeAccesses } from './accesses.js';
import type { LoopNest } from './loop-nest.js';
import { inPart, inStep, inTask, outermostAxis, tasksOf, total, touched, transfersOf } from './loop-nest.js';

/** What the kernels run on, as far as traffic depends on it. */
export interface Machine {
  readonly cacheBytes: number;
  /** Workgroups that run at a time, in step. */
  readonly sideBySide: number;
  /** Steps in which the parts of a launch go through their tasks side by side, 1 where they come one after the other; null: as many as it has rounds of workgroups. */
  readonly steps: number | null;
  readonly nestOf: (kernel: Kernel) => LoopNest;
  /** The loops of each kernel of a chain, whose tasks are the chain's. */
  readonly chainNests: (chain: Chain, links: readonly Sliced[]) => readonly LoopNest[];
}

/** The machine for a launch, whose steps are known. Tasks that run in step go on together, so that a step may be a part of one. */
export type StepMachine = Machine & { readonly steps: number; readonly within: boolean };

/** A kernel and what it touches. */
export interface Part {
  readonly kernel: Kernel;
  readonly extents: Ranges;
  readonly reads: Reads;
  readonly writes: readonly Access[];
  /** What tells apart the elements that each access comes by, and all that it reads and writes so. */
  readonly keys: ReadonlyMap<Access, string>;
  readonly readPatterns: Patterns;
  readonly writePatterns: Patterns;
}

/** Sets of elements of tensors, by what tells them apart (`patternOf`), and their bytes. */
export type Patterns = ReadonlyMap<string, { readonly tensor: TensorId; readonly bytes: number }>;

/** How a unit comes by what it reads: along this dimension of the tensor, step by step; all of it in every step; or otherwise. */
export type Way = number | 'all' | 'otherwise';

export interface Unit {
  readonly reads: Patterns;
  readonly writes: Patterns;
  readonly ways: ReadonlyMap<string, Way>;
  /** Bytes of each tensor that come from memory when nothing is in the cache before. */
  readonly moves: ReadonlyMap<TensorId, number>;
  /** Bytes read and written beside those: elements added to far apart, what first tasks make for others. */
  readonly moreRead: number;
  readonly moreWritten: number;
  /** Partial results: written, and read again from memory where they do not stay. */
  readonly partialBytes: number;
  /** Partial results and what first tasks make: in memory that is no tensor's, and done with after the launch. */
  readonly transientBytes: number;
  /** What one of the steps beside other parts keeps in the cache. */
  readonly stepBytes: number;
}

export const allOf = ({ inner, late }: Reads): readonly Access[] => [...inner, ...late];

export function partOf(program: Program, kernel: Kernel): Part {
  const extents = loopExtents(kernel);
  const [reads, writes] = [readAccesses(program, kernel), writeAccesses(program, kernel)];
  const keys = new Map([...allOf(reads), ...writes].map((a) => [a, patternOf(a, extents)]));
  const patternsOf = (accesses: readonly Access[]): Patterns => new Map(accesses.map((a) => [keys.get(a) ?? '', { tensor: a.tensor, bytes: lineBytesOf(a, extents) }]));
  return { kernel, extents, reads, writes, keys, readPatterns: patternsOf(allOf(reads)), writePatterns: patternsOf(writes) };
}

/** Bytes of each tensor in the patterns, no more than it has. */
export function byTensor(program: Program, patterns: Patterns): ReadonlyMap<TensorId, number> {
  const bytes = new Map<TensorId, number>();
  for (const p of patterns.values()) bytes.set(p.tensor, Math.min(bytesIn(program, p.tensor), (bytes.get(p.tensor) ?? 0) + p.bytes));
  return bytes;
}

export const bytesIn = (program: Program, id: TensorId): number => sizeOf(program.tensors[id].shape) * bytesOf(program.tensors[id].element);

/** A kernel by itself. */
export function aloneUnit(program: Program, part: Part, machine: StepMachine): Unit {
  return unitOf(program, part, inStep(machine.nestOf(part.kernel), part.extents, machine.sideBySide), machine);
}

function unitOf(program: Program, { kernel, reads, writes, extents, keys, readPatterns: patterns, writePatterns }: Part, nest: LoopNest, { cacheBytes, steps, within }: StepMachine): Unit {
  const all = allOf(reads);
  const shared = nest.shared ?? { bytes: 0, reads: 0, parts: 1, made: 'first', from: new Set<TensorId>() };
  const sharedAtOnce = shared.made === 'first' ? shared.bytes : shared.bytes / shared.parts;
  // First tasks read what they make it of, and nobody else does.
  const byAll = (accesses: readonly Access[]): readonly Access[] => accesses.filter((a) => !shared.from.has(a.tensor));
  const bytesWithin = (ranges: Ranges): number => nest.scratchBytes + total(touched([...byAll(all), ...writes], ranges));
  // What first tasks make is kept where there is room for it beside a task, at least for a part of it at a time; else it is read again.
  const task = bytesWithin(inTask(nest, extents));
  const kept = sharedAtOnce + task <= cacheBytes;
  const sharedReads = kept ? 0 : shared.bytes * (shared.bytes / shared.parts + task <= cacheBytes ? 1 : shared.reads);
  const once = byTensor(program, patterns);
  const [before, rest] = [true, false].map((first) => new Map([...once].filter(([t]) => shared.from.has(t) === first)));
  const moves = new Map([...before, ...transfersOf(nest, { inner: byAll(reads.inner), late: byAll(reads.late), writes, once: rest }, extents, cacheBytes - nest.scratchBytes - (kept ? sharedAtOnce : 0))]);
  // Each item of a segmented sum adds to elements that are not there, where the result does not fit.
  const scattered = kernel.kind === 'scatter' && !kernel.sorted && total(touched(writes, inTask(nest, extents))) > cacheBytes
    ? sizeOf(kernel.reduceExtents) * total(touched(writes, extents.map((n, a) => (kernel.keys.some((k) => k.axis === a) ? 1 : n)))) : 0;
  const stepNest = inStep(nest, extents, Math.ceil(tasksOf(nest, extents) / steps));
  const step = within ? inPart(stepNest, extents, steps / tasksOf(nest, extents)) : inTask(stepNest, extents);
  const axis = outermostAxis([...stepNest.tasks, ...(within ? stepNest.inner : [])], extents);
  const ways = new Map<string, Way>();
  for (const a of all) {
    const key = keys.get(a) ?? '';
    const along = a.places.findIndex((p) => axis !== null && p.axes.includes(axis));
    const way: Way = lineBytesOf(a, step) >= (patterns.get(key)?.bytes ?? 0) ? 'all' : along < 0 ? 'otherwise' : along;
    addWay(ways, key, way);
  }
  return {
    reads: patterns, writes: writePatterns, ways, moves, partialBytes: nest.partialBytes, stepBytes: (kept ? sharedAtOnce : 0) + bytesWithin(step),
    moreRead: scattered + sharedReads, moreWritten: scattered + shared.bytes, transientBytes: nest.partialBytes + shared.bytes,
  };
}

/** Elements that are come by in two ways are come by otherwise. */
function addWay(ways: Map<string, Way>, key: string, way: Way): void {
  ways.set(key, ways.has(key) && ways.get(key) !== way ? 'otherwise' : way);
}

/** What a part touches in memory, when some tensors lie in workgroups' own. */
function withoutTensors(part: Part, own: ReadonlySet<TensorId>): Part {
  const outside = (list: readonly Access[]): readonly Access[] => list.filter((a) => !own.has(a.tensor));
  const patterns = (all: Patterns): Patterns => new Map([...all].filter(([, p]) => !own.has(p.tensor)));
  return {
    ...part, reads: { inner: outside(part.reads.inner), late: outside(part.reads.late) }, writes: outside(part.writes),
    readPatterns: patterns(part.readPatterns), writePatterns: patterns(part.writePatterns),
  };
}

/** A chain as one unit where what a task of all its kernels touches stays in the cache; else its kernels one after the other. */
export function chainUnits(program: Program, chain: Chain, all: readonly Part[], machine: StepMachine): readonly Unit[] {
  const parts = chain.cut === 'workgroups' ? all.map((part) => withoutTensors(part, new Set(chain.own))) : all;
  const nests = machine.chainNests(chain, parts.map(({ kernel }, i) => ({ kernel, member: chain.members[i] })));
  // A tensor takes its room once, whoever touches it.
  const inCache = new Map<TensorId, number>();
  parts.forEach(({ reads, writes, extents }, i) => {
    for (const [id, bytes] of touched([...allOf(reads), ...writes], inTask(nests[i], extents))) inCache.set(id, Math.max(inCache.get(id) ?? 0, bytes));
  });
  const task = nests.reduce((n, nest) => n + nest.scratchBytes, total(inCache));
  const units = parts.map((part, i) => unitOf(program, part, nests[i], machine));
  const own = new Set(ownTensors(chain));
  if (task > machine.cacheBytes) return units.map((u) => ({ ...u, writes: new Map([...u.writes].filter(([, p]) => !own.has(p.tensor))) }));
  const made = new Set<TensorId>();
  const isMade = (id: TensorId): boolean => basesOf(program, id).every((b) => made.has(b.id));
  // What a member changes in place it has read before, or an earlier one has.
  const reads: Patterns = new Map(units.flatMap((u, i) => {
    const outside = [...u.reads].filter(([, p]) => !isMade(p.tensor));
    for (const s of parts[i].kernel.stores) made.add(s.tensor);
    return outside;
  }));
  // What a kernel reads again, for itself, it still does.
  const again = new Map<TensorId, number>();
  const ways = new Map<string, Way>();
  for (const u of units) {
    const once = byTensor(program, u.reads);
    for (const [t, n] of u.moves) if (!isMade(t)) again.set(t, Math.max(again.get(t) ?? 0, n - (once.get(t) ?? 0)));
    for (const [key, way] of u.ways) addWay(ways, key, way);
  }
  const sum = (of: (u: Unit) => number): number => units.reduce((n, u) => n + of(u), 0);
  return [{
    // What is made for the chain alone lies in workers' memory.
    reads, writes: new Map(units.flatMap((u) => [...u.writes]).filter(([, p]) => !own.has(p.tensor))), ways, moves: new Map([...byTensor(program, reads)].map(([t, n]) => [t, n + (again.get(t) ?? 0)])),
    moreRead: sum((u) => u.moreRead), moreWritten: sum((u) => u.moreWritten), partialBytes: sum((u) => u.partialBytes), transientBytes: sum((u) => u.transientBytes), stepBytes: sum((u) => u.stepBytes),
  }];
}
