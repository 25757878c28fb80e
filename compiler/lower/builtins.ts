/** The compiler's primitive functions: what cannot be written in `.ssl`. Everything else is in the library. */
import type { Span } from '../../grammar/span.js';
import { suggest } from '../../grammar/diagnostics/suggest.js';
import { atLeastOne } from './arguments.js';
import type { Supplied } from './arguments.js';
import type { ReduceOperator } from '../tensor/program.js';
import { binary, float, unary } from '../tensor/scalar.js';
import type { UnaryOperator } from '../tensor/scalar.js';
import type { Context } from './context.js';
import { fail } from './context.js';
import { combine, needInteger } from './evaluate.js';
import { reduceParameters } from './reduce-parameters.js';
import { argsort, cholesky, solveTriangular } from './routines.js';
import { concatenate, convertTensor, elementwise, layViews, needTensor, reduceAxes, reshape, ensureMaterialized } from './tensor-value.js';
import type { TensorValue, Value } from './value.js';
import { describe, number } from './value.js';

const elementwiseNames: Readonly<Record<string, { op: UnaryOperator; fold: (x: number) => number }>> = {
  abs: { op: 'abs', fold: Math.abs }, exp: { op: 'exp', fold: Math.exp }, log: { op: 'log', fold: Math.log }, log1p: { op: 'log1p', fold: Math.log1p },
  sqrt: { op: 'sqrt', fold: Math.sqrt }, sin: { op: 'sin', fold: Math.sin }, cos: { op: 'cos', fold: Math.cos }, tanh: { op: 'tanh', fold: Math.tanh },
  floor: { op: 'floor', fold: Math.floor }, ceil: { op: 'ceil', fold: Math.ceil }, round: { op: 'round', fold: roundHalfEven },
  erf: { op: 'erf', fold: () => NaN },
};

function roundHalfEven(x: number): number {
  const r = Math.round(x);
  return Math.abs(x % 1) === 0.5 && r % 2 !== 0 ? r - 1 : r;
}

const distributions: ReadonlySet<string> = new Set(['uniform', 'normal', 'bernoulli', 'int_uniform', 'unit_normal', 'categorical', 'permutation']);
const wholeReductions: ReadonlySet<string> = new Set(['sum', 'mean', 'prod', 'logsumexp', 'any', 'all', 'argmax']);
const others = ['min', 'max', 'atan2', 'stop', 'concat', 'joint', 'reshape', 'float', 'int', 'zeros_like', 'transpose', 'ema', 'bundled', 'idx', 'cifar', 'images', 'image_pairs', 'rooms', 'var', 'gradient', 'argsort', 'cholesky', 'solve_triangular'];

/** Names that are functions everywhere. */
export const builtinNames: readonly string[] = [...Object.keys(elementwiseNames), ...distributions, ...wholeReductions, ...others];

/** Data sources the runtime knows; their arguments are passed on by name. A test compares with the runtime's own table. */
export const dataKinds: Readonly<Record<string, readonly string[]>> = {
  bundled: ['name'],
  idx: ['images', 'labels', 'testImages', 'testLabels'],
  cifar: ['path'],
  images: ['path', 'size', 'holdout'],
  rooms: ['size', 'frames', 'steps', 'stride', 'examples'],
  image_pairs: ['first', 'second', 'size', 'holdout'],
};

export function applyBuiltin(c: Context, name: string, args: readonly Supplied[], span: Span): Value {
  const known = elementwiseNames[name];
  if (known !== undefined) return elementwiseBuiltin(c, name, known, args, span);
  if (distributions.has(name)) return { kind: 'distribution', name, arguments: args.map((a) => a.value) };
  if (dataKinds[name] !== undefined) return dataSource(c, name, args);
  if (name === 'ema') return movingAverage(c, args, span);
  if (name === 'concat' || name === 'joint') {
    const items = args.length === 1 && args[0].value.kind === 'list' ? args[0].value.items : args.map((a) => a.value);
    if (items.length === 0) return fail(c, 'SSL2002', span, { callee: name, expected: 'at least one tensor', found: 0 });
    return (name === 'concat' ? concatenate : layViews)(c, span, items.map((v) => needTensor(c, span, v)));
  }
  switch (name) {
    case 'argsort': return argsort(c, args, span);
    case 'cholesky': return cholesky(c, args, span);
    case 'solve_triangular': return solveTriangular(c, args, span);
    default: break;
  }
  atLeastOne(c, name, args, span);
  const value = args[0].value;
  switch (name) {
    case 'min': case 'max': case 'atan2': return twoArguments(c, name, args, span);
    case 'float': return value.kind === 'number' ? { ...value, integer: false } : convertTensor(needTensor(c, span, value), 'f32');
    case 'int':
      return value.kind === 'number' ? number(Math.trunc(value.value)) : convertTensor(needTensor(c, span, value), 'i32');
    case 'reshape': return reshape(c, span, convertTensor(needTensor(c, span, value), needTensor(c, span, value).element === 'i32' ? 'i32' : 'f32'), args.slice(1).map((a) => needInteger(c, a.span, a.value)));
    case 'stop': return stopGradient(c, span, value);
    default: break;
  }
  const x = needTensor(c, args[0].span, value);
  if (args.length > 1) return fail(c, 'SSL2002', span, { callee: name, expected: '1 argument', found: args.length });
  switch (name) {
    case 'zeros_like': return elementwise(c, span, [x], 'f32', () => float(0));
    case 'transpose': return transpose(c, span, x);
    case 'var': return fail(c, 'SSL4001', span, { feature: '`var` without an axis', help: 'write `var[b](x[b])` or `var[B](x)`' });
    case 'sum': case 'mean': case 'prod': case 'logsumexp': case 'any': case 'all': case 'argmax':
      return reduceWhole(c, span, name, x);
    default: return fail(c, 'SSL4001', span, { feature: `the function \`${name}\``, help: null });
  }
}

/** Over all axes. */
function reduceWhole(c: Context, span: Span, name: ReduceOperator | 'mean', x: TensorValue): TensorValue {
  const all = x.axes.map((_, k) => k);
  return reduceParameters(c, span, name, x, all) ?? reduceAxes(c, span, name, name, x, all);
}

function elementwiseBuiltin(c: Context, name: string, known: { op: UnaryOperator; fold: (x: number) => number }, args: readonly Supplied[], span: Span): Value {
  if (args.length !== 1) return fail(c, 'SSL2002', span, { callee: name, expected: '1 argument', found: args.length });
  const v = args[0].value;
  if (v.kind === 'number' && name !== 'erf') return number(known.fold(v.value));
  const x = needTensor(c, args[0].span, v);
  if (x.element === 'i32' && (name === 'abs' || name === 'floor' || name === 'ceil' || name === 'round')) {
    return name === 'abs' ? elementwise(c, span, [x], 'i32', ([s]) => unary('abs', s)) : x;
  }
  return elementwise(c, span, [convertTensor(x, 'f32')], 'f32', ([s]) => unary(known.op, s));
}

function twoArguments(c: Context, name: 'min' | 'max' | 'atan2', args: readonly Supplied[], span: Span): Value {
  if (args.length === 1 && name !== 'atan2') {
    const x = needTensor(c, args[0].span, args[0].value);
    return reduceWhole(c, span, name, x);
  }
  if (args.length !== 2) return fail(c, 'SSL2002', span, { callee: name, expected: '2 arguments', found: args.length });
  const [a, b] = [args[0].value, args[1].value];
  if (a.kind === 'number' && b.kind === 'number') {
    return number(name === 'min' ? Math.min(a.value, b.value) : name === 'max' ? Math.max(a.value, b.value) : Math.atan2(a.value, b.value));
  }
  const [x, y] = [needTensor(c, args[0].span, a), needTensor(c, args[1].span, b)];
  if (name === 'atan2') return elementwise(c, span, [convertTensor(x, 'f32'), convertTensor(y, 'f32')], 'f32', ([s, t]) => binary('atan2', s, t));
  return combine(c, span, name, x, y, false);
}

/** `stop(x)`: the same values, no gradient; lists stop element by element. */
export function stopGradient(c: Context, span: Span, v: Value): Value {
  if (v.kind === 'list' || v.kind === 'tuple') return { ...v, items: v.items.map((x) => stopGradient(c, span, x)) };
  const x = needTensor(c, span, v);
  return x.element === 'f32' ? elementwise(c, span, [x], 'f32', ([s]) => unary('stop', s)) : x;
}

function transpose(c: Context, span: Span, x: TensorValue): TensorValue {
  if (x.axes.length !== 2) return fail(c, 'SSL2001', span, { expected: 'a tensor with two axes', found: describe(x) });
  const v = ensureMaterialized(c, x, 'transpose', span);
  return { ...v, axes: [v.axes[1], v.axes[0]], at: (i) => v.at([i[1], i[0]]) };
}

const emaSettings: readonly string[] = ['net', 'momentum', 'when', 'buffers'];

function movingAverage(c: Context, args: readonly Supplied[], span: Span): Value {
  const wrong = args.find((a) => a.name !== null && !emaSettings.includes(a.name));
  if (wrong?.name !== undefined && wrong.name !== null) return fail(c, 'SSL1006', wrong.span, { callee: 'ema', name: wrong.name, suggestion: suggest(wrong.name, emaSettings), known: emaSettings });
  const positional = args.filter((a) => a.name === null);
  const [net, momentum] = ['net', 'momentum'].map((name, k) => (args.find((a) => a.name === name) ?? positional[k])?.value);
  if (net?.kind !== 'net') return fail(c, 'SSL2001', args[0]?.span ?? span, { expected: 'a network to follow', found: net === undefined ? 'nothing' : describe(net) });
  if (momentum === undefined) return fail(c, 'SSL2010', span, { callee: 'ema', name: 'momentum' });
  if (momentum.kind !== 'number' && !(momentum.kind === 'tensor' && momentum.axes.length === 0 && momentum.free.size === 0)) {
    return fail(c, 'SSL2001', span, { expected: 'a number or a schedule as the momentum', found: describe(momentum) });
  }
  const when = choice(c, args, 'when', ['after', 'before'], span);
  const buffers = choice(c, args, 'buffers', ['own', 'copy', 'ema'], span);
  return { kind: 'ema', net, momentum, when, buffers };
}

/** One of some words, given by name; the first when it is left out. */
function choice<T extends string>(c: Context, args: readonly Supplied[], name: string, allowed: readonly [T, ...T[]], span: Span): T {
  const given = args.find((a) => a.name === name);
  if (given === undefined) return allowed[0];
  const value = given.value;
  const found = value.kind === 'string' ? allowed.find((a) => a === value.value) : undefined;
  return found ?? fail(c, 'SSL2009', span, { name, expected: allowed.map((a) => `"${a}"`).join(' or '), found: describe(value) });
}

function dataSource(c: Context, name: string, args: readonly Supplied[]): Value {
  const names = dataKinds[name];
  const values: Record<string, string | number | boolean> = {};
  args.forEach((a, k) => {
    const key = a.name ?? names[k];
    if (key === undefined || !names.includes(key)) return fail(c, 'SSL1006', a.span, { callee: name, name: key ?? `argument ${k + 1}`, suggestion: key === undefined ? null : suggest(key, names), known: names });
    const v = a.value;
    if (v.kind !== 'string' && v.kind !== 'number' && v.kind !== 'boolean') return fail(c, 'SSL2009', a.span, { name: key, expected: 'a text or number', found: describe(v) });
    values[key] = v.value;
  });
  return { kind: 'data', description: { kind: name, arguments: values } };
}
