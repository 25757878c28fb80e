/**
 * Chains on GPUs. Workgroups of a dispatch cannot hand each other data, but a workgroup can read behind a barrier what it has stored
 * itself. So kernels that keep to their slices, examples of a batch or rows of a matrix, follow one another in a workgroup that does some
 * slices of each:
 *
 *     for each workgroup: crop and flip its image; the mean of that; colours about the mean; blur
 *
 * What lies between and nobody else reads is in the workgroup's memory (`workgroup-memory.ts`) and never moved; where there is no room for it, a
 * chain ends and another begins. A chain needs slices enough for a GPU, and none of its kernels sums over them: that would be a result of many
 * workgroups.
 */
import { cacheBytes, groupsAtATime } from '../plan/cache.js';
import { bytesOf, sizeOf } from '../tensor/program.js';
import type { Program } from '../tensor/program.js';
import type { ReadScalar, Scalar, TensorId } from '../tensor/scalar.js';
import { affineOf, visitReads } from '../tensor/scalar.js';
import { basesOf, readersOf, scalarsOf, tensorsRead, tensorsTouched } from './draft.js';
import type { FuseContext } from './draft.js';
import type { ChainSearch } from './find-chains.js';
import { loopExtents } from './inline-maps.js';
import type { Chain, Kernel, Member } from './kernel.js';
import type { Sliced } from './slices-of-task.js';
import { tensorsOfMembers, placeOwn } from './workgroup-memory.js';
import { slicesOfWorkgroup, workgroupThreads, workgroupsOf } from './workgroup-slices.js';

/** What kernels need of a workgroup's memory beside what the chain keeps there: states of reductions that threads merge, and tiles of products. */
const bytesOfReductions = 8192;
const bytesOfProducts = 16384;

/** What of a tensor a workgroup may have in its own memory. */
const ownBytes = 12288;

/** Small tensors are bound together, those that outlive a run and the others. */
const smallElements = 1 << 14;
const bindingsOfSmall = 2;

/** More kernels than this make a module that compiles slowly. */
const mostMembers = 32;

const isWide = (n: number): boolean => n > 1;

/** Whether a workgroup can do slices of the kernel, where products may have units that multiply `matrices`. */
function canBeSliced(program: Program, kernel: Kernel, matrices: boolean): boolean {
  return (kernel.kind === 'map' || kernel.kind === 'reduce' || (kernel.kind === 'contract' && kernel.half !== true && !matrices)) && sizeOf(kernel.extents) > 0 && kernel.stores.every((s) => s.row === undefined && program.tensors[s.tensor].element !== 'u8');
}

/** The chain that a kernel may join as its last member. */
export function workgroupChainWith(program: Program, kernels: readonly Kernel[], at: number, { chains, writer, launchOf }: Pick<ChainSearch, 'chains' | 'writer' | 'launchOf'>, { maxBindings, workgroup }: FuseContext): Chain | null {
  const kernel = kernels[at];
  if (workgroup === undefined || workgroup.threads < workgroupThreads || !canBeSliced(program, kernel, workgroup.matrices)) return null;
  const writers = new Set([...tensorsRead(kernel)].flatMap((id) => basesOf(program, id).flatMap((b) => writer(b.id) ?? [])));
  const last = Math.max(-1, ...[...writers].map(launchOf));
  const makers = new Set([...writers].filter((w) => launchOf(w) === last).map((w) => chains.get(w) ?? w));
  const members = [...makers].flatMap((m): readonly Member[] => (typeof m === 'number' ? [{ kernel: m, outer: [], inner: firstSlices(kernels[m], kernels[m].extents.flatMap((n, a) => (isWide(n) ? [a] : []))) }] : m.members));
  if (members.length === 0 || members.length >= mostMembers || members.some((m) => !canBeSliced(program, kernels[m.kernel], workgroup.matrices))) return null;
  const slices = slicesRead(program, kernels, members, kernel);
  const joined: readonly Member[] = [...members, { kernel: at, outer: [], inner: firstSlices(kernel, slices.map((v) => v.variable)) }].sort((a, b) => a.kernel - b.kernel);
  const beside = kernel.kind === 'contract' ? productsBeside(program, kernels, members, at, { launchOf, writer }) : [];
  for (let length = Math.min(...[...joined, ...beside].map((m) => m.inner.length)); length > 0; length--) {
    const all = withLength(kernels, [...joined, ...beside], length);
    if (all === null || slicesOfWorkgroup(linksOf(kernels, all)) === null || !staysNear(program, kernels, all, launchOf)) continue;
    const next = all.slice(0, joined.length);
    if (slicesOfWorkgroup(linksOf(kernels, next)) === null) continue;
    return largeOutside(program, kernels, next, launchOf) <= maxBindings - bindingsOfSmall ? { cut: 'workgroups', members: next, own: [] } : null;
  }
  return null;
}

const linksOf = (kernels: readonly Kernel[], members: readonly Member[]): readonly Sliced[] => members.map((member) => ({ kernel: kernels[member.kernel], member }));

/** Members cut along the first of their axes, with as many slices along the last of these as the member has that sees fewest; null where that divides another's unevenly. */
function withLength(kernels: readonly Kernel[], members: readonly Member[], length: number): readonly Member[] | null {
  const countOf = ({ kernel, inner, grain = 1 }: Member): number => loopExtents(kernels[kernel])[inner[length - 1]] / (length === inner.length ? grain : 1);
  const count = Math.min(...members.map(countOf));
  const next = members.map(({ kernel, inner }): Member => ({ kernel, outer: [], inner: inner.slice(0, length), grain: loopExtents(kernels[kernel])[inner[length - 1]] / count }));
  return next.every((m) => Number.isInteger(m.grain)) ? next : null;
}

/** Other products that could run now and follow the same members, the phases of a gradient for instance: apart from one another they would take a launch more. */
function productsBeside(program: Program, kernels: readonly Kernel[], members: readonly Member[], at: number, { launchOf, writer }: Pick<ChainSearch, 'launchOf' | 'writer'>): readonly Member[] {
  const made = new Set(members.flatMap((m) => kernels[m.kernel].stores.map((s) => s.tensor)));
  return kernels.flatMap((k, i): readonly Member[] => {
    if (k.kind !== 'contract' || i === at || launchOf(i) >= 0) return [];
    const bases = [...tensorsRead(k)].flatMap((id) => basesOf(program, id));
    if (!bases.some((b) => made.has(b.id)) || bases.some((b) => b.kind !== 'source' && writer(b.id) === undefined)) return [];
    const inner = firstSlices(k, slicesRead(program, kernels, members, k).map((v) => v.variable));
    const member: Member = { kernel: i, outer: [], inner };
    const all = inner.length === 0 ? null : withLength(kernels, [...members, member], Math.min(inner.length, ...members.map((m) => m.inner.length)));
    return all === null || slicesOfWorkgroup(linksOf(kernels, all)) === null ? [] : [member];
  });
}

/**
 * The variables of `reader` that stand where the members' axes are, in every read of what a member made: as many of the first ones as all
 * reads agree on. The last may go in steps over what the reader sums: where it reads x[4 i + r] and r is below 4, four of x are a slice.
 */
function slicesRead(program: Program, kernels: readonly Kernel[], members: readonly Member[], reader: Kernel): readonly SliceRead[] {
  const makers = new Map(members.flatMap((m) => kernels[m.kernel].stores.map((s) => [s.tensor, m] as const)));
  const extents = loopExtents(reader);
  let found: readonly SliceRead[] | null = null;
  const seen = new Set<Scalar>();
  const look = (n: ReadScalar): void => {
    for (const base of basesOf(program, n.tensor)) {
      const member = makers.get(base.id);
      if (member === undefined) continue;
      const maker = kernels[member.kernel];
      const tensor = program.tensors[n.tensor];
      // A window of all of it has the same first axes, as far as their sizes are the same.
      const same = n.tensor === base.id || (tensor.kind === 'window' && tensor.of === base.id && tensor.offset === 0);
      const here: SliceRead[] = [];
      for (const axis of same && base.shape.join() === maker.extents.join() ? member.inner : []) {
        if (here.some((v) => v.step > 1) || maker.extents.slice(0, axis + 1).some((size, d) => size !== tensor.shape[d])) break;
        const read = sliceAt(n.at[axis], maker.extents[axis], extents, reader.extents.length);
        if (read === null || here.some((v) => v.variable === read.variable)) break;
        here.push(read);
      }
      const agreed = found?.findIndex((v, i) => v.variable !== here.at(i)?.variable || v.step !== here.at(i)?.step) ?? -1;
      found = found === null ? here : agreed < 0 ? found : found.slice(0, agreed);
    }
  };
  for (const s of scalarsOf(reader)) visitReads(s, look, seen);
  return found ?? [];
}

interface SliceRead {
  readonly variable: number;
  readonly step: number;
}

/** The parallel variable that an index runs along an axis with, over all of it, by itself or in steps with what is summed. */
function sliceAt(at: Scalar, size: number, extents: readonly number[], parallel: number): SliceRead | null {
  const form = affineOf(at);
  if (form === null || form.constant !== 0) return null;
  const [coarse, fine, ...more] = [...form.coefficients].sort(([, a], [, b]) => b - a);
  if (coarse === undefined || more.length > 0) return null;
  const [variable, step] = coarse;
  const inSteps = fine === undefined ? step === 1 : fine[1] === 1 && fine[0] >= parallel && extents[fine[0]] === step;
  return variable < parallel && inSteps && extents[variable] * step === size ? { variable, step } : null;
}

/** As many of the first axes as a workgroup can have slices along: it has all columns of a product. */
function firstSlices(kernel: Kernel, axes: readonly number[]): readonly number[] {
  if (kernel.kind !== 'contract') return axes;
  const column = axes.findIndex((a) => kernel.columns.includes(a));
  return column < 0 ? axes : axes.slice(0, column);
}

/** Whether what the workgroups that run at a time touch stays in the cache from one member to the next, where there are products; what will be in a workgroup's own memory aside. */
function staysNear(program: Program, kernels: readonly Kernel[], members: readonly Member[], launchOf: (kernel: number) => number): boolean {
  if (members.every((m) => kernels[m.kernel].kind !== 'contract')) return true;
  const groups = workgroupsOf(linksOf(kernels, members));
  const inside = new Set(members.map((m) => m.kernel));
  const made = new Set(members.flatMap((m) => kernels[m.kernel].stores.map((s) => s.tensor)));
  const outside = new Set<TensorId>();
  kernels.forEach((k, i) => { if (!inside.has(i) && launchOf(i) >= 0) for (const id of tensorsRead(k)) outside.add(id); });
  let bytes = 0;
  for (const id of new Set(members.flatMap((m) => [...tensorsTouched(kernels[m.kernel])]))) {
    const share = (sizeOf(program.tensors[id].shape) * bytesOf(program.tensors[id].element)) / groups;
    if (!made.has(id) || outside.has(id) || share > ownBytes) bytes += share;
  }
  return bytes * groupsAtATime <= cacheBytes;
}

/** Large tensors that members touch, without those that only members read so far. */
function largeOutside(program: Program, kernels: readonly Kernel[], members: readonly Member[], launchOf: (kernel: number) => number): number {
  const inside = new Set(members.map((m) => m.kernel));
  const made = new Set(members.flatMap((m) => kernels[m.kernel].stores.map((s) => s.tensor)));
  const outside = new Set<TensorId>();
  kernels.forEach((k, i) => { if (!inside.has(i) && launchOf(i) >= 0) for (const id of tensorsRead(k)) outside.add(id); });
  const touched = new Set(members.flatMap((m) => [...tensorsTouched(kernels[m.kernel])]));
  return [...touched].filter((id) => (!made.has(id) || outside.has(id)) && sizeOf(program.tensors[id].shape) > smallElements).length;
}

/** The chains with what each keeps in its workgroups' memory; or the kernels that must not follow, because there is no room for what they would follow. */
export function withWorkgroupMemory(program: Program, kernels: readonly Kernel[], chains: readonly Chain[], bytes: number): { readonly chains: readonly Chain[] } | { readonly apart: readonly number[] } {
  const readers = readersOf(kernels);
  const fits = (members: readonly Member[]): readonly TensorId[] | null => {
    const own = tensorsOfMembers(program, kernels, members, readers);
    const others = members.some((m) => kernels[m.kernel].kind === 'contract') ? bytesOfProducts : bytesOfReductions;
    return 4 * placeOwn(own, kernels, members).words <= Math.max(0, bytes - others) ? own : null;
  };
  const apart: number[] = [];
  const placed = chains.map((chain): Chain => {
    const own = fits(chain.members);
    if (own !== null) return { ...chain, own };
    let length = chain.members.length - 1;
    while (length > 1 && fits(chain.members.slice(0, length)) === null) length--;
    apart.push(chain.members[length].kernel);
    return chain;
  });
  return apart.length === 0 ? { chains: placed } : { apart };
}
