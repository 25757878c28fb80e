/**
 * Activation checkpointing: what the forward pass computed and the backward pass reads again is computed a second time,
 * segment by segment, instead of being kept. Chen et al., 2016. arXiv:1604.06174
 *
 * What is computed before the backward pass and read in it is saved memory. The forward pass is cut into segments where
 * little has to cross, what crosses a cut is kept, and every other saved tensor gets a copy that is computed from kept
 * tensors right before its first reader in the backward pass. Copies are the same expressions on the same values, draws
 * included, so every result stays the same.
 */
import type { Program, Tensor } from './program.js';
import { bytesOf, isComputed, sizeOf, updateInputs } from './program.js';
import { dependencies, renameTensor, renameUpdate } from './renumber.js';
import type { TensorId } from './scalar.js';

/** Saved tensors smaller than this part of the largest are kept: statistics of a batch cost a pass to compute again. */
const smallPart = 1 / 64;

/** Where tensors are computed and last read, as positions in the program. */
interface Liveness {
  readonly bytes: readonly number[];
  /** Whether memory holds it: comprehensions and routines; windows and packs lie in the memory of others, sources always live. */
  readonly owned: readonly boolean[];
  /** Positions of the tensors that read each tensor, windows and packs seen through, in order. */
  readonly readers: readonly (readonly number[])[];
}

/** The program with saved activations computed again, or the program itself where that frees nothing. */
export function recomputeActivations(program: Program): Program {
  const pivot = program.tensors.findIndex((t) => t.phase === 'backward') - 1;
  if (pivot < 0) return program;
  const liveness = livenessOf(program);
  const saved = savedAcross(liveness, pivot);
  const largest = saved.reduce((most, id) => Math.max(most, liveness.bytes[id]), 0);
  const small = (id: number): boolean => liveness.bytes[id] <= largest * smallPart;
  const kept = chooseKept(liveness, pivot, saved.filter((id) => !small(id)));
  if (kept === null) return program;
  return withCopies(program, pivot, (id) => liveness.owned[id] && (kept.has(id) || small(id)));
}

function livenessOf(program: Program): Liveness {
  const { tensors } = program;
  const readers: number[][] = tensors.map(() => []);
  const owners = new Map<TensorId, readonly TensorId[]>();
  const ownersOf = (id: TensorId): readonly TensorId[] => {
    const known = owners.get(id);
    if (known !== undefined) return known;
    const tensor = tensors[id];
    const found = tensor.kind === 'window' || tensor.kind === 'pack' ? dependencies(tensor).flatMap((d) => ownersOf(d)) : [id];
    owners.set(id, found);
    return found;
  };
  for (const tensor of tensors) {
    if (tensor.kind === 'window' || tensor.kind === 'pack') continue;
    for (const d of dependencies(tensor)) for (const owner of ownersOf(d)) if (readers[owner][readers[owner].length - 1] !== tensor.id) readers[owner].push(tensor.id);
  }
  // What the host reads and what updates write lives to the end.
  for (const id of [...program.outputs.map((o) => o.tensor), ...program.updates.flatMap(updateInputs)]) for (const owner of ownersOf(id)) readers[owner].push(tensors.length);
  return {
    bytes: tensors.map((t) => sizeOf(t.shape) * bytesOf(t.element)),
    owned: tensors.map(isComputed),
    readers,
  };
}

/** What is computed up to the pivot and read by a tensor after it, in order. */
function savedAcross(l: Liveness, pivot: number): number[] {
  const saved: number[] = [];
  for (let id = 0; id <= pivot; id++) if (l.owned[id] && l.readers[id].some((r) => r > pivot && r < l.bytes.length)) saved.push(id);
  return saved;
}

/**
 * The tensors to keep: what crosses the chosen cuts. For each size a segment may have, the cuts that keep least; of those
 * the choice that leaves least memory: all that is kept, and the largest segment, which is whole while it is computed again.
 */
function chooseKept(l: Liveness, pivot: number, saved: readonly number[]): ReadonlySet<number> | null {
  const total = saved.reduce((sum, id) => sum + l.bytes[id], 0);
  const crossing = crossingBytes(l, pivot);
  const places = cutPlaces(crossing, saved);
  let best: { readonly bytes: number; readonly cuts: readonly number[] } = { bytes: total, cuts: [] };
  for (let size = total / 2; size > total / 100; size *= 0.85) {
    const found = cutsWithin(size, places, crossing, saved, l.bytes);
    if (found !== null && found.kept + size < best.bytes) best = { bytes: found.kept + size, cuts: found.cuts };
  }
  if (best.cuts.length === 0) return null;
  const kept = new Set<number>();
  for (const cut of best.cuts) for (let id = 0; id <= cut; id++) if (l.owned[id] && l.readers[id].some((r) => r > cut && r <= pivot)) kept.add(id);
  return kept;
}

/** After each saved tensor but the last, the position before the next one that least crosses. */
function cutPlaces(crossing: Float64Array, saved: readonly number[]): number[] {
  return saved.slice(0, -1).map((id, k) => {
    let best = id;
    for (let p = id; p < saved[k + 1]; p++) if (crossing[p] <= crossing[best]) best = p;
    return best;
  });
}

/** The cuts after some of the saved tensors that keep least while no segment saves more than `size`; null when one tensor alone does. */
function cutsWithin(size: number, places: readonly number[], crossing: Float64Array, saved: readonly number[], bytes: readonly number[]): { readonly cuts: number[]; readonly kept: number } | null {
  // cost[k]: least kept when the first k saved tensors are in finished segments, the last of which ends with a cut.
  const cost = [0];
  const from: number[] = [0];
  for (let k = 1; k <= saved.length; k++) {
    cost.push(Infinity);
    from.push(0);
    let inside = 0;
    for (let j = k - 1; j >= 0; j--) {
      inside += bytes[saved[j]];
      if (inside > size) break;
      const kept = cost[j] + (k < saved.length ? crossing[places[k - 1]] : 0);
      if (kept < cost[k]) { cost[k] = kept; from[k] = j; }
    }
  }
  if (!Number.isFinite(cost[saved.length])) return null;
  const cuts: number[] = [];
  for (let k = from[saved.length]; k > 0; k = from[k]) cuts.unshift(places[k - 1]);
  return { cuts, kept: cost[saved.length] };
}

/** Bytes that tensors computed up to each position hand on to the rest of the part before the pivot. */
function crossingBytes(l: Liveness, pivot: number): Float64Array {
  const change = new Float64Array(pivot + 2);
  for (let id = 0; id <= pivot; id++) {
    if (!l.owned[id]) continue;
    const last = l.readers[id].reduce((latest, r) => (r <= pivot ? r : latest), id);
    if (last === id) continue;
    change[id] += l.bytes[id];
    change[last] -= l.bytes[id];
  }
  for (let p = 1; p <= pivot; p++) change[p] += change[p - 1];
  return change.subarray(0, pivot + 1);
}

/** Rewrites what comes after the pivot to read copies of what is not kept. */
function withCopies(program: Program, pivot: number, isKept: (id: number) => boolean): Program {
  const tensors: Tensor[] = [];
  const placed = new Map<TensorId, TensorId>();
  const copies = new Map<TensorId, TensorId>();
  const push = (tensor: Tensor, map: (id: TensorId) => TensorId): TensorId => {
    const id = tensors.length as TensorId;
    tensors.push(renameTensor(tensor, id, map));
    return id;
  };
  const original = (id: TensorId): TensorId => placed.get(id) ?? id;
  /** The tensor that readers after the pivot read instead of `id`, computed now if it has to be. */
  const late = (id: TensorId): TensorId => {
    if (id > pivot || !mustCopy(id)) return original(id);
    const known = copies.get(id);
    if (known !== undefined) return known;
    const tensor = program.tensors[id];
    const inputs = new Map(dependencies(tensor).map((d) => [d, late(d)]));
    const copy = push({ ...tensor, phase: 'recomputed' }, (d) => inputs.get(d) ?? d);
    copies.set(id, copy);
    return copy;
  };
  const memo = new Map<TensorId, boolean>();
  const mustCopy = (id: TensorId): boolean => {
    const known = memo.get(id);
    if (known !== undefined) return known;
    const tensor = program.tensors[id];
    const answer = isComputed(tensor) ? !isKept(id) : tensor.kind !== 'source' && dependencies(tensor).some(mustCopy);
    memo.set(id, answer);
    return answer;
  };
  for (const tensor of program.tensors) {
    const inputs = tensor.id > pivot && tensor.kind !== 'source' ? new Map(dependencies(tensor).map((d) => [d, late(d)])) : null;
    placed.set(tensor.id, push(tensor, (d) => inputs?.get(d) ?? original(d)));
  }
  return {
    name: program.name, tensors,
    outputs: program.outputs.map((o) => ({ name: o.name, tensor: original(o.tensor) })),
    updates: program.updates.map((u) => renameUpdate(u, original)),
  };
}
