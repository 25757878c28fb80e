/**
 * Gradients of routines, written with the same routines and comprehensions. Phi keeps the lower triangle and halves the
 * diagonal.
 *
 * - L = cholesky(A): grad A = (S + S') / 2 with S = L'^-1 Phi(L' G) L^-1, G the gradient of L (Smith, 1995; Murray, 2016,
 *   arXiv:1602.07527, equation 10);
 * - X with L X = B: grad B = L'^-1 G, grad L = -tril(grad B X');
 * - X with L' X = B: grad B = L^-1 G, grad L = -tril(X grad B').
 *
 * argsort passes nothing: a permutation does not change by small steps.
 */
import type { ProgramBuilder } from './builder.js';
import type { Origin, Routine } from './program.js';
import { binary, float, index, mul, select, unary } from './scalar.js';
import type { Scalar, TensorId } from './scalar.js';

/** The gradients that `gradient` of the routine's result gives its inputs; an input may occur more than once. */
export function adjointOfRoutine(builder: ProgramBuilder, routine: Routine, gradient: TensorId, origin: Origin): readonly { readonly to: TensorId; readonly gradient: TensorId }[] {
  switch (routine.op) {
    case 'argsort': case 'first_equal': return [];
    case 'cholesky': return [{ to: routine.inputs[0], gradient: adjointOfCholesky(builder, routine, gradient, origin) }];
    case 'solve': case 'solve_transposed': {
      const [l, right] = routine.inputs;
      const transposed = routine.op === 'solve_transposed';
      const back = builder.routine(transposed ? 'solve' : 'solve_transposed', [l, gradient], origin);
      const [rows, columns] = transposed ? [routine.id, back] : [back, routine.id];
      const { batch, i, j, shape } = matrixAxes(builder, l);
      const k = index(shape.length);
      const outer = builder.comprehension('f32', shape, { op: 'sum', extents: [routine.shape[routine.shape.length - 1]] },
        mul(builder.read(rows, [...batch, i, k]), builder.read(columns, [...batch, j, k])), origin);
      const lower = builder.comprehension('f32', shape, null, select(binary('ge', i, j), unary('neg', builder.identity(outer)), float(0)), origin);
      return [{ to: right, gradient: back }, { to: l, gradient: lower }];
    }
  }
}

function adjointOfCholesky(builder: ProgramBuilder, routine: Routine, gradient: TensorId, origin: Origin): TensorId {
  const { batch, i, j, shape } = matrixAxes(builder, routine.id);
  const n = shape[shape.length - 1];
  const k = index(shape.length);
  const product = builder.comprehension('f32', shape, { op: 'sum', extents: [n] },
    mul(builder.read(routine.id, [...batch, k, i]), builder.read(gradient, [...batch, k, j])), origin);
  const half = select(binary('eq', i, j), mul(builder.identity(product), float(0.5)), builder.identity(product));
  const phi = builder.comprehension('f32', shape, null, select(binary('ge', i, j), half, float(0)), origin);
  const flipped = (id: TensorId): Scalar => builder.read(id, [...batch, j, i]);
  const first = builder.routine('solve_transposed', [routine.id, phi], origin);
  const turned = builder.comprehension('f32', shape, null, flipped(first), origin);
  const second = builder.routine('solve_transposed', [routine.id, turned], origin);
  return builder.comprehension('f32', shape, null, mul(binary('add', builder.identity(second), flipped(second)), float(0.5)), origin);
}

/** The index variables of a tensor of matrices. */
function matrixAxes(builder: ProgramBuilder, id: TensorId): { readonly shape: readonly number[]; readonly batch: readonly Scalar[]; readonly i: Scalar; readonly j: Scalar } {
  const { shape } = builder.tensor(id);
  const rank = shape.length;
  return { shape, batch: shape.slice(0, rank - 2).map((_, axis) => index(axis)), i: index(rank - 2), j: index(rank - 1) };
}
