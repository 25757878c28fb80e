/**
 * The start of fusion: one kernel for every comprehension, `map` without a reduction and `reduce` with one, and for every routine. Windows
 * and packs need no kernel, but a pack's part must own its memory: a part that is a source, a window, a pack, or
 * already lies in a pack is copied first.
 */
import { routineRank } from '../tensor/program.js';
import type { Pack, Program, Routine, Tensor } from '../tensor/program.js';
import type { TensorId } from '../tensor/scalar.js';
import { accumulator, index, read, scalarTypeOf } from '../tensor/scalar.js';
import type { Draft } from './draft.js';
import { operandAxes } from './kernel.js';
import type { Kernel } from './kernel.js';
import { dropUnused, orderKernels } from './schedule-kernels.js';

/** One kernel a comprehension, in program order; what no output or update needs is left out. */
export function lowerKernels(source: Program): Draft {
  const program = copyShared(source);
  const kernels = program.tensors.flatMap((t) => (t.kind === 'comprehension' ? [kernelOf(t)] : t.kind === 'routine' ? [routineKernelOf(program, t)] : []));
  return { program, kernels: dropUnused(program, orderKernels(program, kernels)) };
}

function kernelOf(t: Extract<Tensor, { kind: 'comprehension' }>): Kernel {
  const base = { name: '', origins: [t.origin], extents: t.shape };
  if (t.reduce === null) return { ...base, kind: 'map', stores: [{ tensor: t.id, value: t.body }] };
  return {
    ...base,
    kind: 'reduce',
    reduceExtents: t.reduce.extents,
    reductions: [{ op: t.reduce.op, body: t.body }],
    stores: [{ tensor: t.id, value: accumulator(scalarTypeOf(t.element), 0) }],
  };
}

function routineKernelOf(program: Program, t: Routine): Kernel {
  const rank = t.shape.length;
  const leading = rank - routineRank(t.op);
  const batch = t.shape.slice(0, leading).map((_, axis) => index(axis));
  const operands = t.inputs.map((id, i) => read(id, [...batch, ...operandAxes(t.op, i).map((a) => index(rank + a))], scalarTypeOf(program.tensors[id].element)));
  const own = t.shape.slice(leading);
  const solves = t.op === 'solve' || t.op === 'solve_transposed';
  return {
    kind: 'routine', name: '', origins: [t.origin], extents: t.shape, op: t.op, ownExtents: solves ? [own[0], own[0], own[1]] : own, operands,
    stores: [{ tensor: t.id, value: accumulator(scalarTypeOf(t.element), 0) }],
  };
}

/** Gives every pack parts of its own. */
function copyShared(program: Program): Program {
  const tensors: Tensor[] = [...program.tensors];
  const packed = new Set<TensorId>();
  const own = (part: TensorId): TensorId => {
    const tensor = tensors[part];
    if (tensor.kind === 'comprehension' && !packed.has(part)) {
      packed.add(part);
      return part;
    }
    const id = tensors.length as TensorId;
    const body = read(part, tensor.shape.map((_, i) => index(i)), scalarTypeOf(tensor.element));
    tensors.push({ kind: 'comprehension', id, element: tensor.element, shape: tensor.shape, reduce: null, body, origin: { span: tensor.origin.span, name: `copy of ${tensor.origin.name}` } });
    packed.add(id);
    return id;
  };
  for (const t of program.tensors) {
    if (t.kind !== 'pack') continue;
    const pack: Pack = { ...t, parts: t.parts.map(own) };
    tensors[t.id] = pack;
  }
  return { ...program, tensors };
}
