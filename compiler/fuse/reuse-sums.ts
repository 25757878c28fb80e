/**
 * A sum over several axes whose inner sum exists already: sum over d and j of a(i, d) p(i, j) v(j, d) is the sum over d
 * of a(i, d) y(i, d), where y(i, d) is the sum over j of p(i, j) v(j, d). The gradient of a softmax's total is such a sum, and y what
 * attention gave: the matrix p is not needed for it. One of the factors may be a sum itself, g(i, j) = sum over d of a(i, d) v(j, d),
 * and maps are seen through: what one kernel reads from memory, another may compute on the spot.
 */
import type { Program } from '../tensor/program.js';
import { sizeOf } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { index, int, operands, read, substitute } from '../tensor/scalar.js';
import { labelOf } from '../tensor/structure.js';
import type { Draft } from './draft.js';
import { tensorsRead } from './draft.js';
import type { Kernel, ReduceKernel } from './kernel.js';
import { orderKernels } from './schedule-kernels.js';
import type { Factor } from './split-product.js';
import { assemble, factorsOf } from './split-product.js';

/** A sum whose result is stored as it is. */
interface Known {
  readonly kernel: ReduceKernel;
  readonly tensor: TensorId;
  readonly factors: readonly Factor[];
}

/** Works on kernels as they come from comprehensions: one store, one reduction, whose result is stored as it is. */
export function reuseSums(draft: Draft): Draft {
  const makers = new Map<TensorId, Known>();
  const bodies = new Map<TensorId, Scalar>();
  const byTensor = new Map<TensorId, Known[]>();
  for (const kernel of draft.kernels) {
    if (kernel.kind === 'map' && isWhole(draft.program, kernel)) bodies.set(kernel.stores[0].tensor, kernel.stores[0].value);
    const known = knownOf(draft.program, kernel);
    if (known === null) continue;
    makers.set(known.tensor, known);
    for (const t of tensorsRead(kernel)) byTensor.set(t, [...(byTensor.get(t) ?? []), known]);
  }
  const shorten = (kernel: Kernel): Kernel => {
    const sum = sumOf(kernel);
    if (sum === null) return kernel;
    for (const { whole, without } of [{ whole: sum, without: null }, ...expansionsOf(sum, makers)]) {
      if (whole.reduceExtents.length < 2) continue;
      for (const known of new Set([...tensorsRead(whole)].flatMap((t) => byTensor.get(t) ?? []))) {
        // What a tensor is made of has smaller numbers: a sum with a smaller one cannot need this sum.
        if (known === without || known.tensor >= sum.stores[0].tensor) continue;
        const shorter = withInnerSum(whole, known, bodies);
        if (shorter !== null && sizeOf(shorter.reduceExtents) <= sizeOf(sum.reduceExtents)) return shorter;
      }
    }
    return kernel;
  };
  const kernels = draft.kernels.map(shorten);
  return kernels.every((k, i) => k === draft.kernels[i]) ? draft : { ...draft, kernels: orderKernels(draft.program, kernels) };
}

/** The sum with one factor, itself a sum, written out: its axes are summed over too. `without` is that factor's sum. */
function expansionsOf(sum: ReduceKernel, makers: ReadonlyMap<TensorId, Known>): readonly { readonly whole: ReduceKernel; readonly without: Known }[] {
  const factors = factorsOf(sum.reductions[0].body);
  const count = sum.extents.length + sum.reduceExtents.length;
  return factors.flatMap(({ value, role }, position) => {
    const made = value.kind === 'read' && value.otherwise === null && role === 'multiply' ? makers.get(value.tensor) : undefined;
    if (made === undefined || value.kind !== 'read') return [];
    const { at } = value;
    const body = substitute(made.kernel.reductions[0].body, (v) => (v < at.length ? at[v] : index(count + v - at.length)));
    const expanded = assemble([...factors.filter((_, i) => i !== position), ...factorsOf(body)]);
    const reduceExtents = [...sum.reduceExtents, ...made.kernel.reduceExtents];
    return [{ whole: { ...sum, reduceExtents, reductions: [{ op: 'sum', body: expanded }] }, without: made }];
  });
}

function sumOf(kernel: Kernel): ReduceKernel | null {
  return kernel.kind === 'reduce' && kernel.reductions[0].op === 'sum' && kernel.reductions[0].body.type === 'f32' ? kernel : null;
}

function knownOf(program: Program, kernel: Kernel): Known | null {
  const sum = sumOf(kernel);
  if (sum === null || !isWhole(program, sum)) return null;
  const factors = factorsOf(sum.reductions[0].body);
  return factors.length < 2 ? null : { kernel: sum, tensor: sum.stores[0].tensor, factors };
}

/** Whether a kernel's points are its result's elements. */
function isWhole(program: Program, kernel: Kernel): boolean {
  return program.tensors[kernel.stores[0].tensor].shape.join() === kernel.extents.join();
}

/** The sum over fewer axes that reads the known one, or null when that is no part of it. */
function withInnerSum(sum: ReduceKernel, known: Known, bodies: Bodies): ReduceKernel | null {
  const p = sum.extents.length;
  const q = known.kernel.extents.length;
  const extents = [...sum.extents, ...sum.reduceExtents];
  const factors = factorsOf(sum.reductions[0].body);
  const found = matchFactors(known.factors, factors, bodies);
  if (found === null) return null;
  const knownExtents = [...known.kernel.extents, ...known.kernel.reduceExtents];
  const images = knownExtents.map((_, v) => found.variables.get(v));
  // Axes of size 1 may have vanished from the scalars.
  if (images.some((image, v) => (image === undefined ? knownExtents[v] !== 1 : extents[image] !== knownExtents[v]))) return null;
  const gone = new Set(images.slice(q).filter((v) => v !== undefined));
  if (gone.size === 0 || [...gone].some((v) => v < p) || gone.size === sum.reduceExtents.length) return null;
  const rest = factors.filter((_, i) => !found.used.has(i));
  if (rest.some((f) => [...f.variables].some((v) => gone.has(v)))) return null;
  const inner = read(known.tensor, images.slice(0, q).map((v) => (v === undefined ? int(0) : index(v))), 'f32');
  const left = extents.map((_, v) => v).filter((v) => !gone.has(v));
  const body = substitute(assemble([...rest, ...factorsOf(inner)]), (v) => index(left.indexOf(v)));
  return { ...sum, reduceExtents: left.slice(p).map((v) => extents[v]), reductions: [{ op: 'sum', body }] };
}

interface Match {
  readonly variables: ReadonlyMap<number, number>;
  /** Positions of the factors that were matched. */
  readonly used: ReadonlySet<number>;
}

/** What maps compute for each point, by their results. */
type Bodies = ReadonlyMap<TensorId, Scalar>;

/** Finds every known factor among the others under one renaming of variables, beside those found already. */
function matchFactors(known: readonly Factor[], among: readonly Factor[], bodies: Bodies, found: Match = { variables: new Map(), used: new Set() }): Match | null {
  const next = found.used.size;
  if (next === known.length) return found;
  for (let i = 0; i < among.length; i++) {
    if (found.used.has(i) || among[i].role !== known[next].role) continue;
    const variables = new Map(found.variables);
    if (!matchScalar(known[next].value, among[i].value, variables, bodies)) continue;
    const all = matchFactors(known, among, bodies, { variables, used: new Set([...found.used, i]) });
    if (all !== null) return all;
  }
  return null;
}

/** Whether `a` is `b` with its variables renamed, one to one; extends the renaming. */
function matchScalar(a: Scalar, b: Scalar, variables: Map<number, number>, bodies: Bodies): boolean {
  if (a.kind === 'index' && b.kind === 'index') {
    const image = variables.get(a.axis);
    if (image !== undefined) return image === b.axis;
    if ([...variables.values()].includes(b.axis)) return false;
    variables.set(a.axis, b.axis);
    return true;
  }
  if (labelOf(a) !== labelOf(b)) {
    const [inA, inB] = [bodyOf(a, bodies), bodyOf(b, bodies)];
    return inA !== null ? matchScalar(inA, b, variables, bodies) : inB !== null && matchScalar(a, inB, variables, bodies);
  }
  const [left, right] = [operands(a), operands(b)];
  return left.length === right.length && left.every((x, i) => matchScalar(x, right[i], variables, bodies));
}

/** What stands behind the read of a map's result. */
function bodyOf(s: Scalar, bodies: Bodies): Scalar | null {
  if (s.kind !== 'read' || s.otherwise !== null) return null;
  const body = bodies.get(s.tensor);
  const { at } = s;
  return body === undefined ? null : substitute(body, (v) => at[v]);
}
