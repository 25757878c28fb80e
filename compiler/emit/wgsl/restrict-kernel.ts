/**
 * A kernel of a chain as a kernel of its own for one workgroup: it has the workgroup's slices only. Its indices along the slices are
 * those of the first slice, which are variables beyond the kernel's own (`bases`), plus what it counts itself. What the chain keeps in the
 * workgroup's memory it reads and stores by what it counts alone. All emitters write such a kernel as any other; `place` says where in a tensor
 * a point's results go.
 */
import type { Kernel, Member } from '../../fuse/kernel.js';
import { mapScalars } from '../../fuse/draft.js';
import { loopExtents } from '../../fuse/inline-maps.js';
import type { Scalar, TensorId } from '../../tensor/scalar.js';
import { add, index, int, mul, read, rewriteReads, substitute } from '../../tensor/scalar.js';
import { pointOf } from './contract-shape.js';

export interface RestrictedKernel {
  readonly kernel: Kernel;
  /** Variables for the first slice along each axis of the chain, the last in blocks, and how many values each has. */
  readonly bases: readonly { readonly axis: number; readonly size: number }[];
  /** Where a point lies in what the kernel stores to memory. */
  readonly place: Scalar;
}

/** So many slices of a kernel; `slicesOfOwn` gives the axes of slices of a tensor that the chain keeps for itself. */
export function restrictKernel(kernel: Kernel, { inner, grain = 1 }: Member, slices: number, slicesOfOwn: ReadonlyMap<TensorId, readonly number[]>): RestrictedKernel {
  const extents = loopExtents(kernel);
  const last = inner[inner.length - 1];
  const block = slices * grain;
  const bases = inner.map((v, k) => ({ axis: extents.length + k, size: v === last ? extents[v] / block : extents[v] }));
  /** Stands for a slice as the workgroup counts it, until indices are moved. */
  const counted = extents.length + inner.length;
  const moved = (v: number): Scalar => {
    if (v === counted) return block === 1 ? int(0) : index(last);
    const k = inner.indexOf(v);
    if (k < 0) return index(v);
    return v === last && block > 1 ? add(mul(index(bases[k].axis), int(block)), index(v)) : index(bases[k].axis);
  };
  /** An index along the last axis of slices, counted from the workgroup's first. */
  const withinBlock = (at: Scalar): Scalar => substitute(at, (v) => (v === last ? index(counted) : index(v)), within);
  const [marks, moves, within] = [new Map<Scalar, Scalar>(), new Map<Scalar, Scalar>(), new Map<Scalar, Scalar>()];
  const inside = (s: Scalar): Scalar => rewriteReads(s, (n) => {
    const own = slicesOfOwn.get(n.tensor);
    if (own === undefined) return n;
    const ofBlock = own[own.length - 1];
    return read(n.tensor, n.at.map((a, d) => (d === ofBlock ? withinBlock(a) : own.includes(d) ? int(0) : a)), n.type, n.otherwise);
  }, marks);
  const restricted = mapScalars(kernel, (s) => substitute(inside(s), moved, moves));
  const counts = (n: number, v: number): number => (v === last ? block : inner.includes(v) ? 1 : n);
  return { kernel: { ...restricted, extents: kernel.extents.map(counts) }, bases, place: substitute(pointOf(kernel.extents), moved, moves) };
}
