/**
 * The tensor program: the language's index notation made explicit. Shapes are static. Tensors are numbered in
 * the order they can be computed; a tensor only reads tensors before it.
 */
import type { Span } from '../../grammar/span.js';
import type { Run } from './runs.js';
import type { ElementType, Scalar, TensorId } from './scalar.js';

/** Where a tensor comes from: for error messages, kernel comments and reports. */
export interface Origin {
  readonly span: Span | null;
  /** A short name a person recognises: `f.conv1.y`, `contrast`, `grad f.conv1.w`. */
  readonly name: string;
  /** What the reduction axes of a comprehension were called, in order. */
  readonly reduced?: readonly string[];
}

interface TensorBase {
  readonly id: TensorId;
  readonly element: ElementType;
  readonly shape: readonly number[];
  readonly origin: Origin;
  /**
   * `backward`: made for the gradient of the loss, or after it. `recomputed`: a second computation of an earlier tensor, late on
   * purpose; sharing it with the first would keep the memory it frees. Absent: the forward pass.
   */
  readonly phase?: 'backward' | 'recomputed';
}

/**
 * Memory that outlives a run of the program, or that the host fills before it. `name` is the key by which
 * programs of one plan share it and by which the host finds it. The roles say who may write it and what goes
 * into a checkpoint: `parameters` (flat arena of trainable weights), `state` (running statistics, optimizer
 * moments, queues, targets), `data` (a data set on the device), `batch` (written by the host before each step:
 * example numbers, streamed inputs), `clock` (seed and step, i32 scalars), `constant` (an i32 table that the plan itself
 * holds, the same in every run).
 */
export interface Source extends TensorBase {
  readonly kind: 'source';
  readonly name: string;
  readonly role: 'parameters' | 'state' | 'data' | 'batch' | 'clock' | 'constant';
  /** The elements of a constant, run after run; absent elsewhere. */
  readonly runs?: readonly Run[];
}

export type ReduceOperator = 'sum' | 'max' | 'min' | 'prod' | 'any' | 'all' | 'logsumexp' | 'argmax' | 'deviations';

/**
 * `out[o...] = reduce over r...: body(o, r)`, or `body(o)` when `reduce` is null. Indices 0..rank-1 are output
 * axes, rank.. the reduction axes. `argmax` gives the i32 row-major position of the first largest element;
 * `deviations` the sum of the squared deviations from the mean of the elements.
 * Masked elements are written by the body itself: a `select` of the operator's neutral value (for logsumexp and
 * max -1e30: a large finite number, never infinity).
 */
export interface Comprehension extends TensorBase {
  readonly kind: 'comprehension';
  readonly reduce: { readonly op: ReduceOperator; readonly extents: readonly number[] } | null;
  readonly body: Scalar;
}

/**
 * - `first_equal`: x i32 [*S, N], each row sorted upwards, to i32 [*S, N], the position of the first of the elements equal to each;
 * - `argsort`: x [*S, N] to i32 [*S, N], the permutation that sorts each row upwards; equal elements keep their order,
 *   -0 equals 0, NaN comes last;
 * - `cholesky`: a [*S, N, N] to the lower factor L of its symmetric part, L L' = (a + a') / 2, with zeros above the
 *   diagonal; NaN from the first pivot that is not positive;
 * - `solve` and `solve_transposed`: l [*S, N, N] and b [*S, N, M] to x [*S, N, M] with L x = b or L' x = b, where L is the
 *   lower triangle of l, whatever lies above it.
 */
export type RoutineOperator = 'argsort' | 'first_equal' | 'cholesky' | 'solve' | 'solve_transposed';

/** What no comprehension computes in reasonable time, because its elements depend on one another; one after the other for every index of the leading axes. */
export interface Routine extends TensorBase {
  readonly kind: 'routine';
  readonly op: RoutineOperator;
  readonly inputs: readonly TensorId[];
}

/** A zero-copy part of a flat tensor: elements offset .. offset + size(shape) of `of`, row-major. */
export interface Window extends TensorBase {
  readonly kind: 'window';
  readonly of: TensorId;
  readonly offset: number;
}

/**
 * A flat tensor made of others laid side by side, zero-copy where the planner can place the parts inside it.
 * Gaps between parts are zero. Each part starts at `offsets[i]` (a multiple of 64 elements).
 */
export interface Pack extends TensorBase {
  readonly kind: 'pack';
  readonly parts: readonly TensorId[];
  readonly offsets: readonly number[];
}

export type Tensor = Source | Comprehension | Routine | Window | Pack;

/**
 * A source takes a new value once everything has been computed (all updates read the values from before): the whole of it, or with
 * `rows`, i32 [R], rows of its first axis: row r of `value` becomes row `rows[r]`, where that is one. No row is named twice.
 */
export interface Update {
  readonly source: TensorId;
  readonly value: TensorId;
  readonly rows: TensorId | null;
}

/** The tensors an update is made from. */
export const updateInputs = (u: Update): readonly TensorId[] => (u.rows === null ? [u.value] : [u.value, u.rows]);

/** A program: tensors, what the host may read by name, and which sources take new values. */
export interface Program {
  readonly name: string;
  readonly tensors: readonly Tensor[];
  readonly outputs: readonly { readonly name: string; readonly tensor: TensorId }[];
  readonly updates: readonly Update[];
}

/** Elements of a shape: the product of its sizes; 1 for a scalar. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** The number of points along some of the axes. */
export function sizeAlong(axes: readonly number[], extents: readonly number[]): number {
  return axes.reduce((n, a) => n * extents[a], 1);
}

/** Bytes of one stored element. */
export function bytesOf(element: ElementType): number {
  return element === 'u8' ? 1 : element === 'f16' ? 2 : 4;
}

/** Whether running the program computes the tensor into memory of its own. */
export function isComputed(tensor: Tensor): tensor is Comprehension | Routine {
  return tensor.kind === 'comprehension' || tensor.kind === 'routine';
}

/** Trailing axes of a routine's result that it computes together; those before them are independent of one another. */
export function routineRank(op: RoutineOperator): 1 | 2 {
  return op === 'argsort' || op === 'first_equal' ? 1 : 2;
}

/** Whether a position on `axis` of input number `input` reaches only the same position of a routine's result. */
export function routineKeepsAxis(routine: Routine, axis: number, input: number): boolean {
  const rank = routine.shape.length;
  return axis < rank - routineRank(routine.op) || (input === 1 && axis === rank - 1);
}

/** The tensor an id names. */
export function tensorOf(program: { readonly tensors: readonly Tensor[] }, id: TensorId): Tensor {
  return program.tensors[id];
}

/** The neutral element of a reduction; logsumexp and max use a large finite number, never infinity. */
export function neutralOf(op: ReduceOperator): number {
  switch (op) {
    case 'sum': case 'any': case 'deviations': return 0;
    case 'prod': case 'all': return 1;
    case 'max': case 'logsumexp': case 'argmax': return -1e30;
    case 'min': return 1e30;
  }
}
