/**
 * Takes the zeros out of sums that hold a divisibility condition. The input gradient of a convolution of stride s is
 *
 *     sum over d, o of (g[if (p + pad - d) % s == 0 then (p + pad - d) / s else -1, o] else 0) * w[d, c, o]
 *
 * in which only one tap in s meets the condition. With p = s q + phase the taps that do are d = s t + first, so each
 * phase is a sum over t alone whose reads are affine (g[q - t + constant]): a convolution again. A map then interleaves
 * the phases. Several strided axes, dilated taps and conditions on p alone are split in the same way; a condition is only
 * split when the summand is known to be zero wherever it fails.
 */
import { bug } from '../../grammar/diagnostics/report.js';
import { foldRanges, linearOf } from './index-algebra.js';
import type { Comprehension, Program, Tensor } from './program.js';
import { rangeOf } from './ranges.js';
import { renameReads, renameTensor, renameUpdate } from './renumber.js';
import type { Scalar, TensorId } from './scalar.js';
import { add, binary, boolean, float, index, int, mul, read, rewrite, select, substitute, visit } from './scalar.js';
import type { Interner } from './structure.js';
import { createInterner } from './structure.js';

/** More kernels than this for one tensor are not worth the multiplications they save. */
const worthwhilePhases = 64;

/** The condition `(scale * axis + tapScale * tap + constant) mod stride = remainder`. */
interface Stride {
  readonly axis: number;
  readonly scale: number;
  /** The reduction variable that must fit the axis; null when the condition is on the axis alone. */
  readonly tap: number | null;
  readonly tapScale: number;
  readonly constant: number;
  readonly stride: number;
  readonly remainder: number;
}

/** One phase of one axis: axis = stride * q + phase for q < extent, tap = tapStep * t + tapFirst for t < tapExtent. */
interface Phase {
  readonly phase: number;
  readonly extent: number;
  readonly tapFirst: number;
  readonly tapStep: number;
  /** 0 when no tap fits: the phase is zero. */
  readonly tapExtent: number;
}

/**
 * Replaces every sum with divisibility conditions by a sum for each phase and a map that interleaves them. The map reads
 * up to `mostPhases` tensors at once; where there would be more, only the first axes are split.
 */
export function splitStridePhases(program: Program, mostPhases = worthwhilePhases): Program {
  const tensors: Tensor[] = [];
  const numbers = new Map<TensorId, TensorId>();
  const map = (id: TensorId): TensorId => numbers.get(id) ?? bug(`tensor ${id} is read before it is computed`);
  const shapeOf = (id: TensorId): readonly number[] => program.tensors[id].shape;
  const push = (make: (id: TensorId) => Tensor): TensorId => {
    const id = tensors.length as TensorId;
    tensors.push(make(id));
    return id;
  };
  for (const tensor of program.tensors) {
    const strides = tensor.kind === 'comprehension' ? stridesOf(tensor, Math.min(mostPhases, worthwhilePhases), shapeOf) : [];
    if (tensor.kind !== 'comprehension' || strides.length === 0) {
      // Before the first split nothing has another number.
      numbers.set(tensor.id, push((id) => (id === tensor.id ? tensor : renameTensor(tensor, id, map))));
      continue;
    }
    const interleaved = interleave(tensor, strides, (chosen) => {
      const part = phaseOf(tensor, strides, chosen, shapeOf);
      return push((id) => ({ ...part, id, body: renameReads(part.body, map) }));
    });
    numbers.set(tensor.id, push((id) => ({ ...interleaved, id })));
  }
  return {
    name: program.name,
    tensors,
    outputs: program.outputs.map((o) => ({ name: o.name, tensor: map(o.tensor) })),
    updates: program.updates.map((u) => renameUpdate(u, map)),
  };
}

/** The conditions to split, at most one for each axis and tap, outermost first. */
function stridesOf(tensor: Comprehension, mostPhases: number, shapeOf: (id: TensorId) => readonly number[]): readonly Stride[] {
  const { reduce, shape } = tensor;
  if (reduce === null || reduce.op !== 'sum' || tensor.element !== 'f32' || !hasRemainder(tensor.body)) return [];
  const extents = [...shape, ...reduce.extents];
  const interner = createInterner();
  const body = interner.intern(tensor.body);
  const found: Stride[] = [];
  let phases = 1;
  visit(body, (s) => {
    const stride = strideOf(s, shape.length, interner);
    if (stride === null || phases * stride.stride > mostPhases) return;
    if (found.some((f) => f.axis === stride.axis || (f.tap !== null && f.tap === stride.tap))) return;
    if (!vanishesWithout(body, s, extents, shapeOf)) return;
    found.push(stride);
    phases *= stride.stride;
  });
  return found.sort((a, b) => a.axis - b.axis);
}

function hasRemainder(body: Scalar): boolean {
  let found = false;
  visit(body, (s) => { found ||= s.kind === 'binary' && s.op === 'mod'; });
  return found;
}

/** Reads a comparison as a divisibility condition on one output axis and at most one reduction variable. */
function strideOf(s: Scalar, rank: number, interner: Interner): Stride | null {
  if (s.kind !== 'binary' || (s.op !== 'eq' && s.op !== 'ne')) return null;
  const [modulus, value] = s.a.kind === 'const' ? [s.b, s.a] : [s.a, s.b];
  if (value.kind !== 'const' || modulus.kind !== 'binary' || modulus.type !== 'i32' || modulus.op !== 'mod') return null;
  if (modulus.b.kind !== 'const' || modulus.b.value < 2) return null;
  const { constant, terms } = linearOf(modulus.a, interner);
  let own: { readonly axis: number; readonly scale: number } | null = null;
  let tap: { readonly axis: number; readonly scale: number } | null = null;
  for (const { atom, coefficient } of terms) {
    if (atom.kind !== 'index') return null;
    const term = { axis: atom.axis, scale: coefficient };
    if (atom.axis < rank ? own !== null : tap !== null) return null;
    if (atom.axis < rank) own = term; else tap = term;
  }
  if (own === null) return null;
  return { axis: own.axis, scale: own.scale, tap: tap?.axis ?? null, tapScale: tap?.scale ?? 0, constant, stride: modulus.b.value, remainder: value.value };
}

/** Whether the summand is zero wherever the condition `eq` fails (or `ne` holds). */
function vanishesWithout(body: Scalar, condition: Scalar, extents: readonly number[], shapeOf: (id: TensorId) => readonly number[]): boolean {
  if (condition.kind !== 'binary') return false;
  const { a, b } = condition;
  const without = rewrite(body, (s) => {
    if (s.kind === 'binary' && (s.op === 'eq' || s.op === 'ne') && s.a === a && s.b === b) return boolean(s.op === 'ne');
    if (s.kind !== 'read' || s.otherwise === null) return s;
    const shape = shapeOf(s.tensor);
    const outside = s.at.some((i, axis) => { const r = rangeOf(i, (v) => extents[v]); return r.high < 0 || r.low >= shape[axis]; });
    return outside ? s.otherwise : s;
  });
  return without.kind === 'const' && without.value === 0;
}

const modulo = (a: number, n: number): number => a - n * Math.floor(a / n);

const greatestCommonDivisor = (a: number, b: number): number => (b === 0 ? a : greatestCommonDivisor(b, a % b));

/** The phases of an axis that have points. */
function phasesOf(stride: Stride, size: number, taps: number): readonly Phase[] {
  const { stride: n, tapScale } = stride;
  // Taps repeat their remainder with this period, within which each remainder occurs once.
  const tapStep = stride.tap === null ? 1 : n / greatestCommonDivisor(n, Math.abs(tapScale));
  const phases: Phase[] = [];
  for (let phase = 0; phase < Math.min(n, size); phase++) {
    const fits = (tap: number): boolean => modulo(stride.scale * phase + tapScale * tap + stride.constant, n) === stride.remainder;
    const tapFirst = Array.from({ length: tapStep }, (_, t) => t).find(fits);
    const extent = Math.ceil((size - phase) / n);
    phases.push({ phase, extent, tapStep, tapFirst: tapFirst ?? 0, tapExtent: tapFirst === undefined ? 0 : Math.max(0, Math.ceil((taps - tapFirst) / tapStep)) });
  }
  return phases;
}

/** The sum of one phase of every strided axis, under the ids of the program it comes from. */
function phaseOf(tensor: Comprehension, strides: readonly Stride[], chosen: readonly Phase[], shapeOf: (id: TensorId) => readonly number[]): Comprehension {
  const rank = tensor.shape.length;
  const shape = [...tensor.shape];
  const taps = [...(tensor.reduce?.extents ?? [])];
  const places = new Map<number, Scalar>();
  strides.forEach((s, k) => {
    shape[s.axis] = chosen[k].extent;
    places.set(s.axis, add(mul(index(s.axis), int(s.stride)), int(chosen[k].phase)));
    if (s.tap !== null) taps[s.tap - rank] = chosen[k].tapExtent;
  });
  // Reduction axes of one round go, and those that stay are numbered anew.
  const extents: number[] = [];
  taps.forEach((extent, i) => {
    const variable = extent === 1 ? int(0) : index(rank + extents.length);
    if (extent !== 1) extents.push(extent);
    const k = strides.findIndex((s) => s.tap === rank + i);
    places.set(rank + i, k < 0 ? variable : add(mul(variable, int(chosen[k].tapStep)), int(chosen[k].tapFirst)));
  });
  const bounds = [...shape, ...extents];
  const body = foldRanges(substitute(tensor.body, (v) => places.get(v) ?? null), (v) => bounds[v], shapeOf);
  const name = `${tensor.origin.name} phase ${chosen.map((c) => c.phase).join(',')}`;
  return { ...tensor, shape, reduce: extents.length === 0 ? null : { op: 'sum', extents }, body, origin: { ...tensor.origin, name } };
}

/** The map that reads each point from its phase; `phase` makes the tensor of a combination of phases. */
function interleave(tensor: Comprehension, strides: readonly Stride[], phase: (chosen: readonly Phase[]) => TensorId): Comprehension {
  const rank = tensor.shape.length;
  const pick = (chosen: readonly Phase[]): Scalar => {
    const k = chosen.length;
    if (k === strides.length) {
      if (chosen.some((c) => c.tapExtent === 0)) return float(0);
      const at = tensor.shape.map((_, axis) => {
        const s = strides.find((t) => t.axis === axis);
        return s === undefined ? index(axis) : binary('idiv', index(axis), int(s.stride));
      });
      // The last points of an axis may lie beyond the end of phases that are not theirs.
      const guarded = strides.some((s, i) => chosen[i].extent < Math.ceil(tensor.shape[s.axis] / s.stride));
      return read(phase(chosen), at, 'f32', guarded ? float(0) : null);
    }
    const { axis, stride, tap } = strides[k];
    const phases = phasesOf(strides[k], tensor.shape[axis], tap === null ? 1 : tensor.reduce?.extents[tap - rank] ?? 0);
    const values = phases.map((p) => pick([...chosen, p]));
    const remainder = binary('mod', index(axis), int(stride));
    return values.reduceRight((rest, value, i) => select(binary('eq', remainder, int(phases[i].phase)), value, rest));
  };
  return { ...tensor, reduce: null, body: pick([]) };
}
