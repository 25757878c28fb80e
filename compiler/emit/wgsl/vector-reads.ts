/**
 * Which tensors a product may read four elements at a time. A staged vector is four neighbouring rows, or steps, of an operand; where
 * they are four neighbouring elements in memory that start at a multiple of four, one load gets them all. The tensor's binding is then
 * an array of vectors, so nothing else in the kernel may read or write it.
 */
import type { ContractKernel } from '../../fuse/kernel.js';
import { loopExtents } from '../../fuse/inline-maps.js';
import type { Scalar, TensorId } from '../../tensor/scalar.js';
import { affineOf, visit } from '../../tensor/scalar.js';
import type { TensorAccess } from './bindings.js';
import { rangeOf } from './ranges.js';

type Read = Extract<Scalar, { kind: 'read' }>;

/** An operand, and the variable along which its vectors lie. */
export interface VectorOperand {
  readonly scalar: Scalar;
  readonly axis: number | undefined;
}

export function vectorReads(kernel: ContractKernel, operands: readonly VectorOperand[], access: ReadonlyMap<TensorId, TensorAccess>): ReadonlySet<TensorId> {
  const extents = loopExtents(kernel);
  const readsIn = (roots: readonly Scalar[]): readonly Read[] => {
    const found: Read[] = [];
    const seen = new Set<Scalar>();
    for (const root of roots) visit(root, (s) => { if (s.kind === 'read') found.push(s); }, seen);
    return found;
  };
  const byOperand = operands.map((o) => readsIn([o.scalar]));
  const elsewhere = new Set([...readsIn(kernel.stores.map((s) => s.value)).map((r) => r.tensor), ...kernel.stores.map((s) => s.tensor)]);
  const shared = (id: TensorId): boolean => [...access].some(([other, a]) => other !== id && a.binding === access.get(id)?.binding);
  const inVectors = (read: Read, axis: number | undefined): boolean => {
    const to = access.get(read.tensor);
    if (to === undefined || to.oneByOne === true || axis === undefined || extents[axis] % 4 !== 0 || to.base % 4 !== 0 || (to.element !== 'f32' && to.element !== 'f16') || to.binding.type !== to.element) return false;
    const forms = read.at.map(affineOf);
    const last = forms.at(-1);
    const size = to.shape.at(-1);
    if (last === undefined || last === null || size === undefined || size % 4 !== 0 || forms.some((f) => f === null) || last.constant % 4 !== 0) return false;
    if ([...last.coefficients.keys()].some((a) => a >= extents.length)) return false;
    const range = rangeOf(read.at[read.at.length - 1], (a) => ({ low: 0, high: (extents[a] ?? 1) - 1 }));
    return range.low >= 0 && range.high < size && [...last.coefficients].every(([a, c]) => (a === axis ? c === 1 : c % 4 === 0)) && last.coefficients.has(axis)
      && forms.slice(0, -1).every((f) => f?.coefficients.has(axis) === false);
  };
  const found = new Set<TensorId>();
  byOperand.forEach((reads, o) => {
    for (const id of new Set(reads.map((r) => r.tensor))) {
      const alone = !elsewhere.has(id) && !shared(id) && byOperand.every((other, p) => p === o || other.every((r) => r.tensor !== id));
      if (alone && reads.every((r) => r.tensor !== id || inVectors(r, operands[o].axis))) found.add(id);
    }
  });
  return found;
}
