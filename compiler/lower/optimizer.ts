/**
 * The optimizer of a train block, and the groups of parameters it treats otherwise, with their settings evaluated.
 */
import type { Expression, FunctionDeclaration } from '../../grammar/ast.js';
import type { Span } from '../../grammar/span.js';
import { checkSetting, supplySettings } from './arguments.js';
import { callFunction } from './call.js';
import type { Context, Frame, ParameterInfo } from './context.js';
import { fail } from './context.js';
import { evaluate, combine } from './evaluate.js';
import { groupsOf, isOfKind } from './parameter-groups.js';
import type { GroupItem, ParameterGroup } from './parameter-groups.js';
import type { Treatment } from './store.js';
import { asTensor, materialize } from './tensor-value.js';
import { entryOf } from './training-spec.js';
import type { Overrides, TrainingSource } from './training-spec.js';
import type { FunctionValue, Value } from './value.js';
import { describe, number } from './value.js';

/** The optimizer of a train block. Rates have their schedules multiplied in. */
export interface Optimizer {
  readonly fn: FunctionValue;
  readonly rate: Value;
  /** Whether the optimizer's `skip` names a parameter. */
  readonly skips: (p: ParameterInfo) => boolean;
  readonly groups: readonly ParameterGroup[];
}

const noOverrides: ReadonlyMap<string, Value> = new Map();

/** The optimizer entry with its settings, and the groups with theirs; null when the train block has none. */
export function optimizerOf(c: Context, f: Frame, source: TrainingSource, overrides: Overrides): Optimizer | null {
  const e = entryOf(source.train, 'optimizer');
  if (e === null) return null;
  const callee = evaluate(c, f, e.kind === 'call' ? e.callee : e);
  if (callee.kind !== 'function' || callee.declaration.role !== 'optimizer') return fail(c, 'SSL2001', e.span, { expected: 'an optimizer', found: describe(callee) });
  const d = callee.declaration;
  const settings = supplySettings(c, f, d.name.text, d.settings, e.kind === 'call' ? e.arguments : []);
  for (const [name, v] of overrides.optimizer) settings.set(name, v);
  const base = settings.get('rate') ?? defaultOf(c, f, d, 'rate');
  const schedule = entryOf(source.train, 'schedule');
  const factor = schedule === null ? null : scheduleValue(c, f, schedule, overrides.schedule);
  const skip = settings.get('skip');
  const names = skip?.kind === 'list' ? skip.items.flatMap((n) => (n.kind === 'string' ? [n.value] : [])) : [];
  const groups = groupsOf(source.train).map((g) => groupValues(c, f, d, g, base, factor, overrides));
  const rate = product(c, e, [base, factor]);
  return { fn: { ...callee, settings: new Map([...settings, ['rate', rate]]) }, rate, skips: (p) => names.some((n) => selects(n, p)), groups };
}

/** What a setting is when nobody sets it. */
export function defaultOf(c: Context, f: Frame, d: FunctionDeclaration, name: string): Value {
  const s = d.settings.find((x) => x.name.text === name);
  return s?.default ? evaluate(c, f, s.default) : fail(c, 'SSL2010', d.name.span, { callee: d.name.text, name });
}

function scheduleValue(c: Context, f: Frame, e: Expression, overrides: ReadonlyMap<string, Value>): Value {
  const callee = evaluate(c, f, e.kind === 'call' ? e.callee : e);
  if (callee.kind !== 'function') return evaluate(c, f, e);
  const d = callee.declaration;
  const settings = supplySettings(c, f, d.name.text, d.settings, e.kind === 'call' ? e.arguments : []);
  for (const [name, v] of overrides) settings.set(name, v);
  return callFunction(c, f, { ...callee, settings }, [], e.span, null);
}

/** Numbers multiply while compiling, scalars become one value in memory; null is 1. */
function product(c: Context, e: Expression, factors: readonly (Value | null)[]): Value {
  const [first, ...rest] = factors.filter((x) => x !== null);
  const result = rest.reduce<Value>((x, y) => {
    if (x.kind === 'number' && y.kind === 'number') return { kind: 'number', value: x.value * y.value, integer: false };
    const [a, b] = [asTensor(x), asTensor(y)];
    if (a === null || b === null || a.axes.length + b.axes.length > 0) return fail(c, 'SSL2001', e.span, { expected: 'a number or a schedule', found: describe(a === null || a.axes.length > 0 ? x : y) });
    return combine(c, e.span, 'mul', a, b, false);
  }, first);
  return result.kind === 'tensor' ? materialize(c, result, 'rate', e.span) : result;
}

function groupValues(c: Context, f: Frame, d: FunctionDeclaration, group: GroupItem, base: Value, factor: Value | null, overrides: Overrides): ParameterGroup {
  const settings = new Map<string, Value>();
  let schedule = factor;
  let trainable: Value | null = null;
  let lazy = false;
  for (const { key, value } of group.entries) {
    const setting = d.settings.find((s) => s.name.text === key.text);
    if (key.text === 'schedule') schedule = scheduleValue(c, f, value, noOverrides);
    else if (key.text === 'trainable') trainable = scheduleValue(c, f, value, noOverrides);
    else if (key.text === 'lazy') lazy = truth(c, value.span, evaluate(c, f, value));
    else if (setting !== undefined) settings.set(key.text, numeric(c, value.span, checkSetting(c, value.span, setting, evaluate(c, f, value))));
  }
  for (const path of group.paths) {
    for (const [name, v] of overrides.groups) {
      if (!name.startsWith(`${path.text}.`)) continue;
      const key = name.slice(path.text.length + 1);
      const setting = d.settings.find((s) => s.name.text === key);
      if (key === 'trainable') trainable = v;
      else if (setting !== undefined) settings.set(key, numeric(c, path.span, checkSetting(c, path.span, setting, v)));
    }
  }
  if (trainable?.kind === 'boolean') trainable = number(trainable.value ? 1 : 0);
  const at = group.entries[0].value;
  settings.set('rate', product(c, at, [settings.get('rate') ?? base, schedule, trainable]));
  return { paths: group.paths, settings, trainable, lazy };
}

function truth(c: Context, span: Span, v: Value): boolean {
  return v.kind === 'boolean' ? v.value : fail(c, 'SSL2001', span, { expected: 'true or false, known while compiling', found: describe(v) });
}

/** What differs between groups is chosen element by element, so it has to be a number. */
function numeric(c: Context, span: Span, v: Value): Value {
  return v.kind === 'number' || v.kind === 'tensor' ? v : fail(c, 'SSL2001', span, { expected: 'a number or a schedule; only these may differ between groups', found: describe(v) });
}

/** `skip: [bias, norm]`: parameters of these kinds; else a path component. */
function selects(name: string, p: ParameterInfo): boolean {
  const parts = p.path.split('.');
  return isOfKind(name, p) ?? (parts[parts.length - 1] === name || p.layer === name || parts[0] === name);
}

/** How a parameter in this group, or in none, is treated. */
export function treatmentOf(optimizer: Optimizer | null, group: number | null, p: ParameterInfo): Treatment {
  const lazy = group === null ? null : optimizer?.groups[group] ?? null;
  if (lazy?.lazy === true && p.shape.length === 0) return fail(null, 'SSL3023', lazy.paths[0].span, { parameter: p.path, problem: 'scalar' });
  return { group, decayed: !(optimizer?.skips(p) ?? false), lazy: lazy?.lazy ?? false };
}
