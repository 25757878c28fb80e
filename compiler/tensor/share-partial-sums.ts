/**
 * A sum over a whole batch of twins beside sums over each twin of the same data is taken as the sum of its parts, one for each
 * twin: the parts then ride in the same pass. The gradients of batch norm's gain and bias sum over all views what its
 * backward pass sums for each view anyway.
 */
import type { Comprehension, Program, Tensor } from './program.js';
import { sizeOf } from './program.js';
import { renameTensor, renameUpdate, tensorsRead } from './renumber.js';
import type { TensorId } from './scalar.js';
import { index, read, substitute } from './scalar.js';

/** Splits sums along their first axis where another sum over the rest reads the same data. */
export function sharePartialSums(program: Program): Program {
  const sums = new Map<string, Comprehension[]>();
  const keyOf = (shape: readonly number[], extents: readonly number[]): string => `${shape.join()} over ${extents.join()}`;
  for (const t of program.tensors) {
    if (t.kind !== 'comprehension' || t.reduce?.op !== 'sum' || t.element !== 'f32') continue;
    const key = keyOf(t.shape, t.reduce.extents);
    sums.set(key, [...(sums.get(key) ?? []), t]);
  }
  const data = new Map<TensorId, readonly TensorId[]>();
  /** The large tensors behind a sum: those that have half as many elements as the sum has terms, or more. */
  const dataOf = (sum: Comprehension): readonly TensorId[] => {
    const terms = sizeOf(sum.shape) * sizeOf(sum.reduce?.extents ?? []);
    const known = data.get(sum.id) ?? largeBehind(program, sum, (id) => sizeOf(program.tensors[id].shape) * 2 > terms);
    data.set(sum.id, known);
    return known;
  };
  const splits = (t: Tensor): t is Comprehension & { readonly reduce: NonNullable<Comprehension['reduce']> } => {
    if (t.kind !== 'comprehension' || t.reduce?.op !== 'sum' || t.element !== 'f32' || t.reduce.extents.length < 2 || t.shape.length === 0) return false;
    const [first, ...rest] = t.reduce.extents;
    const parts = sums.get(keyOf([first, ...t.shape], rest)) ?? [];
    return parts.some((p) => dataOf(p).some((id) => dataOf(t).includes(id)));
  };
  const tensors: Tensor[] = [];
  const numbers = new Map<TensorId, TensorId>();
  const map = (id: TensorId): TensorId => numbers.get(id) ?? id;
  const push = (tensor: Tensor): TensorId => {
    const id = tensors.length as TensorId;
    // Before the first split nothing has another number.
    tensors.push(id === tensor.id ? tensor : renameTensor(tensor, id, map));
    return id;
  };
  for (const t of program.tensors) {
    if (!splits(t)) {
      numbers.set(t.id, push(t));
      continue;
    }
    const [first, ...rest] = t.reduce.extents;
    const rank = t.shape.length;
    // The first reduced axis becomes the first axis of the parts.
    const body = substitute(t.body, (v) => index(v < rank ? v + 1 : v === rank ? 0 : v));
    const parts = push({ ...t, shape: [first, ...t.shape], reduce: { op: 'sum', extents: rest }, body });
    const id = tensors.length as TensorId;
    tensors.push({ ...t, id, reduce: { op: 'sum', extents: [first] }, body: read(parts, [index(rank), ...t.shape.map((_, i) => index(i))], 'f32') });
    numbers.set(t.id, id);
  }
  return {
    name: program.name, tensors,
    outputs: program.outputs.map((o) => ({ name: o.name, tensor: map(o.tensor) })),
    updates: program.updates.map((u) => renameUpdate(u, map)),
  };
}

/** The large tensors behind a sum, seen through the maps that will move into it. */
function largeBehind(program: Program, sum: Comprehension, large: (id: TensorId) => boolean): readonly TensorId[] {
  const found = new Set(tensorsRead(sum.body).filter(large));
  for (const id of found) {
    const tensor = program.tensors[id];
    if (tensor.kind === 'comprehension' && tensor.reduce === null) for (const inner of tensorsRead(tensor.body).filter(large)) found.add(inner);
  }
  return [...found];
}
