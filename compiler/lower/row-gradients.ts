/**
 * The gradient of a lazy parameter, for the rows that were read: sorted by row, and summed over the runs of equal rows in the order
 * in which they were read. It takes N log N and N rows of memory for N reads, however many rows the parameter has.
 */
import type { ProgramBuilder } from '../tensor/builder.js';
import { sizeOf } from '../tensor/program.js';
import { binary, float, index, int, select, sub } from '../tensor/scalar.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import type { RowRead } from './row-reads.js';
import type { LazyParameter } from './store.js';

/** Rows that were read, i32 [N], named at the first of equal ones and -1 at the others; and what reaches each, f32 [N, ...row]. */
export interface RowGradient {
  readonly rows: TensorId;
  readonly gradient: TensorId;
}

/** Rows read in one place, one after the other: which, i32 [N], and what reaches each, f32 [N, ...row]. */
export interface RowsOfPlace {
  readonly keys: TensorId;
  readonly gradient: TensorId;
}

/** From rows that were read in one place and the gradient of their tensor. */
export function rowsOfPlace(b: ProgramBuilder, { parameter, extents, key }: RowRead, gradient: TensorId): RowsOfPlace {
  const origin = { span: null, name: `rows of ${parameter.path}` };
  const count = sizeOf(extents);
  return { keys: b.window(b.comprehension('i32', extents, null, key, origin), 0, [count], origin), gradient: b.window(gradient, 0, [count, ...parameter.shape.slice(1)], origin) };
}

/** The gradient of a parameter whose rows were read in these places, at least one. */
export function rowGradient(b: ProgramBuilder, parameter: LazyParameter, places: readonly RowsOfPlace[]): RowGradient {
  const [height, ...row] = parameter.shape;
  const origin = { span: null, name: `rows of ${parameter.path}` };
  const named = (name: string): typeof origin => ({ span: null, name });
  const counts = places.map((p) => b.tensor(p.keys).shape[0]);
  const count = counts.reduce((n, k) => n + k, 0);
  const starts = counts.map((_, k) => counts.slice(0, k).reduce((n, x) => n + x, 0));
  /** What stands at a place in the reads laid one after the other. */
  const among = (ids: readonly TensorId[], place: Scalar, rest: readonly Scalar[], otherwise: Scalar): Scalar =>
    ids.map((id, k) => b.read(id, [sub(place, int(starts[k])), ...rest], ids.length === 1 ? null : otherwise))
      .reduceRight((after, here, k) => select(binary('lt', place, int(starts[k] + counts[k])), here, after));

  const key = among(places.map((p) => p.keys), index(0), [], int(-1));
  const inside = binary('and', binary('ge', key, int(0)), binary('lt', key, int(height)));
  // What is no row comes last, and nothing reaches it.
  const placed = b.comprehension('i32', [count], null, select(inside, key, int(height)), origin);
  const order = b.routine('argsort', [placed], named(`order of ${origin.name}`));
  const sorted = b.comprehension('i32', [count], null, b.read(placed, [b.identity(order)]), named(`sorted ${origin.name}`));
  const first = b.routine('first_equal', [sorted], named(`runs of ${origin.name}`));
  const isFirst = binary('and', binary('eq', b.identity(first), index(0)), binary('lt', b.identity(sorted), int(height)));
  const rows = b.comprehension('i32', [count], null, select(isFirst, b.identity(sorted), int(-1)), origin);

  const item = index(1 + row.length);
  const columns = row.map((_, d) => index(1 + d));
  const value = among(places.map((p) => p.gradient), b.read(order, [item]), columns, float(0));
  const mine = binary('eq', b.read(first, [item]), index(0));
  const gradient = b.comprehension('f32', [count, ...row], { op: 'sum', extents: [count] }, select(mine, value, float(0)), named(`grad ${parameter.path}`));
  return { rows, gradient };
}
