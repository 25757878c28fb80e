/**
 * Splits kernels that touch more tensors than a device can bind: several stores become several kernels; what is
 * still too large has pieces of its arithmetic computed first, into tensors of their own.
 */
import { limitOf, pieceWithin } from './binding-pieces.js';
import { sizeOf } from '../tensor/program.js';
import type { Program } from '../tensor/program.js';
import type { Scalar } from '../tensor/scalar.js';
import { index, indexVariables, read, rewrite, substitute } from '../tensor/scalar.js';
import type { Draft, FuseContext } from './draft.js';
import { appendTensor, mapScalars, scalarsOf } from './draft.js';
import { loopExtents } from './inline-maps.js';
import type { Kernel } from './kernel.js';
import { bindingsOf } from './kernel-graph.js';
import { dropReductions, orderKernels } from './schedule-kernels.js';

/** Rounds of taking pieces out of one kernel; each round removes at least one tensor. */
const mostRounds = 64;

export function limitBindings(draft: Draft, context: FuseContext): Draft {
  let program = draft.program;
  const kernels: Kernel[] = [];
  for (const kernel of draft.kernels) {
    for (const part of splitStores(program, kernel, context.maxBindings)) {
      let current = part;
      for (let round = 0; round < mostRounds && bindingsOf(program, current) > context.maxBindings; round++) {
        const taken = takePiece(program, current, context.maxBindings);
        if (taken === null) break;
        program = taken.program;
        kernels.push(taken.piece);
        current = taken.rest;
      }
      kernels.push(current);
    }
  }
  return { program, kernels: orderKernels(program, kernels) };
}

/** One kernel for every store when all of them together are too many. */
function splitStores(program: Program, kernel: Kernel, most: number): readonly Kernel[] {
  if (kernel.stores.length < 2 || bindingsOf(program, kernel) <= most || (kernel.kind !== 'map' && kernel.kind !== 'reduce')) return [kernel];
  return kernel.stores.map((s) => dropReductions({ ...kernel, stores: [s] }));
}

/** The kernel with one piece of its arithmetic read from memory, and the map that computes the piece. */
function takePiece(program: Program, kernel: Kernel, most: number): { readonly program: Program; readonly piece: Kernel; readonly rest: Kernel } | null {
  const piece = pieceWithin(scalarsOf(kernel), limitOf(most));
  if (piece === null) return null;
  const extents = loopExtents(kernel);
  const variables = [...indexVariables(piece)].sort((a, b) => a - b);
  const shape = variables.map((v) => extents[v]);
  const body = substitute(piece, (v) => index(variables.indexOf(v)));
  const last = kernel.origins[kernel.origins.length - 1];
  const origin = { span: last.span, name: `part of ${last.name}` };
  const next = appendTensor(program, (id) => ({ kind: 'comprehension', id, element: piece.type, shape, reduce: null, body, origin }));
  if (sizeOf(shape) < 1) return null;
  const memo = new Map<Scalar, Scalar>();
  const rest = mapScalars(kernel, (s) => rewrite(s, (n) => n, replacing(piece, read(next.id, variables.map(index), piece.type), memo)));
  return { program: next.program, piece: { kind: 'map', name: '', origins: [origin], extents: shape, stores: [{ tensor: next.id, value: body }] }, rest };
}

/** A memo in which the piece is already rewritten to its replacement. */
function replacing(piece: Scalar, by: Scalar, memo: Map<Scalar, Scalar>): Map<Scalar, Scalar> {
  memo.set(piece, by);
  return memo;
}
