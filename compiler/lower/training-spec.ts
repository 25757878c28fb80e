/** Reads a `train` block: data, batch, length, optimizer, actions; with `--set` overrides applied and checked. */
import type { Argument, Expression, ModelDeclaration, TrainDeclaration } from '../../grammar/ast.js';
import { diagnostic, DiagnosticError } from '../../grammar/diagnostics/report.js';
import { suggest } from '../../grammar/diagnostics/suggest.js';
import type { Span } from '../../grammar/span.js';
import type { LoadedProgram, Period, TrainingSpec } from '../api.js';
import { ProgramBuilder } from '../tensor/builder.js';
import { bindSettings, checkSetting } from './arguments.js';
import type { Context, Frame } from './context.js';
import { fail } from './context.js';
import { evaluate, needInteger } from './evaluate.js';
import { moduleScopes } from './module-scopes.js';
import { rootFrame } from './model.js';
import { checkGroups, groupSettings } from './parameter-groups.js';
import { Scope } from './scope.js';
import { stepNames, unitLengths } from './step-names.js';
import { DiscoveringStore } from './store.js';
import type { Value } from './value.js';
import { describe } from './value.js';

/** The declarations a training run is made of. */
export interface TrainingSource {
  readonly model: ModelDeclaration;
  readonly train: TrainDeclaration | null;
}

const numericEntries = ['batch', 'virtual_batch', 'epochs', 'steps', 'seed'] as const;
const wordEntries = ['activations', 'batch_norm', 'precision'] as const;
const otherEntries = ['data', 'optimizer', 'schedule', ...wordEntries] as const;
const activationChoices = ['keep', 'recompute'] as const;
const precisionChoices = ['f32', 'f16'] as const;

/** Finds the train block and model of a file; `wanted` names one when there are several. */
export function selectModel(loaded: LoadedProgram, wanted: string | null): TrainingSource {
  const file = loaded.modules.get(loaded.main);
  const declarations = file?.module.declarations ?? [];
  const models = declarations.filter((d) => d.kind === 'model');
  const trains = declarations.filter((d) => d.kind === 'train');
  const names = models.map((m) => m.name.text);
  const name = wanted ?? trains[0]?.model.text ?? models[models.length - 1]?.name.text;
  const span: Span = { file: loaded.main, start: 0, end: 0 };
  const model = models.find((m) => m.name.text === name);
  if (model === undefined) throw new DiagnosticError([diagnostic('SSL1008', trains[0]?.model.span ?? span, { name: name ?? 'any', what: 'a model', known: names })]);
  return { model, train: trains.find((t) => t.model.text === name) ?? null };
}

/** A context for evaluating compile-time expressions: there is a program, but nobody keeps it. */
export function scratchContext(epochSteps: number | null, training = true): Context {
  const builder = new ProgramBuilder('scratch');
  const store = new DiscoveringStore();
  const origin = (name: string) => ({ span: null, name });
  const c: Context = {
    builder, training, store, batch: null, counter: 0, calls: [], applications: new Map(), epochSteps,
    seed: builder.source('clock.seed', 'clock', 'i32', [], origin('seed')),
    step: builder.source('clock.step', 'clock', 'i32', [], origin('step')),
  };
  store.context = c;
  return c;
}

/** Parses the text of `--set name=value`. */
export function overrideValue(text: string): Value {
  if (text === 'true' || text === 'false') return { kind: 'boolean', value: text === 'true' };
  const range = /^(-?[\d.eE+-]+?)\.\.(-?[\d.eE+-]+)$/.exec(text);
  if (range !== null && Number.isFinite(Number(range[1])) && Number.isFinite(Number(range[2]))) return { kind: 'range', low: Number(range[1]), high: Number(range[2]) };
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value)) return { kind: 'number', value, integer: /^-?\d+$/.test(text) };
  return { kind: 'string', value: text.replace(/^"(.*)"$/, '$1') };
}

/** Overrides sorted by what they address. An override that matches nothing is an error. */
export interface Overrides {
  readonly model: ReadonlyMap<string, Value>;
  readonly entries: ReadonlyMap<string, Value>;
  readonly optimizer: ReadonlyMap<string, Value>;
  readonly schedule: ReadonlyMap<string, Value>;
  /** By what follows `group.`: `predict.rate`. */
  readonly groups: ReadonlyMap<string, Value>;
}

export function sortOverrides(source: TrainingSource, set: Readonly<Record<string, string>>, optimizer: readonly string[], schedule: readonly string[]): Overrides {
  const result = { model: new Map<string, Value>(), entries: new Map<string, Value>(), optimizer: new Map<string, Value>(), schedule: new Map<string, Value>(), groups: new Map<string, Value>() };
  const settings = source.model.settings.map((s) => s.name.text);
  const groups = groupSettings(source.train, optimizer);
  const known = [...settings, ...numericEntries, ...wordEntries, ...optimizer.map((n) => `optimizer.${n}`), ...schedule.map((n) => `schedule.${n}`), ...groups];
  for (const [name, text] of Object.entries(set)) {
    const value = overrideValue(text);
    if (settings.includes(name)) result.model.set(name, value);
    else if (numericEntries.some((n) => n === name)) {
      if (value.kind !== 'number') throw new DiagnosticError([diagnostic('SSL2009', source.model.name.span, { name, expected: 'a number', found: describe(value) })]);
      result.entries.set(name, value);
    } else if (wordEntries.some((n) => n === name)) result.entries.set(name, value);
    else if (name.startsWith('optimizer.') && optimizer.includes(name.slice(10))) result.optimizer.set(name.slice(10), value);
    else if (name.startsWith('schedule.') && schedule.includes(name.slice(9))) result.schedule.set(name.slice(9), value);
    else if (groups.includes(name)) result.groups.set(name.slice(6), value);
    else throw new DiagnosticError([diagnostic('SSL1007', source.model.name.span, { name, suggestion: suggest(name, known), known })]);
  }
  return result;
}

/** The settings of the function an `optimizer` or `schedule` entry calls. */
export function settingNames(c: Context, f: Frame, e: Expression | null): string[] {
  if (e === null) return [];
  const callee = evaluate(c, f, e.kind === 'call' ? e.callee : e);
  return callee.kind === 'function' ? callee.declaration.settings.map((s) => s.name.text) : [];
}

export function entryOf(train: TrainDeclaration | null, key: string): Expression | null {
  const found = train?.items.filter((i) => i.kind === 'entry' && i.key.text === key) ?? [];
  const last = found[found.length - 1];
  return last?.kind === 'entry' ? last.value : null;
}

export function readTraining(loaded: LoadedProgram, options: { readonly model: string | null; readonly set: Readonly<Record<string, string>> }): TrainingSpec {
  const source = selectModel(loaded, options.model);
  const { model, train } = source;
  const c = scratchContext(1);
  const scopes = moduleScopes(loaded, stepNames(c, unitLengths));
  const frame = rootFrame(c, new Scope(scopes.main), model.name.text);
  for (const item of train?.items ?? []) {
    if (item.kind !== 'entry') continue;
    const known = [...numericEntries, ...otherEntries];
    if (!known.some((k) => k === item.key.text)) return fail(c, 'SSL1001', item.key.span, { name: item.key.text, suggestion: suggest(item.key.text, [...known, 'every', 'group']), known: [...known, 'every', 'group'] });
  }
  const optimizer = settingNames(c, frame, entryOf(train, 'optimizer'));
  checkGroups(train, optimizer);
  const overrides = sortOverrides(source, options.set, optimizer, settingNames(c, frame, entryOf(train, 'schedule')));
  const settings = modelSettings(c, frame, source, overrides);
  const inner = new Scope(frame.scope);
  bindSettings(c, frame, inner, model.name.text, model.settings, settings, model.name.span);
  const whole = (key: string): number | null => {
    const given = overrides.entries.get(key);
    if (given?.kind === 'number') return given.value;
    const e = entryOf(train, key);
    return e === null ? null : needInteger(c, e.span, evaluate(c, { ...frame, scope: inner }, e));
  };
  const word = <T extends string>(key: (typeof wordEntries)[number], allowed: readonly T[]): T | null => {
    const e = entryOf(train, key);
    const value = overrides.entries.get(key) ?? (e === null ? null : evaluate(c, frame, e));
    if (value === null) return null;
    const choice = value.kind === 'string' ? allowed.find((a) => a === value.value) : undefined;
    return choice ?? fail(c, 'SSL2009', e?.span ?? model.span, { name: key, expected: allowed.map((a) => `"${a}"`).join(' or '), found: describe(value) });
  };
  const chunk = whole('batch') ?? 256;
  const batch = whole('virtual_batch') ?? chunk;
  if (batch % chunk !== 0) return fail(c, 'SSL2009', entryOf(train, 'virtual_batch')?.span ?? model.name.span, { name: 'virtual_batch', expected: `a multiple of the batch, ${chunk}`, found: `${batch}` });
  const dataEntry = entryOf(train, 'data');
  const data = dataEntry === null ? null : evaluate(c, { ...frame, scope: inner }, dataEntry);
  if (data !== null && data.kind !== 'data') return fail(c, 'SSL2001', dataEntry?.span ?? model.span, { expected: 'a data set', found: describe(data) });
  const plain: Record<string, number | boolean | string> = {};
  for (const s of model.settings) {
    const v = inner.get(s.name.text);
    if (v?.kind === 'number' || v?.kind === 'boolean' || v?.kind === 'string') plain[s.name.text] = v.value;
    if (v?.kind === 'range') plain[s.name.text] = `${v.low}..${v.high}`;
  }
  const precision = word('precision', precisionChoices) ?? 'f32';
  if (precision === 'f16' && chunk < batch) return fail(c, 'SSL4001', entryOf(train, 'precision')?.span ?? model.name.span, { feature: '`precision "f16"` under a virtual batch', help: 'train with `precision "f32"`, or without a virtual batch' });
  return {
    model: model.name.text, settings: plain,
    data: data?.kind === 'data' ? data.description : null,
    batch, chunk, batchNorm: word('batch_norm', ['chunk']), epochs: whole('epochs'), steps: whole('steps'), seed: whole('seed') ?? 0,
    activations: word('activations', activationChoices) ?? 'keep', precision,
    every: (train?.items ?? []).flatMap((item) => (item.kind !== 'every' ? [] : [{ period: periodOf(c, item.period), actions: item.actions.map((a) => actionOf(c, frame, a)) }])),
  };
}

/** Arguments of `train NAME(tau: 0.2)`, then overrides. */
export function modelSettings(c: Context, f: Frame, source: TrainingSource, overrides: Overrides): Map<string, Value> {
  const given = new Map<string, Value>();
  const args: readonly Argument[] = source.train?.arguments ?? [];
  args.forEach((a, k) => {
    const known = source.model.settings.map((s) => s.name.text);
    const name = a.name?.text ?? known[k];
    const setting = source.model.settings.find((s) => s.name.text === name);
    if (setting === undefined) return fail(c, 'SSL1006', a.span, { callee: source.model.name.text, name: name ?? `argument ${k + 1}`, suggestion: name === undefined ? null : suggest(name, known), known });
    given.set(setting.name.text, checkSetting(c, a.value.span, setting, evaluate(c, f, a.value)));
  });
  for (const [name, v] of overrides.model) {
    const setting = source.model.settings.find((s) => s.name.text === name);
    if (setting !== undefined) given.set(name, checkSetting(c, setting.span, setting, v));
  }
  return given;
}

export function periodOf(c: Context, e: Expression): Period {
  if (e.kind === 'number' && (e.unit === 'epochs' || e.unit === 'epoch' || e.unit === 'steps' || e.unit === 'step')) {
    if (e.value > 0) return { count: e.value, unit: e.unit.startsWith('epoch') ? 'epochs' : 'steps' };
    return fail(c, 'SSL2001', e.span, { expected: 'a period above 0', found: `${e.value} ${e.unit}` });
  }
  return fail(c, 'SSL2001', e.span, { expected: 'a period such as `5 epochs` or `100 steps`', found: 'something else' });
}

const actions: readonly string[] = ['knn', 'checkpoint', 'linear'];

function actionOf(c: Context, f: Frame, e: Expression): { name: string; arguments: Record<string, number | string | boolean> } {
  const callee = e.kind === 'call' ? e.callee : e;
  if (callee.kind !== 'name' || !actions.includes(callee.name)) {
    return fail(c, 'SSL1001', callee.span, { name: callee.kind === 'name' ? callee.name : 'this', suggestion: callee.kind === 'name' ? suggest(callee.name, actions) : null, known: actions });
  }
  const values: Record<string, number | string | boolean> = {};
  for (const a of e.kind === 'call' ? e.arguments : []) {
    const v = evaluate(c, f, a.value);
    if (a.name === null || (v.kind !== 'number' && v.kind !== 'string' && v.kind !== 'boolean')) return fail(c, 'SSL2001', a.span, { expected: 'a named number or text', found: describe(v) });
    values[a.name.text] = v.value;
  }
  return { name: callee.name, arguments: values };
}
