/**
 * Sums over the items whose key is the index of the result, out[k, d] = sum[i where a[i] == k](x[i, d]), become scatter
 * kernels: every item is added once where it belongs instead of being looked at for every k. The gradient of a gather
 * (embedding tables) and the sums of clusters are of this form.
 */
import type { Draft } from './draft.js';
import type { ContractKernel, Kernel, ReduceKernel, ScatterKernel } from './kernel.js';
import { holds } from '../tensor/holds.js';
import type { Program } from '../tensor/program.js';
import type { Scalar } from '../tensor/scalar.js';
import { add, affineOf, binary, boolean, cast, float, index, indexVariables, int, mul, select, sub, substitute, unary } from '../tensor/scalar.js';

/** With fewer rows than this, looking at every item for every row costs no more. */
const leastRows = 4;

export function scatterSegments(draft: Draft): Draft {
  return { ...draft, kernels: draft.kernels.map((k) => scatterOf(draft.program, k) ?? k) };
}

/** The kernel as a segmented sum, or null when it is none. */
function scatterOf(program: Program, kernel: Kernel): ScatterKernel | null {
  if (kernel.kind !== 'reduce' && kernel.kind !== 'contract') return null;
  const body = summandOf(kernel);
  if (body === null || kernel.stores.length !== 1 || kernel.stores[0].value.kind !== 'accumulator') return null;
  const { extents } = kernel;
  const conditions: Scalar[] = [];
  let value = unguarded(body, conditions);
  const keys: { axis: number; value: Scalar }[] = [];
  const rest: Scalar[] = [];
  for (const condition of conditions) {
    const key = keyOf(condition, extents, keys.map((k) => k.axis));
    if (key === null) rest.push(condition); else keys.push(key);
  }
  if (keys.length === 0 || keys.reduce((n, k) => n * extents[k.axis], 1) < leastRows) return null;
  // On a keyed axis an item only meets its own key; elsewhere the index is as good as any.
  const known = new Map(keys.map((k) => [k.axis, k.value]));
  const placed = (s: Scalar): Scalar => substitute(s, (v) => known.get(v) ?? null);
  value = placed(value);
  let hit: Scalar = boolean(true);
  const inKeys = new Set(keys.flatMap((k) => [...indexVariables(k.value)]));
  for (const condition of rest.map(placed)) {
    const early = [...indexVariables(condition)].every((v) => v >= extents.length || inKeys.has(v));
    if (early) hit = binary('and', hit, condition);
    else value = select(condition, value, cast(value.type, float(0)));
  }
  // An item that a guard leaves out has a key that is no index.
  const guarded = keys.map((k, i) => (i === 0 ? { axis: k.axis, value: select(hit, k.value, int(-1)) } : k));
  return { kind: 'scatter', name: kernel.name, origins: kernel.origins, extents, stores: kernel.stores, reduceExtents: kernel.reduceExtents, keys: guarded, value, sorted: isSorted(program, guarded, extents.length, kernel.reduceExtents.length) };
}

/** Whether the items' keys are, one after the other, where runs of equal numbers begin. */
function isSorted(program: Program, keys: ScatterKernel['keys'], rank: number, items: number): boolean {
  if (keys.length !== 1 || items !== 1) return false;
  const [{ value }] = keys;
  if (value.kind !== 'read' || value.otherwise !== null || value.at.length !== 1) return false;
  const [at] = value.at;
  const tensor = program.tensors[value.tensor];
  return tensor.kind === 'routine' && tensor.op === 'first_equal' && at.kind === 'index' && at.axis === rank;
}

/** What a kernel with one sum adds up. */
function summandOf(kernel: ReduceKernel | ContractKernel): Scalar | null {
  if (kernel.kind === 'contract') return mul(kernel.left, kernel.right);
  return kernel.reductions.length === 1 && kernel.reductions[0].op === 'sum' ? kernel.reductions[0].body : null;
}

/** The value where all conditions hold; it is zero elsewhere. */
function unguarded(s: Scalar, conditions: Scalar[]): Scalar {
  const isZero = (x: Scalar): boolean => x.kind === 'const' && x.value === 0;
  if (s.kind === 'select' && isZero(s.b)) { split(s.condition, conditions); return unguarded(s.a, conditions); }
  if (s.kind === 'select' && isZero(s.a)) { split(unary('not', s.condition), conditions); return unguarded(s.b, conditions); }
  if (s.kind === 'binary' && s.op === 'mul') return mul(unguarded(s.a, conditions), unguarded(s.b, conditions));
  if (s.kind === 'unary' && s.op === 'neg') return unary('neg', unguarded(s.x, conditions));
  if (s.kind === 'cast' && s.x.type === 'bool') { split(s.x, conditions); return cast(s.type, boolean(true)); }
  if (s.kind === 'cast') return cast(s.type, unguarded(s.x, conditions));
  return s;
}

function split(condition: Scalar, into: Scalar[]): void {
  if (condition.kind === 'binary' && condition.op === 'and') { split(condition.a, into); split(condition.b, into); return; }
  into.push(condition);
}

/** `key == k` for an axis k of the result and a key from data that depends neither on it nor on another keyed axis. */
function keyOf(condition: Scalar, extents: readonly number[], taken: readonly number[]): { readonly axis: number; readonly value: Scalar } | null {
  if (condition.kind !== 'binary' || condition.op !== 'eq' || condition.a.type !== 'i32') return null;
  for (const [own, other] of [[condition.a, condition.b], [condition.b, condition.a]]) {
    const form = affineOf(own);
    if (form === null || !readsData(other)) continue;
    for (const [axis, coefficient] of form.coefficients) {
      if (axis >= extents.length || Math.abs(coefficient) !== 1 || taken.includes(axis)) continue;
      // own = coefficient * axis + others, so axis = coefficient * (other - others).
      let others: Scalar = int(form.constant);
      for (const [v, k] of form.coefficients) if (v !== axis) others = add(others, mul(index(v), int(k)));
      const value = coefficient === 1 ? sub(other, others) : sub(others, other);
      const used = indexVariables(value);
      if (used.has(axis) || taken.some((t) => used.has(t))) continue;
      return { axis, value };
    }
  }
  return null;
}

function readsData(s: Scalar): boolean {
  return (s.holds & holds.read) !== 0;
}
