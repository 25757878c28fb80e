/**
 * Applies an optimizer written in `.ssl`. Its body sees one parameter `w` and its gradient `g`. A body without reductions means
 * the same on the flat arena of all parameters, so it is run there once; otherwise it is run for every parameter.
 */
import type { Expression, FunctionDeclaration } from '../../grammar/ast.js';
import { binary, float, index, int, select } from '../tensor/scalar.js';
import type { TensorId } from '../tensor/scalar.js';
import { reductions } from './along.js';
import { supplySettings } from './arguments.js';
import { callFunction } from './call.js';
import type { Context, Frame, ParameterInfo } from './context.js';
import { fail } from './context.js';
import { evaluate, combine } from './evaluate.js';
import { forEachChild, statementExpressions } from './free-names.js';
import { rootFrame } from './model.js';
import type { Scope } from './scope.js';
import { nodeOf } from './store.js';
import type { Layout, PlacedParameter } from './store.js';
import { asTensor, ensureRead, materialize } from './tensor-value.js';
import type { Overrides } from './training-spec.js';
import type { FunctionValue, TensorValue, Value } from './value.js';
import { axisOf, describe } from './value.js';

/** The optimizer entry with its settings, the schedule multiplied into `rate`. */
export function optimizerOf(c: Context, f: Frame, e: Expression, schedule: Expression | null, overrides: Overrides): { fn: FunctionValue; rate: Value; skips: (p: ParameterInfo) => boolean } {
  const callee = evaluate(c, f, e.kind === 'call' ? e.callee : e);
  if (callee.kind !== 'function' || callee.declaration.role !== 'optimizer') return fail(c, 'SSL2001', e.span, { expected: 'an optimizer', found: describe(callee) });
  const d = callee.declaration;
  const settings = supplySettings(c, f, d.name.text, d.settings, e.kind === 'call' ? e.arguments : []);
  for (const [name, v] of overrides.optimizer) settings.set(name, v);
  const base = settings.get('rate') ?? defaultOf(c, f, d, 'rate');
  let rate: Value = base;
  if (schedule !== null) {
    const factor = scheduleValue(c, f, schedule, overrides);
    const [x, y] = [asTensor(base), asTensor(factor)];
    if (x === null || y === null) return fail(c, 'SSL2001', schedule.span, { expected: 'a schedule', found: describe(factor) });
    rate = base.kind === 'number' && factor.kind === 'number' ? { kind: 'number', value: base.value * factor.value, integer: false } : materialize(c, combine(c, schedule.span, 'mul', x, y, false), 'rate', schedule.span);
  }
  settings.set('rate', rate);
  const skip = settings.get('skip');
  const names = skip?.kind === 'list' ? skip.items.flatMap((n) => (n.kind === 'string' ? [n.value] : [])) : [];
  return { fn: { ...callee, settings }, rate, skips: (p) => names.some((n) => selects(n, p)) };
}

function defaultOf(c: Context, f: Frame, d: FunctionDeclaration, name: string): Value {
  const s = d.settings.find((x) => x.name.text === name);
  return s?.default ? evaluate(c, f, s.default) : fail(c, 'SSL2010', d.name.span, { callee: d.name.text, name });
}

function scheduleValue(c: Context, f: Frame, e: Expression, overrides: Overrides): Value {
  const callee = evaluate(c, f, e.kind === 'call' ? e.callee : e);
  if (callee.kind !== 'function') return evaluate(c, f, e);
  const d = callee.declaration;
  const settings = supplySettings(c, f, d.name.text, d.settings, e.kind === 'call' ? e.arguments : []);
  for (const [name, v] of overrides.schedule) settings.set(name, v);
  return callFunction(c, f, { ...callee, settings }, [], e.span, null);
}

/** `skip: [bias, norm]`: parameters called `b` or `bias`, and those of layers whose name ends in `norm`; else a path component. */
function selects(name: string, p: ParameterInfo): boolean {
  const parts = p.path.split('.');
  const last = parts[parts.length - 1];
  if (name === 'bias') return last === 'b' || last === 'bias';
  if (name === 'norm') return p.layer.endsWith('norm');
  return last === name || p.layer === name || parts[0] === name;
}

/** Where the optimizer finds a parameter and its gradient: the whole arena, or one parameter. */
export interface OptimizerOperands {
  readonly flat: () => { w: TensorValue; g: TensorValue };
  readonly part: (p: PlacedParameter, k: number) => { w: TensorValue; g: TensorValue };
}

/** The new flat arena. States are declared under the optimizer's own names. */
export function applyOptimizer(c: Context, root: Scope, fn: FunctionValue, layout: Layout, operands: OptimizerOperands): TensorId {
  const span = fn.declaration.span;
  const frame: Frame = { ...rootFrame({ ...c, batch: null }, fn.scope, 'optimizer'), role: 'optimizer' };
  const run = (w: TensorValue, g: TensorValue, decayed: Value, path: string): TensorId => {
    root.set('decayed', decayed);
    const v = callFunction(c, frame, fn, [{ name: null, value: w, span }, { name: null, value: g, span }], span, { path, site: path, target: null });
    if (v.kind !== 'tensor') return fail(c, 'SSL2001', span, { expected: 'the new parameter', found: describe(v) });
    return nodeOf(ensureRead(c, v, 'parameters', span));
  };
  if (!reduces(fn.declaration, fn.scope, new Set())) {
    const { w, g } = operands.flat();
    return run(w, g, decayMask(layout), 'optimizer');
  }
  const parts = layout.parameters.map((p, k) => {
    const { w, g } = operands.part(p, k);
    return run(w, g, { kind: 'number', value: p.offset < layout.decayed ? 1 : 0, integer: true }, `optimizer.${p.path}`);
  });
  return c.builder.pack(parts, { span, name: 'parameters' }, layout.parameters.map((p) => p.offset));
}

/** 1 for the parameters that decay: they come first in the arena. */
function decayMask(layout: Layout): Value {
  if (layout.decayed >= layout.size) return { kind: 'number', value: 1, integer: true };
  return {
    kind: 'tensor', element: 'f32', axes: [axisOf(layout.size)], free: new Map(),
    at: (i) => select(binary('lt', i[0] ?? index(0), int(layout.decayed)), float(1), float(0)),
  };
}

/** Does the body, or a function it names, reduce over anything? */
function reduces(d: FunctionDeclaration, scope: Scope, seen: Set<string>): boolean {
  if (seen.has(d.name.text)) return false;
  seen.add(d.name.text);
  const visit = (e: Expression): boolean => {
    if (e.kind === 'along') return true;
    if (e.kind === 'name') {
      const v = scope.get(e.name);
      if (v?.kind === 'builtin') return reductions.has(e.name) && e.name !== 'max' && e.name !== 'min';
      if (v?.kind === 'function') return reduces(v.declaration, v.scope, seen);
    }
    let found = false;
    forEachChild(e, (child) => { if (!found && visit(child)) found = true; });
    return found;
  };
  return [...statementExpressions(d.body.statements), ...(d.body.result === null ? [] : [d.body.result])].some(visit);
}
