/**
 * Kernels: loop nests before thread mapping. A kernel says what is computed for every point of its parallel axes
 * and how reductions combine; a target's emitter decides blocks, lanes, tiles, vectors and staging. Both
 * emitters must accept every kernel; recognised classes (`contract`, `online`) exist so that they can be fast.
 *
 * Index variables in a kernel's scalars: 0..p-1 are the parallel axes (p = extents.length), then the reduction
 * axes in the order the class lists them. Reads name tensors of the program; every tensor a kernel touches lives in memory.
 */
import type { Origin, Program, ReduceOperator, RoutineOperator } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';

/** Writes `value` to `tensor` at the parallel indices (row-major over `extents`); one point writes one element. All values of a point are computed before any is written. */
export interface Store {
  readonly tensor: TensorId;
  readonly value: Scalar;
  /**
   * In maps: the row of the tensor's first axis that index 0 stands for, over that index alone; where it is no row nothing is written. No two
   * points have the same one, and all stores of the kernel have this one.
   */
  readonly row?: Scalar;
}

interface KernelBase {
  /** Unique in its program and stable: `07_f_conv1_y`. */
  readonly name: string;
  /** What it was fused from, first to last: names and source lines for comments and reports. */
  readonly origins: readonly Origin[];
  /** Sizes of the parallel axes. A scalar result has none: one point. */
  readonly extents: readonly number[];
  /** Evaluated at the end for every parallel point; may use `accumulator` slots and further reads. */
  readonly stores: readonly Store[];
}

/** One reduction of a reduce or online kernel: `op` over `body`. */
export interface Reduction {
  readonly op: ReduceOperator;
  readonly body: Scalar;
}

/** Elementwise (and gather): only stores. */
export interface MapKernel extends KernelBase {
  readonly kind: 'map';
}

/** Several reductions over the same axes; `accumulator k` in stores is the result of `reductions[k]`. */
export interface ReduceKernel extends KernelBase {
  readonly kind: 'reduce';
  readonly reduceExtents: readonly number[];
  readonly reductions: readonly Reduction[];
}

/**
 * `accumulator 0 = sum over k of left * right`: matrix products, convolutions and their gradients. Every parallel
 * axis is in exactly one of: `batch` (in both operands), `rows` (left only), `columns` (right only). Operands are
 * arbitrary f32 scalars over those axes and the reduction axes: guarded reads make convolutions implicit GEMM.
 */
export interface ContractKernel extends KernelBase {
  readonly kind: 'contract';
  readonly reduceExtents: readonly number[];
  readonly batch: readonly number[];
  readonly rows: readonly number[];
  readonly columns: readonly number[];
  readonly left: Scalar;
  readonly right: Scalar;
  /** Its operands may be rounded to 16 bits before they are multiplied; sums stay f32. */
  readonly half?: boolean;
}

/** One streamed product: the sum of left * right over `inner`, some of the kernel's inner axes. */
export interface Score {
  readonly inner: readonly number[];
  readonly left: Scalar;
  readonly right: Scalar;
}

/**
 * Products whose results are consumed on the fly and never stored: for parallel rows i and streamed columns j, in
 * each of a batch b, `score k(b, i, j) = sum over inner d of left k(b, i, d) * right k(b, j, d)`; then either reductions over j
 * (`reduce`: bodies see score k as `accumulator k`, stores see reduction k as `accumulator k`), or last products
 * (`contract`: `accumulator m` of the stores is the sum of product m, with c the `columns`, the parallel axes that no score depends on;
 * weights see score k as `accumulator k`). Most kernels have one score and one product; the gradient of attention needs two
 * scores, q k' and dy v', and those of keys and values are two products of them.
 * Variables: parallel 0..p-1, then streamed axes, then inner axes.
 */
export interface OnlineKernel extends KernelBase {
  readonly kind: 'online';
  readonly streamedExtents: readonly number[];
  readonly innerExtents: readonly number[];
  readonly batch: readonly number[];
  readonly rows: readonly number[];
  readonly columns: readonly number[];
  readonly scores: readonly Score[];
  readonly combine:
    | { readonly kind: 'reduce'; readonly reductions: readonly Reduction[] }
    | { readonly kind: 'contract'; readonly products: readonly WeightedProduct[] };
}

/** A product with streamed values, `sum over j of weight(b, i, j, scores) * value(b, j, c)`. */
export interface WeightedProduct {
  readonly weight: Scalar;
  readonly value: Scalar;
}

/**
 * Segmented sums, the adjoint of a gather among them: `accumulator 0` at a point is the sum of `value` over the items
 * whose keys are the point's indices on the keyed axes, in the order of the items, starting from 0. An item with a key
 * outside its axis adds nowhere. The items are the reduction axes, row-major; keys depend on them and on axes that are
 * not keyed (which stand apart from one another), `value` on all but the keyed axes. The only store is the accumulator.
 * `sorted`: there is one key, which never falls from one item to the next.
 */
export interface ScatterKernel extends KernelBase {
  readonly kind: 'scatter';
  readonly reduceExtents: readonly number[];
  readonly keys: readonly { readonly axis: number; readonly value: Scalar }[];
  readonly value: Scalar;
  readonly sorted: boolean;
}

/**
 * A routine for every index of the leading parallel axes; `accumulator 0` is its result at the trailing ones, and the only
 * store. Operands are over the leading axes and `ownExtents`, whose variables follow the parallel ones: the element
 * (argsort), row and column (cholesky), or row and column of the matrix and column of the right sides (solve: the first operand
 * is over the first two, the second over the first and third).
 */
export interface RoutineKernel extends KernelBase {
  readonly kind: 'routine';
  readonly op: RoutineOperator;
  readonly ownExtents: readonly number[];
  readonly operands: readonly Scalar[];
}

export type Kernel = MapKernel | ReduceKernel | ContractKernel | OnlineKernel | ScatterKernel | RoutineKernel;

/** The own axes that operand number `operand` of a routine is over, in order. */
export function operandAxes(op: RoutineOperator, operand: number): readonly number[] {
  if (op === 'argsort' || op === 'first_equal') return [0];
  return op === 'cholesky' || operand === 0 ? [0, 1] : [0, 2];
}

/** Whether maps may join the kernel as further stores. */
export function takesEpilogues(kernel: Kernel): boolean {
  return kernel.kind !== 'scatter' && kernel.kind !== 'routine';
}

/**
 * One kernel of a chain, with its axes (reduced ones after the parallel) that all members have, in the same order. In a chain of points,
 * `outer` stand for the reduction's points and `inner` for what it reduces; in one of slices, `outer` are kept apart and tasks are
 * ranges along `inner`.
 */
export interface Member {
  readonly kernel: number;
  readonly outer: readonly number[];
  readonly inner: readonly number[];
  /** In a chain of workgroups: how many neighbours along the last of the axes are one slice. */
  readonly grain?: number;
}

/**
 * Kernels of one launch that share their tasks. `points`: a task does some points whole. `slices`: a task does some slices of
 * every member; a reduction over the slices ends in parts, which the last task of a point adds up. `workgroups`: a workgroup of a GPU does
 * some slices of every member, and none sums over them.
 */
export interface Chain {
  readonly cut: 'points' | 'slices' | 'workgroups';
  readonly members: readonly Member[];
  /** Tensors made for later members alone, which never lie in memory whole: a worker, or a workgroup, has its slices of them. */
  readonly own: readonly TensorId[];
  /** Windows of all of those, that members read them through, and what each is of. */
  readonly windows?: ReadonlyMap<TensorId, TensorId>;
}

/** Tensors that are a chain's own, windows among them. */
export const ownTensors = ({ own, windows = new Map() }: Chain): readonly TensorId[] => [...own, ...windows.keys()];

/** Tensors that are some chain's own. */
export const tensorsOfChains = (chains: readonly Chain[]): ReadonlySet<TensorId> => new Set(chains.flatMap(ownTensors));

/**
 * A program as kernels in execution order. Updates have become stores into their sources (in place where that is
 * safe, else through a copy kernel at the end). `program` still describes every tensor; `materialized` lists
 * those that need memory: sources, kernel outputs, and the windows and packs over them.
 */
export interface KernelProgram {
  readonly name: string;
  readonly program: Program;
  readonly kernels: readonly Kernel[];
  /** Positions of the kernels that run in each launch, all kernels in their order; those of one launch do not need each other, but in a chain. */
  readonly launches: readonly (readonly number[])[];
  /** Kernels of one launch that run behind one another, task by task. */
  readonly chains: readonly Chain[];
  /** Small kernels that run after all others of their launch, in order, by themselves; in no chain. */
  readonly tails: readonly number[];
  readonly materialized: readonly TensorId[];
}

/** The chain of each kernel that is in one. */
export function chainOfKernel({ chains }: Pick<KernelProgram, 'chains'>): ReadonlyMap<number, Chain> {
  const known = chainsByKernel.get(chains) ?? new Map(chains.flatMap((c) => c.members.map((m) => [m.kernel, c] as const)));
  chainsByKernel.set(chains, known);
  return known;
}

/** Chains never change, and each launch asks. */
const chainsByKernel = new WeakMap<KernelProgram['chains'], ReadonlyMap<number, Chain>>();
