/** Evaluated arguments of a call, and matching them to declared settings. */
import type { Argument, Expression, Setting } from '../../grammar/ast.js';
import { suggest } from '../../grammar/diagnostics/suggest.js';
import type { Span } from '../../grammar/span.js';
import type { Context, Frame } from './context.js';
import { fail } from './context.js';
import { evaluate } from './evaluate.js';
import type { Scope } from './scope.js';
import type { Value } from './value.js';
import { describe } from './value.js';

export interface Supplied {
  readonly name: string | null;
  readonly value: Value;
  readonly span: Span;
}

export function supply(c: Context, f: Frame, args: readonly Argument[]): Supplied[] {
  return args.map((a) => ({ name: a.name?.text ?? null, value: evaluate(c, f, a.value), span: a.value.span }));
}

export function atLeastOne(c: Context, callee: string, args: readonly Supplied[], span: Span): void {
  if (args.length === 0) fail(c, 'SSL2002', span, { callee, expected: 'at least 1 argument', found: 0 });
}

/** Evaluates arguments for a list of settings; a setting of type `names` takes bare names as text. */
export function supplySettings(c: Context, f: Frame, callee: string, settings: readonly Setting[], args: readonly Argument[]): Map<string, Value> {
  const given = new Map<string, Value>();
  args.forEach((a, k) => {
    const setting = a.name === null ? settings[k] : settings.find((s) => s.name.text === a.name?.text);
    if (setting === undefined) {
      const known = settings.map((s) => s.name.text);
      if (a.name === null) return fail(c, 'SSL2002', a.span, { callee, expected: `at most ${settings.length} settings`, found: args.length });
      return fail(c, 'SSL1006', a.name.span, { callee, name: a.name.text, suggestion: suggest(a.name.text, known), known });
    }
    const value = setting.type?.text === 'names' ? namesOf(c, a.value) : evaluate(c, f, a.value);
    given.set(setting.name.text, checkSetting(c, a.value.span, setting, value));
  });
  return given;
}

function namesOf(c: Context, e: Expression): Value {
  if (e.kind === 'name') return { kind: 'list', items: [{ kind: 'string', value: e.name }] };
  if (e.kind !== 'list') return fail(c, 'SSL2001', e.span, { expected: 'names in brackets, such as `[bias, norm]`', found: 'another expression' });
  return { kind: 'list', items: e.items.map((x): Value => (x.kind === 'name' ? { kind: 'string', value: x.name } : fail(c, 'SSL2001', x.span, { expected: 'a name', found: 'another expression' }))) };
}

/** A value as its setting's type wants it: fractions for `int` are rounded down, numbers outside the range are errors. */
export function checkSetting(c: Context, span: Span, s: Setting, v: Value): Value {
  const name = s.name.text;
  const wrong = (expected: string): never => fail(c, 'SSL2009', span, { name, expected, found: describe(v) });
  const type = s.type?.text ?? null;
  let value = v;
  switch (type) {
    case 'int':
      if (v.kind !== 'number') return wrong('a whole number');
      value = { kind: 'number', value: Math.floor(v.value + 1e-9), integer: true };
      break;
    case 'float':
      // A schedule is a scalar tensor; it may stand wherever a float does.
      if (v.kind !== 'number' && !(v.kind === 'tensor' && v.axes.length === 0)) return wrong('a number');
      break;
    case 'bool': if (v.kind !== 'boolean') return wrong('true or false'); break;
    case 'string': if (v.kind !== 'string') return wrong('a text'); break;
    case 'range': if (v.kind !== 'range' && v.kind !== 'number') return wrong('a range such as 0.2..1.0'); break;
    case 'names': if (v.kind !== 'list') return wrong('names in brackets'); break;
    default: break;
  }
  if (s.within !== null) checkWithin(c, s.within, value, wrong);
  return value;
}

/** `in LOW..HIGH` bounds numbers, `in [a, b]` lists what is allowed; a schedule's values are not known yet. */
function checkWithin(c: Context, within: Expression, value: Value, wrong: (expected: string) => never): void {
  if (within.kind === 'range') {
    const [low, high] = [literal(c, within.low), literal(c, within.high)];
    if (value.kind === 'number' && (value.value < Number(low) || value.value > Number(high))) wrong(`between ${low} and ${high}`);
    return;
  }
  if (within.kind !== 'list') return fail(c, 'SSL2001', within.span, { expected: 'a range `0..1` or a list `[a, b]` of allowed values', found: 'another expression' });
  const allowed = within.items.map((x) => literal(c, x));
  if ((value.kind === 'number' || value.kind === 'string') && !allowed.includes(value.value)) wrong(`one of ${allowed.join(', ')}`);
}

/** A number, a text or a bare name, as written. */
function literal(c: Context, e: Expression): number | string {
  switch (e.kind) {
    case 'number': return e.unit === 'deg' ? (e.value * Math.PI) / 180 : e.unit === '%' ? e.value / 100 : e.value;
    case 'string': return e.value;
    case 'name': return e.name;
    case 'unary': { const x = e.operator === '-' ? literal(c, e.operand) : null; if (typeof x === 'number') return -x; break; }
    default: break;
  }
  return fail(c, 'SSL2001', e.span, { expected: 'a number, a text or a name', found: 'another expression' });
}

/** Puts every setting in scope, in order, defaults evaluated where earlier settings are visible. */
export function bindSettings(c: Context, f: Frame, scope: Scope, callee: string, settings: readonly Setting[], given: ReadonlyMap<string, Value>, span: Span): void {
  for (const s of settings) {
    const value = given.get(s.name.text);
    if (value !== undefined) { scope.set(s.name.text, value); continue; }
    if (s.default === null) return fail(c, 'SSL2010', span, { callee, name: s.name.text });
    const initial = s.type?.text === 'names' ? namesOf(c, s.default) : evaluate(c, { ...f, scope, early: new Map() }, s.default);
    scope.set(s.name.text, checkSetting(c, s.default.span, s, initial));
  }
}
