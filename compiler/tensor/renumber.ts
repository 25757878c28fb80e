/** Changing which tensor an id names: substitution of tensors in scalars and programs, and dense numbering. */
import type { Program, Tensor, Update } from './program.js';
import { updateInputs } from './program.js';
import type { Scalar, TensorId } from './scalar.js';
import { rewriteReads, visitReads } from './scalar.js';

/** Reads `map(id)` wherever the scalar reads `id`. */
export function renameReads(root: Scalar, map: (id: TensorId) => TensorId): Scalar {
  return rewriteReads(root, (s) => {
    const to = map(s.tensor);
    return to === s.tensor ? s : { ...s, tensor: to };
  });
}

/** The tensors a scalar reads, in order of first use. */
export function tensorsRead(root: Scalar): readonly TensorId[] {
  const found = new Set<TensorId>();
  visitReads(root, (s) => { found.add(s.tensor); });
  return [...found];
}

/** The tensors a tensor is computed from, in order of first use. */
export function dependencies(tensor: Tensor): readonly TensorId[] {
  switch (tensor.kind) {
    case 'source': return [];
    case 'window': return [tensor.of];
    case 'pack': return tensor.parts;
    case 'routine': return [...new Set(tensor.inputs)];
    case 'comprehension': {
      return tensorsRead(tensor.body);
    }
  }
}

/** The tensor under another id, with its inputs renamed. */
export function renameTensor(tensor: Tensor, id: TensorId, map: (id: TensorId) => TensorId): Tensor {
  switch (tensor.kind) {
    case 'source': return { ...tensor, id };
    case 'window': return { ...tensor, id, of: map(tensor.of) };
    case 'pack': return { ...tensor, id, parts: tensor.parts.map(map) };
    case 'routine': return { ...tensor, id, inputs: tensor.inputs.map(map) };
    case 'comprehension': {
      const body = renameReads(tensor.body, map);
      return id === tensor.id && body === tensor.body ? tensor : { ...tensor, id, body };
    }
  }
}

/** The update of the tensors' new names. */
export function renameUpdate(u: Update, map: (id: TensorId) => TensorId): Update {
  return { source: map(u.source), value: map(u.value), rows: u.rows === null ? null : map(u.rows) };
}

/** What outputs and updates need, directly or not. */
export function neededTensors(program: Program): ReadonlySet<TensorId> {
  const needed = new Set<TensorId>();
  const pending = [...program.outputs.map((o) => o.tensor), ...program.updates.flatMap((u) => [u.source, ...updateInputs(u)])];
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    if (needed.has(id)) continue;
    needed.add(id);
    pending.push(...dependencies(program.tensors[id]));
  }
  return needed;
}

/** Numbers the tensors that `keep` accepts 0, 1, 2, ... in their order; nothing kept may need one that is not. */
export function renumber(program: Program, keep: (id: TensorId) => boolean): Program {
  const numbers = new Map<TensorId, TensorId>();
  const tensors: Tensor[] = [];
  const map = (id: TensorId): TensorId => numbers.get(id) ?? id;
  for (const tensor of program.tensors) {
    if (!keep(tensor.id)) continue;
    const id = tensors.length as TensorId;
    numbers.set(tensor.id, id);
    tensors.push(renameTensor(tensor, id, map));
  }
  return {
    name: program.name,
    tensors,
    outputs: program.outputs.map((o) => ({ name: o.name, tensor: map(o.tensor) })),
    updates: program.updates.map((u) => renameUpdate(u, map)),
  };
}
