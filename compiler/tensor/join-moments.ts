/**
 * Mean and variance in one pass over the data. As written, the sum of (x - mean)^2 reads the mean, so that it can only start when the
 * sum of x is known. As a reduction of its own, `deviations`, it is over the same data as that sum, and fusion makes the two one kernel.
 */
import type { Comprehension, Program, Tensor } from './program.js';
import { sizeOf } from './program.js';
import type { Scalar } from './scalar.js';
import { indexVariables } from './scalar.js';
import { createInterner } from './structure.js';

/** Rewrites each sum of squared deviations from a mean. */
export function joinMoments(program: Program): Program {
  const tensors = program.tensors.map((t): Tensor => {
    const total = totalOf(program, t);
    return total === null || t.kind !== 'comprehension' || t.reduce === null ? t : { ...t, reduce: { ...t.reduce, op: 'deviations' }, body: total.body };
  });
  return { ...program, tensors };
}

const countOf = (t: Comprehension): number => sizeOf(t.reduce?.extents ?? []);

/** The sum of the elements whose squared deviations from their mean `squares` sums, or null. */
function totalOf(program: Program, squares: Tensor): Comprehension | null {
  if (squares.kind !== 'comprehension' || squares.reduce?.op !== 'sum' || squares.element !== 'f32') return null;
  const { body, shape, reduce } = squares;
  const interner = createInterner();
  if (body.kind !== 'binary' || body.op !== 'mul' || interner.id(body.a) !== interner.id(body.b)) return null;
  const deviation = body.a;
  if (deviation.kind !== 'binary' || deviation.op !== 'sub' || deviation.b.kind !== 'read') return null;
  const rank = shape.length;
  const isOwn = (s: Scalar): boolean => s.kind === 'read' && s.at.length === rank && s.at.every((i, axis) => i.kind === 'index' && i.axis === axis);
  if (!isOwn(deviation.b) || ![...indexVariables(deviation.a)].some((v) => v >= rank)) return null;
  const mean = program.tensors[deviation.b.tensor];
  if (mean.kind !== 'comprehension' || mean.reduce !== null || mean.body.kind !== 'binary' || mean.body.op !== 'mul') return null;
  const { a: sum, b: scale } = mean.body;
  if (sum.kind !== 'read' || !isOwn(sum) || scale.kind !== 'const') return null;
  const total = program.tensors[sum.tensor];
  if (total.kind !== 'comprehension' || total.reduce?.op !== 'sum' || total.shape.join() !== shape.join()) return null;
  if (total.reduce.extents.join() !== reduce.extents.join() || interner.id(total.body) !== interner.id(deviation.a)) return null;
  if (Math.abs(scale.value * countOf(total) - 1) > 1e-6) return null;
  return total;
}
