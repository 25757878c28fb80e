/**
 * Finds computations that are the same up to which of several tensors they read: one network applied to two views, to the
 * crops of one size, to both sides of a symmetric loss. Every tensor gets a colour, the structure of everything above it
 * with the sites of draws left out. Tensors of one colour compute the same thing of different draws; none of them can
 * depend on another, since a colour contains the colours of what is read. Equal tensors count once.
 *
 * To what a network computes, all data of one shape has one colour, so that views made in different ways go through it
 * together: they are laid side by side first.
 */
import { holds } from './holds.js';
import type { Comprehension, Tensor, Window } from './program.js';
import { bytesOf, sizeOf } from './program.js';
import { renameReads, renameTensor, tensorsRead } from './renumber.js';
import type { Scalar, TensorId } from './scalar.js';
import { draw, int, operands, rewriteWhere, visitReads } from './scalar.js';
import { createInterner } from './structure.js';

/**
 * Tensors that can be computed as one, in the order in which they will lie side by side. Windows are reshapes: they cover
 * the members of another group, one each and in order.
 */
export type TwinGroup =
  | { readonly kind: 'comprehensions'; readonly members: readonly Comprehension[] }
  | { readonly kind: 'windows'; readonly members: readonly Window[] };

export interface Twins {
  /** The first of the tensors equal to this one. */
  readonly representative: (id: TensorId) => TensorId;
  /** Where a tensor stands: its group and its place in it; null when it is computed alone. */
  readonly placeOf: (id: TensorId) => { readonly group: TwinGroup; readonly position: number } | null;
}

/** The groups among the `live` tensors, which come in their order. No group's tensors together exceed `mostBytes`. */
export function findTwins(live: readonly Tensor[], mostBytes: number): Twins {
  const { representatives, colours, data } = colour(live);
  const representative = (id: TensorId): TensorId => representatives.get(id) ?? id;
  const byColour = new Map<number, Tensor[]>();
  for (const t of live) {
    if (representative(t.id) !== t.id) continue;
    const key = colours.get(t.id) ?? -1;
    const list = byColour.get(key);
    if (list === undefined) byColour.set(key, [renameTensor(t, t.id, representative)]);
    else list.push(renameTensor(t, t.id, representative));
  }
  const groups = new Set<TwinGroup>();
  const places = new Map<TensorId, { group: TwinGroup; position: number }>();
  // Colours come in the order of their first tensors, so what a group reads has been decided before.
  const links = new Map<TwinGroup, Set<TwinGroup>>();
  for (const unordered of byColour.values()) {
    const [first] = unordered;
    if (unordered.length < 2 || unordered.length * sizeOf(first.shape) * bytesOf(first.element) > mostBytes) continue;
    const columns = zipReads(unordered);
    if (columns === null) continue;
    if (first.kind === 'window' && places.get(first.of)?.group.members.length !== unordered.length) continue;
    const varying = columns.filter((ids) => ids.some((id) => id !== ids[0]));
    const together = (ids: readonly TensorId[]): boolean => ids.every((id) => places.has(id) && places.get(id)?.group === places.get(ids[0])?.group);
    if (!varying.every((ids) => together(ids) || (first.kind === 'comprehension' && ids.every((id) => data.has(id))))) continue;
    const position = (id: TensorId): number => places.get(id)?.position ?? id;
    const order = unordered.map((_, i) => i).sort((a, b) => {
      for (const ids of varying) if (position(ids[a]) !== position(ids[b])) return position(ids[a]) - position(ids[b]);
      return a - b;
    });
    const group = groupOf(order.map((i) => unordered[i]));
    if (group === null) continue;
    groups.add(group);
    group.members.forEach((m, i) => places.set(m.id, { group, position: i }));
    links.set(group, new Set());
    for (const ids of varying) {
      const read = places.get(ids[0])?.group;
      if (read === undefined || !together(ids)) continue;
      links.get(group)?.add(read);
      links.get(read)?.add(group);
    }
  }
  const kept = worthwhile(groups, links);
  return { representative, placeOf: (id) => { const place = places.get(representative(id)); return place !== undefined && kept.has(place.group) ? place : null; } };
}

function groupOf(members: readonly Tensor[]): TwinGroup | null {
  const comprehensions = members.flatMap((m) => (m.kind === 'comprehension' ? [m] : []));
  if (comprehensions.length === members.length) return { kind: 'comprehensions', members: comprehensions };
  const windows = members.flatMap((m) => (m.kind === 'window' ? [m] : []));
  return windows.length === members.length ? { kind: 'windows', members: windows } : null;
}

interface Colouring {
  readonly representatives: ReadonlyMap<TensorId, TensorId>;
  readonly colours: ReadonlyMap<TensorId, number>;
  /** What is computed of data and draws alone, without parameters or states. */
  readonly data: ReadonlySet<TensorId>;
}

/** Equal tensors find their first, and every tensor its colour. */
function colour(live: readonly Tensor[]): Colouring {
  const exact = createInterner();
  const loose = createInterner();
  const firsts = new Map<string, TensorId>();
  const numbers = new Map<string, number>();
  const representatives = new Map<TensorId, TensorId>();
  const colours = new Map<TensorId, number>();
  const data = new Set<TensorId>();
  const number = (key: string): number => {
    const known = numbers.get(key) ?? numbers.size;
    numbers.set(key, known);
    return known;
  };
  const byId = new Map(live.map((t) => [t.id, t]));
  for (const t of live) {
    if (t.kind !== 'comprehension') {
      // A reshape of something computed is as its tensor is; other windows and packs stand alone.
      const of = t.kind === 'window' ? byId.get(t.of) : undefined;
      const reshapes = of !== undefined && of.kind !== 'source' && sizeOf(of.shape) === sizeOf(t.shape);
      colours.set(t.id, number(reshapes ? `window [${t.shape.join()}] ${colours.get(of.id) ?? -1}` : `alone ${t.id}`));
      if (t.kind === 'source' && t.role !== 'parameters' && t.role !== 'state') data.add(t.id);
      if (!reshapes) continue;
      if (data.has(of.id)) data.add(t.id);
      const key = `window [${t.shape.join()}] ${representatives.get(of.id) ?? of.id}`;
      const first = firsts.get(key);
      if (first === undefined) firsts.set(key, t.id); else representatives.set(t.id, first);
      continue;
    }
    const shape = `${t.element}[${t.shape.join()}] ${t.reduce === null ? '' : `${t.reduce.op}[${t.reduce.extents.join()}]`}`;
    const renamed = renameReads(t.body, (id) => representatives.get(id) ?? id);
    const key = `${shape} ${exact.id(renamed)}`;
    const first = firsts.get(key);
    if (first !== undefined) {
      representatives.set(t.id, first);
      colours.set(t.id, colours.get(first) ?? -1);
      continue;
    }
    firsts.set(key, t.id);
    const reads = tensorsRead(renamed);
    if (reads.every((id) => data.has(id))) data.add(t.id);
    // Seen from a network, data is data.
    const seen = (id: TensorId): number => {
      const of = byId.get(id);
      const blurred = !data.has(t.id) && data.has(id) && of !== undefined && of.kind !== 'source';
      return blurred ? number(`data ${of.element}[${of.shape.join()}]`) : colours.get(id) ?? -1;
    };
    const plain = rewriteWhere(holds.read | holds.draw, renamed, (s) => {
      if (s.kind === 'read') return { ...s, tensor: seen(s.tensor) as TensorId };
      return s.kind === 'draw' ? draw(s.lane, { ...s, site: int(0) }) : s;
    });
    colours.set(t.id, number(`${shape} ${loose.id(plain)}`));
  }
  return { representatives, colours, data };
}

/** For every read of the first member, the tensors read there by all members; null when the bodies are not alike. */
function zipReads(members: readonly Tensor[]): readonly (readonly TensorId[])[] | null {
  const group = groupOf(members);
  if (group === null) return null;
  if (group.kind === 'windows') return [group.members.map((m) => m.of)];
  const columns: TensorId[][] = [];
  const alike = zipScalars(group.members.map((m) => m.body), (nodes) => {
    if (nodes[0].kind === 'read') columns.push(nodes.map((n) => (n.kind === 'read' ? n.tensor : 0 as TensorId)));
    return nodes[0];
  });
  return alike === null ? null : columns;
}

/**
 * Walks scalars of one structure side by side, operands first. `merge` sees the nodes that stand at one place and gives the
 * scalar for all of them, whose operands are then replaced by what was merged before; null when the structures differ.
 */
export function zipScalars(roots: readonly Scalar[], merge: (nodes: readonly Scalar[], operandsOf: readonly Scalar[]) => Scalar): Scalar | null {
  const interner = createInterner();
  const memo = new Map<string | number, Scalar | null>();
  // There are fewer than 2^26 structures, so that two of them make one exact number.
  const keyOf = (nodes: readonly Scalar[]): string | number => (nodes.length === 2 ? interner.id(nodes[0]) * 2 ** 26 + interner.id(nodes[1]) : nodes.map((n) => interner.id(n)).join());
  const walk = (nodes: readonly Scalar[]): Scalar | null => {
    const key = keyOf(nodes);
    const known = memo.get(key);
    if (known !== undefined) return known;
    let result: Scalar | null = null;
    if (nodes.every((n) => alike(nodes[0], n))) {
      const columns = nodes.map(operands);
      const merged: Scalar[] = [];
      for (let i = 0; i < columns[0].length; i++) {
        // A site is a constant that may differ: `merge` takes all of them from the nodes.
        const site = nodes[0].kind === 'draw' && i === 0;
        const operand = site ? columns[0][0] : walk(columns.map((c) => c[i]));
        if (operand === null) { memo.set(key, null); return null; }
        merged.push(operand);
      }
      result = merge(nodes, merged);
    }
    memo.set(key, result);
    return result;
  };
  return walk(roots);
}

/** Whether two nodes can stand at one place, whatever their operands and the tensors they read. */
function alike(a: Scalar, b: Scalar): boolean {
  if (a === b) return true;
  if (a.type !== b.type) return false;
  switch (a.kind) {
    case 'const': return b.kind === 'const' && Object.is(a.value, b.value);
    case 'index': return b.kind === 'index' && a.axis === b.axis;
    case 'read': return b.kind === 'read' && a.at.length === b.at.length && (a.otherwise === null) === (b.otherwise === null);
    case 'unary': return b.kind === 'unary' && a.op === b.op;
    case 'binary': return b.kind === 'binary' && a.op === b.op;
    case 'draw': return b.kind === 'draw' && a.lane === b.lane;
    case 'accumulator': return b.kind === 'accumulator' && a.slot === b.slot;
    case 'select': case 'cast': return a.kind === b.kind;
  }
}

/**
 * The groups that are worth it: connected ones among which something is reduced. Maps by themselves, such as the masks of
 * all dropout layers, gain nothing and would only live longer.
 */
function worthwhile(groups: ReadonlySet<TwinGroup>, links: ReadonlyMap<TwinGroup, ReadonlySet<TwinGroup>>): ReadonlySet<TwinGroup> {
  const kept = new Set<TwinGroup>();
  const seen = new Set<TwinGroup>();
  for (const start of groups) {
    if (seen.has(start)) continue;
    const component = new Set([start]);
    for (const g of component) for (const next of links.get(g) ?? []) component.add(next);
    let reduces = false;
    for (const g of component) {
      seen.add(g);
      reduces ||= g.kind === 'comprehensions' && g.members[0].reduce !== null && !g.members.every((m) => readsNothing(m.body));
    }
    if (reduces && component.size > 1) for (const g of component) kept.add(g);
  }
  return kept;
}

function readsNothing(body: Scalar): boolean {
  let nothing = true;
  visitReads(body, (s) => { if (s.at.length > 0) nothing = false; });
  return nothing;
}
