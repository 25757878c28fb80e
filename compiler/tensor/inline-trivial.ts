/**
 * Reads through maps that compute nothing: a constant, or one read (perhaps cast) at affine indices, such as a
 * transpose, a slice, a broadcast, a diagonal. The map itself stays until nothing needs it. A window over a plain copy
 * becomes one over what was copied.
 */
import { insideOf } from './scalar-derivative.js';
import type { Comprehension, Program, Tensor } from './program.js';
import { rangeOf } from './ranges.js';
import type { ReadScalar, Scalar, TensorId } from './scalar.js';
import { affineOf, cast, read as readOf, rewriteReads, select, substitute } from './scalar.js';

/** Replaces every read of a trivial map by what the map reads; tensors that are not `live` stay as they are. */
export function inlineTrivial(program: Program, live: (id: TensorId) => boolean): Program {
  const trivial = new Map<TensorId, Comprehension>();
  const tensors: Tensor[] = [];
  for (const tensor of program.tensors) {
    if (!live(tensor.id)) {
      tensors.push(tensor);
      continue;
    }
    if (tensor.kind === 'window') {
      const copied = copiedBy(trivial.get(tensor.of), program);
      tensors.push(copied === null ? tensor : { ...tensor, of: copied });
      continue;
    }
    if (tensor.kind !== 'comprehension') {
      tensors.push(tensor);
      continue;
    }
    const extents = [...tensor.shape, ...(tensor.reduce?.extents ?? [])];
    const body = rewriteReads(tensor.body, (s) => {
      const map = trivial.get(s.tensor);
      return map === undefined ? s : (through(s, map, program, extents) ?? s);
    });
    const inlined: Comprehension = body === tensor.body ? tensor : { ...tensor, body };
    tensors.push(inlined);
    if (isTrivial(inlined)) trivial.set(inlined.id, inlined);
  }
  return { ...program, tensors };
}

function isTrivial(tensor: Comprehension): boolean {
  if (tensor.reduce !== null || tensor.element === 'u8') return false;
  const { read } = core(tensor.body);
  if (tensor.body.kind === 'const') return true;
  return read !== null && read.at.every((i) => affineOf(i) !== null) && (read.otherwise === null || read.otherwise.kind === 'const');
}

/** The computed tensor that a map is an element by element copy of. */
function copiedBy(map: Comprehension | undefined, program: Program): TensorId | null {
  if (map?.body.kind !== 'read') return null;
  const { tensor, at } = map.body;
  const copied = program.tensors[tensor];
  if (copied.kind !== 'comprehension' || copied.element !== map.element || copied.shape.join() !== map.shape.join()) return null;
  return at.every((i, axis) => i.kind === 'index' && i.axis === axis) ? tensor : null;
}

/** The read inside at most one cast. */
function core(body: Scalar): { readonly read: ReadScalar | null } {
  if (body.kind === 'read') return { read: body };
  if (body.kind === 'cast' && body.x.kind === 'read') return { read: body.x };
  return { read: null };
}

/** What `s`, a read of `map`, becomes; null where it has to stay. */
function through(s: ReadScalar, map: Comprehension, program: Program, extents: readonly number[]): Scalar | null {
  const { body } = map;
  if (body.kind === 'const') {
    if (s.otherwise === null) return body;
    return s.otherwise.kind === 'const' && s.otherwise.value === body.value ? body : select(insideOf(s, map.shape), body, s.otherwise);
  }
  const { read } = core(body);
  if (read === null) return null;
  const placed = substitute(body, (v) => s.at[v] ?? null);
  const permutes = permutation(read, map, program.tensors[read.tensor].shape, s.at, extents);
  if (s.otherwise === null) {
    // Data may take an index outside, where it is clamped to the map's axis: only a permutation clamps alike.
    const bounded = s.at.every((i) => { const r = rangeOf(i, (v) => extents[v]); return Number.isFinite(r.low) && Number.isFinite(r.high); });
    return bounded || permutes ? placed : null;
  }
  // A guard moves along when the axes of the map are axes of what it reads.
  if (!permutes || read.otherwise !== null || s.otherwise.kind !== 'const') return null;
  const otherwise = cast(read.type, s.otherwise);
  if (otherwise.kind !== 'const' || cast(s.type, otherwise).kind !== 'const' || otherwise.value !== s.otherwise.value) return null;
  const inner = core(placed).read;
  if (inner === null) return null;
  const guarded = readOf(inner.tensor, inner.at, inner.type, otherwise);
  return placed.kind === 'cast' ? cast(placed.type, guarded) : guarded;
}

/**
 * Every axis of the map is an axis of the tensor it reads, of the same size, or is read inside it for sure; other
 * axes of what it reads stay at constants inside. Then a read of the map leaves exactly when the new read leaves.
 */
function permutation(read: ReadScalar, map: Comprehension, shape: readonly number[], at: readonly Scalar[], extents: readonly number[]): boolean {
  const seen = new Set<number>();
  for (const [axis, i] of read.at.entries()) {
    if (i.kind === 'const') {
      if (i.value < 0 || i.value >= shape[axis]) return false;
    } else if (i.kind === 'index') {
      if (seen.has(i.axis) || map.shape[i.axis] !== shape[axis]) return false;
      seen.add(i.axis);
    } else return false;
  }
  return map.shape.every((n, axis) => {
    if (seen.has(axis)) return true;
    const r = rangeOf(at[axis], (v) => extents[v]);
    return r.low >= 0 && r.high < n;
  });
}
