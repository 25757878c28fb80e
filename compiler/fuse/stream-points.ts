/** Few elements of a product that is not in memory: each is computed by a small reduction of its own. */
import type { Program } from '../tensor/program.js';
import { sizeAlong, sizeOf } from '../tensor/program.js';
import { rangeOf } from '../tensor/ranges.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { binary, index, indexVariables, int, mul, read, rewrite, substitute } from '../tensor/scalar.js';
import { appendTensor, mapScalars, mergeOrigins } from './draft.js';
import { loopExtents } from './inline-maps.js';
import type { ContractKernel, Kernel } from './kernel.js';

type Read = Extract<Scalar, { kind: 'read' }>;

export interface Points {
  readonly program: Program;
  /** The user, reading the points' own tensors. */
  readonly user: Kernel;
  readonly added: readonly Kernel[];
}

/** Replaces the user's reads of the product at few points; null when such a read is guarded. */
export function rematerializePoints(program: Program, product: ContractKernel, user: Kernel): Points | null {
  const matrix = product.stores[0].tensor;
  const { shape } = program.tensors[matrix];
  const extents = loopExtents(user);
  const most = sizeAlong(product.batch, shape) * Math.max(sizeAlong(product.rows, shape), sizeAlong(product.columns, shape));
  const known = new Map<string, TensorId>();
  const added: Kernel[] = [];
  let current = program;
  let guarded = false;
  const replace = (s: Scalar): Scalar => {
    if (s.kind !== 'read' || s.tensor !== matrix) return s;
    const variables = [...new Set(s.at.flatMap((i) => [...indexVariables(i)]))].sort((a, b) => a - b);
    const isStream = s.at.every((i) => i.kind === 'index') && variables.length === s.at.length;
    if (isStream || sizeAlong(variables, extents) > most) return s;
    if (s.otherwise !== null) guarded = true;
    const key = JSON.stringify(s.at);
    let points = known.get(key);
    if (points === undefined) {
      const made = pointsKernel(current, product, s, variables, extents);
      current = made.program;
      points = made.id;
      known.set(key, points);
      added.push(made.kernel);
    }
    return read(points, variables.map(index), 'f32');
  };
  const rewritten = mapScalars(user, (s) => rewrite(s, replace));
  return guarded ? null : { program: current, user: added.length > 0 ? rewritten : user, added };
}

function pointsKernel(program: Program, product: ContractKernel, at: Read, variables: readonly number[], extents: readonly number[]): { readonly program: Program; readonly id: TensorId; readonly kernel: Kernel } {
  const matrix = program.tensors[product.stores[0].tensor];
  const rank = product.extents.length;
  const own = (s: Scalar): Scalar => substitute(s, (v) => index(variables.indexOf(v)));
  const clamped = at.at.map((i, axis) => {
    const range = rangeOf(i, (v) => extents[v]);
    const inside = range.low >= 0 && range.high < matrix.shape[axis];
    return own(inside ? i : binary('min', binary('max', i, int(0)), int(matrix.shape[axis] - 1)));
  });
  const place = (s: Scalar): Scalar => substitute(s, (v) => (v < rank ? clamped[v] : index(variables.length + v - rank)));
  const shape = variables.map((v) => extents[v]);
  const body = place(mul(product.left, product.right));
  const origin = { span: matrix.origin.span, name: `${matrix.origin.name} at ${sizeOf(shape)} points` };
  const next = appendTensor(program, (id) => ({ kind: 'comprehension', id, element: 'f32', shape, reduce: { op: 'sum', extents: product.reduceExtents }, body, origin }));
  const kernel: Kernel = {
    kind: 'reduce', name: '', origins: mergeOrigins(product.origins, [origin]), extents: shape, reduceExtents: product.reduceExtents,
    reductions: [{ op: 'sum', body }], stores: [{ tensor: next.id, value: place(product.stores[0].value) }],
  };
  return { program: next.program, id: next.id, kernel };
}
