/**
 * Which tensors hold a row for every example of a batch, computed from that example alone, and which mix examples. A tensor has
 * rows along axis p when every read of another tensor with rows is at the same position of the batch, and nothing else in it
 * depends on that position. It is `coupled` when a row needs other rows: a sum over the batch, a comparison of all pairs.
 */
import type { ProgramBuilder } from './builder.js';
import type { Routine, Tensor } from './program.js';
import { routineKeepsAxis, sizeOf } from './program.js';
import type { Scalar } from './scalar.js';
import { operands } from './scalar.js';

/** `axis`: of the tensor, or the index variable of a scalar. */
export type Coupling =
  | { readonly kind: 'independent' }
  | { readonly kind: 'rows'; readonly axis: number }
  | { readonly kind: 'coupled' };

const independent: Coupling = { kind: 'independent' };
const coupled: Coupling = { kind: 'coupled' };

export interface CouplingAnalysis {
  /** How a scalar over tensors made so far depends on the batch; the axis is an index variable. */
  readonly scalar: (s: Scalar) => Coupling;
}

/** `rows` says which sources have an example along their first axis. The program may grow between questions. */
export function analyseCoupling(builder: ProgramBuilder, rows: (source: Extract<Tensor, { kind: 'source' }>) => boolean): CouplingAnalysis {
  const known: Coupling[] = [];
  const of = (tensor: Tensor): Coupling => {
    switch (tensor.kind) {
      case 'source': return rows(tensor) ? { kind: 'rows', axis: 0 } : independent;
      case 'window': {
        const whole = known[tensor.of];
        if (whole.kind !== 'rows') return whole;
        const { shape } = builder.tensor(tensor.of);
        // A reshape that leaves the examples where they are.
        const kept = whole.axis === 0 && tensor.offset === 0 && shape[0] === tensor.shape[0] && sizeOf(shape) === sizeOf(tensor.shape);
        return kept ? whole : coupled;
      }
      case 'pack': return tensor.parts.some((p) => known[p].kind !== 'independent') ? coupled : independent;
      case 'routine': return ofRoutine(tensor, tensor.inputs.map((i) => known[i]));
      case 'comprehension': {
        const found = scalar(tensor.body);
        return found.kind === 'rows' && found.axis >= tensor.shape.length ? coupled : found;
      }
    }
  };
  const update = (): void => { for (let id = known.length; id < builder.tensors.length; id++) known.push(of(builder.tensors[id])); };
  const scalar = (s: Scalar): Coupling => {
    let axis: number | null = null;
    let mixes = false;
    const seen = new Set<Scalar>();
    const elsewhere = new Set<number>();
    const visit = (x: Scalar): void => {
      if (seen.has(x) || mixes) return;
      seen.add(x);
      if (x.kind === 'index') elsewhere.add(x.axis);
      if (x.kind !== 'read') return operands(x).forEach(visit);
      const read = known[x.tensor];
      if (x.otherwise !== null) visit(x.otherwise);
      if (read.kind === 'coupled') mixes = true;
      x.at.forEach((i, k) => {
        if (read.kind !== 'rows' || k !== read.axis) return visit(i);
        if (i.kind !== 'index' || (axis !== null && axis !== i.axis)) mixes = true;
        else axis = i.axis;
      });
    };
    visit(s);
    if (mixes) return coupled;
    if (axis === null) return independent;
    return elsewhere.has(axis) ? coupled : { kind: 'rows', axis };
  };
  return { scalar: (s) => { update(); return scalar(s); } };
}

/** Rows stay rows where the routine keeps them apart in every input that has them. */
function ofRoutine(routine: Routine, inputs: readonly Coupling[]): Coupling {
  let found: Coupling = independent;
  for (const [k, c] of inputs.entries()) {
    if (c.kind === 'independent') continue;
    if (c.kind === 'coupled' || !routineKeepsAxis(routine, c.axis, k) || (found.kind === 'rows' && found.axis !== c.axis)) return coupled;
    found = c;
  }
  return found;
}
