/**
 * Latent variables: for every example, the value that makes a local energy least. By gradient descent from a start, by
 * trying every value of a whole number, or by a function of the library that is given the energy.
 *
 * What is found is a constant for everything after it: no gradient reaches weights through it. At the minimum that is the
 * whole gradient of the least energy (the envelope theorem: dE/dz is 0 there). While looking, states stay as they are (the
 * running statistics of batch norm would otherwise see every round), and draws inside networks are those that the
 * next application makes: the energy that is minimized is the one that is trained.
 */
import type { Expression, Statement } from '../../grammar/ast.js';
import { add, float, int } from '../tensor/scalar.js';
import { callFunction } from './call.js';
import { stopGradient } from './builtins.js';
import type { Context, Frame, Store } from './context.js';
import { fail } from './context.js';
import { combine, evaluate, needInteger } from './evaluate.js';
import { gradientAt, scoreAt } from './gradient.js';
import { shapeOf } from './statements.js';
import { constantTensor, convertTensor, elementwise, materialize, needTensor, negate, reduceAxes } from './tensor-value.js';
import type { Axis, TensorValue, Value } from './value.js';
import { axisOf, describe, showShape } from './value.js';

type Latent = Extract<Statement, { kind: 'latent' }>;

/** More rounds than this are a slip of the pen: every round is written out in the program. */
const maximumRounds = 1000;

/** The value of a latent variable, without gradient. */
export function inferLatent(c: Context, f: Frame, s: Latent): Value {
  const score = evaluate(c, f, { kind: 'name', name: s.energy.text, span: s.energy.span });
  if (score.kind !== 'function') return fail(c, 'SSL2001', s.energy.span, { expected: 'an energy of the latent variable', found: describe(score) });
  const axes = shapeOf(c, f, s.type);
  const element = s.type.kind === 'tensorType' && s.type.element === 'int' ? 'i32' : 'f32';
  const discrete = s.search.kind === 'enumeration';
  if (discrete !== (element === 'i32') || (discrete && axes.length > 0)) {
    return fail(c, 'SSL2001', s.type.span, { expected: discrete ? '`int`, one whole number' : 'real numbers such as `[16]`', found: 'another type' });
  }
  if (c.replaceLatent !== undefined) return c.replaceLatent(s.name.text, element, axes, f.lifts);
  return stopGradient(c, s.span, quietly(c, { ...f, site: `${f.site}.${s.name.text}` }, (inside, frame) => search(inside, frame, s, score, axes)));
}

function search(c: Context, f: Frame, s: Latent, score: Value, axes: readonly Axis[]): TensorValue {
  switch (s.search.kind) {
    case 'descent': return descend(c, f, s, s.search, score, axes);
    case 'enumeration': return enumerate(c, f, s, s.search.range, score);
    case 'function': return bySearch(c, f, s, s.search, score, axes);
  }
}

/** z <- z - rate * dE/dz, so many times. */
function descend(c: Context, f: Frame, s: Latent, { from, steps, rate }: Extract<Latent['search'], { kind: 'descent' }>, score: Value, axes: readonly Axis[]): TensorValue {
  const rounds = needInteger(c, steps.span, evaluate(c, f, steps));
  if (rounds < 0 || rounds > maximumRounds) return fail(c, 'SSL2001', steps.span, { expected: `0 to ${maximumRounds} rounds`, found: `${rounds}` });
  const speed = convertTensor(needTensor(c, rate.span, evaluate(c, f, rate)), 'f32');
  let z = startOf(c, f, from, axes);
  for (let round = 0; round < rounds; round++) {
    const { point, gradient } = gradientAt(c, f, score, z, s.span);
    z = materialize(c, combine(c, s.span, 'sub', point, combine(c, s.span, 'mul', speed, gradient, false), false), s.name.text, s.span);
  }
  return z;
}

/** The start with the shape of the latent variable. */
function startOf(c: Context, f: Frame, e: Expression | null, axes: readonly Axis[]): TensorValue {
  const start = e === null ? constantTensor(float(0)) : convertTensor(needTensor(c, e.span, evaluate(c, f, e)), 'f32');
  const skipped = axes.length - start.axes.length;
  if (e !== null && (skipped < 0 || start.axes.some((a, k) => a.size !== axes[skipped + k].size))) {
    return fail(c, 'SSL2004', e.span, { left: showShape(axes), right: showShape(start.axes) });
  }
  return { ...start, axes, at: (i) => start.at(i.slice(skipped)) };
}

/** The energy of every value, and the place of the least. */
function enumerate(c: Context, f: Frame, s: Latent, range: Expression, score: Value): TensorValue {
  const values = evaluate(c, f, range);
  const wrong = (found: string): never => fail(c, 'SSL2001', range.span, { expected: 'a range of whole numbers such as `0..16`', found });
  if (values.kind !== 'range') return wrong(describe(values));
  const count = values.high - values.low;
  if (!Number.isInteger(values.low) || !Number.isInteger(count) || count < 1) return wrong(describe(values));
  const low = int(values.low);
  const all: TensorValue = { kind: 'tensor', element: 'i32', axes: [axisOf(count)], free: new Map(), at: (i) => add(i[0], low) };
  const energies = scoreAt(c, f, score, materialize(c, all, s.name.text, s.span), s.span);
  if (energies.axes.length !== 1 || energies.axes[0].size !== count) return fail(c, 'SSL2001', s.energy.span, { expected: 'an energy that gives one number', found: describe(energies) });
  const stored = materialize(c, negate(c, s.span, energies), `${s.name.text} energies`, s.span);
  return elementwise(c, s.span, [reduceAxes(c, s.span, s.name.text, 'argmax', stored, [0])], 'i32', ([k]) => add(k, low));
}

/** `by cem(samples: 200)`: the function is given the energy and the start. */
function bySearch(c: Context, f: Frame, s: Latent, { from, by }: Extract<Latent['search'], { kind: 'function' }>, score: Value, axes: readonly Axis[]): TensorValue {
  const method = evaluate(c, f, by);
  if (method.kind !== 'function') return fail(c, 'SSL2001', by.span, { expected: 'a search such as `cem(samples: 200)`', found: describe(method) });
  const start = materialize(c, startOf(c, f, from, axes), `${s.name.text} start`, s.span);
  const found = callFunction(c, f, method, [{ name: null, value: score, span: s.energy.span }, { name: null, value: start, span: s.span }], by.span, null);
  const value = needTensor(c, by.span, found);
  if (value.element !== 'f32' || value.axes.length !== axes.length || value.axes.some((a, k) => a.size !== axes[k].size)) {
    return fail(c, 'SSL2003', by.span, { name: s.name.text, expected: showShape(axes), found: describe(value) });
  }
  return materialize(c, value, s.name.text, s.span);
}

/** Works on the program without a trace outside of it: no state moves, and applications are counted anew afterwards. */
function quietly<T>(c: Context, f: Frame, work: (c: Context, f: Frame) => T): T {
  const inside: Context = { ...c, store: withoutUpdates(c.store), applications: new Map(c.applications) };
  const value = work(inside, { ...f, counters: new Map(f.counters), early: new Map() });
  c.counter = inside.counter;
  return value;
}

function withoutUpdates(store: Store): Store {
  return {
    parameter: (info, target, initial, span) => store.parameter(info, target, initial, span),
    state: (info, initial, span) => store.state(info, initial, span),
    updateState: () => undefined,
    target: (info) => store.target(info),
  };
}
