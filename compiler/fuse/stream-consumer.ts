/**
 * Turns a user of a product S into online kernels. Its reads of S must all be S[i, j] with i, j loop variables of its
 * own: one side of S along parallel axes, the other along all of its reduction axes. A reduction over both sides
 * happens in two steps, along one side first.
 */
import type { Program, ReduceOperator } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { index, read, rewrite, substitute, visit } from '../tensor/scalar.js';
import { contractKernelOf } from './classify-contractions.js';
import { appendTensor, mergeOrigins } from './draft.js';
import type { ContractKernel, Kernel, OnlineKernel, ReduceKernel, Reduction } from './kernel.js';

export interface Streamed {
  readonly program: Program;
  readonly kernels: readonly Kernel[];
}

/** The user without the product's matrix, or null when it needs the matrix. */
export function streamConsumer(program: Program, product: ContractKernel, user: Kernel): Streamed | null {
  const matrix = product.stores[0].tensor;
  if (user.kind !== 'reduce' && user.kind !== 'contract') return null;
  if (user.stores.some((s) => readsOf(s.value, matrix).length > 0)) return null;
  const bodies = user.kind === 'reduce' ? user.reductions.map((r) => r.body) : [user.left, user.right];
  const variables = commonVariables(bodies, matrix);
  if (variables === null) return null;
  const p = user.extents.length;
  const parallel = (v: number): boolean => v < p;
  const rows = product.rows.map((a) => variables[a]);
  const columns = product.columns.map((a) => variables[a]);
  const streams = (axes: readonly number[]): boolean => axes.length === user.reduceExtents.length && axes.every((v) => !parallel(v));
  const forward = rows.every(parallel) && streams(columns);
  const backward = columns.every(parallel) && streams(rows);
  if (forward || backward) {
    const kernel = onlineKernel(product, user, variables, forward ? rows : columns, forward);
    return kernel === null ? null : { program, kernels: [kernel] };
  }
  if (user.kind === 'reduce' && p === 0 && user.reduceExtents.length === variables.length) return inTwoSteps(program, product, user, rows);
  return null;
}

function readsOf(s: Scalar, tensor: TensorId): readonly Extract<Scalar, { kind: 'read' }>[] {
  const found: Extract<Scalar, { kind: 'read' }>[] = [];
  visit(s, (n) => { if (n.kind === 'read' && n.tensor === tensor) found.push(n); });
  return found;
}

/** The loop variable on each axis of the matrix when all reads agree, else null. */
function commonVariables(bodies: readonly Scalar[], matrix: TensorId): readonly number[] | null {
  let common: readonly number[] | null = null;
  for (const r of bodies.flatMap((b) => readsOf(b, matrix))) {
    const at: number[] = [];
    for (const i of r.at) if (i.kind === 'index') at.push(i.axis);
    if (at.length !== r.at.length || new Set(at).size !== at.length) return null;
    if (common !== null && common.join() !== at.join()) return null;
    common = at;
  }
  return common;
}

function onlineKernel(product: ContractKernel, user: ReduceKernel | ContractKernel, variables: readonly number[], rows: readonly number[], forward: boolean): OnlineKernel | null {
  const matrix = product.stores[0].tensor;
  const p = user.extents.length;
  const rank = product.extents.length;
  const innerStart = p + user.reduceExtents.length;
  const place = (s: Scalar): Scalar => substitute(s, (v) => index(v < rank ? variables[v] : innerStart + v - rank));
  const score = place(product.stores[0].value);
  const withScore = (s: Scalar): Scalar => rewrite(s, (n) => (n.kind === 'read' && n.tensor === matrix ? score : n));
  const base = {
    kind: 'online' as const,
    name: '',
    origins: mergeOrigins(product.origins, user.origins),
    extents: user.extents,
    streamedExtents: user.reduceExtents,
    innerExtents: product.reduceExtents,
    rows: [...rows].sort((a, b) => a - b),
    left: place(forward ? product.left : product.right),
    right: place(forward ? product.right : product.left),
  };
  if (user.kind === 'reduce' && rows.length === p) {
    const reductions = user.reductions.map((r): Reduction => ({ op: r.op, body: withScore(r.body) }));
    return { ...base, columns: [], stores: user.stores, combine: { kind: 'reduce', reductions } };
  }
  const contract = user.kind === 'contract' ? user : contractKernelOf(user);
  if (contract === null || contract.batch.length > 0) return null;
  const inLeft = readsOf(contract.left, matrix).length > 0;
  if (inLeft && readsOf(contract.right, matrix).length > 0) return null;
  const own = inLeft ? contract.rows : contract.columns;
  if (own.length !== rows.length || !own.every((a) => rows.includes(a))) return null;
  const [weight, value] = inLeft ? [contract.left, contract.right] : [contract.right, contract.left];
  return { ...base, columns: inLeft ? contract.columns : contract.rows, stores: contract.stores, combine: { kind: 'contract', weight: withScore(weight), value } };
}

const splittable: ReadonlySet<ReduceOperator> = new Set<ReduceOperator>(['sum', 'max', 'min', 'prod', 'any', 'all', 'logsumexp']);

/** Reduces along the columns of every row on the fly, then the rows' results. */
function inTwoSteps(program: Program, product: ContractKernel, user: ReduceKernel, rows: readonly number[]): Streamed | null {
  if (!user.reductions.every((r) => splittable.has(r.op))) return null;
  const columns = user.reduceExtents.map((_, v) => v).filter((v) => !rows.includes(v));
  // In the first step: rows are the parallel axes, in order, then the columns.
  const order = [...rows, ...columns];
  const rename = (s: Scalar): Scalar => substitute(s, (v) => index(order.indexOf(v)));
  const extents = rows.map((v) => user.reduceExtents[v]);
  let current = program;
  const partials = user.reductions.map((r) => {
    const body = rename(r.body);
    const origin = user.origins[user.origins.length - 1];
    const added = appendTensor(current, (id) => ({
      kind: 'comprehension', id, element: body.type, shape: extents, reduce: { op: r.op, extents: columns.map((v) => user.reduceExtents[v]) }, body,
      origin: { span: origin.span, name: `rows of ${origin.name}` },
    }));
    current = added.program;
    return { id: added.id, op: r.op, body };
  });
  const first: ReduceKernel = {
    kind: 'reduce', name: '', origins: user.origins, extents, reduceExtents: columns.map((v) => user.reduceExtents[v]),
    reductions: partials.map(({ op, body }) => ({ op, body })),
    stores: partials.map(({ id, body }, slot) => ({ tensor: id, value: { kind: 'accumulator', type: body.type, slot } })),
  };
  const second: ReduceKernel = {
    ...user, reduceExtents: extents,
    reductions: partials.map(({ id, op, body }) => ({ op, body: read(id, extents.map((_, i) => index(i)), body.type) })),
  };
  const streamed = streamConsumer(current, product, first);
  return streamed === null ? null : { program: streamed.program, kernels: [...streamed.kernels, second] };
}
