/**
 * Turns a user of a product S into online kernels. Its reads of S must all be S[b, i, j] with b, i, j loop variables of its
 * own: the batch and one side of S along parallel axes, the other along all of its reduction axes. A reduction over more
 * axes happens in two steps, along one side first. A user that streams another product already, of the same rows and
 * columns, streams both.
 */
import type { Program, ReduceOperator } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { accumulator, index, int, read, rewriteAccumulators, rewriteReads, substitute, visitReads } from '../tensor/scalar.js';
import { contractKernelOf } from './classify-contractions.js';
import { appendTensor, innerScalarsOf, mergeOrigins, tensorsIn } from './draft.js';
import { loopExtents } from './inline-maps.js';
import type { ContractKernel, Kernel, OnlineKernel, ReduceKernel, Reduction, Score } from './kernel.js';

export interface Streamed {
  readonly program: Program;
  readonly kernels: readonly Kernel[];
}

/** The user without the product's matrix, or null when it needs the matrix. */
export function streamConsumer(program: Program, product: ContractKernel, user: Kernel): Streamed | null {
  const matrix = product.stores[0].tensor;
  if (user.kind !== 'reduce' && user.kind !== 'contract' && user.kind !== 'online') return null;
  if (tensorsIn(user.stores.map((s) => s.value)).has(matrix)) return null;
  const extents = loopExtents(user);
  const variables = commonVariables(innerScalarsOf(user), matrix, program.tensors[matrix].shape, extents);
  if (variables === null) return null;
  const p = user.extents.length;
  const parallel = (v: number): boolean => v < p;
  const [rows, columns, batch] = [product.rows, product.columns, product.batch].map((axes) => axes.flatMap((a) => variables[a] ?? []));
  const streamed = extents.slice(p, p + (user.kind === 'online' ? user.streamedExtents : user.reduceExtents).length).flatMap((n, i) => (n > 1 ? [p + i] : []));
  const streams = (axes: readonly number[]): boolean => axes.length > 0 && axes.length === streamed.length && axes.every((v) => streamed.includes(v));
  const forward = batch.every(parallel) && rows.every(parallel) && streams(columns);
  const backward = batch.every(parallel) && columns.every(parallel) && streams(rows);
  if (forward || backward) {
    const axes = { variables, batch: sorted(batch), rows: sorted(forward ? rows : columns), forward };
    const kernel = user.kind === 'online' ? withAnotherScore(product, user, axes) : onlineKernel(product, user, axes);
    return kernel === null ? null : { program, kernels: [kernel] };
  }
  const side = [columns, rows].find((axes) => axes.length > 0 && axes.every((v) => streamed.includes(v)));
  return user.kind === 'reduce' && side !== undefined && side.length < streamed.length ? inTwoSteps(program, product, user, side) : null;
}

function readsOf(s: Scalar, tensor: TensorId): readonly Extract<Scalar, { kind: 'read' }>[] {
  const found: Extract<Scalar, { kind: 'read' }>[] = [];
  visitReads(s, (n) => { if (n.tensor === tensor) found.push(n); });
  return found;
}

/** The loop variable on each axis of the matrix, or null on axes of size 1, when all reads agree and read all of it, else null. */
function commonVariables(bodies: readonly Scalar[], matrix: TensorId, shape: readonly number[], extents: readonly number[]): Variables | null {
  let common: Variables | null = null;
  for (const r of bodies.flatMap((b) => readsOf(b, matrix))) {
    const at = r.at.map((i, axis) => {
      if (shape[axis] === 1) return (i.kind === 'const' && i.value === 0) || (i.kind === 'index' && extents[i.axis] === 1) ? null : undefined;
      return i.kind === 'index' && extents[i.axis] === shape[axis] ? i.axis : undefined;
    });
    if (!at.every((v) => v !== undefined)) return null;
    const wide = at.filter((v) => v !== null);
    if (new Set(wide).size !== wide.length) return null;
    if (common !== null && common.join() !== at.join()) return null;
    common = at;
  }
  return common;
}

/** A loop variable for each axis of a matrix; axes of size 1 need none. */
type Variables = readonly (number | null)[];

const sorted = (axes: readonly number[]): readonly number[] => [...axes].sort((a, b) => a - b);

/** Where a user reads a product, and which of the user's axes are batch and rows, but for those of size 1. */
interface Axes {
  readonly variables: Variables;
  readonly batch: readonly number[];
  readonly rows: readonly number[];
  /** Whether the rows are those of the product, not its columns. */
  readonly forward: boolean;
}

/** The product as the user's score in `slot`, summed over axes from `first` on, and what replaces the user's reads of it. */
function scoreOf(product: ContractKernel, { variables, forward }: Axes, slot: number, first: number): { readonly score: Score; readonly withScore: (s: Scalar) => Scalar } {
  const matrix = product.stores[0].tensor;
  const rank = product.extents.length;
  const place = (s: Scalar): Scalar => substitute(s, (v) => {
    if (v >= rank) return index(first + v - rank);
    const variable = variables[v];
    return variable === null ? int(0) : index(variable);
  });
  const value = rewriteAccumulators(place(product.stores[0].value), (n) => accumulator(n.type, slot));
  return {
    score: { inner: product.reduceExtents.map((_, i) => first + i), left: place(forward ? product.left : product.right), right: place(forward ? product.right : product.left) },
    withScore: (s) => rewriteReads(s, (n) => (n.tensor === matrix ? value : n)),
  };
}

function onlineKernel(product: ContractKernel, user: ReduceKernel | ContractKernel, axes: Axes): OnlineKernel | null {
  const matrix = product.stores[0].tensor;
  const { score, withScore } = scoreOf(product, axes, 0, user.extents.length + user.reduceExtents.length);
  const base = {
    kind: 'online' as const,
    name: '',
    origins: mergeOrigins(product.origins, user.origins),
    extents: user.extents,
    streamedExtents: user.reduceExtents,
    innerExtents: product.reduceExtents,
    rows: axes.rows,
    scores: [score],
    stores: user.stores,
  };
  const wide = user.extents.flatMap((n, axis) => (n > 1 ? [axis] : []));
  // Axes of size 1 are counted to the batch.
  const batchBeside = (columns: readonly number[]): readonly number[] => user.extents.map((_, axis) => axis).filter((a) => !axes.rows.includes(a) && !columns.includes(a));
  if (user.kind === 'reduce' && axes.batch.length + axes.rows.length === wide.length && user.reductions.every((r) => r.op !== 'deviations')) {
    const reductions = user.reductions.map((r): Reduction => ({ op: r.op, body: withScore(r.body) }));
    return { ...base, batch: batchBeside([]), columns: [], combine: { kind: 'reduce', reductions } };
  }
  const contract = user.kind === 'contract' ? user : contractKernelOf(user);
  if (contract === null) return null;
  const inLeft = tensorsIn([contract.left]).has(matrix);
  if (inLeft && tensorsIn([contract.right]).has(matrix)) return null;
  // The rows are the weight's alone, the columns the value's; the batch is the product's.
  const isWide = (a: number): boolean => wide.includes(a);
  const [own, columns] = inLeft ? [contract.rows.filter(isWide), contract.columns.filter(isWide)] : [contract.columns.filter(isWide), contract.rows.filter(isWide)];
  const batch = contract.batch.filter(isWide);
  if (!axes.rows.every((a) => own.includes(a)) || ![...own, ...batch].every((a) => axes.rows.includes(a) || axes.batch.includes(a))) return null;
  const [weight, value] = inLeft ? [contract.left, contract.right] : [contract.right, contract.left];
  return { ...base, batch: batchBeside(columns), columns, stores: contract.stores, combine: { kind: 'contract', products: [{ weight: withScore(weight), value }] } };
}

/** The user with one score more, where it streams the same rows and columns. */
function withAnotherScore(product: ContractKernel, user: OnlineKernel, axes: Axes): OnlineKernel | null {
  const same = (a: readonly number[], b: readonly number[]): boolean => a.join() === b.join();
  const wideBatch = user.batch.filter((a) => user.extents[a] > 1);
  if (!same(axes.batch, wideBatch) || !same(axes.rows, user.rows)) return null;
  const matrix = product.stores[0].tensor;
  const { combine } = user;
  const operands = [...user.scores.flatMap((s) => [s.left, s.right]), ...(combine.kind === 'contract' ? combine.products.map((m) => m.value) : [])];
  if (tensorsIn(operands).has(matrix)) return null;
  // Inner axes of the same sizes are shared.
  const extents = loopExtents(user);
  const alike = user.scores.find((s) => same(s.inner.map((v) => extents[v]), product.reduceExtents));
  const { score, withScore } = scoreOf(product, axes, user.scores.length, alike?.inner[0] ?? extents.length);
  return {
    ...user, innerExtents: alike === undefined ? [...user.innerExtents, ...product.reduceExtents] : user.innerExtents, origins: mergeOrigins(product.origins, user.origins), scores: [...user.scores, score],
    combine: combine.kind === 'reduce'
      ? { kind: 'reduce', reductions: combine.reductions.map((r) => ({ op: r.op, body: withScore(r.body) })) }
      : { ...combine, products: combine.products.map((m) => ({ ...m, weight: withScore(m.weight) })) },
  };
}

const splittable: ReadonlySet<ReduceOperator> = new Set<ReduceOperator>(['sum', 'max', 'min', 'prod', 'any', 'all', 'logsumexp']);

/** Reduces along one side of the product on the fly, then over the other reduced axes what that gave. */
function inTwoSteps(program: Program, product: ContractKernel, user: ReduceKernel, side: readonly number[]): Streamed | null {
  if (!user.reductions.every((r) => splittable.has(r.op))) return null;
  const own = loopExtents(user);
  const kept = own.map((_, v) => v).filter((v) => !side.includes(v));
  // In the first step the kept axes are parallel, in order.
  const order = [...kept, ...side];
  const extents = kept.map((v) => own[v]);
  const reduceExtents = side.map((v) => own[v]);
  const origin = user.origins[user.origins.length - 1];
  let current = program;
  const partials = user.reductions.map((r) => {
    const body = substitute(r.body, (v) => index(order.indexOf(v)));
    const added = appendTensor(current, (id) => ({
      kind: 'comprehension', id, element: body.type, shape: extents, reduce: { op: r.op, extents: reduceExtents }, body,
      origin: { span: origin.span, name: `part of ${origin.name}` },
    }));
    current = added.program;
    return { id: added.id, op: r.op, body };
  });
  const first: ReduceKernel = {
    kind: 'reduce', name: '', origins: user.origins, extents, reduceExtents,
    reductions: partials.map(({ op, body }) => ({ op, body })),
    stores: partials.map(({ id, body }, slot) => ({ tensor: id, value: accumulator(body.type, slot) })),
  };
  const second: ReduceKernel = {
    ...user, reduceExtents: extents.slice(user.extents.length),
    reductions: partials.map(({ id, op, body }) => ({ op, body: read(id, extents.map((_, i) => index(i)), body.type) })),
  };
  const streamed = streamConsumer(current, product, first);
  return streamed === null ? null : { program: streamed.program, kernels: [...streamed.kernels, second] };
}
