/**
 * When two kernels are the same code: they differ in nothing but their names and in which tensors they touch, so that one
 * function does for both, called with other addresses. Networks are made of equal layers; most of their kernels are.
 */
import type { Kernel } from '../../fuse/kernel.js';
import type { Slot } from '../../plan/plan.js';
import type { Scalar, TensorId } from '../../tensor/scalar.js';
import { operands } from '../../tensor/scalar.js';
import { slotOf } from './lower-scalar.js';

export interface Signature {
  /** Equal for kernels that one function can compute. */
  readonly text: string;
  /** The tensors the kernel touches, in the order in which equal kernels name theirs. */
  readonly tensors: readonly TensorId[];
}

const isScalar = (value: object): value is Scalar => 'holds' in value;

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
  const scalar = (s: Scalar): void => {
    const known = seen.get(s);
    if (known !== undefined) { parts.push(`#${known}`); return; }
    seen.set(s, seen.size);
    parts.push(s.kind, s.type);
    switch (s.kind) {
      case 'const': parts.push(Object.is(s.value, -0) ? '-0' : String(s.value)); return;
      case 'index': parts.push(String(s.axis)); return;
      case 'accumulator': parts.push(String(s.slot)); return;
      case 'read':
        tensor(s.tensor);
        s.at.forEach(scalar);
        if (s.otherwise !== null) { parts.push('else'); scalar(s.otherwise); }
        return;
      case 'unary': parts.push(s.op); scalar(s.x); return;
      case 'cast': scalar(s.x); return;
      case 'binary': parts.push(s.op); scalar(s.a); scalar(s.b); return;
      case 'select': case 'draw':
        if (s.kind === 'draw') parts.push(String(s.lane));
        operands(s).forEach(scalar);
    }
  };
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) { parts.push(String(value)); return; }
    if (isScalar(value)) { scalar(value); return; }
    if (Array.isArray(value)) {
      parts.push('[');
      value.forEach(walk);
      parts.push(']');
      return;
    }
    // By name: kernels made in different ways have their fields in different orders.
    const fields: Readonly<Record<string, unknown>> = { ...value };
    for (const name of Object.keys(fields).sort()) {
      if (value === kernel && (name === 'name' || name === 'origins')) continue;
      const field = fields[name];
      parts.push(name);
      if (name === 'tensor') tensor(field as TensorId); else walk(field);
    }
    parts.push(';');
  };
  walk(kernel);
  return { text: parts.join(' '), tensors: [...tensors.keys()] };
}
