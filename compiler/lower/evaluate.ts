/** Evaluates expressions: compile-time arithmetic on numbers, lazy elementwise operations on tensors. */
import type { Expression } from '../../grammar/ast.js';
import { suggest } from '../../grammar/diagnostics/suggest.js';
import type { Span } from '../../grammar/span.js';
import { rangeOf } from '../tensor/ranges.js';
import { binary, float, index, select, unary } from '../tensor/scalar.js';
import type { BinaryOperator, Scalar, ScalarType } from '../tensor/scalar.js';
import { evaluateAlong } from './along.js';
import { evaluateCall, evaluatePipe } from './call.js';
import type { Context, Frame } from './context.js';
import { fail, newVariable, Poisoned } from './context.js';
import { Scope } from './scope.js';
import { evaluateBlock } from './statements.js';
import {
  arithmeticType, convert, convertTensor, elementwise, ensureMaterialized, ensureRead, guardRead, mergeFree, needTensor, negate, reduceOver,
} from './tensor-value.js';
import type { TensorValue, Value } from './value.js';
import { describe, number, showShape } from './value.js';

function lookup(c: Context, f: Frame, name: string, span: Span): Value {
  const v = f.scope.get(name);
  if (v === null) return fail(c, 'SSL1001', span, { name, suggestion: suggest(name, f.scope.visible()) });
  if (v.kind === 'poison') throw new Poisoned();
  return v;
}

export function evaluate(c: Context, f: Frame, e: Expression): Value {
  const early = f.early.get(e);
  if (early !== undefined) return early;
  switch (e.kind) {
    case 'number': return evaluateNumber(c, e);
    case 'string': return { kind: 'string', value: e.value };
    case 'boolean': return { kind: 'boolean', value: e.value };
    case 'name': return lookup(c, f, e.name, e.span);
    case 'member': return evaluateMember(c, f, e);
    case 'call': return evaluateCall(c, f, e);
    case 'index': return evaluateIndex(c, f, e);
    case 'along': return evaluateAlong(c, f, e, null);
    case 'unary': return evaluateUnary(c, f, e);
    case 'binary': return evaluateBinary(c, f, e);
    case 'pipe': return evaluatePipe(c, f, e);
    case 'range': {
      const low = needNumber(c, e.low.span, evaluate(c, f, e.low));
      const high = needNumber(c, e.high.span, evaluate(c, f, e.high));
      return { kind: 'range', low, high };
    }
    case 'if': return evaluateIf(c, f, e);
    case 'block': return evaluateBlock(c, f, e);
    case 'list': return { kind: 'list', items: e.items.map((x) => evaluate(c, f, x)) };
    case 'tuple': return { kind: 'tuple', items: e.items.map((x) => evaluate(c, f, x)) };
    case 'listComprehension': {
      const source = evaluate(c, f, e.source);
      if (source.kind !== 'list') return fail(c, 'SSL2001', e.source.span, { expected: 'a list', found: describe(source) });
      const items: Value[] = [];
      for (const item of source.items) {
        const scope = childScope(f, e.variable.text, item);
        const inner = { ...f, scope, early: new Map<Expression, Value>() };
        if (e.where !== null) {
          const keep = evaluate(c, inner, e.where);
          if (keep.kind !== 'boolean') return fail(c, 'SSL2001', e.where.span, { expected: 'true or false, known while compiling', found: describe(keep) });
          if (!keep.value) continue;
        }
        items.push(evaluate(c, inner, e.element));
      }
      return { kind: 'list', items };
    }
    case 'over': return c.over?.(e) ?? fail(c, 'SSL3002', e.span, { role: '`over data`', problem: 'belongs in a stage', help: 'move it into a `stage NAME every 1 epochs { ... }`' });
  }
}

function childScope(f: Frame, name: string, value: Value): Scope {
  const scope = new Scope(f.scope);
  scope.set(name, value);
  return scope;
}

function evaluateNumber(c: Context, e: Extract<Expression, { kind: 'number' }>): Value {
  switch (e.unit) {
    case null: return { kind: 'number', value: e.value, integer: e.integer };
    case 'deg': return number((e.value * Math.PI) / 180);
    case '%': return number(e.value / 100);
    case 'steps': case 'step': case 'examples': return number(e.value);
    case 'epochs': case 'epoch':
      return c.epochSteps === null ? fail(c, 'SSL3002', e.span, { role: 'a length in epochs', problem: 'has no meaning here', help: 'give it in steps' }) : number(e.value * c.epochSteps);
    default: return fail(c, 'SSL2001', e.span, { expected: 'a unit such as deg, %, epochs or steps', found: `\`${e.unit}\`` });
  }
}

function needNumber(c: Context, span: Span, v: Value): number {
  return v.kind === 'number' ? v.value : fail(c, 'SSL2001', span, { expected: 'a number known while compiling', found: describe(v) });
}

/** An integer where one is wanted: fractions are rounded down. */
export function needInteger(c: Context, span: Span, v: Value): number {
  const value = needNumber(c, span, v);
  return Number.isFinite(value) ? Math.floor(value + 1e-9) : fail(c, 'SSL2001', span, { expected: 'a finite number', found: `${value}` });
}

function evaluateMember(c: Context, f: Frame, e: Extract<Expression, { kind: 'member' }>): Value {
  const object = evaluate(c, f, e.object);
  const name = e.name.text;
  if (object.kind === 'net') {
    const stages = object.stages.filter((s) => s.value.declaration.role === name || s.value.declaration.name.text === name);
    if (stages.length > 0) return { ...object, stages };
    const path = `${object.target?.name ?? object.name}.${name}`;
    return fail(c, 'SSL1003', e.name.span, { name, module: path.split('.')[0], suggestion: suggest(name, object.stages.map((s) => s.value.declaration.name.text)) });
  }
  return fail(c, 'SSL2001', e.object.span, { expected: 'a network', found: describe(object) });
}

function evaluateUnary(c: Context, f: Frame, e: Extract<Expression, { kind: 'unary' }>): Value {
  const v = evaluate(c, f, e.operand);
  if (e.operator === 'not') {
    if (v.kind === 'boolean') return { kind: 'boolean', value: !v.value };
    return elementwise(c, e.span, [convertTensor(needTensor(c, e.operand.span, v), 'bool')], 'bool', ([x]) => unary('not', x));
  }
  if (v.kind === 'number') return { ...v, value: -v.value };
  return negate(c, e.span, needTensor(c, e.operand.span, v));
}

const operators: Readonly<Record<Exclude<Extract<Expression, { kind: 'binary' }>['operator'], '^' | '@' | '++'>, BinaryOperator>> = {
  '+': 'add', '-': 'sub', '*': 'mul', '/': 'div', '%': 'mod',
  '==': 'eq', '!=': 'ne', '<': 'lt', '<=': 'le', '>': 'gt', '>=': 'ge', and: 'and', or: 'or',
};

function evaluateBinary(c: Context, f: Frame, e: Extract<Expression, { kind: 'binary' }>): Value {
  const a = evaluate(c, f, e.left);
  const b = evaluate(c, f, e.right);
  if (e.operator === '++') {
    if (a.kind === 'list' && b.kind === 'list') return { kind: 'list', items: [...a.items, ...b.items] };
    return fail(c, 'SSL2001', e.span, { expected: 'two lists', found: `${describe(a)} and ${describe(b)}` });
  }
  if ((e.operator === '==' || e.operator === '!=') && a.kind !== 'number') {
    const same = sameValue(a, b);
    if (same !== null) return { kind: 'boolean', value: (e.operator === '==') === same };
  }
  if (a.kind === 'number' && b.kind === 'number') return foldNumbers(c, f, e, a, b);
  if (a.kind === 'boolean' && b.kind === 'boolean') {
    if (e.operator === 'and') return { kind: 'boolean', value: a.value && b.value };
    if (e.operator === 'or') return { kind: 'boolean', value: a.value || b.value };
  }
  const left = needTensor(c, e.left.span, a);
  const right = needTensor(c, e.right.span, b);
  if (e.operator === '@') return matrixProduct(c, e, left, right);
  if (e.operator === '^') return power(c, e, left, b, right);
  return combine(c, e.span, operators[e.operator], left, right, f.indexing);
}

/** List elements and names compare by identity; null when the comparison is one of tensors. */
function sameValue(a: Value, b: Value): boolean | null {
  if (a === b && (a.kind !== 'tensor' || a.axes.length > 0)) return true;
  if (a.kind === 'tensor' && b.kind === 'tensor') return a.axes.length > 0 && b.axes.length > 0 && a.free.size > 0 ? false : null;
  if (a.kind === 'string' && b.kind === 'string') return a.value === b.value;
  if (a.kind === 'boolean' && b.kind === 'boolean') return a.value === b.value;
  return null;
}

function foldNumbers(c: Context, f: Frame, e: Extract<Expression, { kind: 'binary' }>, a: Extract<Value, { kind: 'number' }>, b: Extract<Value, { kind: 'number' }>): Value {
  const integer = a.integer && b.integer;
  const whole = (value: number): Value => ({ kind: 'number', value, integer });
  const truth = (value: boolean): Value => ({ kind: 'boolean', value });
  switch (e.operator) {
    case '+': return whole(a.value + b.value);
    case '-': return whole(a.value - b.value);
    case '*': return whole(a.value * b.value);
    case '/': {
      const q = a.value / b.value;
      return f.indexing && integer ? whole(Math.floor(q)) : { kind: 'number', value: q, integer: integer && Number.isInteger(q) };
    }
    case '%': return whole(a.value - b.value * Math.floor(a.value / b.value));
    case '^': return { kind: 'number', value: Math.pow(a.value, b.value), integer: integer && b.value >= 0 };
    case '==': return truth(a.value === b.value);
    case '!=': return truth(a.value !== b.value);
    case '<': return truth(a.value < b.value);
    case '<=': return truth(a.value <= b.value);
    case '>': return truth(a.value > b.value);
    case '>=': return truth(a.value >= b.value);
    default: return fail(c, 'SSL2001', e.span, { expected: `something \`${e.operator}\` works on`, found: 'two numbers' });
  }
}

/** One elementwise operator with the language's promotions: bool < int < float; pixels count as floats. */
export function combine(c: Context, span: Span, op: BinaryOperator, a: TensorValue, b: TensorValue, indexing: boolean): TensorValue {
  if (op === 'and' || op === 'or') {
    return elementwise(c, span, [convertTensor(a, 'bool'), convertTensor(b, 'bool')], 'bool', ([x, y]) => binary(op, x, y));
  }
  const ta = arithmeticType(a.element);
  const tb = arithmeticType(b.element);
  const whole = ta !== 'f32' && tb !== 'f32';
  const comparison = op === 'eq' || op === 'ne' || op === 'lt' || op === 'le' || op === 'gt' || op === 'ge';
  const divides = op === 'div';
  const type: ScalarType = whole && !(divides && !indexing) ? 'i32' : 'f32';
  const real: BinaryOperator = divides && type === 'i32' ? 'idiv' : op;
  return elementwise(c, span, [convertTensor(a, type), convertTensor(b, type)], comparison ? 'bool' : type, ([x, y]) => binary(real, x, y));
}

function power(c: Context, e: Extract<Expression, { kind: 'binary' }>, base: TensorValue, exponent: Value, tensor: TensorValue): TensorValue {
  const x = convertTensor(base, 'f32');
  if (exponent.kind === 'number') {
    const n = exponent.value;
    if (n === 2 || n === 3 || n === 4) {
      return elementwise(c, e.span, [x], 'f32', ([s]) => {
        const square = binary('mul', s, s);
        return n === 2 ? square : binary('mul', square, n === 3 ? s : square);
      });
    }
    if (n === 0.5) return elementwise(c, e.span, [x], 'f32', ([s]) => unary('sqrt', s));
    if (n === -1) return elementwise(c, e.span, [x], 'f32', ([s]) => binary('div', float(1), s));
  }
  return elementwise(c, e.span, [x, convertTensor(tensor, 'f32')], 'f32', ([s, t]) => binary('pow', s, t));
}

/** `a @ b`: contracts the last axis of `a` with the last but one (or only) axis of `b`. */
function matrixProduct(c: Context, e: Extract<Expression, { kind: 'binary' }>, a: TensorValue, b: TensorValue): TensorValue {
  const k = a.axes.length - 1;
  const at = Math.max(0, b.axes.length - 2);
  if (k < 0 || b.axes.length === 0 || b.axes.length > 2 || a.axes[k].size !== b.axes[at].size) {
    return fail(c, 'SSL2004', e.span, { left: showShape(a.axes), right: showShape(b.axes) });
  }
  const left = ensureMaterialized(c, convertTensor(a, 'f32'), 'left', e.left.span);
  const right = ensureMaterialized(c, convertTensor(b, 'f32'), 'right', e.right.span);
  const v = newVariable(c, 'k', a.axes[k], false);
  const bound: Scalar = index(v.id);
  const body: TensorValue = {
    kind: 'tensor', element: 'f32',
    axes: [...a.axes.slice(0, k), ...b.axes.filter((_, n) => n !== at)],
    free: mergeFree(left.free, right.free, new Map([[v.id, v]])),
    at: (i) => {
      const outer = i.slice(k);
      return binary('mul', left.at([...i.slice(0, k), bound]), right.at(b.axes.map((_, n) => (n === at ? bound : outer[n === 0 ? 0 : n - 1]))));
    },
  };
  return reduceOver(c, e.span, 'product', 'sum', body, [v], null);
}

function evaluateIf(c: Context, f: Frame, e: Extract<Expression, { kind: 'if' }>): Value {
  const condition = evaluate(c, f, e.condition);
  if (condition.kind === 'boolean') {
    const branch = condition.value ? e.then : e.otherwise;
    if (branch === null) return { kind: 'tuple', items: [] };
    return evaluateBlock(c, f, branch);
  }
  if (e.otherwise === null) return fail(c, 'SSL2001', e.span, { expected: 'an `else` branch, since the condition is a tensor', found: 'none' });
  const guard = needTensor(c, e.condition.span, condition);
  if (guard.element !== 'bool') return fail(c, 'SSL2001', e.condition.span, { expected: 'a condition such as `x > 0`', found: describe(condition) });
  const a = needTensor(c, e.then.span, evaluateBlock(c, f, e.then));
  const b = needTensor(c, e.otherwise.span, evaluateBlock(c, f, e.otherwise));
  const ta = arithmeticType(a.element);
  const tb = arithmeticType(b.element);
  const type: ScalarType = ta === tb ? ta : ta === 'f32' || tb === 'f32' ? 'f32' : 'i32';
  return elementwise(c, e.span, [guard, convertTensor(a, type), convertTensor(b, type)], type, ([g, x, y]) => select(g, x, y));
}

function evaluateIndex(c: Context, f: Frame, e: Extract<Expression, { kind: 'index' }>): Value {
  const object = evaluate(c, f, e.object);
  const inside: Frame = { ...f, indexing: true };
  const indices = e.indices.map((x) => evaluate(c, inside, x));
  if (object.kind === 'list' || object.kind === 'tuple') {
    const k = indices.length === 1 ? needInteger(c, e.indices[0].span, indices[0]) : -1;
    const item = object.items[k];
    return item ?? fail(c, 'SSL2007', e.span, { low: k, high: k, size: object.items.length });
  }
  const whole = needTensor(c, e.object.span, object);
  if (indices.length > whole.axes.length) {
    return fail(c, 'SSL2001', e.span, { expected: `at most ${whole.axes.length} indices into ${showShape(whole.axes)}`, found: `${indices.length}` });
  }
  const at = indices.map((v, k) => {
    const t = needTensor(c, e.indices[k].span, v.kind === 'number' ? { ...v, value: Math.floor(v.value), integer: true } : v);
    return t.element === 'f32' ? convertTensor(elementwise(c, e.span, [t], 'f32', ([x]) => unary('floor', x)), 'i32') : t.element === 'u8' ? { ...t, element: 'i32' as const } : convertTensor(t, 'i32');
  });
  const stored = e.otherwise !== null ? ensureRead(c, whole, 'x', e.object.span) : whole;
  let otherwise: TensorValue | null = null;
  if (e.otherwise !== null) {
    const fill = needTensor(c, e.otherwise.span, evaluate(c, f, e.otherwise));
    if (fill.axes.length > 0) return fail(c, 'SSL2001', e.otherwise.span, { expected: 'one number for what lies outside', found: describe(fill) });
    otherwise = fill;
  } else {
    at.forEach((t, k) => checkBounds(c, e.indices[k].span, t, whole.axes[k].size));
  }
  const rank = at.map((t) => t.axes.length);
  const element = whole.element;
  const fillType: ScalarType = element === 'u8' ? 'i32' : element;
  const found: TensorValue = {
    kind: 'tensor', element,
    axes: [...at.flatMap((t) => t.axes), ...whole.axes.slice(at.length)],
    free: mergeFree(stored.free, ...at.map((t) => t.free), ...(otherwise === null ? [] : [otherwise.free])),
    at: (i) => {
      let next = 0;
      const own: Scalar[] = at.map((t, k) => { const s = t.at(i.slice(next, next + rank[k])); next += rank[k]; return s; });
      const s = stored.at([...own, ...i.slice(next)]);
      return otherwise === null ? s : guardRead(s, convert(otherwise.at([]), otherwise.element, fillType));
    },
  };
  return c.store.gathered?.(found) ?? found;
}

/** An index that can be shown to leave the axis is an error; one that comes from data is trusted (and clamped). */
function checkBounds(c: Context, span: Span, t: TensorValue, size: number): void {
  if (t.axes.length > 0) return;
  const { low, high } = rangeOf(t.at([]), (axis) => t.free.get(axis)?.axis.size);
  if (Number.isFinite(low) && Number.isFinite(high) && (low < 0 || high >= size)) fail(c, 'SSL2007', span, { low, high, size });
}
