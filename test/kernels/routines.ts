/** Programs with routines and segmented sums, as users' files lead to them, for the tests of both targets. */
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { differentiate } from '../../compiler/tensor/differentiate.js';
import type { Program } from '../../compiler/tensor/program.js';
import { add, binary, float, index, int, mul, select } from '../../compiler/tensor/scalar.js';
import type { Scalar, TensorId } from '../../compiler/tensor/scalar.js';
import { simplify } from '../../compiler/tensor/simplify.js';
import { origin } from './tools.js';

/** Simplified, with all that `make` names as outputs. */
function program(name: string, make: (b: ProgramBuilder) => Readonly<Record<string, TensorId | undefined>>): Program {
  const b = new ProgramBuilder(name);
  for (const [output, id] of Object.entries(make(b))) if (id !== undefined) b.output(output, id);
  return simplify(b.build());
}

/** The sorted rows of `x` and the gradient of a weighted sum of them. */
export function sorting(shape: readonly number[], element: 'f32' | 'i32' = 'f32'): Program {
  return program('sorting', (b) => {
    const x = b.source('x', 'data', element, shape, origin('x'));
    const order = b.routine('argsort', [x], origin('order'));
    const leading = shape.slice(0, -1).map((_, axis) => index(axis));
    const sorted = b.comprehension(element, shape, null, b.read(x, [...leading, b.identity(order)]), origin('sorted'));
    if (element === 'i32') return { order, sorted };
    const weights = b.source('w', 'data', 'f32', shape, origin('w'));
    const loss = b.comprehension('f32', [], { op: 'sum', extents: shape }, mul(b.identity(sorted), b.identity(weights)), origin('loss'));
    return { order, sorted, gradient: differentiate(b, loss, [x])[0] };
  });
}

/** A source of matrices with n added to the diagonal: positive definite, as elements are at most 1. */
export function positive(b: ProgramBuilder, batch: number, n: number): TensorId {
  const m = b.source('m', 'data', 'f32', [batch, n, n], origin('m'));
  const [i, j] = [index(1), index(2)];
  return b.comprehension('f32', [batch, n, n], null, add(b.identity(m), select(binary('eq', i, j), float(n), float(0))), origin('positive'));
}

/** A factor and both solutions with it. */
export function triangular(batch: number, n: number, columns: number): Program {
  return program('triangular', (b) => {
    const right = b.source('b', 'data', 'f32', [batch, n, columns], origin('b'));
    const factor = b.routine('cholesky', [positive(b, batch, n)], origin('factor'));
    return { factor, solved: b.routine('solve', [factor, right], origin('solved')), transposed: b.routine('solve_transposed', [factor, right], origin('transposed')) };
  });
}

/** sum[i where a[i] == k and the guard](x[i, d] * 2) for K rows; `at` are further axes of the items. */
export interface Segments {
  readonly items: readonly number[];
  readonly rows: readonly number[];
  readonly columns: readonly number[];
  /** Leading axes that the keys and the result have too. */
  readonly batch?: readonly number[];
  readonly counts?: boolean;
  readonly guarded?: boolean;
}

export function segments({ items, rows, columns, batch = [], counts = false, guarded = false }: Segments): Program {
  return program('segments', (b) => {
    const keys = rows.map((_, r) => b.source(`a${r}`, 'data', 'i32', [...batch, ...items], origin(`a${r}`)));
    const x = b.source('x', 'data', 'f32', [...batch, ...items, ...columns], origin('x'));
    const shape = [...batch, ...rows, ...columns];
    const outer = batch.map((_, axis) => index(axis));
    const own = columns.map((_, axis) => index(batch.length + rows.length + axis));
    const item = items.map((_, axis) => index(shape.length + axis));
    // Keys run over 0..6 here: one less, so that some lie outside.
    let hit: Scalar = keys.map((key, r) => binary('eq', add(b.read(key, [...outer, ...item]), int(-1)), index(batch.length + r))).reduce((p, q) => binary('and', p, q));
    if (guarded) hit = binary('and', hit, binary('lt', item[0], int(items[0] - 2)));
    const value = counts ? int(1) : mul(b.read(x, [...outer, ...item, ...own]), float(2));
    const sums = b.comprehension(counts ? 'i32' : 'f32', shape, { op: 'sum', extents: items }, select(hit, value, counts ? int(0) : float(0)), origin('sums'));
    return { sums };
  });
}

/** The gradient of rows gathered from a table. */
export function gather(rows: number, width: number, items: number): Program {
  return program('gather', (b) => {
    const table = b.source('table', 'parameters', 'f32', [rows, width], origin('table'));
    const at = b.source('at', 'data', 'i32', [items], origin('at'));
    const weights = b.source('w', 'data', 'f32', [items, width], origin('w'));
    const taken = b.comprehension('f32', [items, width], null, b.read(table, [b.read(at, [index(0)]), index(1)]), origin('taken'));
    const loss = b.comprehension('f32', [], { op: 'sum', extents: [items, width] }, mul(mul(b.identity(taken), b.identity(taken)), b.identity(weights)), origin('loss'));
    return { gradient: differentiate(b, loss, [table])[0] };
  });
}

/** Rows of tables read in one place, at indices of their own or at those of the first table and place; `repeated` times in a row, which the index does not know of. */
export interface TableRead {
  readonly table: number;
  readonly items: number;
  readonly repeated: number;
  readonly sameRows: boolean;
}

/** Gradients of tables that are read in several places; what lies outside a table is zero. */
export function gathers(rows: number, width: number, reads: readonly TableRead[]): Program {
  return program('gathers', (b) => {
    const count = 1 + Math.max(...reads.map((r) => r.table));
    const tables = Array.from({ length: count }, (_, k) => b.source(`table${k}`, 'parameters', 'f32', [rows, width], origin(`table${k}`)));
    const keys = reads.map((r, k) => (r.sameRows && k > 0 ? null : b.source(`at${k}`, 'data', 'i32', [r.items], origin(`at${k}`))));
    const losses = reads.map((r, k) => {
      const items = keys[k] === null ? reads[0].items : r.items;
      const shape = [items, r.repeated, width];
      const weights = b.source(`w${k}`, 'data', 'f32', shape, origin(`w${k}`));
      const taken = b.comprehension('f32', shape, null, mul(b.read(tables[r.table], [b.read(keys[k] ?? keys[0] ?? weights, [index(0)]), index(2)], float(0)), b.identity(weights)), origin(`taken${k}`));
      return b.comprehension('f32', [], { op: 'sum', extents: shape }, mul(b.identity(taken), b.identity(taken)), origin(`loss${k}`));
    });
    const loss = b.comprehension('f32', [], null, losses.map((l) => b.read(l, [])).reduce(add), origin('loss'));
    return Object.fromEntries(differentiate(b, loss, tables).map((g, k) => [`gradient${k}`, g]));
  });
}

/** Integers sorted, where the runs of equal ones begin, and sums over the runs, which a segmented sum of sorted keys takes. */
export function runs(rows: number, n: number, columns: readonly number[]): Program {
  return program('runs', (b) => {
    const x = b.source('x', 'data', 'i32', [rows, n], origin('x'));
    const sorted = b.comprehension('i32', [rows, n], null, b.read(x, [index(0), b.identity(b.routine('argsort', [x], origin('order')))]), origin('sorted'));
    const first = b.routine('first_equal', [sorted], origin('first'));
    if (rows > 1) return { first };
    const flat = b.window(first, 0, [n], origin('first'));
    const own = b.routine('first_equal', [b.window(sorted, 0, [n], origin('sorted'))], origin('first'));
    const values = b.source('values', 'data', 'f32', [n, ...columns], origin('values'));
    const item = index(1 + columns.length);
    const mine = binary('eq', b.read(own, [item]), index(0));
    const value = b.read(values, [item, ...columns.map((_, d) => index(1 + d))]);
    const sums = b.comprehension('f32', [n, ...columns], { op: 'sum', extents: [n] }, select(mine, mul(value, float(0.5)), float(0)), origin('sums'));
    return { first: b.comprehension('i32', [n], null, b.identity(flat), origin('flat')), sums };
  });
}
