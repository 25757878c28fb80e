/**
 * Operations on tensor values: building, mapping elementwise, closing over index variables, and turning lazy
 * scalars into nodes of the program.
 */
import type { Span } from '../../grammar/span.js';
import { bug } from '../../grammar/diagnostics/report.js';
import type { ReduceOperator } from '../tensor/program.js';
import { add, binary, boolean, cast, div, float, index, indexVariables, int, mul, read, scalarTypeOf, select, substitute, unary } from '../tensor/scalar.js';
import type { Scalar, ScalarType, TensorId } from '../tensor/scalar.js';
import { neutralOf } from '../tensor/program.js';
import type { Context } from './context.js';
import { fail, newVariable } from './context.js';
import type { Axis, IndexVariable, TensorElement, TensorValue, Value } from './value.js';
import { axisOf, describe, showShape } from './value.js';

const none: ReadonlyMap<number, IndexVariable> = new Map();

/** A scalar that does not depend on anything. */
export function constantTensor(s: Scalar): TensorValue {
  return { kind: 'tensor', element: s.type, axes: [], free: none, at: () => s };
}

/** A tensor of the program, all of whose axes are its own. */
export function tensorOfNode(c: Context, id: TensorId, axes?: readonly Axis[]): TensorValue {
  const node = c.builder.tensor(id);
  const own = axes ?? node.shape.map((n) => axisOf(n));
  if (node.element === 'f16') return bug('only kernels store f16');
  return { kind: 'tensor', element: node.element, axes: own, free: none, at: (i) => c.builder.read(id, i) };
}

/** The i32 value of an index variable. */
export function variableTensor(v: IndexVariable): TensorValue {
  return { kind: 'tensor', element: 'i32', axes: [], free: new Map([[v.id, v]]), at: () => index(v.id) };
}

export function mergeFree(...maps: readonly ReadonlyMap<number, IndexVariable>[]): ReadonlyMap<number, IndexVariable> {
  const some = maps.filter((m) => m.size > 0);
  if (some.length === 0) return none;
  if (some.length === 1) return some[0];
  const merged = new Map<number, IndexVariable>();
  for (const m of some) for (const [k, v] of m) merged.set(k, v);
  return merged;
}

/** The scalar type arithmetic on this element uses. */
export const arithmeticType = (e: TensorElement): ScalarType => (e === 'u8' ? 'f32' : e);

/** An element as `type`: pixels (u8) become value / 255 when a float is wanted. */
export function convert(s: Scalar, from: TensorElement, type: ScalarType): Scalar {
  if (from === 'u8' && type === 'f32') return mul(cast('f32', s), float(1 / 255));
  return cast(type, s);
}

export function convertTensor(v: TensorValue, to: ScalarType): TensorValue {
  if (v.element === to) return v;
  return { ...v, element: to, at: (i) => convert(v.at(i), v.element, to) };
}

/** Applies a scalar function elementwise; shapes align from the last axis and must be equal there. */
export function elementwise(c: Context, span: Span, inputs: readonly TensorValue[], element: ScalarType, f: (xs: readonly Scalar[]) => Scalar): TensorValue {
  const rank = Math.max(0, ...inputs.map((x) => x.axes.length));
  const axes: Axis[] = [];
  for (let k = 0; k < rank; k++) {
    let axis: Axis | null = null;
    for (const x of inputs) {
      const at = k - (rank - x.axes.length);
      if (at < 0) continue;
      const own = x.axes[at];
      if (axis !== null && axis.size !== own.size) {
        fail(c, 'SSL2004', span, { left: showShape(inputs[0].axes), right: showShape(inputs[inputs.length - 1].axes) });
      }
      axis = axis === null ? own : { size: own.size, label: axis.label ?? own.label, group: axis.group ?? own.group, origin: axis.origin ?? own.origin, ...(axis.views === true || own.views === true ? { views: true } : {}) };
    }
    axes.push(axis ?? bug('axis without inputs'));
  }
  return {
    kind: 'tensor', element, axes,
    free: mergeFree(...inputs.map((x) => x.free)),
    at: (i) => f(inputs.map((x) => x.at(i.slice(rank - x.axes.length)))),
  };
}

/** A compile-time or tensor value as a tensor; null when it is neither number, boolean nor tensor. */
export function asTensor(v: Value): TensorValue | null {
  switch (v.kind) {
    case 'tensor': return v;
    case 'number': return constantTensor(v.integer ? int(v.value) : float(v.value));
    case 'boolean': return constantTensor(boolean(v.value));
    default: return null;
  }
}

export function needTensor(c: Context, span: Span, v: Value): TensorValue {
  return asTensor(v) ?? fail(c, 'SSL2001', span, { expected: 'a tensor', found: describe(v) });
}

/** Turns free variables into leading own axes. */
export function close(v: TensorValue, variables: readonly IndexVariable[]): TensorValue {
  if (variables.length === 0) return v;
  const n = variables.length;
  const position = new Map(variables.map((x, k) => [x.id, k]));
  const free = new Map([...v.free].filter(([id]) => !position.has(id)));
  return {
    kind: 'tensor', element: v.element, free,
    axes: [...variables.map((x) => x.axis), ...v.axes],
    at: (i) => {
      const outer = i.slice(0, n);
      return substitute(v.at(i.slice(n)), (axis) => { const k = position.get(axis); return k === undefined ? null : outer[k]; });
    },
  };
}

/** Makes leading own axes implicit again: element `k` is read at variable `k`. */
export function open(v: TensorValue, variables: readonly IndexVariable[]): TensorValue {
  const n = variables.length;
  return {
    ...v,
    axes: v.axes.slice(n),
    free: mergeFree(v.free, new Map(variables.map((x) => [x.id, x]))),
    at: (i) => v.at([...variables.map((x) => index(x.id)), ...i]),
  };
}

/** Stand for a tensor's own axes where it is looked at by itself: far from every variable. */
const ownAxis = (k: number): number => 2_000_000 + k;
const usualIndices: readonly Scalar[] = Array.from({ length: 16 }, (_, k) => index(ownAxis(k)));
export const ownIndices = (v: TensorValue): readonly Scalar[] => v.axes.map((_, k) => usualIndices[k] ?? index(ownAxis(k)));

/** The element at `ownIndices`. */
export const elementOf = (v: TensorValue): Scalar => v.at(ownIndices(v));

/** Free variables in the order of their creation: the batch first. */
export const orderedFree = (v: TensorValue): IndexVariable[] => [...v.free.values()].sort((a, b) => a.id - b.id);

/**
 * Computes a value into memory: one comprehension over the free variables that really occur, then the own axes.
 * `reduce` adds reduction variables, closed over in the body.
 */
export function materialize(c: Context, v: TensorValue, name: string, span: Span, reduce: { op: ReduceOperator; variables: readonly IndexVariable[] } | null = null): TensorValue {
  return materializeElement(c, v, elementOf(v), name, span, reduce);
}

/** As `materialize`, with the element at `ownIndices` made before. */
function materializeElement(c: Context, v: TensorValue, body: Scalar, name: string, span: Span, reduce: { op: ReduceOperator; variables: readonly IndexVariable[] } | null): TensorValue {
  const own = ownIndices(v);
  const used = indexVariables(body);
  const bound = new Set(reduce?.variables.map((x) => x.id) ?? []);
  const outer = orderedFree(v).filter((x) => used.has(x.id) && !bound.has(x.id));
  const position = new Map<number, number>();
  outer.forEach((x, k) => position.set(x.id, k));
  own.forEach((x, k) => { if (x.kind === 'index') position.set(x.axis, outer.length + k); });
  reduce?.variables.forEach((x, k) => position.set(x.id, outer.length + own.length + k));
  const numbered = substitute(body, (axis) => {
    const k = position.get(axis);
    return k === undefined ? bug(`index variable ${axis} escapes in ${name}`) : index(k);
  });
  const element: TensorElement = reduce?.op === 'argmax' ? 'i32' : scalarTypeOf(v.element);
  const id = c.builder.comprehension(
    element,
    [...outer.map((x) => x.axis.size), ...v.axes.map((a) => a.size)],
    reduce === null ? null : { op: reduce.op, extents: reduce.variables.map((x) => x.axis.size) },
    numbered,
    reduce === null ? { span, name } : { span, name, reduced: reduce.variables.map((x) => x.axis.label ?? x.name) },
  );
  const leading = outer.map((x) => index(x.id));
  return {
    kind: 'tensor', element, axes: v.axes,
    free: new Map(outer.map((x) => [x.id, x])),
    at: (i) => c.builder.read(id, [...leading, ...i]),
  };
}

/** Is reading this as cheap as reading memory? A read at plain indices, a constant or an index. */
export function isCheap(v: TensorValue): boolean {
  return isCheapElement(elementOf(v));
}

function isCheapElement(s: Scalar): boolean {
  if (s.kind === 'const' || s.kind === 'index') return true;
  return s.kind === 'read' && s.otherwise === null && s.at.every((i) => i.kind === 'index' || i.kind === 'const');
}

export function ensureMaterialized(c: Context, v: TensorValue, name: string, span: Span): TensorValue {
  const element = elementOf(v);
  return isCheapElement(element) ? v : materializeElement(c, v, element, name, span, null);
}

/** Reduces over index variables with an optional guard (a bool tensor). `mean` divides by the number of elements that count. */
export function reduceOver(
  c: Context, span: Span, name: string, op: ReduceOperator | 'mean', body: TensorValue, variables: readonly IndexVariable[], guard: TensorValue | null,
): TensorValue {
  const real: ReduceOperator = op === 'mean' ? 'sum' : op;
  const type: ScalarType = op === 'any' || op === 'all' ? 'bool'
    : body.element === 'i32' && (op === 'sum' || op === 'max' || op === 'min' || op === 'prod') ? 'i32' : 'f32';
  const typed = convertTensor(body, type);
  const masked: TensorValue = guard === null ? typed
    : elementwise(c, span, [guard, typed], type, ([g, x]) => select(g, x, cast(type, float(neutralOf(real)))));
  const result = materialize(c, masked, name, span, { op: real, variables });
  if (op !== 'mean') return result;
  if (guard === null) {
    const count = variables.reduce((n, x) => n * x.axis.size, 1);
    return elementwise(c, span, [result], 'f32', ([x]) => mul(x, float(1 / count)));
  }
  const ones = elementwise(c, span, [guard], 'f32', ([g]) => cast('f32', g));
  const count = materialize(c, ones, `${name} count`, span, { op: 'sum', variables });
  return elementwise(c, span, [result, count], 'f32', ([x, n]) => div(x, binary('max', n, float(1))));
}

/** Reduces own axes at these positions. */
export function reduceAxes(c: Context, span: Span, name: string, op: ReduceOperator | 'mean', v: TensorValue, positions: readonly number[]): TensorValue {
  const variables = positions.map((p) => newVariable(c, v.axes[p].label ?? `axis${p}`, v.axes[p], false));
  const rest = v.axes.filter((_, k) => !positions.includes(k));
  const body: TensorValue = {
    kind: 'tensor', element: v.element, axes: rest,
    free: mergeFree(v.free, new Map(variables.map((x) => [x.id, x]))),
    at: (i) => {
      let next = 0;
      return v.at(v.axes.map((_, k) => { const b = positions.indexOf(k); return b >= 0 ? index(variables[b].id) : i[next++]; }));
    },
  };
  return reduceOver(c, span, name, op, body, variables, null);
}

/** Unbiased variance over variables (divides by n - 1), the estimator from a sample. */
export function varianceOver(c: Context, span: Span, name: string, body: TensorValue, variables: readonly IndexVariable[]): TensorValue {
  const count = variables.reduce((n, x) => n * x.axis.size, 1);
  const mean = materialize(c, reduceOver(c, span, `${name} mean`, 'mean', body, variables, null), `${name} mean`, span);
  const squared = elementwise(c, span, [convertTensor(body, 'f32'), mean], 'f32', ([x, m]) => {
    const d = binary('sub', x, m);
    return mul(d, d);
  });
  const total = materialize(c, squared, name, span, { op: 'sum', variables });
  return elementwise(c, span, [total], 'f32', ([x]) => mul(x, float(1 / Math.max(1, count - 1))));
}

/** Concatenates along the first own axis. Parts are read with a guard and added, which differentiates exactly. */
export function concatenate(c: Context, span: Span, parts: readonly TensorValue[]): TensorValue {
  const type: ScalarType = parts.some((p) => arithmeticType(p.element) === 'f32') ? 'f32' : 'i32';
  const first = parts[0];
  for (const p of parts) {
    if (p.axes.length === 0 || p.axes.length !== first.axes.length || p.axes.slice(1).some((a, k) => a.size !== first.axes[k + 1].size)) {
      fail(c, 'SSL2004', span, { left: showShape(first.axes), right: showShape(p.axes) });
    }
  }
  const stored = parts.map((p, k) => ensureRead(c, convertTensor(p, type), `part${k + 1}`, span));
  let size = 0;
  const starts = parts.map((p) => { const s = size; size += p.axes[0].size; return s; });
  return {
    kind: 'tensor', element: type, axes: [axisOf(size), ...first.axes.slice(1)],
    free: mergeFree(...stored.map((p) => p.free)),
    at: (i) => stored.map((p, k) => guardRead(p.at([binary('sub', i[0], int(starts[k])), ...i.slice(1)]), cast(type, int(0)))).reduce(add),
  };
}

/** Views of an example side by side, along a new first axis that remembers that they are. */
export function layViews(c: Context, span: Span, parts: readonly TensorValue[]): TensorValue {
  const [first] = parts;
  const other = parts.find((p) => p.axes.map((a) => a.size).join() !== first.axes.map((a) => a.size).join());
  if (other !== undefined) return fail(c, 'SSL2004', span, { left: showShape(first.axes), right: showShape(other.axes) });
  const type: ScalarType = parts.some((p) => arithmeticType(p.element) === 'f32') ? 'f32' : 'i32';
  const stored = parts.map((p, k) => ensureRead(c, convertTensor(p, type), `view${k + 1}`, span));
  return {
    kind: 'tensor', element: type, axes: [{ ...axisOf(parts.length, 'views'), views: true }, ...first.axes], free: mergeFree(...stored.map((p) => p.free)),
    at: (i) => stored.map((p) => p.at(i.slice(1))).reduce((rest, value, k) => select(binary('eq', i[0], int(k)), value, rest)),
  };
}

/** Of views side by side, the first; other values as they are. */
export function firstView(v: TensorValue): TensorValue {
  const apart = v.axes.map((a) => a.views !== true);
  return { ...v, axes: v.axes.filter((_, k) => apart[k]), at: (i) => { let next = 0; return v.at(apart.map((own) => (own ? i[next++] : int(0)))); } };
}

/** Like `ensureMaterialized`, but constants become memory too, so that a read can carry a guard. */
export function ensureRead(c: Context, v: TensorValue, name: string, span: Span): TensorValue {
  const s = elementOf(v);
  return s.kind === 'read' && isCheapElement(s) ? v : materializeElement(c, v, s, name, span, null);
}

/** Like `ensureRead`, but the tensor that is read holds the value and nothing else, in the order of its own axes. */
export function ensureWhole(c: Context, v: TensorValue, name: string, span: Span): TensorValue {
  const s = elementOf(v);
  const whole = s.kind === 'read' && s.otherwise === null && s.at.length === v.axes.length && s.type === v.element
    && s.at.every((i, k) => i.kind === 'index' && i.axis === ownAxis(k) && c.builder.tensor(s.tensor).shape[k] === v.axes[k].size);
  return whole ? v : materializeElement(c, v, s, name, span, null);
}

/** The same read with a value for what lies outside. */
export function guardRead(s: Scalar, otherwise: Scalar): Scalar {
  return s.kind === 'read' ? read(s.tensor, s.at, s.type, otherwise) : bug('a guard needs a read');
}

/** A zero-copy change of own shape (row-major). */
export function reshape(c: Context, span: Span, v: TensorValue, sizes: readonly number[]): TensorValue {
  const before = v.axes.reduce((n, a) => n * a.size, 1);
  if (sizes.reduce((a, b) => a * b, 1) !== before) {
    fail(c, 'SSL2004', span, { left: showShape(v.axes), right: `[${sizes.join(', ')}]` });
  }
  const stored = materialize(c, v, 'reshape', span);
  const s = elementOf(stored);
  if (s.kind !== 'read') return bug('a materialized tensor is a read');
  const leading = s.at.slice(0, s.at.length - v.axes.length);
  const outer = c.builder.tensor(s.tensor).shape.slice(0, leading.length);
  const id = c.builder.window(s.tensor, 0, [...outer, ...sizes], { span, name: 'reshape' });
  return {
    kind: 'tensor', element: v.element === 'u8' ? 'i32' : v.element, free: stored.free, axes: sizes.map((n) => axisOf(n)),
    at: (i) => c.builder.read(id, [...leading, ...i]),
  };
}

export function negate(c: Context, span: Span, v: TensorValue): TensorValue {
  const type = arithmeticType(v.element) === 'i32' ? 'i32' : 'f32';
  return elementwise(c, span, [convertTensor(v, type)], type, ([x]) => unary('neg', x));
}

/** The sum of two float tensors. */
export function sumOf(c: Context, span: Span, a: TensorValue, b: TensorValue): TensorValue {
  return elementwise(c, span, [convertTensor(a, 'f32'), convertTensor(b, 'f32')], 'f32', ([x, y]) => add(x, y));
}
