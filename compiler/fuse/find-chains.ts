/**
 * Kernels that can run behind another in the same launch: a reduction behind the map that makes what it sums over, a map behind the
 * reduction whose results it applies, and whatever keeps to its slices (`slice-chains.ts`). All are then cut into the same tasks, so that a
 * task finds what it needs where the task itself has just put it, in the cache; a launch and a pass over memory go.
 */
import { sizeAlong, sizeOf } from '../tensor/program.js';
import type { Program } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { visit } from '../tensor/scalar.js';
import { basesOf, tensorsIn, tensorsRead } from './draft.js';
import { loopExtents } from './inline-maps.js';
import type { Chain, Kernel, MapKernel, Member, ReduceKernel } from './kernel.js';
import { withSlicesOf } from './slice-chains.js';

/** Points below which tasks of whole points are too few, and elements of a point beyond which they do not stay in the cache: in rows, and in columns. */
const fewestPoints = 256;
const mostInRow = 16384;
const mostInColumn = 256;

/** How `reduce` reads what `producer` stores: the producer's axes in the order of the reduction's, or null when not element by element. */
function producedAxes(program: Program, producer: MapKernel, reduce: ReduceKernel): readonly number[] | null {
  const made = new Set(producer.stores.map((s) => s.tensor));
  if (touches(program, reduce.stores.map((s) => s.value), made)) return null;
  const count = reduce.extents.length + reduce.reduceExtents.length;
  return sameAxes(program, reduce.reductions.map((r) => r.body), made, producer.extents, count);
}

/** Whether all that belongs to a task's points stays in the cache while they are done. */
function staysClose(extents: readonly number[], outer: readonly number[], inner: readonly number[]): boolean {
  return sizeAlong(inner, extents) <= (Math.max(...outer) > Math.max(-1, ...inner) ? mostInColumn : mostInRow);
}

const touches = (program: Program, scalars: readonly Scalar[], made: ReadonlySet<TensorId>): boolean =>
  [...tensorsIn(scalars)].some((id) => basesOf(program, id).some((b) => made.has(b.id)));

/** The variable at each axis of shape `extents` in every read of a made tensor, all alike and all different; null otherwise. */
function readAxes(program: Program, scalars: readonly Scalar[], made: ReadonlySet<TensorId>, extents: readonly number[]): readonly number[] | null {
  let found: readonly number[] | null = null;
  let legal = true;
  const seen = new Set<Scalar>();
  for (const root of scalars) {
    visit(root, (n) => {
      if (n.kind !== 'read' || !basesOf(program, n.tensor).some((b) => made.has(b.id))) return;
      if (!made.has(n.tensor) || program.tensors[n.tensor].shape.join() !== extents.join()) { legal = false; return; }
      const axes = n.at.map((a, d) => (a.kind === 'index' ? a.axis : extents[d] === 1 ? -1 : -2));
      if (axes.includes(-2) || (found !== null && axes.join() !== found.join())) legal = false;
      found = axes;
    }, seen);
  }
  const list: readonly number[] = found ?? [];
  return !legal || found === null || new Set(list.filter((a) => a >= 0)).size !== list.filter((a) => a >= 0).length ? null : list;
}

/** For each of `count` variables of the reader the axis of the made tensor it stands at (-1 where it stands nowhere, having one value). */
function sameAxes(program: Program, scalars: readonly Scalar[], made: ReadonlySet<TensorId>, extents: readonly number[], count: number): readonly number[] | null {
  const axes = readAxes(program, scalars, made, extents);
  return axes === null ? null : Array.from({ length: count }, (_, v) => axes.indexOf(v));
}

/** The chain of `reduce` (at position r) behind `producer` (at p), all of whose points are elements of the reduction, or null. */
function behindMap(program: Program, producer: MapKernel, p: number, reduce: ReduceKernel, r: number): Chain | null {
  const axes = producedAxes(program, producer, reduce);
  if (axes === null) return null;
  const extents = loopExtents(reduce);
  if (extents.some((n, v) => n > 1 && producer.extents[axes[v]] !== n) || sizeOf(extents) !== sizeOf(producer.extents)) return null;
  const real = (list: readonly number[]): number[] => list.filter((a) => a >= 0 && producer.extents[a] > 1);
  const outer = real(axes.slice(0, reduce.extents.length));
  const inner = real(axes.slice(reduce.extents.length));
  if (outer.length === 0 || inner.length === 0 || sizeAlong(outer, producer.extents) < fewestPoints || !staysClose(producer.extents, outer, inner)) return null;
  return { cut: 'points', members: [{ kernel: p, outer, inner }, memberOf(reduce, r)], own: [] };
}

/** A reduction (at position `kernel`) with all its axes, but those of size 1. */
function memberOf(reduce: ReduceKernel, kernel: number): Member {
  const wide = loopExtents(reduce).flatMap((n, v) => (n > 1 ? [v] : []));
  return { kernel, outer: wide.filter((v) => v < reduce.extents.length), inner: wide.filter((v) => v >= reduce.extents.length) };
}

/** `map` (at position m) as the last of a chain that ends in `reduce`, or null. */
function behindReduction(program: Program, reduce: ReduceKernel, map: MapKernel, m: number): Member | null {
  const made = new Set(reduce.stores.map((s) => s.tensor));
  const axes = readAxes(program, map.stores.map((s) => s.value), made, reduce.extents);
  // Part of the points, or points beyond them, would be cut otherwise than all of them.
  if (axes === null || axes.some((a, d) => reduce.extents[d] > 1 && map.extents[a] !== reduce.extents[d])) return null;
  const outer = axes.filter((_, d) => reduce.extents[d] > 1);
  const inner = map.extents.map((_, a) => a).filter((a) => map.extents[a] > 1 && !outer.includes(a));
  return outer.length > 0 && staysClose(map.extents, outer, inner) ? { kernel: m, outer, inner } : null;
}

/** Whether `member` looks only at its own points of what `maker`, an earlier kernel of its chain, makes. */
function keepsToItsPoints(program: Program, maker: Kernel, makers: Member, map: MapKernel, member: Member): boolean {
  const made = new Set(maker.stores.map((s) => s.tensor));
  let legal = true;
  for (const store of map.stores) {
    visit(store.value, (n) => {
      if (n.kind !== 'read' || !basesOf(program, n.tensor).some((b) => made.has(b.id))) return;
      if (!made.has(n.tensor) || program.tensors[n.tensor].shape.join() !== maker.extents.join()) { legal = false; return; }
      makers.outer.forEach((a, k) => { const at = n.at[a]; if (at.kind !== 'index' || at.axis !== member.outer[k]) legal = false; });
    });
  }
  return legal;
}

/** What the search for chains is told: the chains so far, the kernel that made a tensor, the launch of a kernel, and whether a product may follow what another made. */
export interface ChainSearch {
  readonly chains: ReadonlyMap<number, Chain>;
  readonly writer: (id: TensorId) => number | undefined;
  readonly launchOf: (kernel: number) => number;
  readonly mayFollow: (product: number, maker: number) => boolean;
}

/** The chain that a kernel may join as its last member. */
export function chainWith(program: Program, kernels: readonly Kernel[], at: number, { chains, writer, launchOf, mayFollow }: ChainSearch): Chain | null {
  const kernel = kernels[at];
  if (kernel.kind !== 'reduce' && kernel.kind !== 'map' && kernel.kind !== 'contract') return null;
  // What is stored by row is nobody's point.
  if (kernel.stores.some((s) => s.row !== undefined)) return null;
  const writers = new Set<number>();
  for (const id of tensorsRead(kernel)) {
    for (const b of basesOf(program, id)) {
      const w = writer(b.id);
      if (w !== undefined) writers.add(w);
    }
  }
  for (const w of [...writers].sort((a, b) => b - a)) {
    const before = kernels[w];
    const chain = chains.get(w);
    if (kernel.kind === 'reduce' && chain === undefined && before.kind === 'map') {
      const made = behindMap(program, before, w, kernel, at);
      if (made !== null) return made;
    }
    // Only the last of a chain of points has something behind it.
    const isLast = chain === undefined ? before.kind === 'reduce' && sizeOf(before.extents) >= fewestPoints : chain.cut === 'points' && chain.members[chain.members.length - 1].kernel === w;
    if (kernel.kind === 'map' && before.kind === 'reduce' && isLast) {
      const member = behindReduction(program, before, kernel, at);
      const members = chain?.members ?? [memberOf(before, w)];
      if (member !== null && members.every((m) => keepsToItsPoints(program, kernels[m.kernel], m, kernel, member))) return { cut: 'points', members: [...members, member], own: [] };
    }
  }
  // Behind all that it needs of the last launch that it needs.
  const last = Math.max(-1, ...[...writers].map(launchOf));
  const before = [...writers].filter((w) => launchOf(w) === last);
  if (before.length === 0 || before.some((w) => chains.get(w)?.cut === 'points' || (kernel.kind === 'contract' && !mayFollow(at, w)))) return null;
  return withSlicesOf(program, kernels, [...new Set(before.map((w) => chains.get(w) ?? w))], at);
}
