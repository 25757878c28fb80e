/**
 * Segmented sums into large tables, the gradients of embeddings among them, sort their items first: then each row of the table is summed by
 * itself, over the run of its own items, however many rows there are. The keys are sorted once for all sums that have the same ones.
 *
 *     placed = the items' keys, or the number of rows where a key is none;  order = argsort(placed);  sorted = placed[order]
 *     out[row, d] = sum over the run of items i with sorted[i] == row of value(order[i], d)
 *
 * The sort is stable, so the sums are taken in the order of the items, as before. Several tables that are added up become one: their
 * items follow one another. What a key does not depend on is summed before.
 */
import type { Program } from '../tensor/program.js';
import { sizeOf } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { accumulator, add, binary, index, indexVariables, int, mul, read, select, sub, substitute } from '../tensor/scalar.js';
import { createInterner } from '../tensor/structure.js';
import type { Interner } from '../tensor/structure.js';
import type { Draft, FuseContext } from './draft.js';
import { appendTensor, mergeOrigins, readersOf, tensorsTouched } from './draft.js';
import { pinnedTensors } from './inline-maps.js';
import type { Kernel, MapKernel, ScatterKernel } from './kernel.js';
import { isIdentity } from './place-updates.js';

/**
 * Elements below which a table stays in the cache; below which several tables to be added up do; columns below which sorting costs more than
 * it saves; and items for each row from which on it does.
 */
const leastElements = 1 << 22;
const leastAdded = 1 << 16;
const leastColumns = 16;
const mostItemsOfRow = 4;

/** Items of one table: their axes, and over these (from 0) the key, and (behind the table's axes) the value. */
interface Items {
  readonly extents: readonly number[];
  readonly key: Scalar;
  readonly value: Scalar;
}

export function sortSegments(draft: Draft, context: FuseContext): Draft {
  // The few threads of a software adapter go through all items sooner than it sorts them.
  if (context.target === 'wgsl' && context.manyCores !== true) return draft;
  const pinned = pinnedTensors(draft.program);
  const readers = readersOf(draft.kernels);
  const tables = new Map(draft.kernels.flatMap((k) => (k.kind === 'scatter' && mayBeSorted(k) ? [[k.stores[0].tensor, k] as const] : [])));
  if (tables.size === 0) return draft;
  const sorter = new Sorter(draft.program);
  const done = new Map<Kernel, readonly Kernel[]>();
  const replace = (whole: ScatterKernel | MapKernel, parts: readonly ScatterKernel[]): boolean => {
    const made = sorter.sorted(whole, parts, context.maxBindings);
    if (made === null) return false;
    for (const part of parts) done.set(part, []);
    done.set(whole, made);
    return true;
  };
  for (const kernel of draft.kernels) {
    const added = kernel.kind === 'map' ? addedTables(draft.program, kernel, tables) : [];
    if (kernel.kind !== 'map' || added.length < 2 || !added.every(({ stores: [{ tensor }] }) => !pinned.has(tensor) && readers.get(tensor)?.length === 1)) continue;
    replace(kernel, added);
  }
  for (const table of tables.values()) if (!done.has(table) && sizeOf(table.extents) >= leastElements) replace(table, [table]);
  return { program: sorter.program, kernels: draft.kernels.flatMap((k) => done.get(k) ?? [k]) };
}

/** A table that is worth sorting for, by one key that says nothing of the other axes. */
function mayBeSorted({ extents, reduceExtents, keys, sorted }: ScatterKernel): boolean {
  const [{ axis, value }] = keys;
  const used = [...indexVariables(value)];
  if (sorted || keys.length !== 1 || used.some((v) => v < extents.length) || sizeOf(extents) < Math.max(leastAdded, leastColumns * extents[axis])) return false;
  return used.reduce((n, v) => n * reduceExtents[v - extents.length], 1) <= mostItemsOfRow * extents[axis];
}

/** The tables, by one axis, whose sum the map stores; none where it is anything else. */
function addedTables(program: Program, { extents, stores }: MapKernel, tables: ReadonlyMap<TensorId, ScatterKernel>): readonly ScatterKernel[] {
  const found: ScatterKernel[] = [];
  const pending = [stores[0].value];
  for (let s = pending.pop(); s !== undefined; s = pending.pop()) {
    const table = s.kind === 'read' ? tables.get(s.tensor) : undefined;
    if (s.kind === 'binary' && s.op === 'add') pending.push(s.b, s.a);
    else if (s.kind === 'read' && table !== undefined && !found.includes(table) && isIdentity(s, extents, program.tensors[s.tensor].shape)) found.push(table);
    else return [];
  }
  return stores.length === 1 && found.every((t) => t.keys[0].axis === found[0].keys[0].axis) ? found : [];
}

/** Where an item stands among those of several tables, one table after the other. */
const startsOf = (all: readonly Items[]): readonly number[] => all.map((_, k) => all.slice(0, k).reduce((n, items) => n + sizeOf(items.extents), 0));

/** Makes kernels and the tensors they need. */
class Sorter {
  private readonly interner: Interner = createInterner();
  private readonly orders = new Map<string, { readonly order: TensorId; readonly sorted: TensorId }>();
  private made: Kernel[] = [];

  constructor(public program: Program) {}

  /** The kernels that store what `whole` does, a sum of tables; null where one would touch too many tensors. */
  sorted(whole: ScatterKernel | MapKernel, tables: readonly ScatterKernel[], maxBindings: number): readonly Kernel[] | null {
    const before = this.program;
    const known = new Map(this.orders);
    this.made = [];
    const [{ axis }] = tables[0].keys;
    const { extents } = whole;
    const all = this.withEqualKeys(tables.map((t) => this.itemsOf(t)));
    const starts = startsOf(all);
    const { order, sorted } = this.orderOf(all, extents[axis], whole);
    const item = index(extents.length);
    const value = this.among(all, starts, read(order, [item], 'i32'), (items, at) => substitute(items.value, (v) => (v < extents.length ? null : at[v - extents.length])));
    const scatter: ScatterKernel = {
      kind: 'scatter', name: '', origins: mergeOrigins(...tables.map((t) => t.origins), whole.origins), extents, reduceExtents: [sizeOf(this.program.tensors[order].shape)],
      stores: [{ tensor: whole.stores[0].tensor, value: accumulator(value.type, 0) }], keys: [{ axis, value: read(sorted, [item], 'i32') }], value, sorted: true,
    };
    if (tensorsTouched(scatter).size <= maxBindings) return [...this.made, scatter];
    this.program = before;
    this.orders.clear();
    for (const [keys, found] of known) this.orders.set(keys, found);
    return null;
  }

  /** A map's result, as a tensor. */
  private map(name: string, value: Scalar, extents: readonly number[], kernel: Kernel): TensorId {
    const origin = { span: kernel.origins[kernel.origins.length - 1].span, name };
    const next = appendTensor(this.program, (id) => ({ kind: 'comprehension', id, element: 'i32', shape: extents, reduce: null, body: value, origin }));
    this.program = next.program;
    this.made.push({ kind: 'map', name: '', origins: [origin], extents, stores: [{ tensor: next.id, value }] });
    return next.id;
  }

  /** A table's items, without the axes that the key does not depend on. */
  private itemsOf(table: ScatterKernel): Items {
    const rank = table.extents.length;
    const [{ axis, value: key }] = table.keys;
    const inKey = [...indexVariables(key)].sort((a, b) => a - b);
    const extents = inKey.map((v) => table.reduceExtents[v - rank]);
    const keyed = substitute(key, (v) => index(inKey.indexOf(v)));
    const rest = table.reduceExtents.flatMap((n, i) => (inKey.includes(rank + i) ? [] : [{ variable: rank + i, size: n }]));
    if (rest.every((r) => r.size === 1)) return { extents, key: keyed, value: substitute(table.value, (v) => (v < rank ? null : inKey.includes(v) ? index(rank + inKey.indexOf(v)) : int(0))) };
    const columns = table.extents.flatMap((_, a) => (a === axis ? [] : [a]));
    const own = [...inKey, ...columns];
    const shape = [...extents, ...columns.map((a) => table.extents[a])];
    const body = substitute(table.value, (v) => index(own.includes(v) ? own.indexOf(v) : own.length + rest.findIndex((r) => r.variable === v)));
    const last = table.origins[table.origins.length - 1];
    const origin = { span: last.span, name: `rows of ${last.name}` };
    const reduceExtents = rest.map((r) => r.size);
    const next = appendTensor(this.program, (id) => ({ kind: 'comprehension', id, element: body.type === 'f32' ? 'f32' : 'i32', shape, reduce: { op: 'sum', extents: reduceExtents }, body, origin }));
    this.program = next.program;
    this.made.push({ kind: 'reduce', name: '', origins: [origin], extents: shape, reduceExtents, reductions: [{ op: 'sum', body }], stores: [{ tensor: next.id, value: accumulator(body.type, 0) }] });
    return { extents, key: keyed, value: read(next.id, [...inKey.map((_, i) => index(rank + i)), ...columns.map(index)], body.type) };
  }

  /** Items with the same keys are added up. */
  private withEqualKeys(all: readonly Items[]): readonly Items[] {
    const found = new Map<string, Items>();
    for (const items of all) {
      const name = this.nameOf(items);
      const same = found.get(name);
      found.set(name, same === undefined ? items : { ...same, value: add(same.value, items.value) });
    }
    return [...found.values()];
  }

  private nameOf({ extents, key }: Items): string {
    return `${extents.join()} ${this.interner.id(key)}`;
  }

  /** `of` the table whose item stands at `place`, at the item's indices. Other tables' items are looked at where there are some. */
  private among(all: readonly Items[], starts: readonly number[], place: Scalar, of: (items: Items, at: readonly Scalar[]) => Scalar): Scalar {
    const values = all.map((items, k) => {
      const count = sizeOf(items.extents);
      const own = sub(place, int(starts[k]));
      return of(items, indicesAt(items.extents, all.length === 1 ? own : binary('min', binary('max', own, int(0)), int(count - 1))));
    });
    return values.reduceRight((after, here, k) => select(binary('lt', place, int(starts[k + 1])), here, after));
  }

  private orderOf(all: readonly Items[], rows: number, kernel: Kernel): { readonly order: TensorId; readonly sorted: TensorId } {
    const name = `${rows} ${all.map((items) => this.nameOf(items)).join(' ')}`;
    const known = this.orders.get(name);
    if (known !== undefined) return known;
    const count = all.reduce((n, items) => n + sizeOf(items.extents), 0);
    const key = this.among(all, startsOf(all), index(0), (items, at) => substitute(items.key, (v) => at[v]));
    // What is no row comes last, where no row looks for it.
    const inside = binary('and', binary('ge', key, int(0)), binary('lt', key, int(rows)));
    const label = kernel.origins[kernel.origins.length - 1].name;
    const placed = this.map(`keys of ${label}`, select(inside, key, int(rows)), [count], kernel);
    const origin = { span: kernel.origins[kernel.origins.length - 1].span, name: `order of ${label}` };
    const order = appendTensor(this.program, (id) => ({ kind: 'routine', id, op: 'argsort', inputs: [placed], element: 'i32', shape: [count], origin }));
    this.program = order.program;
    this.made.push({ kind: 'routine', name: '', origins: [origin], extents: [count], op: 'argsort', ownExtents: [count], operands: [read(placed, [index(1)], 'i32')], stores: [{ tensor: order.id, value: accumulator('i32', 0) }] });
    const sorted = this.map(`sorted ${label}`, read(placed, [read(order.id, [index(0)], 'i32')], 'i32'), [count], kernel);
    const found = { order: order.id, sorted };
    this.orders.set(name, found);
    return found;
  }
}

/** The indices of row-major element `place`. */
function indicesAt(extents: readonly number[], place: Scalar): readonly Scalar[] {
  return extents.map((n, i) => {
    const stride = sizeOf(extents.slice(i + 1));
    const divided = stride === 1 ? place : binary('idiv', place, int(stride));
    return i === 0 ? divided : n === 1 ? int(0) : sub(divided, mul(int(n), binary('idiv', place, int(stride * n))));
  });
}
