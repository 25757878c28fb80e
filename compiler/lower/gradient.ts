/**
 * Gradients in the middle of a program: of a function that gives one number, with respect to what it is applied to. The
 * point is first put into memory with one row for every variable that the value depends on (the batch, lifted axes), so
 * that each example has a gradient of its own; where examples are coupled, it is that of the sum over all of them.
 */
import type { Span } from '../../grammar/span.js';
import { differentiate } from '../tensor/differentiate.js';
import { index } from '../tensor/scalar.js';
import type { Supplied } from './arguments.js';
import { applyValue } from './call.js';
import type { Context, Frame } from './context.js';
import { fail } from './context.js';
import { nodeOf } from './store.js';
import { close, convertTensor, materialize, mergeFree, needTensor, open, orderedFree, tensorOfNode } from './tensor-value.js';
import type { IndexVariable, TensorValue, Value } from './value.js';
import { describe } from './value.js';

/** `score` at `point`: one number for every variable around. */
export function scoreAt(c: Context, f: Frame, score: Value, point: TensorValue, span: Span): TensorValue {
  return convertTensor(needTensor(c, span, applyValue(c, f, score, [{ name: null, value: point, span }], span)), 'f32');
}

/** A point in memory and the gradient there, one row each for every variable. */
export interface Gradient {
  readonly point: TensorValue;
  readonly gradient: TensorValue;
}

export function gradientAt(c: Context, f: Frame, score: Value, at: TensorValue, span: Span): Gradient {
  let variables: readonly IndexVariable[] = sorted([...f.lifts, ...at.free.values()]);
  for (;;) {
    const point = perVariable(c, at, variables, span);
    const value = scoreAt(c, f, score, point, span);
    if (value.axes.length > 0) return fail(c, 'SSL2001', span, { expected: 'a function that gives one number', found: describe(value) });
    const free = orderedFree(value);
    const missing = free.filter((v) => !variables.some((x) => x.id === v.id));
    if (missing.length > 0) { variables = sorted([...variables, ...missing]); continue; }
    const rows = inMemory(c, close(value, variables), 'energy', span);
    const [id] = differentiate(c.builder, nodeOf(rows), [nodeOf(close(point, variables))]);
    const axes = [...variables.map((v) => v.axis), ...at.axes];
    return { point, gradient: open(tensorOfNode(c, id, axes), variables) };
  }
}

/** The same value in memory, with a row for each of the variables even where it is the same for all. */
function perVariable(c: Context, v: TensorValue, variables: readonly IndexVariable[], span: Span): TensorValue {
  const whole = close({ ...v, free: mergeFree(v.free, new Map(variables.map((x) => [x.id, x]))) }, variables);
  return open(inMemory(c, whole, 'point', span), variables);
}

/** The value as one node of just this shape: a read of something smaller, repeated, is written out. */
function inMemory(c: Context, v: TensorValue, name: string, span: Span): TensorValue {
  const s = v.at(v.axes.map((_, k) => index(k)));
  const plain = s.kind === 'read' && s.otherwise === null && s.at.length === v.axes.length && s.at.every((i, k) => i.kind === 'index' && i.axis === k);
  return plain ? v : materialize(c, v, name, span);
}

function sorted(variables: readonly IndexVariable[]): IndexVariable[] {
  return [...new Map(variables.map((v) => [v.id, v])).values()].sort((a, b) => a.id - b.id);
}

/** `gradient(f, x)`: of f at x, with respect to x. */
export function gradientCall(c: Context, f: Frame, args: readonly Supplied[], span: Span): TensorValue {
  const [score, at] = args;
  if (args.length !== 2 || score === undefined || at === undefined) return fail(c, 'SSL2002', span, { callee: 'gradient', expected: '2 arguments, a function and a tensor', found: args.length });
  return gradientAt(c, f, score.value, convertTensor(needTensor(c, at.span, at.value), 'f32'), span).gradient;
}
