/**
 * How a chain on a GPU is dealt to workgroups: each does a block of neighbouring slices, all along the last of the chain's axes. Blocks are as
 * large as keeps a workgroup's threads busy with the largest member, and as small as leaves the GPU enough workgroups.
 */
import { sizeAlong, sizeOf } from '../tensor/program.js';
import type { Scalar } from '../tensor/scalar.js';
import { affineOf, visitReads } from '../tensor/scalar.js';
import { scalarsOf } from './draft.js';
import { loopExtents } from './inline-maps.js';
import type { Sliced } from './slices-of-task.js';

/** Threads of a workgroup that runs a chain, at most. */
export const workgroupThreads = 256;

/** Elements of the largest member for a workgroup: fewer leave threads idle, and blocks grow no further than to twice as many. */
const wantedElements = workgroupThreads;
/** Workgroups that fill a GPU, and elements for each below which fewer workgroups do. */
const fullGpu = 256;
const elementsOfGroup = 4096;
/** Rows of a product that a workgroup computes at a time, and how much of that its slices must fill. */
const tileRows = 64;
const goodPart = 0.75;
/** Neighbours in memory that come in one line. */
const lineElements = 8;
/** What is smaller than such a part of the largest member may come as it likes. */
const smallPart = 8;

/** How many slices there are along each of the chain's axes. */
export function sliceCounts({ kernel, member: { inner, grain = 1 } }: Sliced): readonly number[] {
  const extents = loopExtents(kernel);
  return inner.map((a, k) => (k === inner.length - 1 ? extents[a] / grain : extents[a]));
}

/** Slices of a workgroup, a divisor of the last axis of the chain; null when there are too few slices for their size, or a workgroup would take lines apart. */
export function slicesOfWorkgroup(links: readonly Sliced[]): number | null {
  const counts = sliceCounts(links[0]);
  const slices = sizeOf(counts);
  const length = counts[counts.length - 1];
  const most = Math.max(...links.map((l) => sizeOf(loopExtents(l.kernel))));
  const fewestGroups = Math.min(fullGpu, Math.max(...links.map(groupsByItself)));
  const least = links.some((l) => takesLinesApart(l, most / smallPart)) ? Math.min(length, lineElements) : 1;
  const rows = links.flatMap(({ kernel }) => (kernel.kind === 'contract' ? [sizeAlong([...kernel.batch, ...kernel.rows], kernel.extents) / slices] : []));
  let best: number | null = null;
  for (let block = least; block <= length && slices / block >= fewestGroups; block++) {
    if (length % block !== 0 || rows.some((n) => n * block < goodPart * tileRows * Math.ceil((n * block) / tileRows))) continue;
    if (best !== null && (most / slices) * block > 2 * wantedElements) break;
    best = block;
  }
  return best;
}

/** Workgroups that a kernel would keep busy by itself. */
function groupsByItself({ kernel }: Sliced): number {
  if (kernel.kind !== 'contract') return Math.ceil(sizeOf(loopExtents(kernel)) / elementsOfGroup);
  return Math.ceil(sizeAlong([...kernel.batch, ...kernel.rows], kernel.extents) / tileRows) * Math.ceil(sizeAlong(kernel.columns, kernel.extents) / tileRows);
}

/** The workgroups of a chain. */
export const workgroupsOf = (links: readonly Sliced[]): number => sizeOf(sliceCounts(links[0])) / (slicesOfWorkgroup(links) ?? 1);

/** Whether neighbouring slices of what a member reads or stores, having more than an element each and `least` in all, are neighbours in memory. */
function takesLinesApart({ kernel, member }: Sliced, least: number): boolean {
  if (member.grain !== undefined && member.grain > 1) return false;
  const extents = loopExtents(kernel);
  const slices = sizeAlong(member.inner, extents);
  const sliced = (axis: number): boolean => member.inner.includes(axis);
  if (sizeOf(kernel.extents) > Math.max(slices, least) && sliced(kernel.extents.findLastIndex((n) => n > 1))) return true;
  if (sizeOf(extents) <= Math.max(slices, least)) return false;
  let apart = false;
  const seen = new Set<Scalar>();
  for (const s of scalarsOf(kernel)) {
    visitReads(s, (n) => {
      const last = n.at.length === 0 ? null : affineOf(n.at[n.at.length - 1]);
      const others = n.at.some((a) => [...(affineOf(a)?.coefficients.keys() ?? [])].some((v) => !sliced(v) && extents[v] > 1));
      if (last !== null && others && [...last.coefficients.keys()].some(sliced)) apart = true;
    }, seen);
  }
  return apart;
}
