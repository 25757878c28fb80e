/**
 * A streamed product goes through its whole streamed side for every block of rows: the vocabulary of a softmax, the keys of attention. Where
 * that side does not stay in a cache beside what else is at work, it comes from memory for every block. Such a kernel is taken in parts:
 * all rows go through one piece of the streamed side, which stays, before the next; a second kernel joins what the parts leave, always in
 * the same order. On GPUs the parts are more workgroups as well, which may then have more rows each.
 *
 * Sums and extremes of the parts are those of the whole, and so is the logsumexp of the parts' logsumexps.
 */
import { bytesOf, sizeAlong, sizeOf } from '../tensor/program.js';
import type { Origin, Program, ReduceOperator } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { accumulator, add, index, int, mul, read, substitute } from '../tensor/scalar.js';
import { appendTensor, tensorsIn, tensorsTouched } from './draft.js';
import type { Draft, FuseContext } from './draft.js';
import type { Kernel, OnlineKernel } from './kernel.js';

/** Bytes of a streamed side that stay: half of a cache of 16 MiB, beside which others have theirs. */
const mostBytes = 8 << 20;
/** A piece's columns at least, and what parts leave in memory at most, beside what is streamed. */
const shortest = 256;
const mostPartial = 1 / 3;

const separable: ReadonlySet<ReduceOperator> = new Set(['sum', 'prod', 'max', 'min', 'logsumexp']);

export function splitLongStreams(draft: Draft, context: FuseContext): Draft {
  let { program } = draft;
  const kernels = draft.kernels.flatMap((kernel): readonly Kernel[] => {
    if (kernel.kind !== 'online') return [kernel];
    const pieces = piecesOf(program, kernel);
    if (pieces === null) return [kernel];
    const split = inPieces(program, kernel, pieces);
    if (split.kernels.some((k) => tensorsTouched(k).size > Math.max(context.maxBindings, tensorsTouched(kernel).size))) return [kernel];
    program = split.program;
    return split.kernels;
  });
  return { program, kernels };
}

/** Into how many pieces of equal length the first streamed axis is cut; null where the kernel stays whole. */
function piecesOf(program: Program, kernel: OnlineKernel): number | null {
  const { combine, scores, streamedExtents } = kernel;
  if (combine.kind === 'reduce' && !combine.reductions.every((r) => separable.has(r.op) && r.body.type === 'f32')) return null;
  const tensors = tensorsIn([...scores.map((s) => s.right), ...(combine.kind === 'contract' ? combine.products.map((p) => p.value) : [])]);
  const batch = sizeAlong(kernel.batch, kernel.extents);
  const streamed = [...tensors].reduce((n, id) => n + sizeOf(program.tensors[id].shape) * bytesOf(program.tensors[id].element), 0) / batch;
  const results = sizeOf(kernel.extents) / batch * (combine.kind === 'contract' ? combine.products : combine.reductions).length;
  if (streamed <= mostBytes) return null;
  const [length] = streamedExtents;
  for (let pieces = 2; length / pieces >= shortest && 4 * pieces * results <= mostPartial * streamed; pieces++) {
    if (length % pieces === 0 && streamed / pieces <= mostBytes) return pieces;
  }
  return null;
}

/** The kernel that goes through the pieces, with an axis for them in front, and the kernel that joins them. */
function inPieces(before: Program, kernel: OnlineKernel, pieces: number): { readonly program: Program; readonly kernels: readonly Kernel[] } {
  const rank = kernel.extents.length;
  const length = kernel.streamedExtents[0] / pieces;
  const memo = new Map<Scalar, Scalar>();
  const moved = (s: Scalar): Scalar => substitute(s, (v) => (v === rank ? add(mul(index(0), int(length)), index(v + 1)) : index(v + 1)), memo);
  const shift = (axes: readonly number[]): readonly number[] => axes.map((a) => a + 1);
  const shape = [pieces, ...kernel.extents];
  const last = kernel.origins[kernel.origins.length - 1];
  const origin: Origin = { span: last.span, name: `parts of ${last.name}` };
  const { combine } = kernel;
  const taken = combine.kind === 'contract' ? combine.products.map(() => ({ op: 'sum' as const })) : combine.reductions;
  let program = before;
  const tensors = taken.map((_, slot): TensorId => {
    // What is in it, scores and all, the kernel alone can say.
    const next = appendTensor(program, (id) => ({ kind: 'comprehension', id, element: 'f32', shape, reduce: null, body: accumulator('f32', slot), origin }));
    program = next.program;
    return next.id;
  });
  const first: OnlineKernel = {
    ...kernel, name: '', extents: shape, batch: [0, ...shift(kernel.batch)], rows: shift(kernel.rows), columns: shift(kernel.columns),
    streamedExtents: [length, ...kernel.streamedExtents.slice(1)],
    scores: kernel.scores.map(({ inner, left, right }) => ({ inner: shift(inner), left: moved(left), right: moved(right) })),
    combine: combine.kind === 'contract' ? { kind: 'contract', products: combine.products.map(({ weight, value }) => ({ weight: moved(weight), value: moved(value) })) }
      : { kind: 'reduce', reductions: combine.reductions.map(({ op, body }) => ({ op, body: moved(body) })) },
    stores: tensors.map((tensor, slot) => ({ tensor, value: accumulator('f32', slot) })),
  };
  const at = [index(rank), ...kernel.extents.map((_, i) => index(i))];
  const second: Kernel = {
    kind: 'reduce', name: '', origins: kernel.origins, extents: kernel.extents, reduceExtents: [pieces],
    reductions: taken.map(({ op }, slot) => ({ op, body: read(tensors[slot], at, 'f32') })), stores: kernel.stores,
  };
  return { program, kernels: [first, second] };
}
