/**
 * Lazy parameters (`lazy true` in a group; PyTorch's sparse embeddings): every row is a parameter of its own, and only rows that a step reads
 * have a gradient, move, and have their states updated. Rows that were read several times get the sum of their gradients once. The
 * optimizer is the same `.ssl`, mapped over rows: `*S` are the axes of a row, and `state v: []` is a number for each row.
 */
import { bug } from '../../grammar/diagnostics/report.js';
import type { Span } from '../../grammar/span.js';
import { differentiate } from '../tensor/differentiate.js';
import type { ProgramBuilder } from '../tensor/builder.js';
import { float, index, int } from '../tensor/scalar.js';
import type { TensorId } from '../tensor/scalar.js';
import { dependencies } from '../tensor/renumber.js';
import { fail, newVariable } from './context.js';
import type { Context, Store } from './context.js';
import { rowGradient, rowsOfPlace } from './row-gradients.js';
import type { RowGradient, RowsOfPlace } from './row-gradients.js';
import { nodeOf } from './store.js';
import type { Layout, LazyParameter, PlacedStore } from './store.js';
import { close, convertTensor, ensureWhole, materialize, tensorOfNode } from './tensor-value.js';
import { axisOf } from './value.js';
import type { IndexVariable, TensorValue } from './value.js';

/** A row and its gradient, each row that was read implicit; where the states of rows are; and what takes the new row. */
export interface RowOperands {
  readonly w: TensorValue;
  readonly g: TensorValue;
  readonly store: Store;
  readonly arrive: (row: TensorValue, span: Span) => void;
}

/** Writes rows of a source that names them. */
type Write = (name: string, value: TensorId, rows: TensorId) => void;

function operandsOf(c: Context, p: LazyParameter, whole: TensorId, { rows, gradient }: RowGradient, write: Write): RowOperands {
  const b = c.builder;
  const axes = p.shape.slice(1).map((n) => axisOf(n));
  const [count] = b.tensor(rows).shape;
  const r = newVariable(c, 'row', axisOf(count), true);
  const free = new Map([[r.id, r]]);
  const row = (of: TensorValue): TensorValue => ({ ...of, axes: of.axes.slice(1), free, at: (i) => of.at([b.read(rows, [index(r.id)]), ...i]) });
  const put = (name: string, value: TensorValue, span: Span): void => write(name, nodeOf(ensureWhole(c, overRows(value, r), name, span)), rows);
  return {
    w: row(tensorOfNode(c, whole)),
    g: { kind: 'tensor', element: 'f32', axes, free, at: (i) => b.read(gradient, [index(r.id), ...i]) },
    arrive: (value, span) => put(p.source, convertTensor(value, 'f32'), span),
    store: {
      parameter: () => bug('an optimizer with a parameter'),
      state: (info, initial, span) => {
        const shape = [p.shape[0], ...info.shape];
        return row(c.store.state({ ...info, shape }, () => everyRow(c, initial(), shape, info.name, span), span));
      },
      updateState: (name, value, span) => put(name, convertTensor(value, 'f32'), span),
      target: () => undefined,
    },
  };
}

/** The rows that were read as a first axis. */
const overRows = (value: TensorValue, r: IndexVariable): TensorValue => close({ ...value, free: new Map([[r.id, r]]) }, [r]);

/** A first value, the same for every row. */
function everyRow(c: Context, first: TensorValue, shape: readonly number[], name: string, span: Span): TensorValue {
  return materialize(c, { ...first, axes: shape.map((n) => axisOf(n)), at: (i) => first.at(i.slice(1)) }, name, span);
}

/** What an optimizer is shown while its states are discovered. */
export function unreadRows(c: Context, p: LazyParameter): RowOperands {
  const b = c.builder;
  const origin = { span: null, name: 'zero' };
  const zeros = (shape: readonly number[]): TensorId => b.comprehension('f32', shape, null, float(0), origin);
  return operandsOf(c, p, zeros(p.shape), { rows: b.comprehension('i32', [1], null, int(0), origin), gradient: zeros([1, ...p.shape.slice(1)]) }, () => undefined);
}

/** The gradients of parameters, and of the rows that were read of lazy ones. */
export interface Gradients {
  readonly dense: readonly TensorId[];
  readonly rows: ReadonlyMap<LazyParameter, RowGradient>;
}

/** Differentiates for the parameters `wrt` and for rows. A lazy parameter of which the loss sees more than rows is an error. */
export function differentiateRows(b: ProgramBuilder, store: PlacedStore, layout: Layout, loss: TensorId, wrt: readonly TensorId[], model: Span): Gradients {
  const { dense, places } = differentiatePlaces(b, store, layout, loss, wrt, model, () => true);
  return { dense, rows: new Map(places.map(([p, found]) => [p, rowGradient(b, p, found)])) };
}

/** The same, before what reached equal rows is summed: lazy parameters with the places that read them, of those that `counts`; `others` are differentiated for besides. */
export function differentiatePlaces(
  b: ProgramBuilder, store: PlacedStore, layout: Layout, loss: TensorId, wrt: readonly TensorId[], model: Span, counts: (rows: TensorId) => boolean, others: readonly TensorId[] = [],
): { readonly dense: readonly TensorId[]; readonly rest: readonly TensorId[]; readonly places: readonly (readonly [LazyParameter, readonly RowsOfPlace[]])[] } {
  const reads = layout.lazy.flatMap((p) => store.reads.of(p));
  checkReads(b, store, layout, loss, model, new Set(reads.map((r) => r.id)));
  const counted = reads.filter((r) => counts(r.id));
  const all = differentiate(b, loss, [...wrt, ...others, ...counted.map((r) => r.id)]);
  const first = wrt.length + others.length;
  const found = counted.map((r, k) => ({ parameter: r.parameter, place: rowsOfPlace(b, r, all[first + k]) }));
  const places = layout.lazy.flatMap((p) => {
    const mine = found.filter((f) => f.parameter === p).map((f) => f.place);
    return mine.length === 0 ? [] : [[p, mine] as const];
  });
  return { dense: all.slice(0, wrt.length), rest: all.slice(wrt.length, first), places };
}

function checkReads(b: ProgramBuilder, store: PlacedStore, layout: Layout, loss: TensorId, model: Span, rows: ReadonlySet<TensorId>): void {
  const lazy = new Map(layout.lazy.map((p) => [store.source(p.source, p.shape, 'parameters'), p]));
  const seen = new Set<TensorId>();
  const pending = [loss];
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    if (seen.has(id) || rows.has(id)) continue;
    seen.add(id);
    const tensor = b.tensor(id);
    for (const d of dependencies(tensor)) {
      const p = lazy.get(d);
      if (p !== undefined) fail(null, 'SSL3023', tensor.origin.span ?? model, { parameter: p.path, problem: 'whole' });
      pending.push(d);
    }
  }
}

/** What an optimizer is shown of a lazy parameter: the rows that were read, and their gradients. */
export function readRows(c: Context, store: PlacedStore, p: LazyParameter, gradients: Gradients): RowOperands {
  const found = gradients.rows.get(p);
  if (found === undefined) return unreadRows(c, p);
  return operandsOf(c, p, store.source(p.source, p.shape, 'parameters'), found, (name, value, rows) => store.updateRows(name, value, rows));
}
