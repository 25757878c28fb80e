/**
 * What a term does with the examples of a batch: does it compare them with each other, or with those of a memory, one by one (the
 * score of every pair of rows), or does it only look at sums over all of them (a variance, a covariance)? Read off the graph: a pair
 * is an element made of two rows whose numbers are different index variables. What is computed in `stop` is a target and does not count.
 */
import type { ObjectivesProgram } from '../lower/collapse-program.js';
import type { Tensor } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { followExamples, positionOf, readsIn } from './coupling.js';
import { reachedFrom } from './dependencies.js';

/** `unclear` where rows were laid out anew, so that their numbers cannot be followed. */
export type Comparing = 'pairs' | 'sums' | 'unclear';

export function comparedExamples(p: ObjectivesProgram): (term: TensorId) => Comparing {
  const { tensors } = p.program;
  const { dependence } = followExamples(p);
  const remembered = rememberedRows(tensors);
  return (term) => {
    let unclear = false;
    for (const id of reachedFrom(tensors, term).live) {
      const t = tensors[id];
      if (t.kind === 'source') continue;
      if (t.kind !== 'comprehension') {
        const parts = t.kind === 'window' ? [t.of] : t.kind === 'pack' ? t.parts : t.inputs;
        unclear ||= dependence[id].own === null && parts.some((x) => dependence[x].own !== null);
        continue;
      }
      const reads = readsIn(t.body);
      const places = reads.flatMap((r) => { const { own } = dependence[r.tensor]; return own === null ? [] : [rowAt(r.at[own.axis], own.shift, p.batch)]; });
      const known = new Set(places.filter((x) => x !== 'unclear' && x !== null));
      const kept = reads.flatMap((r) => { const axis = remembered[r.tensor]; const at = axis === null ? null : r.at[axis]; return at?.kind === 'index' ? [`${at.axis} 0`] : []; });
      if (known.size > 1 || (known.size === 1 && kept.some((x) => !known.has(x)))) return 'pairs';
      unclear ||= places.includes('unclear');
    }
    return unclear ? 'unclear' : 'sums';
  };
}

/** Which row an index means: one name for each index variable and shift, null for a fixed row. */
function rowAt(at: Scalar, shift: number, batch: number): string | 'unclear' | null {
  const position = positionOf(at, batch);
  if (position !== null) return `${position.axis} ${(position.shift + shift) % batch}`;
  return at.kind === 'const' ? null : 'unclear';
}

/** Of every tensor the axis along which it has the rows of a memory; null where it has none. */
function rememberedRows(tensors: readonly Tensor[]): readonly (number | null)[] {
  const axes: (number | null)[] = [];
  for (const t of tensors) {
    const found = t.kind !== 'comprehension' ? [] : readsIn(t.body).flatMap((r) => {
      const axis = axes[r.tensor];
      const at = axis === null ? null : r.at[axis];
      return at?.kind === 'index' && at.axis < t.shape.length ? [at.axis] : [];
    });
    axes.push(t.kind === 'source' ? (t.name.startsWith('memory.') ? 0 : null) : found.at(0) ?? null);
  }
  return axes;
}
