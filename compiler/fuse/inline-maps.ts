/**
 * Inlines maps into their consumers, so that they never reach memory: always when each element is used at most once, and
 * when computing it again costs less than storing and loading it. All consumers or none: a tensor that must exist
 * anyway is cheaper to load. Operands of contractions, which are evaluated again in every tile, take casts, scales and
 * bounds only.
 */
import { isComputed, sizeAlong, sizeOf } from '../tensor/program.js';
import type { Program } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { indexVariables, visitReads } from '../tensor/scalar.js';
import type { Draft, FuseContext } from './draft.js';
import { innerScalarsOf, mapScalars, mergeOrigins, scalarsOf, tensorsIn, tensorsRead, tensorsTouched } from './draft.js';
import { costOf, inlineInto } from './inline-scalar.js';
import { takesEpilogues } from './kernel.js';
import type { Kernel, ScatterKernel } from './kernel.js';
import { isIdentity } from './place-updates.js';
import { wantedTensors } from './schedule-kernels.js';

/** Beyond this many operations a body is not grown further: compilers of kernels slow down, registers run out. */
const largestBody = 400;

/** Operations that products may do for an element they stage, and the rows or columns of the other operand that it is multiplied with at least. */
const mostStaged = 16;
const fewestOthers = 16;
const mostStagedOnce = 32;
const tileSide = 64;

const pinnedOfProgram = new WeakMap<Program, ReadonlySet<TensorId>>();

/** Tensors that cannot disappear: the host, an update, a window or a pack sees their memory. */
export function pinnedTensors(program: Program): ReadonlySet<TensorId> {
  const known = pinnedOfProgram.get(program);
  if (known !== undefined) return known;
  const found = findPinned(program);
  pinnedOfProgram.set(program, found);
  return found;
}

function findPinned(program: Program): ReadonlySet<TensorId> {
  const pinned = new Set(wantedTensors(program));
  for (const t of program.tensors) {
    if (t.kind === 'window') pinned.add(t.of);
    if (t.kind === 'pack') for (const p of t.parts) pinned.add(p);
  }
  return pinned;
}

/** The extents of all index variables of a kernel, in order. */
export function loopExtents(kernel: Kernel): readonly number[] {
  switch (kernel.kind) {
    case 'map': return kernel.extents;
    case 'reduce': case 'contract': case 'scatter': return [...kernel.extents, ...kernel.reduceExtents];
    case 'routine': return [...kernel.extents, ...kernel.ownExtents];
    case 'online': return [...kernel.extents, ...kernel.streamedExtents, ...kernel.innerExtents];
  }
}

/** A map with a single store to a tensor of exactly its extents, that may disappear. */
export function inlinable(draft: Draft, kernel: Kernel, pinned: ReadonlySet<TensorId>): { readonly tensor: TensorId; readonly body: Scalar } | null {
  if (kernel.kind !== 'map' || kernel.stores.length !== 1) return null;
  const [{ tensor, value }] = kernel.stores;
  const { shape, kind } = draft.program.tensors[tensor];
  if (kind !== 'comprehension' || pinned.has(tensor) || shape.join() !== kernel.extents.join()) return null;
  return { tensor, body: value };
}

/** The kernel with a map's body in place of the reads of its tensor. */
export function inlineKernel(program: Program, consumer: Kernel, producer: Kernel, tensor: TensorId, body: Scalar): Kernel {
  const extents = loopExtents(consumer);
  const inlined = mapScalars(consumer, (s) => inlineInto(s, tensor, body, program, (v) => extents[v]));
  return { ...inlined, origins: mergeOrigins(producer.origins, consumer.origins) };
}

export function inlineMaps(draft: Draft, context: FuseContext): Draft {
  const pinned = pinnedTensors(draft.program);
  const kernels: (Kernel | null)[] = [...draft.kernels];
  // Kept up to date: positions of the readers of each tensor, and of its maker.
  const readers = new Map<TensorId, Set<number>>();
  const makers = new Map<TensorId, number>();
  const note = (kernel: Kernel, i: number): void => {
    for (const id of tensorsRead(kernel)) {
      const set = readers.get(id);
      if (set === undefined) readers.set(id, new Set([i])); else set.add(i);
    }
  };
  const forget = (kernel: Kernel, i: number): void => { for (const id of tensorsRead(kernel)) readers.get(id)?.delete(i); };
  kernels.forEach((k, i) => {
    if (k === null) return;
    note(k, i);
    for (const s of k.stores) if (!makers.has(s.tensor)) makers.set(s.tensor, i);
  });
  const makerOf = (id: TensorId): Kernel | null => { const i = makers.get(id); return i === undefined ? null : kernels[i]; };
  const readBy = (id: TensorId): number => readers.get(id)?.size ?? 0;
  for (let i = 0; i < kernels.length; i++) {
    const producer = kernels[i];
    const found = producer === null ? null : inlinable(draft, producer, pinned);
    if (producer === null || found === null) continue;
    const consumers = [...(readers.get(found.tensor) ?? [])].filter((j) => j !== i).sort((a, b) => a - b);
    const targets = consumers.map((j) => kernels[j]).filter((k): k is Kernel => k !== null);
    if (!worthInlining(draft.program, found.tensor, found.body, targets) && !(context.manyCores === true && worthStaging(draft.program, found.tensor, found.body, targets))) continue;
    // A result that only this map reads is better finished where it is made, unless the map is read just once too.
    if (targets.length > 1 && finishesResult(draft.program, producer, makerOf, readBy, pinned)) continue;
    const inlined = targets.map((k) => inlineKernel(draft.program, k, producer, found.tensor, found.body));
    if (inlined.some((k, n) => tensorsTouched(k).size > Math.max(context.maxBindings, tensorsTouched(targets[n]).size))) continue;
    if (inlined.some((k) => scalarsOf(k).reduce((sum, s) => sum + costOf(s).operations, 0) > largestBody)) continue;
    consumers.forEach((j, n) => {
      forget(targets[n], j);
      note(inlined[n], j);
      kernels[j] = inlined[n];
    });
    forget(producer, i);
    kernels[i] = null;
  }
  return { ...draft, kernels: kernels.filter((k): k is Kernel => k !== null) };
}

/** Whether the map can be the epilogue of a product or reduction whose result nobody else reads. */
function finishesResult(program: Program, map: Kernel, makerOf: (id: TensorId) => Kernel | null, readBy: (id: TensorId) => number, pinned: ReadonlySet<TensorId>): boolean {
  return [...tensorsRead(map)].some((t) => {
    if (pinned.has(t) || !isComputed(program.tensors[t])) return false;
    const maker = makerOf(t);
    if (maker === null || maker.kind === 'map' || !takesEpilogues(maker) || maker.extents.join() !== map.extents.join()) return false;
    let identity = true;
    for (const s of scalarsOf(map)) visitReads(s, (n) => { if (n.tensor === t && !isIdentity(n, map.extents, program.tensors[t].shape)) identity = false; });
    // The map is one of the readers.
    return identity && readBy(t) === 1;
  });
}

function worthInlining(program: Program, tensor: TensorId, body: Scalar, consumers: readonly Kernel[]): boolean {
  const cost = costOf(body);
  const points = sizeOf(program.tensors[tensor].shape);
  const passes = cost.reads.filter((r) => sizeOf(program.tensors[r.tensor].shape) * 2 > points).length;
  let evaluations = 0;
  let uses = 0;
  for (const consumer of consumers) {
    const operands = repeatedScalarsOf(consumer);
    const extents = consumer.kind === 'scatter' ? itemExtents(consumer) : loopExtents(consumer);
    for (const s of scalarsOf(consumer)) {
      const isOperand = operands.includes(s);
      const isInner = innerScalarsOf(consumer).includes(s);
      visitReads(s, (n) => {
        if (n.tensor !== tensor) return;
        uses += 1;
        if (isOperand) evaluations = cost.expensive || cost.operations > 4 || passes > 1 ? Infinity : evaluations + points;
        else evaluations += isInner || consumer.kind === 'map' ? sizeOf(extents) : sizeOf(consumer.extents);
      });
    }
  }
  if (evaluations <= points) return true;
  if (cost.expensive || evaluations === Infinity) return false;
  // Broadcasting: a body of a few operations on small tensors stays in cache and costs little again.
  if (evaluations > 4 * points * Math.max(1, uses)) return cost.operations <= 3 && (passes <= 1 || points <= 1);
  return cost.operations <= 16 && uses * passes <= passes + 1 + uses;
}

/**
 * Whether products of a GPU should compute a map where they stage it for a tile: a normalization and an activation before a convolution, or
 * the gradient of one. An element is used for all columns (or rows) of a tile, beside which a few operations are little, and a
 * pass over memory to store it goes. What is staged once in all may be any arithmetic but the costly.
 */
function worthStaging(program: Program, tensor: TensorId, body: Scalar, consumers: readonly Kernel[]): boolean {
  const cost = costOf(body);
  const points = sizeOf(program.tensors[tensor].shape);
  const passes = cost.reads.filter((r) => sizeOf(program.tensors[r.tensor].shape) * 2 > points).length;
  if (cost.expensive) return false;
  let staged = 0;
  let fewest = Infinity;
  for (const k of consumers) {
    if (k.kind !== 'contract' || tensorsIn(k.stores.map((s) => s.value)).has(tensor)) return false;
    const [inLeft, inRight] = [k.left, k.right].map((s) => tensorsIn([s]).has(tensor));
    if (inLeft === inRight) return false;
    const [own, others] = (inLeft ? [k.rows, k.columns] : [k.columns, k.rows]).map((axes) => sizeAlong(axes, k.extents));
    staged += sizeAlong(k.batch, k.extents) * own * sizeOf(k.reduceExtents) * Math.ceil(others / tileSide);
    fewest = Math.min(fewest, others);
  }
  return staged <= points ? cost.operations <= mostStagedOnce : cost.operations <= mostStaged && passes <= 1 && fewest >= fewestOthers;
}

/** The scalars a kernel may evaluate several times for one element. */
function repeatedScalarsOf(kernel: Kernel): readonly Scalar[] {
  switch (kernel.kind) {
    case 'map': case 'reduce': return [];
    case 'contract': case 'online': case 'routine': return innerScalarsOf(kernel);
    case 'scatter': return kernel.keys.map((k) => k.value);
  }
}

/** How often a segmented sum evaluates its value: once an item and index of the axes without keys. */
function itemExtents(kernel: ScatterKernel): readonly number[] {
  const keyed = new Set(kernel.keys.map((k) => k.axis));
  return [...kernel.extents.filter((_, axis) => !keyed.has(axis)), ...kernel.reduceExtents];
}

/** Whether the value of a scalar depends on these variables only. */
export function dependsOnlyOn(s: Scalar, allowed: (v: number) => boolean): boolean {
  return [...indexVariables(s)].every(allowed);
}
