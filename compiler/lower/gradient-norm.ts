/** The Euclidean length of the packed gradient, summed in two rounds: one long sum would run on a single worker or workgroup. */
import type { ProgramBuilder } from '../tensor/builder.js';
import { sizeOf } from '../tensor/program.js';
import { add, float, index, int, mul, unary } from '../tensor/scalar.js';
import type { TensorId } from '../tensor/scalar.js';

const part = 4096;
const origin = { span: null, name: 'gradient norm' };

/** A scalar tensor: the length of a flat one. */
export function gradientNorm(b: ProgramBuilder, id: TensorId): TensorId {
  const size = sizeOf(b.tensor(id).shape);
  const value = b.read(id, [add(mul(index(0), int(part)), index(1))], float(0));
  const parts = b.comprehension('f32', [Math.ceil(size / part)], { op: 'sum', extents: [Math.min(part, size)] }, mul(value, value), origin);
  const square = b.comprehension('f32', [], { op: 'sum', extents: [Math.ceil(size / part)] }, b.read(parts, [index(0)]), origin);
  return b.comprehension('f32', [], null, unary('sqrt', b.read(square, [])), origin);
}
