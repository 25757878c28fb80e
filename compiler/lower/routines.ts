/** `argsort`, `cholesky` and `solve_triangular`: axes that nobody wrote (the batch) become leading axes of the routine, or columns. */
import { bug } from '../../grammar/diagnostics/report.js';
import type { Span } from '../../grammar/span.js';
import { index, indexVariables } from '../tensor/scalar.js';
import type { TensorId } from '../tensor/scalar.js';
import type { Supplied } from './arguments.js';
import type { Context } from './context.js';
import { fail, newVariable } from './context.js';
import { close, convertTensor, elementOf, materialize, mergeFree, needTensor, open, orderedFree } from './tensor-value.js';
import type { IndexVariable, TensorValue } from './value.js';
import { describe } from './value.js';

/** `argsort(x)`: the positions of the elements in rising order, along the last axis. */
export function argsort(c: Context, args: readonly Supplied[], span: Span): TensorValue {
  const [x] = exactly(c, 'argsort', 1, args, span);
  if (x.axes.length === 0) return fail(c, 'SSL2001', args[0].span, { expected: 'a tensor with an axis to sort along', found: describe(x) });
  const stored = inMemory(c, convertTensor(x, x.element === 'i32' ? 'i32' : 'f32'), 'argsort of', span);
  return { ...resultOf(c, c.builder.routine('argsort', [stored.id], { span, name: 'argsort' }), stored.leading, x), element: 'i32' };
}

/** `cholesky(a)`: the lower triangular L with L L' = a. */
export function cholesky(c: Context, args: readonly Supplied[], span: Span): TensorValue {
  const [a] = exactly(c, 'cholesky', 1, args, span);
  if (!isSquare(a)) return fail(c, 'SSL2001', args[0].span, { expected: 'a square matrix', found: describe(a) });
  const stored = inMemory(c, convertTensor(a, 'f32'), 'cholesky of', span);
  return resultOf(c, c.builder.routine('cholesky', [stored.id], { span, name: 'cholesky' }), stored.leading, a);
}

/** `solve_triangular(l, b)`: x with L x = b, L the lower triangle of `l`; L' x = b with `transposed: true`. */
export function solveTriangular(c: Context, args: readonly Supplied[], span: Span): TensorValue {
  const option = args.find((a) => a.name === 'transposed');
  if (option !== undefined && option.value.kind !== 'boolean') return fail(c, 'SSL2009', option.span, { name: 'transposed', expected: 'true or false', found: describe(option.value) });
  const transposed = option?.value.kind === 'boolean' && option.value.value;
  const [l, b] = exactly(c, 'solve_triangular', 2, args.filter((a) => a !== option), span);
  if (!isSquare(l)) return fail(c, 'SSL2001', args[0].span, { expected: 'a square matrix', found: describe(l) });
  // Leading axes of the matrix are leading axes of the right sides too.
  const extra = l.axes.length - 2;
  const n = l.axes[extra].size;
  const rest = b.axes.slice(extra);
  if (rest.length < 1 || rest.length > 2 || rest[0].size !== n || l.axes.slice(0, extra).some((axis, k) => axis.size !== b.axes[k].size)) {
    return fail(c, 'SSL2001', args[1].span, { expected: `right sides with ${n} rows`, found: describe(b) });
  }
  const mapped = l.axes.slice(0, extra).map((axis) => newVariable(c, axis.label ?? 'matrix', axis, true));
  const solved = solve(c, span, open(convertTensor(l, 'f32'), mapped), open(convertTensor(b, 'f32'), mapped), transposed);
  return close({ ...solved, free: mergeFree(solved.free, new Map(mapped.map((v) => [v.id, v]))) }, mapped);
}

/** A matrix and right sides [N] or [N, M]. Axes that only the right sides vary over are further columns. */
function solve(c: Context, span: Span, l: TensorValue, b: TensorValue, transposed: boolean): TensorValue {
  const matrix = inMemory(c, l, 'triangular matrix', span);
  const occurring = indexVariables(elementOf(b));
  const columns = orderedFree(b).filter((v) => occurring.has(v.id) && !matrix.leading.includes(v));
  const outer = [...matrix.leading, ...columns];
  const lead = matrix.leading.length;
  const closed = close({ ...b, free: mergeFree(b.free, new Map(outer.map((v) => [v.id, v]))) }, outer);
  const rows = lead + columns.length;
  const ordered: TensorValue = {
    ...closed,
    axes: [...closed.axes.slice(0, lead), closed.axes[rows], ...closed.axes.slice(lead, rows), ...closed.axes.slice(rows + 1)],
    at: (i) => closed.at([...i.slice(0, lead), ...i.slice(lead + 1, rows + 1), i[lead], ...i.slice(rows + 1)]),
  };
  const right = inMemory(c, ordered, 'right sides', span);
  const { shape } = c.builder.tensor(right.id);
  const flat = [...shape.slice(0, lead + 1), shape.slice(lead + 1).reduce((x, y) => x * y, 1)];
  const reshaped = (id: TensorId, to: readonly number[]): TensorId => (shape.length === flat.length ? id : c.builder.window(id, 0, to, { span, name: 'columns' }));
  const id = c.builder.routine(transposed ? 'solve_transposed' : 'solve', [matrix.id, reshaped(right.id, flat)], { span, name: 'solve_triangular' });
  const result = reshaped(id, shape);
  return {
    kind: 'tensor', element: 'f32', axes: b.axes, free: new Map(outer.map((v) => [v.id, v])),
    at: (i) => c.builder.read(result, [...matrix.leading.map((v) => index(v.id)), i[0], ...columns.map((v) => index(v.id)), ...i.slice(1)]),
  };
}

function exactly(c: Context, name: string, count: number, args: readonly Supplied[], span: Span): TensorValue[] {
  if (args.length !== count) return fail(c, 'SSL2002', span, { callee: name, expected: `${count} argument${count === 1 ? '' : 's'}`, found: args.length });
  return args.map((a) => needTensor(c, a.span, a.value));
}

const isSquare = (v: TensorValue): boolean => v.axes.length >= 2 && v.axes[v.axes.length - 1].size === v.axes[v.axes.length - 2].size;

/** The value as a tensor of the program whose leading axes are the variables it is mapped over. */
function inMemory(c: Context, v: TensorValue, name: string, span: Span): { readonly id: TensorId; readonly leading: readonly IndexVariable[] } {
  const stored = materialize(c, v, name, span);
  const s = elementOf(stored);
  return s.kind === 'read' ? { id: s.tensor, leading: orderedFree(stored) } : bug('a materialized tensor is a read');
}

function resultOf(c: Context, id: TensorId, leading: readonly IndexVariable[], like: TensorValue): TensorValue {
  return {
    kind: 'tensor', element: 'f32', axes: like.axes, free: new Map(leading.map((v) => [v.id, v])),
    at: (i) => c.builder.read(id, [...leading.map((v) => index(v.id)), ...i]),
  };
}
