/**
 * Schedules that were measured: what a kernel's shape is remembered by, and which of its candidates has the remembered name. A
 * name that is not among the candidates is passed over, so measured schedules from anywhere cannot do harm.
 */
import { scalarsOf } from '../fuse/draft.js';
import type { ContractKernel, OnlineKernel, ReduceKernel } from '../fuse/kernel.js';
import { sha256 } from '../spec/sha256.js';
import type { ElementType, Scalar, TensorId } from '../tensor/scalar.js';
import { operands } from '../tensor/scalar.js';
import { labelOf as nodeLabel } from '../tensor/structure.js';

export type TunableKernel = ReduceKernel | ContractKernel | OnlineKernel;

/** The type a tensor is stored with. */
export type ElementOf = (tensor: TensorId) => ElementType;

/** The names of schedules, which are plain data, each once. */
export const labelsOf = (schedules: readonly object[]): readonly string[] => [...new Set(schedules.map((s) => JSON.stringify(s)))];

/** The candidate that was measured to be the fastest for kernels of this shape; null where none was. */
export function measuredSchedule<S extends object>(kernel: TunableKernel, { schedules }: { readonly schedules?: Readonly<Record<string, string>> }, elementOf: ElementOf, candidates: () => readonly S[]): S | null {
  if (schedules === undefined || Object.keys(schedules).length === 0) return null;
  const label = schedules[shapeKey(kernel, elementOf)];
  return label === undefined ? null : candidates().find((s) => JSON.stringify(s) === label) ?? null;
}

/** A kernel's shape, what it does and the element types it does it with, whatever its tensors are called. */
export function shapeKey(kernel: TunableKernel, elementOf: ElementOf): string {
  const numbers = new Map<Scalar, number>();
  const tensors = new Map<TensorId, number>();
  const lines: string[] = [];
  const number = (s: Scalar): number => {
    const known = numbers.get(s);
    if (known !== undefined) return known;
    const parts = operands(s).map(number);
    lines.push(`${describe(s)} ${parts.join(' ')}`);
    numbers.set(s, lines.length - 1);
    return lines.length - 1;
  };
  const describe = (s: Scalar): string => {
    if (s.kind !== 'read') return nodeLabel(s);
    const place = tensors.get(s.tensor) ?? tensors.size;
    tensors.set(s.tensor, place);
    return `${nodeLabel({ ...s, tensor: place as TensorId })} ${elementOf(s.tensor)}`;
  };
  const roots = scalarsOf(kernel).map(number);
  const operators = (of: ReduceKernel['reductions']): readonly string[] => of.map((r) => r.op);
  const loops = kernel.kind === 'online' ? [kernel.streamedExtents, kernel.innerExtents, kernel.scores.map((s) => s.inner), kernel.rows, kernel.columns, kernel.combine.kind === 'reduce' ? operators(kernel.combine.reductions) : []]
    : kernel.kind === 'contract' ? [kernel.reduceExtents, kernel.rows, kernel.columns, ...(kernel.half === true ? ['half'] : [])] : [kernel.reduceExtents, operators(kernel.reductions)];
  return `${kernel.kind} ${kernel.extents.join('x')} ${sha256(JSON.stringify([loops, lines, roots, kernel.stores.map((st) => elementOf(st.tensor))])).slice(0, 16)}`;
}
