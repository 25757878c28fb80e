/**
 * Calls: settings and inputs, lifting over leading axes, absorbing implicit ones, and applying networks.
 *
 * With an input declared on r axes and an argument of a own axes: a > r maps the body over the extra leading axes;
 * a < r makes the innermost implicit axes (the batch) own; `*S` takes every implicit axis the argument varies over.
 */
import type { Expression, FunctionDeclaration, Input, TypeExpression } from '../../grammar/ast.js';
import { bug } from '../../grammar/diagnostics/report.js';
import type { Span } from '../../grammar/span.js';
import { evaluateAlong } from './along.js';
import { bindSettings, supply, supplySettings } from './arguments.js';
import type { Supplied } from './arguments.js';
import { applyBuiltin, stopGradient } from './builtins.js';
import type { Context, Frame } from './context.js';
import { fail, newVariable } from './context.js';
import { evaluate, needInteger } from './evaluate.js';
import { gradientCall } from './gradient.js';
import { isValueOfEach } from './reduce-parameters.js';
import { Scope } from './scope.js';
import { evaluateBlock } from './statements.js';
import { asTensor, close, convertTensor, ensureMaterialized, mergeFree, open } from './tensor-value.js';
import type { Axis, FunctionValue, IndexVariable, NetValue, TensorValue, Value } from './value.js';
import { describe, showShape } from './value.js';

type Call = Extract<Expression, { kind: 'call' }>;

export function evaluateCall(c: Context, f: Frame, e: Call): Value {
  const callee = e.callee.kind === 'call' ? evaluateCallee(c, f, e.callee) : evaluate(c, f, e.callee);
  if (callee.kind === 'function' && callee.settings === null && callee.declaration.settings.length > 0 && takesSettings(c, f, callee.declaration, e)) {
    return { ...callee, settings: supplySettings(c, f, callee.declaration.name.text, callee.declaration.settings, e.arguments) };
  }
  if (callee.kind === 'function' && callee.declaration.role === 'data') return callWithSettings(c, f, callee, e);
  if (callee.kind === 'function' && callee.declaration.inputs.length === 0) return callWithSettings(c, f, callee, e);
  return applyValue(c, f, callee, supply(c, f, e.arguments), e.span);
}

/** The callee of another call: its arguments are settings whenever the function has any. */
function evaluateCallee(c: Context, f: Frame, e: Call): Value {
  const callee = e.callee.kind === 'call' ? evaluateCallee(c, f, e.callee) : evaluate(c, f, e.callee);
  if (callee.kind === 'function' && callee.settings === null && callee.declaration.inputs.length > 0 && (callee.declaration.settings.length > 0 || e.arguments.length === 0)) {
    return { ...callee, settings: supplySettings(c, f, callee.declaration.name.text, callee.declaration.settings, e.arguments) };
  }
  return evaluateCall(c, f, e);
}

/** `schedule` and `data` functions have settings only: giving them is the call. */
function callWithSettings(c: Context, f: Frame, fn: FunctionValue, e: Call): Value {
  const settings = supplySettings(c, f, fn.declaration.name.text, fn.declaration.settings, e.arguments);
  return callFunction(c, f, { ...fn, settings }, [], e.span, null);
}

/** Is this first list of arguments the settings? Not when a tensor is among the positional ones: settings left at their defaults. */
function takesSettings(c: Context, f: Frame, d: FunctionDeclaration, e: Call): boolean {
  if (d.inputs.length === 0) return false;
  if (e.arguments.some((a) => a.name !== null && d.settings.some((s) => s.name.text === a.name?.text))) return true;
  if (d.settings.some((s) => s.type?.text === 'names')) return true;
  return !e.arguments.some((a) => {
    if (f.early.get(a.value) === undefined) f.early.set(a.value, evaluate(c, f, a.value));
    return f.early.get(a.value)?.kind === 'tensor';
  });
}

export function evaluatePipe(c: Context, f: Frame, e: Extract<Expression, { kind: 'pipe' }>): Value {
  const left = evaluate(c, f, e.left);
  const stages = asStages(left);
  if (stages !== null) {
    const right = e.right.kind === 'call' ? evaluateCallee(c, f, e.right) : evaluate(c, f, e.right);
    const more = asStages(right);
    if (more === null) return fail(c, 'SSL2001', e.right.span, { expected: 'a layer or network', found: describe(right) });
    return { kind: 'composition', stages: [...stages, ...more] };
  }
  if (e.right.kind === 'along') return evaluateAlong(c, f, e.right, left);
  const first: Supplied = { name: null, value: left, span: e.left.span };
  if (e.right.kind === 'call') {
    const callee = e.right.callee.kind === 'call' ? evaluateCallee(c, f, e.right.callee) : evaluate(c, f, e.right.callee);
    if (callee.kind === 'function' && callee.settings === null && callee.declaration.settings.length > 0) {
      const settings = supplySettings(c, f, callee.declaration.name.text, callee.declaration.settings, e.right.arguments);
      return applyValue(c, f, { ...callee, settings }, [first], e.span);
    }
    return applyValue(c, f, callee, [first, ...supply(c, f, e.right.arguments)], e.span);
  }
  return applyValue(c, f, evaluate(c, f, e.right), [first], e.span);
}

function asStages(v: Value): readonly FunctionValue[] | null {
  if (v.kind === 'function') return [v];
  if (v.kind === 'composition') return v.stages;
  return null;
}

/** Applies whatever can be applied. */
export function applyValue(c: Context, f: Frame, callee: Value, args: readonly Supplied[], span: Span): Value {
  switch (callee.kind) {
    case 'builtin': return callee.name === 'gradient' ? gradientCall(c, f, args, span) : applyBuiltin(c, callee.name, args, span);
    case 'function': return callFunction(c, f, callee, args, span, null);
    case 'net': return applyNet(c, f, callee, args, span);
    case 'composition':
      return callee.stages.reduce<Value>((x, stage, k) => callFunction(c, f, stage, k === 0 ? args : [{ name: null, value: x, span }], span, null), { kind: 'tuple', items: [] });
    default: return fail(c, 'SSL2001', span, { expected: 'something that can be called', found: describe(callee) });
  }
}

/** A network's stages for `net f = ...`: one stage takes the net's own path, several are named after their functions. */
export function netOf(c: Context, name: string, v: Value, span: Span): NetValue {
  if (v.kind === 'net') return v;
  const stages = asStages(v);
  if (stages === null) return fail(c, 'SSL2001', span, { expected: 'a layer, a backbone or a composition of them', found: describe(v) });
  const seen = new Map<string, number>();
  return {
    kind: 'net', name, target: null,
    stages: stages.map((value) => {
      if (stages.length === 1) return { value, path: '' };
      const base = value.declaration.name.text;
      const n = (seen.get(base) ?? 0) + 1;
      seen.set(base, n);
      return { value, path: n === 1 ? `.${base}` : `.${base}_${n}` };
    }),
  };
}

function applyNet(c: Context, f: Frame, net: NetValue, args: readonly Supplied[], span: Span): Value {
  const root = net.target?.name ?? net.name;
  const n = (c.applications.get(root) ?? 0) + 1;
  c.applications.set(root, n);
  const from = c.builder.nextId;
  const apply = (): Value => net.stages.reduce<Value>((x, stage, k) => {
    const at = { path: `${root}${stage.path}`, site: `${root}#${n}${stage.path}`, target: net.target };
    return callFunction(c, f, stage.value, k === 0 ? args : [{ name: null, value: x, span }], span, at);
  }, { kind: 'tuple', items: [] });
  const computed = c.standIn?.(c, f, net, args, apply) ?? apply();
  const result = c.onApplication?.(net, computed, args.map((a) => a.value), from) ?? computed;
  return net.target === null ? result : stopGradient(c, span, result);
}

interface Place {
  readonly path: string;
  readonly site: string;
  readonly target: NetValue['target'];
}

export function callFunction(c: Context, f: Frame, fn: FunctionValue, args: readonly Supplied[], span: Span, at: Place | null): Value {
  const d = fn.declaration;
  const callee = d.name.text;
  if (c.calls.length > 200) return fail(c, 'SSL4002', span, { what: `calls nested in \`${callee}\``, limit: 200 });
  const place = at ?? nextPlace(f, callee);
  const scope = new Scope(fn.scope);
  c.calls.push({ callee, span });
  try {
    const outer: Frame = { ...f, scope, early: new Map() };
    bindSettings(c, outer, scope, callee, d.settings, fn.settings ?? new Map(), span);
    const bound = bindInputs(c, f, scope, d, args, span);
    const frame: Frame = {
      scope, path: place.path, site: place.site, target: place.target, counters: new Map(), callee, role: d.role, early: new Map(), indexing: false,
      lifts: [...f.lifts.filter((v) => !bound.absorbed.includes(v)), ...bound.lifted],
      declaredResult: null,
    };
    const declared = declaredSizes(c, frame, d.result);
    const result = evaluateBlock(c, { ...frame, declaredResult: declared }, d.body);
    return giveBack(c, frame, d, result, bound, span);
  } finally {
    c.calls.pop();
  }
}

function nextPlace(f: Frame, callee: string): Place {
  const n = (f.counters.get(callee) ?? 0) + 1;
  f.counters.set(callee, n);
  const child = /\d$/.test(callee) ? `${callee}_${n}` : `${callee}${n}`;
  return { path: f.path === '' ? child : `${f.path}.${child}`, site: `${f.site}.${child}`, target: f.target };
}

interface Bound {
  readonly lifted: readonly IndexVariable[];
  readonly absorbed: readonly IndexVariable[];
}

const axesDeclared = (t: TypeExpression): number => (t.kind === 'tensorType' ? t.dimensions.filter((d) => d.kind === 'dimension').length : 0);
const hasRest = (t: TypeExpression): boolean => t.kind === 'tensorType' && t.dimensions.some((d) => d.kind === 'rest');

function bindInputs(c: Context, f: Frame, scope: Scope, d: FunctionDeclaration, args: readonly Supplied[], span: Span): Bound {
  const ordered = orderInputs(c, d, args, span);
  // Arguments as tensors of the declared element, in memory or as cheap as memory; null for compile-time values.
  const tensors = ordered.map((a, k) => argumentTensor(c, d, d.inputs[k], a));
  const implicit = [...f.lifts].sort((a, b) => a.id - b.id);
  const absorbed = new Set<IndexVariable>();
  const extra: (readonly Axis[])[] = tensors.map((t, k) => {
    const type = d.inputs[k].type;
    if (t === null || type.kind !== 'tensorType') return [];
    if (hasRest(type)) { implicit.filter((v) => t.free.has(v.id)).forEach((v) => absorbed.add(v)); return []; }
    const missing = axesDeclared(type) - t.axes.length;
    if (missing > implicit.length) {
      return fail(c, 'SSL2001', ordered[k].span, { expected: `\`${d.inputs[k].name.text}\` with ${axesDeclared(type)} axes`, found: describe(t) });
    }
    if (missing > 0) implicit.slice(implicit.length - missing).forEach((v) => absorbed.add(v));
    return missing < 0 ? t.axes.slice(0, -missing) : [];
  });
  const lifted = liftedVariables(c, d, extra, ordered);
  const order = [...absorbed].sort((a, b) => a.id - b.id);
  tensors.forEach((t, k) => {
    const input = d.inputs[k];
    if (t === null || input.type.kind !== 'tensorType') { scope.set(input.name.text, ordered[k].value); return; }
    const mine = lifted.slice(lifted.length - extra[k].length);
    let value = mine.length > 0 ? open(t, mine) : t;
    const wants = hasRest(input.type) ? order : order.slice(order.length - Math.max(0, axesDeclared(input.type) - t.axes.length));
    if (wants.length > 0) {
      value = close({ ...value, free: mergeFree(value.free, new Map(wants.map((v) => [v.id, v]))) }, wants);
      value = { ...value, axes: value.axes.map((a, n) => (n < wants.length ? { ...a, origin: wants[n] } : a)) };
    }
    scope.set(input.name.text, bindAxes(c, f, scope, input, value, ordered[k].span));
  });
  return { lifted, absorbed: order };
}

function orderInputs(c: Context, d: FunctionDeclaration, args: readonly Supplied[], span: Span): Supplied[] {
  const names = d.inputs.map((i) => i.name.text);
  const plural = `${d.inputs.length} input${d.inputs.length === 1 ? '' : 's'} (${names.join(', ')})`;
  const slots: (Supplied | undefined)[] = names.map(() => undefined);
  let next = 0;
  for (const a of args) {
    const k = a.name === null ? next++ : names.indexOf(a.name);
    if (k < 0 || k >= names.length) return fail(c, 'SSL2002', a.span, { callee: d.name.text, expected: plural, found: args.length });
    slots[k] = a;
  }
  return slots.map((s) => s ?? fail(c, 'SSL2002', span, { callee: d.name.text, expected: plural, found: args.length }));
}

function argumentTensor(c: Context, d: FunctionDeclaration, input: Input, a: Supplied): TensorValue | null {
  const type = input.type;
  if (type.kind !== 'tensorType') return null;
  if (a.value.kind === 'poison') return null;
  if ((a.value.kind === 'number' || a.value.kind === 'boolean') && type.dimensions.length === 0) return null;
  const t = asTensor(a.value);
  if (t === null) return fail(c, 'SSL2001', a.span, { expected: `a tensor for \`${input.name.text}\` of \`${d.name.text}\``, found: describe(a.value) });
  if (type.element === 'int' && t.element === 'f32') return fail(c, 'SSL2001', a.span, { expected: `an int tensor for \`${input.name.text}\``, found: describe(t) });
  const typed = type.element === 'f32' ? convertTensor(t, 'f32') : type.element === 'bool' ? convertTensor(t, 'bool') : type.element === 'int' && t.element !== 'u8' ? convertTensor(t, 'i32') : t;
  return ensureMaterialized(c, typed, input.name.text, a.span);
}

/** Fresh implicit variables for the extra leading axes; arguments align at the innermost one. */
function liftedVariables(c: Context, d: FunctionDeclaration, extra: readonly (readonly Axis[])[], args: readonly Supplied[]): IndexVariable[] {
  const most = Math.max(0, ...extra.map((e) => e.length));
  const axes: Axis[] = [];
  for (let n = 0; n < most; n++) {
    let axis: Axis | null = null;
    extra.forEach((e, k) => {
      const own = e[n - (most - e.length)];
      if (own === undefined) return;
      if (axis !== null && axis.size !== own.size) return fail(c, 'SSL2004', args[k].span, { left: showShape([axis]), right: showShape([own]) });
      axis = axis ?? own;
    });
    axes.push(axis ?? bug('a lifted axis without an argument'));
  }
  return axes.map((a) => newVariable(c, a.label ?? d.name.text, a, true));
}

/** Matches a tensor's own axes to the declared dimensions: binds names, compares the rest, and labels the axes. */
function bindAxes(c: Context, f: Frame, scope: Scope, input: Input, v: TensorValue, span: Span): TensorValue {
  const type = input.type;
  if (type.kind !== 'tensorType') return v;
  const restCount = v.axes.length - axesDeclared(type);
  const axes: Axis[] = [];
  let at = 0;
  for (const d of type.dimensions) {
    if (d.kind === 'rest') {
      const rest = v.axes.slice(at, at + restCount);
      const sizes: Value = { kind: 'list', items: rest.map((a): Value => ({ kind: 'number', value: a.size, integer: true })) };
      if (scope.hasOwn(`*${d.name.text}`)) {
        const known = scope.get(`*${d.name.text}`);
        const expected = known?.kind === 'list' ? known.items.map((n) => (n.kind === 'number' ? n.value : 0)) : [];
        if (expected.join() !== rest.map((a) => a.size).join()) return fail(c, 'SSL2003', span, { name: `*${d.name.text}`, expected: `[${expected.join(', ')}]`, found: showShape(rest) });
      }
      scope.set(`*${d.name.text}`, sizes);
      rest.forEach((a) => axes.push({ ...a, group: d.name.text }));
      at += restCount;
      continue;
    }
    const axis = v.axes[at++];
    const known = d.size.kind === 'name' ? scope.get(d.size.name) : null;
    if (d.size.kind === 'name' && (known === null || (known.kind !== 'number' && !scope.hasOwn(d.size.name)))) {
      scope.set(d.size.name, { kind: 'number', value: axis.size, integer: true });
    } else {
      const expected = needInteger(c, d.size.span, evaluate(c, { ...f, scope, early: new Map(), indexing: true }, d.size));
      if (expected !== axis.size) return fail(c, 'SSL2003', span, { name: d.size.kind === 'name' ? d.size.name : 'the axis', expected: `${expected}`, found: `${axis.size}` });
    }
    axes.push({ ...axis, label: d.size.kind === 'name' ? d.size.name : axis.label, group: null });
  }
  return { ...v, axes };
}

/** Declared sizes of the (first) result where they can be computed; null for names the inputs did not bind. */
function declaredSizes(c: Context, f: Frame, type: TypeExpression | null): (number | null)[] | null {
  const first = type?.kind === 'tupleType' ? type.items[0] : type;
  if (first === null || first === undefined || first.kind !== 'tensorType') return null;
  return first.dimensions.flatMap((d): (number | null)[] => {
    if (d.kind === 'rest') {
      const sizes = f.scope.get(`*${d.name.text}`);
      return sizes?.kind === 'list' ? sizes.items.map((n) => (n.kind === 'number' ? n.value : null)) : [null];
    }
    if (d.size.kind === 'name' && f.scope.get(d.size.name)?.kind !== 'number') return [null];
    return [needInteger(c, d.size.span, evaluate(c, { ...f, early: new Map(), indexing: true }, d.size))];
  });
}

/** The result as the caller sees it: lifted axes become own, absorbed ones implicit again. */
function giveBack(c: Context, f: Frame, d: FunctionDeclaration, v: Value, bound: Bound, span: Span): Value {
  if (v.kind === 'tuple' || v.kind === 'list') return { ...v, items: v.items.map((x) => giveBack(c, f, { ...d, result: null }, x, bound, span)) };
  if (v.kind !== 'tensor') {
    return v;
  }
  let t: TensorValue = checkResult(c, f, d, v);
  if (bound.absorbed.length > 0 && bound.absorbed.every((x, k) => t.axes[k]?.origin?.id === x.id)) t = open(t, bound.absorbed);
  if (bound.lifted.length > 0) t = close({ ...t, free: mergeFree(t.free, new Map(bound.lifted.map((x) => [x.id, x]))) }, bound.lifted);
  return t;
}

function checkResult(c: Context, f: Frame, d: FunctionDeclaration, v: TensorValue): TensorValue {
  if ((d.role === 'regularizer' || d.role === 'energy' || d.role === 'schedule') && v.axes.length > 0) {
    return fail(c, 'SSL3002', d.name.span, { role: `${d.role} \`${d.name.text}\``, problem: `returns ${describe(v)}, not a scalar`, help: 'reduce it, for instance with `mean`' });
  }
  const declared = declaredSizes(c, f, d.result);
  if (d.result === null || declared === null || d.result.kind !== 'tensorType') return v;
  if (declared.length === 0 && isValueOfEach(c, v)) return v;
  const span = d.body.result?.span ?? d.span;
  if (declared.length !== v.axes.length || declared.some((n, k) => n !== null && n !== v.axes[k].size)) {
    return fail(c, 'SSL2003', span, { name: `the result of ${d.name.text}`, expected: `[${declared.map((n) => n ?? '_').join(', ')}]`, found: showShape(v.axes) });
  }
  const dimensions = d.result.dimensions;
  if (dimensions.some((x) => x.kind === 'rest')) return v;
  return { ...v, axes: v.axes.map((a, k) => { const x = dimensions[k]; return { ...a, label: (x.kind === 'dimension' ? axisName(x.size) : null) ?? a.label }; }) };
}

/** `(H + 2*pad - size) / stride + 1` is still the axis H: the one capitalised name in it. */
function axisName(e: Expression): string | null {
  if (e.kind === 'name') return e.name;
  const names = new Set<string>();
  const visit = (x: Expression): void => {
    if (x.kind === 'name' && /^[A-Z]/.test(x.name)) names.add(x.name);
    if (x.kind === 'binary') { visit(x.left); visit(x.right); }
    if (x.kind === 'unary') visit(x.operand);
  };
  visit(e);
  return names.size === 1 ? [...names][0] : null;
}
