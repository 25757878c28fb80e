/**
 * Which operations of an objective couple the examples of a batch: those whose result for one example, or for all, depends on several
 * examples other than by a plain sum that the loss takes. Gradients of such a loss are not the mean of gradients of smaller batches.
 *
 * Each tensor is followed with the axis along which it lies example by example: `(i + shift) mod B` for position i, since views are
 * laid side by side. A comprehension couples when it brings different examples together: a reduction over that axis, two reads at
 * different positions of it, or a position that is not known. Sums from which only sums and scalings lead to the loss do not count.
 */
import type { Span } from '../../grammar/span.js';
import type { ObjectivesProgram } from '../lower/collapse-program.js';
import { routineKeepsAxis } from '../tensor/program.js';
import type { Comprehension, Routine, Tensor } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { operands } from '../tensor/scalar.js';
import { linearReads } from './linear-chain.js';

/** A tensor in which examples meet. */
export interface CouplingPoint {
  readonly tensor: TensorId;
  readonly span: Span | null;
  readonly name: string;
}

/** How examples come together in a tensor: along a reduction, each by itself until then, or two at a time. */
export type Meeting = 'reduction' | 'pairs';

interface Found {
  readonly result: Dependence;
  readonly meeting: Meeting | null;
}

/** How a tensor depends on the examples of the batch. */
export interface Dependence {
  /** The axis along which positions are examples, or null. */
  readonly own: { readonly axis: number; readonly shift: number } | null;
  /** Depends on several examples besides. */
  readonly several: boolean;
}

const nothing: Dependence = { own: null, several: false };

/** Of every tensor how it depends on the examples, and where they meet. */
export function followExamples({ program: { tensors }, batch }: ObjectivesProgram): { readonly dependence: readonly Dependence[]; readonly meetings: ReadonlyMap<TensorId, Meeting> } {
  const dependence: Dependence[] = [];
  const meetings = new Map<TensorId, Meeting>();
  for (const t of tensors) {
    const { result, meeting } = dependenceOf(t, tensors, dependence, batch);
    dependence.push(result);
    if (meeting !== null) meetings.set(t.id, meeting);
  }
  return { dependence, meetings };
}

/** The couplings on the way to the objectives, in order. */
export function findCouplings(p: ObjectivesProgram): CouplingPoint[] {
  const { tensors } = p.program;
  const { dependence, meetings } = followExamples(p);
  const depends = (id: TensorId): boolean => dependence[id].own !== null || dependence[id].several;
  const { live, nonlinear } = nonlinearlyUsed(p, depends);
  const counts = ([id, meeting]: readonly [TensorId, Meeting]): boolean => live.has(id) && (nonlinear.has(id) || (meeting === 'pairs' ? !isLinear(tensors[id], depends) : !isSum(tensors[id])));
  return [...meetings].filter(counts).map(([id]) => id).map((id) => ({ tensor: id, span: tensors[id].origin.span, name: tensors[id].origin.name }));
}

function dependenceOf(t: Tensor, tensors: readonly Tensor[], known: readonly Dependence[], batch: number): Found {
  switch (t.kind) {
    case 'source': return { result: t.role === 'batch' && t.shape[0] === batch ? { own: { axis: 0, shift: 0 }, several: false } : nothing, meeting: null };
    case 'window': return windowDependence(t.shape, tensors[t.of].shape, t.offset, known[t.of], batch);
    case 'pack': return { result: { own: null, several: t.parts.some((p) => known[p].own !== null || known[p].several) }, meeting: t.parts.some((p) => known[p].own !== null) ? 'pairs' : null };
    case 'routine': return routineDependence(t, t.inputs.map((i) => known[i]));
    case 'comprehension': return comprehensionDependence(t, known, batch);
  }
}

function routineDependence(t: Routine, inputs: readonly Dependence[]): Found {
  let own: Dependence['own'] = null;
  const several = inputs.some((d) => d.several);
  for (const [k, d] of inputs.entries()) {
    if (d.own === null) continue;
    const differs = own !== null && (own.axis !== d.own.axis || own.shift !== d.own.shift);
    if (differs || !routineKeepsAxis(t, d.own.axis, k)) return { result: { own: null, several: true }, meeting: 'pairs' };
    own = d.own;
  }
  return { result: { own, several }, meeting: null };
}

/** A reshape keeps the axis when one of the same stride, and of a multiple of the batch, is there. */
function windowDependence(shape: readonly number[], before: readonly number[], offset: number, of: Dependence, batch: number): Found {
  if (of.own === null) return { result: of, meeting: null };
  const strideAt = (sizes: readonly number[], axis: number): number => sizes.slice(axis + 1).reduce((a, b) => a * b, 1);
  const stride = strideAt(before, of.own.axis);
  const axis = shape.findIndex((n, k) => strideAt(shape, k) === stride && n % batch === 0);
  return axis >= 0 && offset === 0 && before[of.own.axis] % batch === 0
    ? { result: { own: { axis, shift: of.own.shift }, several: of.several }, meeting: null }
    : { result: { own: null, several: true }, meeting: 'pairs' };
}

function comprehensionDependence(t: Comprehension, known: readonly Dependence[], batch: number): Found {
  const rank = t.shape.length;
  let own: { axis: number; shift: number } | null = null;
  let several = false;
  let pairs = false;
  let elsewhere = false;
  for (const r of readsIn(t.body)) {
    const d = known[r.tensor];
    several ||= d.several;
    if (d.own === null) continue;
    const at = positionOf(r.at[d.own.axis], batch);
    if (at === null) { elsewhere = true; continue; }
    const here = { axis: at.axis, shift: (at.shift + d.own.shift) % batch };
    if (own !== null && (own.axis !== here.axis || own.shift !== here.shift)) pairs = true;
    own ??= here;
  }
  const reduced = own !== null && own.axis >= rank && (t.reduce?.extents[own.axis - rank] ?? 1) > 1;
  const meeting: Meeting | null = pairs || elsewhere ? 'pairs' : reduced ? 'reduction' : null;
  return { result: { own: pairs || reduced ? null : own, several: several || meeting !== null }, meeting };
}

/** An index as `axis + shift` modulo the batch, or null. */
export function positionOf(s: Scalar, batch: number): { axis: number; shift: number } | null {
  const form = residue(s, batch);
  if (form === null) return null;
  const [only, ...more] = [...form.coefficients];
  return only !== undefined && more.length === 0 && only[1] === 1 ? { axis: only[0], shift: form.constant } : null;
}

interface Residue {
  readonly constant: number;
  readonly coefficients: ReadonlyMap<number, number>;
}

const modulo = (x: number, n: number): number => ((x % n) + n) % n;

/** An i32 scalar modulo the batch as a constant and coefficients of index variables; null where it has no such form. */
function residue(s: Scalar, batch: number): Residue | null {
  switch (s.kind) {
    case 'const': return { constant: modulo(s.value, batch), coefficients: new Map() };
    case 'index': return { constant: 0, coefficients: new Map([[s.axis, 1]]) };
    case 'binary': {
      if (s.op === 'mod' && s.b.kind === 'const' && s.b.value % batch === 0) return residue(s.a, batch);
      if (s.op !== 'add' && s.op !== 'sub' && s.op !== 'mul') return null;
      const a = residue(s.a, batch);
      const b = residue(s.b, batch);
      if (a === null || b === null) return null;
      if (s.op === 'mul') return b.coefficients.size === 0 ? combine(a, null, b.constant, batch) : a.coefficients.size === 0 ? combine(b, null, a.constant, batch) : null;
      return combine(a, b, s.op === 'add' ? 1 : -1, batch);
    }
    default: return null;
  }
}

/** a + sign b, or sign a without b. */
function combine(a: Residue, b: Residue | null, sign: number, batch: number): Residue {
  const coefficients = new Map<number, number>();
  const addTo = (axis: number, c: number): void => {
    const sum = modulo((coefficients.get(axis) ?? 0) + c, batch);
    if (sum === 0) coefficients.delete(axis); else coefficients.set(axis, sum);
  };
  for (const [axis, c] of a.coefficients) addTo(axis, b === null ? sign * c : c);
  for (const [axis, c] of b?.coefficients ?? []) addTo(axis, sign * c);
  return { constant: modulo(b === null ? sign * a.constant : a.constant + sign * b.constant, batch), coefficients };
}

/** Every read of a scalar, those inside indices too. */
export function readsIn(root: Scalar): Extract<Scalar, { kind: 'read' }>[] {
  const found: Extract<Scalar, { kind: 'read' }>[] = [];
  const seen = new Set<Scalar>();
  const walk = (s: Scalar): void => {
    if (seen.has(s)) return;
    seen.add(s);
    if (s.kind === 'read') found.push(s);
    operands(s).forEach(walk);
  };
  walk(root);
  return found;
}

const linearReadsOf = (t: Comprehension, depends: (id: TensorId) => boolean): ReadonlySet<Scalar> =>
  (t.reduce === null || t.reduce.op === 'sum' ? linearReads(t.body, depends) : new Set<Scalar>());

const isSum = (t: Tensor): boolean => t.kind === 'comprehension' && t.reduce?.op === 'sum';

/** Is a tensor a plain sum of what it reads, scaled? */
function isLinear(t: Tensor, depends: (id: TensorId) => boolean): boolean {
  if (t.kind !== 'comprehension') return true;
  const linear = linearReadsOf(t, depends);
  return readsIn(t.body).every((r) => !depends(r.tensor) || linear.has(r));
}

/** Tensors that lead to an objective, and those of them from which something other than sums and scalings leads there. */
function nonlinearlyUsed(p: ObjectivesProgram, depends: (id: TensorId) => boolean): { live: ReadonlySet<TensorId>; nonlinear: ReadonlySet<TensorId> } {
  const { tensors } = p.program;
  const live = new Set<TensorId>(p.terms);
  const nonlinear = new Set<TensorId>();
  for (let id = tensors.length - 1; id >= 0; id--) {
    const t = tensors[id];
    if (!live.has(t.id)) continue;
    const take = (of: TensorId, linear: boolean): void => {
      live.add(of);
      if (!linear || nonlinear.has(t.id)) nonlinear.add(of);
    };
    switch (t.kind) {
      case 'source': break;
      case 'window': take(t.of, true); break;
      case 'pack': t.parts.forEach((part) => take(part, true)); break;
      case 'routine': t.inputs.forEach((i) => take(i, false)); break;
      case 'comprehension': {
        const linear = linearReadsOf(t, depends);
        for (const r of readsIn(t.body)) take(r.tensor, linear.has(r));
      }
    }
  }
  return { live, nonlinear };
}
