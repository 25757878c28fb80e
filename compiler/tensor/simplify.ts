/**
 * Makes a tensor program smaller without changing its meaning. The passes, each of which can be left out:
 *
 *   stop     removes `stop`, which only differentiation looks at
 *   fold     constants and exact algebra in scalars, index arithmetic by ranges, reduction axes of size 1
 *   inline   reads through maps that only rename, transpose, slice, cast or hold a constant
 *   share    one tensor for equal comprehensions, windows and packs
 *   dead     drops what no output and no update needs
 *
 * Ids are dense afterwards. The same program gives the same result, byte for byte.
 */
import { foldScalar } from './fold-scalar.js';
import { foldRanges } from './index-algebra.js';
import { holds } from './holds.js';
import { inlineTrivial } from './inline-trivial.js';
import type { Comprehension, Program, Tensor } from './program.js';
import { neededTensors, renameTensor, renameUpdate, renumber } from './renumber.js';
import type { TensorId } from './scalar.js';
import { index, int, rewriteWhere, substitute } from './scalar.js';
import type { Interner } from './structure.js';
import { createInterner } from './structure.js';

export type SimplifyPass = 'stop' | 'fold' | 'inline' | 'share' | 'dead';

/** In the order they run; `fold` runs again after `inline`, whose results it can fold further. */
export const simplifyPasses: readonly SimplifyPass[] = ['stop', 'fold', 'inline', 'share', 'dead'];

export interface SimplifyOptions {
  /** Passes to leave out, by name; other names are ignored (they belong to other stages). */
  readonly disabled?: readonly string[];
}

/** Simplifies a program after differentiation. */
export function simplify(program: Program, options: SimplifyOptions = {}): Program {
  const on = (pass: SimplifyPass): boolean => options.disabled?.includes(pass) !== true;
  // What is dead from the start is dropped at the end with what dies on the way; the passes leave it alone.
  const needed = on('dead') ? neededTensors(program) : null;
  const live: Live = (id) => needed === null || needed.has(id);
  let result = program;
  if (on('stop')) result = mapComprehensions(result, live, withoutStop);
  const settled = new Set<Comprehension>();
  if (on('fold')) result = foldProgram(result, live, settled);
  if (on('inline')) {
    result = inlineTrivial(result, live);
    if (on('fold')) result = foldProgram(result, live, settled);
  }
  if (on('share')) result = shareEqual(result, live);
  if (on('dead')) result = dropDead(result);
  return result;
}

/** Which tensors a pass has to look at. */
type Live = (id: TensorId) => boolean;

function mapComprehensions(program: Program, live: Live, f: (t: Comprehension) => Comprehension): Program {
  return { ...program, tensors: program.tensors.map((t) => (t.kind === 'comprehension' && live(t.id) ? f(t) : t)) };
}

function withoutStop(tensor: Comprehension): Comprehension {
  const body = rewriteWhere(holds.stop, tensor.body, (s) => (s.kind === 'unary' && s.op === 'stop' ? s.x : s));
  return body === tensor.body ? tensor : { ...tensor, body };
}

/** Drops what no output and no update needs. */
export function dropDead(program: Program): Program {
  const needed = neededTensors(program);
  return renumber(program, (id) => needed.has(id));
}

/** Leaves the tensors that are `settled` as they are, folded before and not changed since, and adds to them. */
function foldProgram(program: Program, live: Live, settled: Set<Comprehension>): Program {
  const shapeOf = (id: TensorId): readonly number[] => program.tensors[id].shape;
  return mapComprehensions(program, live, (t) => {
    if (settled.has(t)) return t;
    const tensor = withoutSmallAxes(t);
    const extents = [...tensor.shape, ...(tensor.reduce?.extents ?? [])];
    const interner = createInterner();
    let body = interner.intern(tensor.body);
    // Each round only shrinks the body, or leaves it as it is.
    let final = false;
    for (let round = 0; round < 4 && !final; round++) {
      const ranged = foldRanges(body, (v) => extents[v], shapeOf, interner);
      const folded = foldScalar(ranged === body ? body : interner.intern(ranged));
      const next = folded === body ? body : interner.intern(folded);
      final = next === body;
      body = next;
    }
    const result: Comprehension = { ...tensor, body };
    if (final) settled.add(result);
    return result;
  });
}

/** Reduction axes of size 1 go; a reduction without axes is its one element (argmax and deviations keep their form). */
function withoutSmallAxes(tensor: Comprehension): Comprehension {
  const { reduce } = tensor;
  if (reduce === null || reduce.op === 'argmax' || reduce.op === 'deviations') return tensor;
  if (!reduce.extents.includes(1) && reduce.extents.length > 0) return tensor;
  const rank = tensor.shape.length;
  const extents: number[] = [];
  const places = reduce.extents.map((extent) => {
    if (extent === 1) return int(0);
    extents.push(extent);
    return index(rank + extents.length - 1);
  });
  const body = substitute(tensor.body, (v) => (v < rank ? null : places[v - rank]));
  return { ...tensor, body, reduce: extents.length === 0 ? null : { op: reduce.op, extents } };
}

/** Names the first of equal tensors wherever another was named. Sources are never equal. */
function shareEqual(program: Program, live: Live): Program {
  const interner = createInterner();
  const first = new Map<string, TensorId>();
  const names = new Map<TensorId, TensorId>();
  const map = (id: TensorId): TensorId => names.get(id) ?? id;
  const tensors = program.tensors.map((t) => {
    if (!live(t.id)) return t;
    const tensor = renameTensor(t, t.id, map);
    const key = keyOf(tensor, interner);
    if (key === null) return tensor;
    const known = first.get(key);
    if (known === undefined) first.set(key, tensor.id); else names.set(tensor.id, known);
    return tensor;
  });
  return {
    ...program,
    tensors,
    outputs: program.outputs.map((o) => ({ ...o, tensor: map(o.tensor) })),
    updates: program.updates.map((u) => ({ ...renameUpdate(u, map), source: u.source })),
  };
}

function keyOf(tensor: Tensor, interner: Interner): string | null {
  const shape = `${tensor.element}[${tensor.shape.join(',')}]`;
  switch (tensor.kind) {
    case 'source': return null;
    case 'window': return `window ${shape} ${tensor.of} ${tensor.offset}`;
    case 'pack': return `pack ${shape} ${tensor.parts.join(',')} ${tensor.offsets.join(',')}`;
    case 'routine': return `${tensor.op} ${shape} ${tensor.inputs.join(',')}`;
    case 'comprehension': return `map ${shape} ${tensor.reduce === null ? '' : `${tensor.reduce.op}[${tensor.reduce.extents.join(',')}]`} ${interner.id(tensor.body)}`;
  }
}
