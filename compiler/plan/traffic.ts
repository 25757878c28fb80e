/**
 * The bytes that a launch moves, and the least that any launch with its results could: `ideal` is what it reads of other
 * launches' tensors once and what others need of it once; what is moved follows the schedule through one cache.
 *
 * The model, the same for both targets: memory, and in front of it one cache of `cacheBytes` that keeps what was used last. Lines
 * are moved whole. Kernels of a chain run task by task. The parts of a launch go side by side in steps,
 * each doing as large a share of its tasks in a step; tasks of a part run in their order, on a GPU `sideBySide` workgroups at a time and in
 * step. What is touched again before so much else went through the cache that it is gone counts once (`transfersOf`).
 * Everything stored is moved, needed or not; partial results are moved twice where they do not stay. What lies in no tensor is not moved where
 * all of a launch stays: the next one puts its own there.
 */
import { basesOf, tensorsRead } from '../fuse/draft.js';
import type { KernelProgram } from '../fuse/kernel.js';
import { chainOfKernel } from '../fuse/kernel.js';
import { wantedTensors } from '../fuse/schedule-kernels.js';
import type { Program } from '../tensor/program.js';
import { bytesOf, sizeOf } from '../tensor/program.js';
import type { TensorId } from '../tensor/scalar.js';
import { elementsOf, patternOf } from './accesses.js';
import { inStep, tasksOf, total } from './loop-nest.js';
import type { Machine, Part, Patterns, StepMachine, Unit, Way } from './units.js';
import { allOf, aloneUnit, byTensor, bytesIn, chainUnits, partOf } from './units.js';

export interface Traffic {
  readonly idealBytes: number;
  /** What is moved. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

type Moved = Omit<Traffic, 'idealBytes'>;

/** The traffic of each launch; `launches` are lists of kernels. */
export function trafficOf(kernels: KernelProgram, launches: readonly (readonly number[])[], machine: Machine): readonly Traffic[] {
  const needed = neededAfter(kernels, launches);
  return launches.map((launch, at) => trafficOfLaunch(kernels, launch, machine, (id) => needed(id, at)));
}

/** The traffic of kernels in one launch, after which some of what they make is needed. */
export function trafficOfLaunch(kernels: KernelProgram, launch: readonly number[], machine: Machine, needed: (id: TensorId) => boolean): Traffic {
  const { program } = kernels;
  const chains = chainOfKernel(kernels);
  const isTail = new Set(kernels.tails);
  const parts = new Map(launch.map((k) => [k, partOf(program, kernels.kernels[k])]));
  const { shareOf, steps } = sharing([...parts.values()], machine);
  const within = machine.steps === null;
  const partAt = (k: number): Part => parts.get(k) ?? partOf(program, kernels.kernels[k]);
  const unitsOf = (k: number, { cacheBytes }: Pick<Machine, 'cacheBytes'>): readonly Unit[] => {
    const chain = chains.get(k);
    if (chain === undefined) return [aloneUnit(program, partAt(k), { ...machine, steps, within, cacheBytes, sideBySide: shareOf(partAt(k)) })];
    return chain.members[0].kernel === k ? chainUnits(program, chain, chain.members.map((m) => partAt(m.kernel)), { ...machine, steps, within, cacheBytes }) : [];
  };
  const [beside, behind] = [launch.filter((k) => !isTail.has(k)), launch.filter((k) => isTail.has(k))];
  const moved = movedIn(program, beside, behind, unitsOf, { ...machine, steps, within });
  return { idealBytes: idealOf(program, [...beside, ...behind].map(partAt), needed), ...moved };
}

/**
 * How the parts of a launch share the machine: in its steps, or, on a GPU, in rounds of workgroups. Of those that run at a time each kernel has as
 * many as its share of the work, the points of its loops: short workgroups are soon over.
 */
function sharing(parts: readonly Part[], { steps, sideBySide, nestOf }: Machine): { readonly shareOf: (part: Part) => number; readonly steps: number } {
  if (steps !== null) return { shareOf: () => sideBySide, steps };
  const all = parts.reduce((n, { extents }) => n + sizeOf(extents), 0);
  const shareOf = ({ extents }: Part): number => Math.max(1, Math.round((sideBySide * sizeOf(extents)) / all));
  return { shareOf, steps: Math.max(1, ...parts.map((part) => tasksOf(inStep(nestOf(part.kernel), part.extents, shareOf(part)), part.extents))) };
}

/** Whether something after launch `at` needs a tensor: another launch, the host, the next run. */
function neededAfter({ program, kernels }: KernelProgram, launches: readonly (readonly number[])[]): (id: TensorId, at: number) => boolean {
  const wanted = wantedTensors(program);
  const lastRead = new Map<TensorId, number>();
  launches.forEach((launch, at) => {
    for (const k of launch) for (const tensor of tensorsRead(kernels[k])) for (const base of basesOf(program, tensor)) lastRead.set(base.id, at);
  });
  return (id, at) => wanted.has(id) || program.tensors[id].kind === 'source' || (lastRead.get(id) ?? -1) > at;
}

/** Inputs from outside once, as far as they are read, and results needed outside once. */
function idealOf(program: Program, parts: readonly Part[], needed: (id: TensorId) => boolean): number {
  const made = new Set<TensorId>();
  const read = new Map<string, { readonly tensor: TensorId; readonly elements: number }>();
  let bytes = 0;
  for (const { kernel, extents, reads } of parts) {
    for (const a of allOf(reads)) {
      if (!basesOf(program, a.tensor).every((b) => made.has(b.id))) read.set(patternOf(a, extents), { tensor: a.tensor, elements: elementsOf(a, extents) });
    }
    for (const { tensor } of kernel.stores) {
      made.add(tensor);
      if (needed(tensor)) bytes += sizeOf(kernel.extents) * bytesOf(program.tensors[tensor].element);
    }
  }
  const elements = new Map<TensorId, number>();
  for (const r of read.values()) elements.set(r.tensor, Math.min(sizeOf(program.tensors[r.tensor].shape), (elements.get(r.tensor) ?? 0) + r.elements));
  for (const [id, count] of elements) bytes += count * bytesOf(program.tensors[id].element);
  return bytes;
}

/** What the kernels `beside` one another move, and those `behind` them. */
function movedIn(program: Program, beside: readonly number[], behind: readonly number[], unitsOf: UnitsOf, machine: StepMachine): Moved {
  const { cacheBytes } = machine;
  const own = new Map(beside.map((k) => [k, unitsOf(k, machine)]));
  const units = [...own.values()].flat();
  const last = behind.flatMap((k) => unitsOf(k, machine));
  const touched = total(byTensor(program, new Map([...units, ...last].flatMap((u) => [...u.reads, ...u.writes]))));
  const transient = [...units, ...last].reduce((n, u) => n + u.transientBytes, 0);
  const { bytesRead, bytesWritten } = machine.steps === 1 || units.length === 1 || touched <= cacheBytes
    ? inTurn(program, [...units, ...last], cacheBytes) : sumOf([...inSteps(program, own, unitsOf, cacheBytes), inTurn(program, last, cacheBytes)]);
  return { bytesRead, bytesWritten: touched + transient <= cacheBytes ? bytesWritten - transient : bytesWritten };
}

/** The units of a kernel, or of the chain that begins with it, with a cache of this size. */
type UnitsOf = (kernel: number, cache: Pick<Machine, 'cacheBytes'>) => readonly Unit[];

/** What units of kernels move that go through their tasks side by side, step by step. */
function inSteps(program: Program, own: ReadonlyMap<number, readonly Unit[]>, unitsOf: UnitsOf, cacheBytes: number): readonly Moved[] {
  const stepBytes = [...own.values()].flat().reduce((n, u) => n + u.stepBytes, 0);
  if (stepBytes > cacheBytes) return [...own.values()].flat().map((u) => movedBy(program, u, () => false, cacheBytes));
  // What a step of the others keeps in the cache, one has no room for.
  const squeezed = [...own].flatMap(([k, list]) => (list.length === 0 ? [] : unitsOf(k, { cacheBytes: cacheBytes - stepBytes + list.reduce((n, u) => n + u.stepBytes, 0) })));
  // By pattern, and by tensor where all of it is touched.
  const met = new Map<string | TensorId, Set<Way>>();
  return squeezed.map((unit) => {
    const wayOf = (key: string): Way => unit.ways.get(key) ?? 'otherwise';
    const near = (key: string, tensor: TensorId): boolean => [key, tensor].some((k) => [...(met.get(k) ?? [])].some((way) => together(way, wayOf(key))));
    const result = movedBy(program, unit, near, cacheBytes);
    for (const [key, p] of unit.reads) {
      for (const k of p.bytes >= bytesIn(program, p.tensor) ? [key, p.tensor] : [key]) met.set(k, (met.get(k) ?? new Set()).add(wayOf(key)));
    }
    return result;
  });
}

/** Whether two units that go in step come by the same elements at the same time. */
const together = (a: Way, b: Way): boolean => a === 'all' || b === 'all' || (a === b && a !== 'otherwise');

const sumOf = (list: readonly Moved[]): Moved => ({ bytesRead: list.reduce((n, m) => n + m.bytesRead, 0), bytesWritten: list.reduce((n, m) => n + m.bytesWritten, 0) });

/** Units one after the other: what an earlier one touched is there while the cache holds all that was touched since. */
function inTurn(program: Program, units: readonly Unit[], cacheBytes: number): Moved {
  return sumOf(units.map((unit, at) => {
    let since: Patterns = new Map([...unit.reads, ...unit.writes]);
    const near = new Set<string>();
    const whole = new Set<TensorId>();
    for (let before = at - 1; before >= 0; before--) {
      since = new Map([...since, ...units[before].reads, ...units[before].writes]);
      if (total(byTensor(program, since)) > cacheBytes) break;
      for (const [key, p] of [...units[before].reads, ...units[before].writes]) {
        near.add(key);
        if (p.bytes >= bytesIn(program, p.tensor)) whole.add(p.tensor);
      }
    }
    return movedBy(program, unit, (key, tensor) => near.has(key) || whole.has(tensor), cacheBytes);
  }));
}

/** What a unit moves when some of what it reads is in the cache, which spares it the first time. */
function movedBy(program: Program, unit: Unit, near: (key: string, tensor: TensorId) => boolean, cacheBytes: number): Moved {
  const once = byTensor(program, unit.reads);
  const missed = byTensor(program, new Map([...unit.reads].filter(([key, p]) => !near(key, p.tensor))));
  let bytesRead = unit.moreRead;
  for (const [t, moved] of unit.moves) bytesRead += moved - (once.get(t) ?? 0) + (missed.get(t) ?? 0);
  const written = total(byTensor(program, unit.writes));
  if (unit.partialBytes + total(once) + written > cacheBytes) bytesRead += unit.partialBytes;
  return { bytesRead, bytesWritten: written + unit.moreWritten + unit.partialBytes };
}
