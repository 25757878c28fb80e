/**
 * When two kernels are the same code: they differ in nothing but their names and in which tensors they touch, so that one
 * function does for both, called with other addresses. Networks are made of equal layers; most of their kernels are.
 */
import type { Kernel } from '../../fuse/kernel.js';
import type { Slot } from '../../plan/plan.js';
import type { TensorId } from '../../tensor/scalar.js';
import { slotOf } from './lower-scalar.js';

export interface Signature {
  /** Equal for kernels that one function can compute. */
  readonly text: string;
  /** The tensors the kernel touches, in the order in which equal kernels name theirs. */
  readonly tensors: readonly TensorId[];
}

/** Everything about a kernel but its name and origins, with tensors numbered in the order they occur. */
export function signatureOf(kernel: Kernel, placements: ReadonlyMap<TensorId, Slot>): Signature {
  const tensors = new Map<TensorId, number>();
  const parts: string[] = [];
  // A scalar that occurs again is the same computation: its number stands for it.
  const seen = new Map<object, number>();
  const tensor = (id: TensorId): void => {
    let number = tensors.get(id);
    if (number === undefined) {
      number = tensors.size;
      tensors.set(id, number);
      const { element, shape } = slotOf({ placements }, id);
      parts.push(`${element}[${shape.join()}]`);
    }
    parts.push(`%${number}`);
  };
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) { parts.push(Object.is(value, -0) ? '-0' : String(value)); return; }
    const known = seen.get(value);
    if (known !== undefined) { parts.push(`#${known}`); return; }
    seen.set(value, seen.size);
    if (Array.isArray(value)) {
      parts.push('[');
      value.forEach(walk);
      parts.push(']');
      return;
    }
    for (const [name, field] of Object.entries(value)) {
      // What a scalar holds follows from what it is.
      if (name === 'holds' || (value === kernel && (name === 'name' || name === 'origins'))) continue;
      parts.push(name);
      if (name === 'tensor') tensor(field as TensorId); else walk(field);
    }
    parts.push(';');
  };
  walk(kernel);
  return { text: parts.join(' '), tensors: [...tensors.keys()] };
}
