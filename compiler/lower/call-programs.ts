/**
 * Builds the programs of `sslc call`: `init` draws the parameters of one function or model, `call` evaluates it on given tensors,
 * with gradients of the summed result when asked.
 */
import type { Expression, Input } from '../../grammar/ast.js';
import type { Span } from '../../grammar/span.js';
import { diagnostic, DiagnosticError } from '../../grammar/diagnostics/report.js';
import { suggest } from '../../grammar/diagnostics/suggest.js';
import type { CompileCallOptions, LoadedProgram } from '../api.js';
import type { ParameterEntry } from '../plan/manifest.js';
import { ProgramBuilder } from '../tensor/builder.js';
import { differentiate } from '../tensor/differentiate.js';
import { isComputed } from '../tensor/program.js';
import type { Program } from '../tensor/program.js';
import type { TensorId } from '../tensor/scalar.js';
import { float, index } from '../tensor/scalar.js';
import { checkSetting } from './arguments.js';
import { callFunction } from './call.js';
import type { Context, Store } from './context.js';
import { fail } from './context.js';
import { elaborateModel, rootFrame } from './model.js';
import { moduleScopes } from './module-scopes.js';
import type { Scope } from './scope.js';
import { stepNames, unitLengths } from './step-names.js';
import { DiscoveringStore, nodeOf, PlacedStore } from './store.js';
import type { Layout } from './store.js';
import { constantTensor, ensureWhole, materialize, open, reduceAxes, sumOf, tensorOfNode } from './tensor-value.js';
import { overrideValue } from './training-spec.js';
import { finishInit } from './finish-init.js';
import type { FunctionValue, IndexVariable, TensorValue, Value } from './value.js';
import { axisOf, describe } from './value.js';

/** What is called, and with what; the target does not matter yet. */
export type CallRequest = Omit<CompileCallOptions, 'target'>;

export interface CallPrograms {
  readonly programs: { readonly init: Program; readonly call: Program };
  readonly parameters: readonly ParameterEntry[];
  readonly outputs: readonly string[];
}

interface Session {
  readonly c: Context;
  readonly scope: Scope;
}

const origin = (name: string): { span: null; name: string } => ({ span: null, name });

export function buildCall(loaded: LoadedProgram, request: CallRequest): CallPrograms {
  const discovering = new DiscoveringStore();
  const init = session(loaded, new ProgramBuilder('init'), discovering, request);
  discovering.context = init.c;
  evaluateCallee(init, request);
  const layout: Layout = discovering.layout(() => ({ group: null, decayed: true, lazy: false }));
  finishInit(init.c.builder, discovering, layout);

  const builder = new ProgramBuilder('call');
  const store = new PlacedStore(builder, layout, false);
  const s = session(loaded, builder, store, request);
  store.context = s.c;
  const { results, total, inputs } = evaluateCallee(s, request);
  const names = results.map((r) => r.name);
  for (const r of results) builder.output(r.name, nodeOf(ensureStored(s.c, r.value, r.name)));
  if (request.gradients) {
    const floats = [...inputs].filter(([, id]) => builder.tensor(id).element === 'f32');
    const own = layout.parameters.map((p) => ({ path: p.path, id: store.windows.get(p.path) ?? builder.window(store.flat(), p.offset, p.shape, origin(p.path)) }));
    const gradients = differentiate(builder, nodeOf(total), [...floats.map(([, id]) => id), ...own.map((p) => p.id)]);
    const labels = [...floats.map(([name]) => `grad.${name}`), ...own.map((p) => `grad.param.${p.path}`)];
    gradients.forEach((g, k) => builder.output(labels[k], g));
    names.push(...labels);
  }
  return {
    programs: { init: init.c.builder.build(), call: builder.build() },
    parameters: layout.parameters.map((p) => ({ path: p.path, arena: 'parameters', offset: p.offset, shape: p.shape })),
    outputs: names,
  };
}

/** A window or a source cannot be an output of its own: copy it. */
function ensureStored(c: Context, v: TensorValue, name: string): TensorValue {
  const stored = ensureWhole(c, v, name, { file: '', start: 0, end: 0 });
  return isComputed(c.builder.tensor(nodeOf(stored))) ? stored : materialize(c, v, name, { file: '', start: 0, end: 0 });
}

function session(loaded: LoadedProgram, builder: ProgramBuilder, store: Store, request: CallRequest): Session {
  const seed = builder.source('clock.seed', 'clock', 'i32', [], origin('seed'));
  const step = builder.source('clock.step', 'clock', 'i32', [], origin('step'));
  const c: Context = { builder, training: request.training, store, seed, step, batch: null, counter: 0, calls: [], applications: new Map(), epochSteps: unitLengths.epochSteps };
  const globals = stepNames(c, unitLengths);
  for (const name of lengthsOfRun) {
    const text = request.set[name];
    if (text !== undefined) globals.set(name, overrideValue(text));
  }
  return { c, scope: moduleScopes(loaded, globals).main };
}

interface Evaluated {
  readonly results: readonly { readonly name: string; readonly value: TensorValue }[];
  readonly total: TensorValue;
  readonly inputs: ReadonlyMap<string, TensorId>;
}

/** Lengths of a run that a schedule looks at: they may be set beside the settings of what is called. */
const lengthsOfRun: readonly string[] = ['steps', 'epochs'];

function evaluateCallee(s: Session, request: CallRequest): Evaluated {
  const callee = s.scope.get(request.name);
  // The name stands on the command line, not in a file.
  const span: Span = { file: '<run>', start: 0, end: 0 };
  if (callee === null || (callee.kind !== 'function' && callee.kind !== 'model')) {
    throw new DiagnosticError([diagnostic('SSL1001', span, { name: request.name, suggestion: suggest(request.name, s.scope.visible()) })]);
  }
  return callee.kind === 'function' ? evaluateFunction(s, request, callee) : evaluateModelCall(s, request, callee);
}

function settingsOf(s: Session, request: CallRequest, declared: FunctionValue['declaration']['settings'], name: string, span: Span): Map<string, Value> {
  const settings = new Map<string, Value>();
  const known = declared.map((d) => d.name.text);
  for (const [key, text] of Object.entries(request.set)) {
    if (lengthsOfRun.includes(key) && !known.includes(key)) continue;
    const setting = declared.find((d) => d.name.text === key);
    if (setting === undefined) return fail(s.c, 'SSL1006', span, { callee: name, name: key, suggestion: suggest(key, known), known });
    settings.set(key, checkSetting(s.c, setting.span, setting, overrideValue(text)));
  }
  return settings;
}

function sourceFor(s: Session, request: CallRequest, input: Input, callee: string, seen: Map<string, TensorId>): TensorValue {
  const given = request.inputs[input.name.text];
  if (given === undefined) return fail(s.c, 'SSL2010', input.span, { callee, name: input.name.text });
  const id = s.c.builder.source(`input.${input.name.text}`, 'batch', given.element, given.shape, origin(input.name.text));
  seen.set(input.name.text, id);
  return tensorOfNode(s.c, id);
}

function checkInputNames(s: Session, request: CallRequest, inputs: readonly Input[], callee: string, span: Span): void {
  const known = inputs.map((i) => i.name.text);
  for (const name of Object.keys(request.inputs)) {
    if (!known.includes(name)) fail(s.c, 'SSL1009', span, { callee, name, suggestion: suggest(name, known), known });
  }
}

function evaluateFunction(s: Session, request: CallRequest, fn: FunctionValue): Evaluated {
  const { c } = s;
  const d = fn.declaration;
  const seen = new Map<string, TensorId>();
  checkInputNames(s, request, d.inputs, d.name.text, d.name.span);
  const settings = settingsOf(s, request, d.settings, d.name.text, d.name.span);
  const args = d.inputs.map((i) => ({ name: i.name.text, value: sourceFor(s, request, i, d.name.text, seen), span: i.span }));
  const frame = rootFrame(c, s.scope, d.name.text);
  const value = callFunction(c, frame, { ...fn, settings }, args, d.name.span, { path: '', site: d.name.text, target: null });
  const results = namedResults(c, value, d.body.result, d.name.span);
  const floats = results.filter((r) => r.value.element === 'f32').map((r) => reduceAxes(c, d.name.span, 'total', 'sum', r.value, r.value.axes.map((_, k) => k)));
  const total = floats.length === 0 ? constantTensor(float(0)) : floats.reduce((x, y) => sumOf(c, d.name.span, x, y));
  return { results, total: materialize(c, total, 'total', d.name.span), inputs: seen };
}

/** A tuple's parts go by the names they are returned under; a single result is `out`. */
function namedResults(c: Context, v: Value, result: Expression | null, span: Span): { name: string; value: TensorValue }[] {
  if (v.kind === 'tensor') return [{ name: 'out', value: v }];
  if (v.kind === 'number') return [{ name: 'out', value: constantTensor(float(v.value)) }];
  if (v.kind !== 'tuple' && v.kind !== 'list') return fail(c, 'SSL2001', span, { expected: 'a tensor', found: describe(v) });
  return v.items.map((item, k) => {
    const e = result?.kind === 'tuple' ? result.items[k] : null;
    const name = e?.kind === 'name' ? e.name : `out${k + 1}`;
    return item.kind === 'tensor' ? { name, value: item } : fail(c, 'SSL2001', span, { expected: 'tensors', found: describe(item) });
  });
}

/** An example without a batch axis is a batch of one. */
function batched(given: CallRequest, declared: readonly Input[]): CallRequest {
  const inputs = Object.fromEntries(Object.entries(given.inputs).map(([name, input]) => {
    const type = declared.find((i) => i.name.text === name)?.type;
    const single = type?.kind === 'tensorType' && type.dimensions.every((x) => x.kind !== 'rest') && type.dimensions.length === input.shape.length;
    return [name, single ? { ...input, shape: [1, ...input.shape] } : input];
  }));
  return { ...given, inputs };
}

function evaluateModelCall(s: Session, given: CallRequest, callee: Extract<Value, { kind: 'model' }>): Evaluated {
  const d = callee.declaration;
  const declared = d.body.flatMap((x) => (x.kind === 'input' ? [...x.inputs] : []));
  const request = batched(given, declared);
  checkInputNames(s, request, declared, d.name.text, d.name.span);
  const sizes = Object.values(request.inputs).map((i) => i.shape[0] ?? 1);
  const size = sizes[0] ?? 1;
  const variable: IndexVariable = { id: 1_000_000, name: 'batch', axis: axisOf(size, 'B'), implicit: true };
  const example = s.c.builder.comprehension('i32', [size], null, index(0), origin('example'));
  const c: Context = { ...s.c, batch: { variable, example } };
  if (s.c.store instanceof DiscoveringStore || s.c.store instanceof PlacedStore) s.c.store.context = c;
  const seen = new Map<string, TensorId>();
  const settings = settingsOf(s, request, d.settings, d.name.text, d.name.span);
  const model = elaborateModel(c, d, callee.scope, settings, 'objectives', (input) => {
    const t = sourceFor(s, request, input, d.name.text, seen);
    if (t.axes[0]?.size !== size) return fail(c, 'SSL2003', input.span, { name: 'the batch', expected: `${size}`, found: `${t.axes[0]?.size ?? 'none'}` });
    return open(t, [variable]);
  });
  if (model.objectives.length === 0) return fail(c, 'SSL3003', d.name.span, { model: d.name.text });
  const loss = materialize(c, model.objectives.map((o) => o.value).reduce((x, y) => sumOf(c, d.name.span, x, y)), 'loss', d.name.span);
  const results = [...model.objectives.map((o) => ({ name: o.name, value: o.value })), ...model.monitors, { name: 'loss', value: loss }];
  return { results, total: loss, inputs: seen };
}
