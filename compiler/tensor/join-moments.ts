/**
 * Mean and variance in one pass over the data. As written, the sum of (x - mean)^2 can only start when the mean is known. With
 * any number s near the data, for instance its first element,
 *
 *     a = sum of (x - s),  b = sum of (x - s)^2;   sum of x = a + n s,  sum of (x - mean)^2 = b - a^2 / n
 *
 * and a and b are sums over the same data, which fusion makes one kernel. The shift keeps the difference from cancelling:
 * s lies about a deviation from the mean, however far both are from zero. Chan, Golub and LeVeque, 1983.
 */
import type { Comprehension, Program, Tensor } from './program.js';
import { sizeOf } from './program.js';
import { renameTensor } from './renumber.js';
import type { Scalar, TensorId } from './scalar.js';
import { add, binary, float, index, indexVariables, int, mul, read, sub, substitute } from './scalar.js';
import { createInterner } from './structure.js';

interface Moments {
  /** The tensor that sums the elements, and the one that sums the squares of their deviations. */
  readonly total: Comprehension;
  readonly squares: Comprehension;
  readonly element: Scalar;
}

/** Rewrites each pair of a sum and the sum of squared deviations from its mean. */
export function joinMoments(program: Program): Program {
  const found = program.tensors.flatMap((t) => momentsOf(program, t) ?? []);
  // A total may serve one pair; another variance of the same data has been shared before.
  const byTotal = new Map(found.map((m) => [m.total.id, m]));
  const bySquares = new Map([...byTotal.values()].map((m) => [m.squares.id, m]));
  if (byTotal.size === 0) return program;
  const tensors: Tensor[] = [];
  const numbers = new Map<TensorId, TensorId>();
  const sums = new Map<Moments, { readonly a: TensorId; readonly b: TensorId }>();
  const map = (id: TensorId): TensorId => numbers.get(id) ?? id;
  const push = (tensor: Tensor): TensorId => {
    const id = tensors.length as TensorId;
    tensors.push(renameTensor(tensor, id, map));
    return id;
  };
  const pushMade = (tensor: Comprehension): TensorId => {
    const id = tensors.length as TensorId;
    tensors.push({ ...tensor, id });
    return id;
  };
  for (const t of program.tensors) {
    const first = byTotal.get(t.id);
    const second = bySquares.get(t.id);
    if (first !== undefined) {
      const { total, squares, element } = first;
      const moved = sub(element, shiftOf(first));
      const a = push({ ...total, body: moved });
      sums.set(first, { a, b: push({ ...squares, body: mul(moved, moved) }) });
      numbers.set(t.id, push({ ...total, reduce: null, body: mul(shiftOf(first), float(countOf(total))) }));
      const last = tensors[tensors.length - 1];
      if (last.kind === 'comprehension') tensors[tensors.length - 1] = { ...last, body: add(identity(total, a), last.body) };
    } else if (second !== undefined) {
      const { a, b } = sums.get(second) ?? { a: t.id, b: t.id };
      const mean = identity(second.total, a);
      const body = binary('max', sub(identity(second.total, b), mul(mul(mean, mean), float(1 / countOf(second.total)))), float(0));
      numbers.set(t.id, pushMade({ ...second.squares, reduce: null, body }));
    } else numbers.set(t.id, push(t));
  }
  return {
    name: program.name, tensors,
    outputs: program.outputs.map((o) => ({ name: o.name, tensor: map(o.tensor) })),
    updates: program.updates.map((u) => ({ source: map(u.source), value: map(u.value) })),
  };
}

const countOf = (t: Comprehension): number => sizeOf(t.reduce?.extents ?? []);

const identity = (t: Comprehension, id: TensorId): Scalar => read(id, t.shape.map((_, i) => index(i)), 'f32');

/** The element at the start of every reduction. */
function shiftOf({ total, element }: Moments): Scalar {
  return substitute(element, (v) => (v < total.shape.length ? null : int(0)));
}

function momentsOf(program: Program, squares: Tensor): Moments | null {
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
  return { total, squares, element: total.body };
}
