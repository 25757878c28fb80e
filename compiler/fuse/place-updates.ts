/**
 * Turns updates into stores. Where it is safe the kernel that computes the new value writes it over the source: the
 * value is a tensor of its own, every other kernel that reads the source can run before, and the kernel itself
 * reads it only at the element it writes (a kernel computes all it stores at a point before it writes any of it). Otherwise a copy kernel at the end moves the value. A value or output that is
 * itself (part of) an updated source is saved at the start, so that everybody sees the values from before. An update of rows is
 * placed in the same way, at the rows it names: a table is never copied.
 */
import type { Program, Tensor, Update } from '../tensor/program.js';
import { isComputed, sizeOf } from '../tensor/program.js';
import type { ReadScalar, Scalar, TensorId } from '../tensor/scalar.js';
import { index, int, read, rewriteReads, scalarTypeOf, visitReads } from '../tensor/scalar.js';
import type { Draft } from './draft.js';
import { appendTensor, basesOf, innerScalarsOf, mapScalars, tensorsIn, tensorsRead } from './draft.js';
import type { Kernel, Store } from './kernel.js';
import { dependencies, topologicalOrder } from './schedule-kernels.js';

/** Places every update; afterwards the kernels' order is final. With `inPlace` false all of them are copied. */
export function placeUpdates(draft: Draft, inPlace: boolean): Draft {
  const last = new Map<TensorId, Update>();
  for (const u of draft.program.updates) last.set(u.source, u);
  const saved = saveOldValues(draft, last);
  let { program } = saved;
  const kernels = saved.kernels.flatMap((k) => apartByRows(k, saved.updates));
  const before = dependencies(program, kernels).map((s) => new Set(s));
  const renamed = new Map<TensorId, TensorId>();
  const copies: Update[] = [];
  const rowOf = new Map<number, Scalar>();
  const packed = new Set(program.tensors.flatMap((t) => (t.kind === 'pack' ? t.parts : [])));
  const makers = new Map<TensorId, number>();
  const sourceReaders = new Map<TensorId, number[]>();
  kernels.forEach((k, i) => {
    for (const s of k.stores) if (!makers.has(s.tensor)) makers.set(s.tensor, i);
    for (const base of new Set([...tensorsRead(k)].flatMap((id) => basesOf(program, id).map((b) => b.id)))) {
      if (last.has(base)) sourceReaders.set(base, [...(sourceReaders.get(base) ?? []), i]);
    }
  });
  /** Holds a kernel back until all others have read these sources; undone, and false, where that is impossible. */
  let isForward = before.every((set, i) => [...set].every((j) => j < i));
  const runsLast = (producer: number, sources: readonly TensorId[]): boolean => {
    const held = sources.flatMap((s) => sourceReaders.get(s) ?? []).filter((r) => r !== producer && !before[producer].has(r));
    for (const r of held) before[producer].add(r);
    // As long as everything needs what stands before it there is no circle.
    const stays = isForward && held.every((r) => r < producer);
    if (stays || topologicalOrder(before) !== null) {
      isForward = stays;
      return true;
    }
    for (const r of held) before[producer].delete(r);
    return false;
  };
  for (const u of saved.updates) {
    if (u.rows !== null) continue;
    const producer = makers.get(u.value) ?? -1;
    const rival = renamed.has(u.value) || packed.has(u.value);
    if (inPlace && !rival && producer >= 0 && mayOverwrite(program, kernels[producer], u.source, u.value) && runsLast(producer, [u.source])) renamed.set(u.value, u.source);
    else copies.push(u);
  }
  for (const [producer, updates] of rowUpdates(saved.updates, makers)) {
    const row = inPlace && producer >= 0 ? commonRow(program, kernels, producer, updates) : null;
    if (row === null || !runsLast(producer, updates.map((u) => u.source))) { copies.push(...updates); continue; }
    rowOf.set(producer, row);
    for (const u of updates) renamed.set(u.value, u.source);
  }
  // A reader of the new value now reads the source itself, and must come after the store: `before` says so already.
  const order = topologicalOrder(before) ?? [];
  const ordered = order.map((i) => renameKernel(kernels[i], renamed, rowOf.get(i)));
  program = renameProgram(program, renamed);
  for (const u of copies) ordered.push(copyKernel(program, u, renamed.get(u.value) ?? u.value));
  return { program, kernels: ordered };
}

/** A map that makes new rows and something else in one pass, as one map for each: rows are stored where they belong, by themselves. */
function apartByRows(kernel: Kernel, updates: readonly Update[]): readonly Kernel[] {
  if (kernel.kind !== 'map') return [kernel];
  const parts = new Map<TensorId | null, Store[]>();
  for (const s of kernel.stores) {
    const rows = updates.find((u) => u.value === s.tensor)?.rows ?? null;
    parts.set(rows, [...(parts.get(rows) ?? []), s]);
  }
  return parts.size === 1 ? [kernel] : [...parts.values()].map((stores) => ({ ...kernel, stores }));
}

/** Updates of rows, by the kernels that make their values. */
function rowUpdates(updates: readonly Update[], makers: ReadonlyMap<TensorId, number>): ReadonlyMap<number, readonly Update[]> {
  const found = new Map<number, Update[]>();
  for (const u of updates) {
    if (u.rows === null) continue;
    const producer = makers.get(u.value) ?? -1;
    found.set(producer, [...(found.get(producer) ?? []), u]);
  }
  return found;
}

/** The row at which a kernel may store all it makes, or null: it makes new rows only, which nobody else reads, and reads the sources only there. */
function commonRow(program: Program, kernels: readonly Kernel[], producer: number, updates: readonly Update[]): Scalar | null {
  const kernel = kernels[producer];
  const [{ rows }] = updates;
  const values = new Map(updates.map((u) => [u.value, u]));
  const sources = new Set(updates.map((u) => u.source));
  if (rows === null || kernel.kind !== 'map' || values.size !== updates.length || updates.some((u) => u.rows !== rows)) return null;
  if (kernel.stores.some((s) => !values.has(s.tensor) || program.tensors[s.tensor].shape.join() !== kernel.extents.join())) return null;
  if (program.outputs.some((o) => values.has(o.tensor)) || kernels.some((k, i) => i !== producer && [...tensorsRead(k)].some((id) => basesOf(program, id).some((b) => values.has(b.id))))) return null;
  let safe = true;
  for (const store of kernel.stores) {
    visitReads(store.value, (n) => {
      if (!basesOf(program, n.tensor).some((b) => sources.has(b.id))) return;
      const [at, ...rest] = n.at;
      const ownRow = at.kind === 'read' && at.tensor === rows && at.at[0].kind === 'index' && at.at[0].axis === 0;
      const extents = [1, ...kernel.extents.slice(1)];
      if (!sources.has(n.tensor) || !ownRow || !isIdentity({ ...n, at: [int(0), ...rest] }, extents, [1, ...program.tensors[n.tensor].shape.slice(1)])) safe = false;
    });
  }
  return safe ? rowRead(program, rows) : null;
}

function rowRead(program: Program, rows: TensorId): Scalar {
  return read(rows, [index(0)], scalarTypeOf(program.tensors[rows].element));
}

/** Whether the kernel reads the source only where it would write it, and sizes agree. */
function mayOverwrite(program: Program, kernel: Kernel, source: TensorId, value: TensorId): boolean {
  const [s, v] = [program.tensors[source], program.tensors[value]];
  if (!isComputed(v) || s.element !== v.element || sizeOf(s.shape) !== sizeOf(v.shape)) return false;
  const touches = (scalars: readonly Scalar[]): boolean => [...tensorsIn(scalars)].some((id) => basesOf(program, id).some((b) => b.id === source));
  if (touches(innerScalarsOf(kernel))) return false;
  return kernel.stores.every((store) => {
    let safe = true;
    visitReads(store.value, (n) => {
      if (!basesOf(program, n.tensor).some((b) => b.id === source)) return;
      if (n.tensor !== source || !isIdentity(n, kernel.extents, s.shape)) safe = false;
    });
    return safe;
  });
}

/** A read at the kernel's own point of a tensor of the same shape (axes of size 1 may be read at 0). */
export function isIdentity(s: Extract<Scalar, { kind: 'read' }>, extents: readonly number[], shape: readonly number[]): boolean {
  return shape.length === extents.length && shape.every((n, i) => {
    const at = s.at[i];
    return n === extents[i] && ((at.kind === 'index' && at.axis === i) || (n === 1 && at.kind === 'const' && at.value === 0));
  });
}

function renameKernel(kernel: Kernel, renamed: ReadonlyMap<TensorId, TensorId>, row: Scalar | undefined): Kernel {
  if (renamed.size === 0) return kernel;
  const memo = new Map<Scalar, Scalar>();
  const replace = (s: ReadScalar): Scalar => {
    const to = renamed.get(s.tensor);
    return to === undefined ? s : { ...s, tensor: to };
  };
  const mapped = mapScalars(kernel, (s) => rewriteReads(s, replace, memo));
  const stores: Store[] = mapped.stores.map((s) => ({ tensor: renamed.get(s.tensor) ?? s.tensor, value: s.value, ...(row === undefined ? {} : { row }) }));
  return { ...mapped, stores };
}

function renameProgram(program: Program, renamed: ReadonlyMap<TensorId, TensorId>): Program {
  const to = (id: TensorId): TensorId => renamed.get(id) ?? id;
  return {
    ...program,
    tensors: program.tensors.map((t): Tensor => (t.kind === 'window' ? { ...t, of: to(t.of) } : t)),
    outputs: program.outputs.map((o) => ({ name: o.name, tensor: to(o.tensor) })),
  };
}

function copyKernel(program: Program, { source, value, rows }: Update, from: TensorId): Kernel {
  const tensor = program.tensors[from];
  const origin = { span: program.tensors[value].origin.span, name: `update ${program.tensors[source].origin.name}` };
  const at = tensor.shape.map((_, i) => index(i));
  return { kind: 'map', name: '', origins: [origin], extents: tensor.shape, stores: [{ tensor: source, value: read(from, at, scalarTypeOf(tensor.element)), ...(rows === null ? {} : { row: rowRead(program, rows) }) }] };
}

/** Copies, at the start, every output and new value that is itself memory of a source about to change. */
function saveOldValues(draft: Draft, updates: ReadonlyMap<TensorId, Update>): Draft & { readonly updates: readonly Update[] } {
  let program = draft.program;
  const first: Kernel[] = [];
  const save = (id: TensorId): TensorId => {
    if (!basesOf(program, id).some((b) => updates.has(b.id))) return id;
    const tensor = program.tensors[id];
    const at = tensor.shape.map((_, i) => index(i));
    const value = read(id, at, scalarTypeOf(tensor.element));
    const origin = { span: tensor.origin.span, name: `${tensor.origin.name} before` };
    const added = appendTensor(program, (copy) => ({ kind: 'comprehension', id: copy, element: tensor.element, shape: tensor.shape, reduce: null, body: value, origin }));
    program = added.program;
    first.push({ kind: 'map', name: '', origins: [origin], extents: tensor.shape, stores: [{ tensor: added.id, value }] });
    return added.id;
  };
  const outputs = program.outputs.map((o) => ({ name: o.name, tensor: save(o.tensor) }));
  const values = [...updates.values()].filter((u) => u.source !== u.value).map((u) => ({ ...u, value: save(u.value) }));
  return { program: { ...program, outputs }, kernels: [...first, ...draft.kernels], updates: values };
}
