/** Grows a tensor program. The only mutable thing in the middle of the compiler; `build` freezes it. */
import type { Run } from './runs.js';
import type { Comprehension, Origin, Program, RoutineOperator, Source, Tensor, Update } from './program.js';
import { sizeOf } from './program.js';
import type { ElementType, Scalar, TensorId } from './scalar.js';
import { index, read, scalarTypeOf } from './scalar.js';

export class ProgramBuilder {
  readonly tensors: Tensor[] = [];
  readonly outputs: { name: string; tensor: TensorId }[] = [];
  readonly updates: Update[] = [];
  /** What is computed from now on belongs to the backward pass. */
  backward = false;

  constructor(readonly name: string) {}

  /** The id of the tensor made next. */
  get nextId(): TensorId {
    return this.tensors.length as TensorId;
  }

  tensor(id: TensorId): Tensor {
    return this.tensors[id];
  }

  source(name: string, role: Source['role'], element: ElementType, shape: readonly number[], origin: Origin): TensorId {
    const id = this.nextId;
    this.tensors.push({ kind: 'source', id, name, role, element, shape, origin });
    return id;
  }

  /** An i32 table that is the same in every run, made when it is first asked for: of one name there is one. */
  constant(name: string, shape: readonly number[], runs: readonly Run[], origin: Origin): TensorId {
    const known = this.tensors.find((t) => t.kind === 'source' && t.name === name);
    if (known !== undefined) return known.id;
    const id = this.nextId;
    this.tensors.push({ kind: 'source', id, name, role: 'constant', element: 'i32', shape, runs, origin });
    return id;
  }

  /** `body` uses 0..rank-1 for output axes and rank.. for reduction axes. */
  comprehension(element: ElementType, shape: readonly number[], reduce: Comprehension['reduce'], body: Scalar, origin: Origin): TensorId {
    const id = this.nextId;
    const node: Comprehension = { kind: 'comprehension', id, element, shape, reduce, body, origin, ...(this.backward ? { phase: 'backward' as const } : {}) };
    this.tensors.push(node);
    return id;
  }

  /** The result has the shape of the last input. */
  routine(op: RoutineOperator, inputs: readonly TensorId[], origin: Origin): TensorId {
    const id = this.nextId;
    this.tensors.push({ kind: 'routine', id, op, inputs, element: op === 'argsort' || op === 'first_equal' ? 'i32' : 'f32', shape: this.tensor(inputs[inputs.length - 1]).shape, origin, ...(this.backward ? { phase: 'backward' as const } : {}) });
    return id;
  }

  window(of: TensorId, offset: number, shape: readonly number[], origin: Origin): TensorId {
    const id = this.nextId;
    this.tensors.push({ kind: 'window', id, of, offset, element: this.tensor(of).element, shape, origin });
    return id;
  }

  /** Lays f32 tensors side by side, each at a multiple of 64 elements; `offsets` defaults to that layout. */
  pack(parts: readonly TensorId[], origin: Origin, offsets = packOffsets(parts.map((p) => sizeOf(this.tensor(p).shape)))): TensorId {
    const id = this.nextId;
    const last = parts.length - 1;
    const size = last < 0 ? 0 : alignElements(offsets[last] + sizeOf(this.tensor(parts[last]).shape));
    this.tensors.push({ kind: 'pack', id, parts, offsets, element: 'f32', shape: [size], origin });
    return id;
  }

  /** `tensor[at...]`, guarded when `otherwise` is given. */
  read(tensor: TensorId, at: readonly Scalar[], otherwise: Scalar | null = null): Scalar {
    return read(tensor, at, scalarTypeOf(this.tensor(tensor).element), otherwise);
  }

  /** Reads a tensor at its own indices 0..rank-1: the identity read of a map over its shape. */
  identity(tensor: TensorId): Scalar {
    return this.read(tensor, this.tensor(tensor).shape.map((_, i) => index(i)));
  }

  output(name: string, tensor: TensorId): void {
    this.outputs.push({ name, tensor });
  }

  /** All of the source, or the rows of it that `rows` names. */
  update(source: TensorId, value: TensorId, rows: TensorId | null = null): void {
    this.updates.push({ source, value, rows });
  }

  build(): Program {
    return { name: this.name, tensors: [...this.tensors], outputs: [...this.outputs], updates: [...this.updates] };
  }
}

/** Rounds up to the 64 elements (256 bytes) that a bound range must be aligned to. */
export function alignElements(n: number): number {
  return Math.ceil(n / 64) * 64;
}

/** Start offsets of tensors of these sizes laid side by side. */
export function packOffsets(sizes: readonly number[]): number[] {
  let at = 0;
  return sizes.map((size) => {
    const start = at;
    at = alignElements(at + size);
    return start;
  });
}
