/**
 * Finds computations that are the same up to which of several tensors they read: one network applied to two views, to the
 * crops of one size, to both sides of a symmetric loss. Every tensor gets a colour, the structure of everything above it
 * with the sites of draws left out. Tensors of one colour compute the same thing of different draws; none of them can
 * depend on another, since a colour contains the colours of what is read. Equal tensors count once.
 */
import type { Comprehension, Tensor } from './program.js';
import { bytesOf, sizeOf } from './program.js';
import { renameReads } from './renumber.js';
import type { Scalar, TensorId } from './scalar.js';
import { int, operands, rewrite, visit } from './scalar.js';
import { createInterner, labelOf } from './structure.js';

/** Tensors that can be computed as one, in the order in which they will lie side by side. */
export interface TwinGroup {
  readonly members: readonly Comprehension[];
}

export interface Twins {
  /** The first of the tensors equal to this one. */
  readonly representative: (id: TensorId) => TensorId;
  /** Where a tensor stands: its group and its place in it; null when it is computed alone. */
  readonly placeOf: (id: TensorId) => { readonly group: TwinGroup; readonly position: number } | null;
}

/** The groups among the `live` tensors, which come in their order. No group's tensors together exceed `mostBytes`. */
export function findTwins(live: readonly Tensor[], mostBytes: number): Twins {
  const { representatives, colours } = colour(live);
  const representative = (id: TensorId): TensorId => representatives.get(id) ?? id;
  const byColour = new Map<number, Comprehension[]>();
  for (const t of live) {
    if (t.kind !== 'comprehension' || representative(t.id) !== t.id) continue;
    const key = colours.get(t.id) ?? -1;
    const list = byColour.get(key);
    if (list === undefined) byColour.set(key, [{ ...t, body: renameReads(t.body, representative) }]);
    else list.push({ ...t, body: renameReads(t.body, representative) });
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
    const varying = columns.filter((ids) => ids.some((id) => id !== ids[0]));
    if (!varying.every((ids) => ids.every((id) => places.has(id)))) continue;
    const position = (id: TensorId): number => places.get(id)?.position ?? 0;
    const order = unordered.map((_, i) => i).sort((a, b) => {
      for (const ids of varying) if (position(ids[a]) !== position(ids[b])) return position(ids[a]) - position(ids[b]);
      return a - b;
    });
    const group: TwinGroup = { members: order.map((i) => unordered[i]) };
    groups.add(group);
    group.members.forEach((m, i) => places.set(m.id, { group, position: i }));
    links.set(group, new Set());
    for (const ids of varying) {
      const read = places.get(ids[0])?.group;
      if (read === undefined) continue;
      links.get(group)?.add(read);
      links.get(read)?.add(group);
    }
  }
  const kept = worthwhile(groups, links);
  return { representative, placeOf: (id) => { const place = places.get(representative(id)); return place !== undefined && kept.has(place.group) ? place : null; } };
}

/** Equal tensors find their first, and every tensor its colour. */
function colour(live: readonly Tensor[]): { readonly representatives: ReadonlyMap<TensorId, TensorId>; readonly colours: ReadonlyMap<TensorId, number> } {
  const exact = createInterner();
  const loose = createInterner();
  const firsts = new Map<string, TensorId>();
  const numbers = new Map<string, number>();
  const representatives = new Map<TensorId, TensorId>();
  const colours = new Map<TensorId, number>();
  const number = (key: string): number => {
    const known = numbers.get(key) ?? numbers.size;
    numbers.set(key, known);
    return known;
  };
  for (const t of live) {
    if (t.kind !== 'comprehension') {
      colours.set(t.id, number(`alone ${t.id}`));
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
    const plain = rewrite(renamed, (s) => {
      if (s.kind === 'read') return { ...s, tensor: (colours.get(s.tensor) ?? -1) as TensorId };
      return s.kind === 'draw' ? { ...s, site: int(0) } : s;
    });
    colours.set(t.id, number(`${shape} ${loose.id(plain)}`));
  }
  return { representatives, colours };
}

/** For every read of the first member, the tensors read there by all members; null when the bodies are not alike. */
function zipReads(members: readonly Comprehension[]): readonly (readonly TensorId[])[] | null {
  const columns: TensorId[][] = [];
  const alike = zipScalars(members.map((m) => m.body), (nodes) => {
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
  const memo = new Map<string, Scalar | null>();
  const walk = (nodes: readonly Scalar[]): Scalar | null => {
    const key = nodes.map((n) => interner.id(n)).join();
    const known = memo.get(key);
    if (known !== undefined) return known;
    let result: Scalar | null = null;
    const label = looseLabel(nodes[0]);
    if (nodes.every((n) => looseLabel(n) === label)) {
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

/** What the nodes at one place must have in common. */
function looseLabel(s: Scalar): string {
  return s.kind === 'read' ? `r ${s.type} ${s.at.length} ${s.otherwise === null ? '' : 'else'}` : labelOf(s);
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
      reduces ||= g.members[0].reduce !== null && !g.members.every((m) => readsNothing(m.body));
    }
    if (reduces && component.size > 1) for (const g of component) kept.add(g);
  }
  return kept;
}

function readsNothing(body: Scalar): boolean {
  let nothing = true;
  visit(body, (s) => { if (s.kind === 'read' && s.at.length > 0) nothing = false; });
  return nothing;
}
