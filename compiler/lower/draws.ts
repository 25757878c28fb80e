/**
 * Random draws. Every draw is a pure function of (seed, step, example, site, element): the site is a hash of the place in
 * the model, the element counts the draw's own axes and the lifted ones, so no two draws share a number.
 */
import type { Span } from '../../grammar/span.js';
import { add, binary, cast, draw, float, index, int, mul, read, select, unary } from '../tensor/scalar.js';
import type { Scalar, ScalarType } from '../tensor/scalar.js';
import type { Context, Frame } from './context.js';
import { fail, newVariable } from './context.js';
import { close, convert, elementwise, ensureRead, guardRead, materialize, mergeFree, needTensor, reduceAxes, reduceOver, convertTensor } from './tensor-value.js';
import type { Axis, IndexVariable, TensorValue, Value } from './value.js';
import { describe } from './value.js';

/** 32-bit FNV-1a, as an i32: stable under edits elsewhere in the file. */
function siteNumber(text: string): number {
  let h = 0x811c9dc5 | 0;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h;
}

/**
 * Draws a tensor with own axes `variables` (explicit indices, which the distribution may mention) then `axes`, independently
 * for every implicit index of the frame.
 */
export function drawTensor(c: Context, f: Frame, distribution: Value, variables: readonly IndexVariable[], axes: readonly Axis[], name: string, span: Span): TensorValue {
  const d: Value = distribution.kind === 'range'
    ? { kind: 'distribution', name: 'uniform', arguments: [{ kind: 'number', value: distribution.low, integer: false }, { kind: 'number', value: distribution.high, integer: false }] }
    : distribution;
  if (d.kind !== 'distribution') return fail(c, 'SSL2001', span, { expected: 'a distribution such as `uniform(0, 1)` or `0.2..1.0`', found: describe(distribution) });
  if (!c.training && (f.role === 'layer' || f.role === 'backbone') && name !== 'init') {
    return fail(c, 'SSL3002', span, { role: `${f.role} \`${f.callee}\``, problem: 'draws when it is not training', help: 'a network is deterministic when it is used: put the draw inside `if training { ... }`' });
  }
  const extra = axes.map((a, k) => newVariable(c, a.label ?? `axis${k}`, a, false));
  const own = [...variables, ...extra];
  const path = `${f.site}.${name}`;
  if (d.name === 'permutation') return permutation(c, f, d, own, path, span);
  const site = int(siteNumber(path));
  const clock = counter(c, f, own);
  const lane = (n: 0 | 1): Scalar => draw(n, { site, ...clock.draw });
  const parameters = d.arguments.map((a) => needTensor(c, span, a));
  const p = (k: number): Scalar => convert(parameters[k].at([]), parameters[k].element, 'f32');
  for (const t of parameters) if (t.axes.length > 0 && d.name !== 'categorical') return fail(c, 'SSL2001', span, { expected: 'scalar parameters of a distribution', found: describe(t) });
  const free = mergeFree(new Map(own.map((v) => [v.id, v])), clock.free, ...parameters.map((t) => t.free));
  const scalar = (type: ScalarType, s: Scalar): TensorValue => materialize(c, close({ kind: 'tensor', element: type, axes: [], free, at: () => s }, own), path, span);
  switch (d.name) {
    case 'uniform': return scalar('f32', add(p(0), mul(lane(0), binary('sub', p(1), p(0)))));
    case 'bernoulli': return scalar('bool', binary('lt', lane(0), p(0)));
    case 'int_uniform': return scalar('i32', cast('i32', unary('floor', mul(lane(0), p(0)))));
    case 'normal': return scalar('f32', add(p(0), mul(standardNormal(lane), p(1))));
    case 'unit_normal': {
      const raw = scalar('f32', standardNormal(lane));
      if (raw.axes.length === 0) return raw;
      const last = raw.axes.length - 1;
      const square = elementwise(c, span, [raw], 'f32', ([x]) => mul(x, x));
      const norm = reduceAxes(c, span, `${path} norm`, 'sum', square, [last]);
      const scale = materialize(c, elementwise(c, span, [norm], 'f32', ([x]) => binary('div', float(1), unary('sqrt', add(x, float(1e-12))))), `${path} scale`, span);
      return materialize(c, { ...raw, free: mergeFree(raw.free, scale.free), at: (i) => mul(raw.at(i), scale.at(i.slice(0, last))) }, path, span);
    }
    case 'categorical': return categorical(c, parameters[0], scalar('f32', lane(0)), span);
    default: return fail(c, 'SSL4001', span, { feature: `the distribution \`${d.name}\``, help: null });
  }
}

/** Box-Muller: sqrt(-2 ln(1 - u)) cos(2 pi v). */
function standardNormal(lane: (n: 0 | 1) => Scalar): Scalar {
  const radius = unary('sqrt', mul(float(-2), unary('log', binary('sub', float(1), lane(0)))));
  return mul(radius, unary('cos', mul(float(2 * Math.PI), lane(1))));
}

function counter(c: Context, f: Frame, own: readonly IndexVariable[]): { draw: { seed: Scalar; step: Scalar; example: Scalar; element: Scalar }; free: ReadonlyMap<number, IndexVariable> } {
  const batch = c.batch;
  const isBatch = (v: IndexVariable): boolean => batch !== null && v.id === batch.variable.id;
  const counted = [...f.lifts.filter((v) => !isBatch(v)), ...own];
  let element: Scalar = int(0);
  for (const v of counted) element = add(mul(element, int(v.axis.size)), index(v.id));
  const lifted = batch !== null && f.lifts.some(isBatch);
  const example = batch !== null && lifted ? read(batch.example, [index(batch.variable.id)], 'i32') : int(0);
  return {
    draw: { seed: c.builder.read(c.seed, []), step: c.builder.read(c.step, []), example, element },
    free: new Map([...counted, ...(batch !== null && lifted ? [batch.variable] : [])].map((v) => [v.id, v])),
  };
}

/** Ranks of independent uniforms (ties by position): every order is equally likely. */
function permutation(c: Context, f: Frame, d: Extract<Value, { kind: 'distribution' }>, own: readonly IndexVariable[], path: string, span: Span): TensorValue {
  const n = d.arguments[0];
  if (n?.kind !== 'number' || own.length > 0) return fail(c, 'SSL2001', span, { expected: '`permutation(n)` without indices, n known while compiling', found: 'something else' });
  const axis: Axis = { size: n.value, label: null, group: null, origin: null };
  const keys = drawTensor(c, f, { kind: 'range', low: 0, high: 1 }, [], [axis], `${path} keys`, span);
  const i = newVariable(c, 'i', axis, false);
  const j = newVariable(c, 'j', axis, false);
  const before: TensorValue = {
    kind: 'tensor', element: 'i32', axes: [], free: mergeFree(keys.free, new Map([[i.id, i], [j.id, j]])),
    at: () => {
      const a = keys.at([index(j.id)]);
      const b = keys.at([index(i.id)]);
      const tie = binary('and', binary('eq', a, b), binary('lt', index(j.id), index(i.id)));
      return cast('i32', binary('or', binary('lt', a, b), tie));
    },
  };
  const rank = reduceOver(c, span, path, 'sum', before, [j], null);
  return materialize(c, close(rank, [i]), path, span);
}

/** Inverse of the cumulative distribution: the number of classes whose cumulative weight lies at or below the draw. */
function categorical(c: Context, weights: TensorValue, u: TensorValue, span: Span): TensorValue {
  if (weights.axes.length !== 1) return fail(c, 'SSL2001', span, { expected: 'one list of weights', found: describe(weights) });
  const axis = weights.axes[0];
  const k = newVariable(c, 'k', axis, false);
  const m = newVariable(c, 'm', axis, false);
  const w = ensureRead(c, convertTensor(weights, 'f32'), 'weights', span);
  const upTo: TensorValue = {
    kind: 'tensor', element: 'f32', axes: [], free: mergeFree(w.free, new Map([[k.id, k], [m.id, m]])),
    at: () => select(binary('le', index(m.id), index(k.id)), guardRead(w.at([index(m.id)]), float(0)), float(0)),
  };
  const cumulative = materialize(c, close(reduceOver(c, span, 'cumulative', 'sum', upTo, [m], null), [k]), 'cumulative', span);
  const hit: TensorValue = {
    kind: 'tensor', element: 'i32', axes: u.axes, free: mergeFree(u.free, cumulative.free, new Map([[k.id, k]])),
    at: (i) => cast('i32', binary('le', cumulative.at([index(k.id)]), mul(u.at(i), cumulative.at([int(axis.size - 1)])))),
  };
  const count = reduceOver(c, span, 'categorical', 'sum', hit, [k], null);
  return elementwise(c, span, [count], 'i32', ([n]) => binary('min', n, int(axis.size - 1)));
}
