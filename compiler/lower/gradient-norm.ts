/** The Euclidean length of the gradient, summed in two rounds: one long sum would run on a single worker or workgroup. */
import type { ProgramBuilder } from '../tensor/builder.js';
import { sizeOf } from '../tensor/program.js';
import { add, float, index, int, mul, unary } from '../tensor/scalar.js';
import type { TensorId } from '../tensor/scalar.js';

const part = 4096;
const origin = { span: null, name: 'gradient norm' };

/** A scalar tensor: the length of what these tensors are together. */
export function gradientNorm(b: ProgramBuilder, ids: readonly TensorId[]): TensorId {
  const squares = ids.map((id) => b.read(sumOfSquares(b, id), []));
  return b.comprehension('f32', [], null, unary('sqrt', squares.reduce(add)), origin);
}

function sumOfSquares(b: ProgramBuilder, id: TensorId): TensorId {
  const size = sizeOf(b.tensor(id).shape);
  const flat = b.tensor(id).shape.length === 1 ? id : b.window(id, 0, [size], origin);
  const value = b.read(flat, [add(mul(index(0), int(part)), index(1))], float(0));
  const parts = b.comprehension('f32', [Math.ceil(size / part)], { op: 'sum', extents: [Math.min(part, size)] }, mul(value, value), origin);
  return b.comprehension('f32', [], { op: 'sum', extents: [Math.ceil(size / part)] }, b.read(parts, [index(0)]), origin);
}
