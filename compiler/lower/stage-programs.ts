/**
 * The programs of a model's stages. For each `expression over data` one that evaluates the expression for a batch of examples, as
 * the representation is (`training` is false, draws keyed by the step); the runtime runs it over the training set and writes its
 * rows into a source. Then one that computes everything the stage assigns and resets, from values of before the stage.
 */
import type { Expression, Identifier, Statement } from '../../grammar/ast.js';
import type { Span } from '../../grammar/span.js';
import type { StageEntry } from '../plan/manifest.js';
import { ProgramBuilder } from '../tensor/builder.js';
import type { Program } from '../tensor/program.js';
import { sizeOf } from '../tensor/program.js';
import { binary, index, int, select } from '../tensor/scalar.js';
import type { TensorId } from '../tensor/scalar.js';
import type { Context, Frame } from './context.js';
import { fail } from './context.js';
import { evaluate } from './evaluate.js';
import type { ElaboratedModel } from './model.js';
import { Scope } from './scope.js';
import { execute } from './statements.js';
import { DiscoveringStore, nodeOf, PlacedStore } from './store.js';
import type { Layout, LazyParameter, PlacedParameter } from './store.js';
import { close, convertTensor, materialize, needTensor, orderedFree, tensorOfNode } from './tensor-value.js';
import { periodOf } from './training-spec.js';
import type { TensorValue, Value } from './value.js';
import { axisOf, describe } from './value.js';

export type Stage = Extract<Statement, { kind: 'stage' }>;
type Over = Extract<Expression, { kind: 'over' }>;

/** A model elaborated without its objectives, so that a stage finds its names. */
export interface Elaborated {
  readonly c: Context;
  readonly model: ElaboratedModel;
}

/** What a stage does to the model. */
interface Effects {
  readonly assign: (name: Identifier, value: TensorValue, span: Span) => void;
  readonly reset: (name: Identifier) => void;
}

export function stagesOf(body: readonly Statement[]): readonly Stage[] {
  return body.flatMap((s) => (s.kind === 'stage' ? [s] : []));
}

/** Evaluates every stage for what it owns: nets that only stages apply are discovered so. */
export function discoverStages(m: Elaborated, stages: readonly Stage[], examples: number): void {
  for (const s of stages) runStage(m, s, examples, { assign: () => undefined, reset: () => undefined });
}

/** What stages assign, by the name of the source, where it follows from passes over the data set. */
export function assignedByStages(m: Elaborated, stages: readonly Stage[], examples: number): ReadonlyMap<string, { readonly value: TensorId; readonly rows: readonly TensorId[] }> {
  const found = new Map<string, { value: TensorId; rows: readonly TensorId[] }>();
  for (const s of stages) {
    const assigned = new Map<string, TensorId>();
    const passes = runStage(m, s, examples, {
      assign: (name, value, span) => {
        const target = m.model.frame.scope.get(`${name.text} state`);
        if (target?.kind === 'string') assigned.set(target.value, nodeOf(materialize(m.c, value, name.text, span)));
      },
      reset: () => undefined,
    });
    const rows = passes.map((p) => nodeOf(materialize(m.c, rowOf(m, p.over), p.name, p.over.span)));
    for (const [name, value] of assigned) found.set(name, { value, rows });
  }
  return found;
}

/** One pass over the data set that a stage asks for. */
interface Pass {
  readonly over: Over;
  readonly name: string;
}

/** Runs a stage's steps. What `over data` gives is a source of the program, a row for each training example. */
function runStage(m: Elaborated, s: Stage, examples: number, effects: Effects): readonly Pass[] {
  const passes: Pass[] = [];
  const known = new Map<Expression, Value>();
  const over = (e: Over): Value => {
    const before = known.get(e);
    if (before !== undefined) return before;
    const name = `stage.${s.name.text}.over${passes.length + 1}`;
    const row = rowOf(m, e);
    const id = m.c.builder.source(name, 'batch', row.element === 'i32' ? 'i32' : 'f32', [examples, ...row.axes.map((a) => a.size)], { span: e.span, name });
    const value = tensorOfNode(m.c, id, [axisOf(examples), ...row.axes]);
    passes.push({ over: e, name });
    known.set(e, value);
    return value;
  };
  const c: Context = { ...m.c, batch: null, over };
  const f: Frame = { ...m.model.frame, scope: new Scope(m.model.frame.scope), lifts: [], site: `stage.${s.name.text}`, counters: new Map(), early: new Map() };
  for (const step of s.body) {
    switch (step.kind) {
      case 'plain': execute(c, f, step.statement); break;
      case 'assign': effects.assign(step.name, needTensor(c, step.value.span, evaluate(c, f, step.value)), step.span); break;
      case 'reset': effects.reset(step.name); break;
    }
  }
  return passes;
}

/** The value of an `over` for one example, the batch implicit. */
function rowOf(m: Elaborated, e: Over): TensorValue {
  if (e.source.kind !== 'name' || e.source.name !== 'data') return fail(m.c, 'SSL2001', e.source.span, { expected: '`data`, the training set', found: 'something else' });
  const value = needTensor(m.c, e.value.span, evaluate(m.c, { ...m.model.frame, early: new Map() }, e.value));
  return convertTensor(value, value.element === 'i32' ? 'i32' : 'f32');
}

/** How stages get at the model: `open` elaborates it into a program, `discover` into the same program with initial values. */
export interface StageRequest {
  readonly stages: readonly Stage[];
  readonly examples: number;
  readonly layout: Layout;
  readonly open: (builder: ProgramBuilder, store: PlacedStore) => Elaborated;
  readonly discover: (c: Context, store: DiscoveringStore) => void;
}

export interface StagePrograms {
  readonly programs: Readonly<Record<string, Program>>;
  readonly entries: readonly StageEntry[];
}

export function buildStages(request: StageRequest): StagePrograms {
  const programs: Record<string, Program> = {};
  const entries = request.stages.map((s) => buildStage(request, s, programs));
  return { programs, entries };
}

function buildStage(request: StageRequest, s: Stage, programs: Record<string, Program>): StageEntry {
  const { examples, layout } = request;
  const entry = `stage.${s.name.text}`;
  const builder = new ProgramBuilder(entry);
  const store = new PlacedStore(builder, layout, true);
  const m = request.open(builder, store);
  const writes: StageEntry['writes'][number][] = [];
  const changed = new Map<string, TensorId>();
  const resets: Identifier[] = [];
  const passes = runStage(m, s, examples, {
    assign: (name, value, span) => {
      const target = m.model.frame.scope.get(`${name.text} state`);
      if (target?.kind === 'string') {
        store.updateState(target.value, value, span);
        writes.push({ name: name.text, source: target.value });
        return;
      }
      changed.set(name.text, newParameter(m.c, layout, name, value, span));
      writes.push({ name: name.text, source: layout.lazy.find((p) => p.path === name.text)?.source ?? 'parameters' });
    },
    reset: (name) => resets.push(name),
  });
  if (resets.length > 0) resetAll(request, m, store, resets, changed);
  if (layout.parameters.some((p) => changed.has(p.path))) builder.update(store.flat(), replaceParameters(builder, store.flat(), layout, changed));
  for (const p of layout.lazy) {
    const value = changed.get(p.path);
    if (value !== undefined) builder.update(store.source(p.source, p.shape, 'parameters'), value);
  }
  store.commit((id) => id);
  programs[entry] = builder.build();
  for (const pass of passes) programs[pass.name] = buildPass(request, pass);
  return {
    name: s.name.text, entry, passes: passes.map((p) => p.name), writes, resets: resets.map((r) => r.text),
    period: s.period === null ? null : periodOf(m.c, s.period),
  };
}

/** The program of one pass: rows for a batch of examples. */
function buildPass(request: StageRequest, pass: Pass): Program {
  const builder = new ProgramBuilder(pass.name);
  const m = request.open(builder, new PlacedStore(builder, request.layout, false));
  const row = rowOf(m, pass.over);
  const { batch } = m.c;
  const free = new Map([...(batch === null ? [] : [[batch.variable.id, batch.variable] as const]), ...row.free]);
  const whole = close({ ...row, free }, batch === null ? [] : [batch.variable]);
  if (orderedFree(whole).length > 0) return fail(m.c, 'SSL2001', pass.over.span, { expected: 'one value for each example', found: 'more' });
  builder.output('rows', nodeOf(materialize(m.c, whole, 'rows', pass.over.span)));
  return builder.build();
}

/** The value a stage gives to a parameter of the model, in memory. The optimizer's states of it, of its rows where it is lazy, stay as they are. */
function newParameter(c: Context, layout: Layout, name: Identifier, value: TensorValue, span: Span): TensorId {
  const p = [...layout.parameters, ...layout.lazy].find((x) => x.path === name.text);
  if (p === undefined) return fail(c, 'SSL3002', name.span, { role: `\`${name.text}\``, problem: 'is not a table, memory, state or param', help: 'only these can be assigned in a stage' });
  if (value.free.size > 0 || value.axes.map((a) => a.size).join() !== p.shape.join()) {
    return fail(c, 'SSL2003', span, { name: name.text, expected: `[${p.shape.join(', ')}]`, found: value.free.size > 0 ? 'a value for every example' : describe({ ...value, axes: value.axes }) });
  }
  return nodeOf(materialize(c, convertTensor(value, 'f32'), name.text, span));
}

/** Draws what is reset anew, keyed by the step, and starts the optimizer's states of its parameters over. */
function resetAll(request: StageRequest, m: Elaborated, store: PlacedStore, names: readonly Identifier[], changed: Map<string, TensorId>): void {
  const { layout } = request;
  const fresh = new DiscoveringStore();
  const c: Context = { ...m.c, store: fresh, training: true, counter: 700_000, applications: new Map() };
  fresh.context = c;
  request.discover(c, fresh);
  const parameters: PlacedParameter[] = [];
  const lazy: LazyParameter[] = [];
  for (const name of names) {
    const state = m.model.frame.scope.get(`${name.text} state`);
    const within = (path: string): boolean => path === name.text || path.startsWith(`${name.text}.`);
    const mine = layout.parameters.filter((p) => within(p.path));
    const rows = layout.lazy.filter((p) => within(p.path));
    const states = layout.states.filter((x) => (state?.kind === 'string' ? x.name === state.value : x.name.startsWith('state.') && within(x.name.slice('state.'.length))));
    if (mine.length + rows.length + states.length === 0) return fail(m.c, 'SSL3002', name.span, { role: `\`${name.text}\``, problem: 'has nothing to reset', help: 'reset a net, a param, a table, a memory or a state of the model' });
    for (const p of [...mine, ...rows]) {
      const initial = fresh.parameters.get(p.path);
      if (initial !== undefined) changed.set(p.path, initial.initial);
    }
    parameters.push(...mine);
    lazy.push(...rows);
    for (const x of states) setState(m.c, store, fresh, x.name, name.span);
  }
  for (const x of layout.states) {
    if (!x.name.startsWith('state.optimizer.')) continue;
    if ([...parameters, ...lazy].some((p) => x.name.startsWith(`state.optimizer.${p.path}.`))) setState(m.c, store, fresh, x.name, names[0].span);
    else if (x.shape.length === 1 && x.shape[0] === layout.parameters.length) {
      // A number for each parameter: those of these parameters start over.
      const before = store.state(x, () => tensorOfNode(m.c, store.flat()));
      const initial = tensorOfNode(m.c, fresh.states.get(x.name)?.initial ?? store.flat());
      const start = (k: number): boolean => parameters.includes(layout.parameters[k]);
      store.updateState(x.name, {
        ...before, free: new Map(),
        at: (i) => layout.parameters.reduce((rest, _, k) => (start(k) ? select(binary('eq', i[0] ?? index(0), int(k)), initial.at(i), rest) : rest), before.at(i)),
      }, names[0].span);
    } else if (sizeOf(x.shape) === layout.size && x.shape.length === 1) {
      // One state for the whole arena: the parts of these parameters start over.
      const before = store.state(x, () => tensorOfNode(m.c, store.flat()));
      const initial = tensorOfNode(m.c, fresh.states.get(x.name)?.initial ?? store.flat());
      store.updateState(x.name, {
        ...before, free: new Map(),
        at: (i) => parameters.reduce((rest, p) => {
          const inside = binary('and', binary('ge', i[0] ?? index(0), int(p.offset)), binary('lt', i[0] ?? index(0), int(p.offset + sizeOf(p.shape))));
          return select(inside, initial.at(i), rest);
        }, before.at(i)),
      }, names[0].span);
    }
  }
}

function setState(c: Context, store: PlacedStore, fresh: DiscoveringStore, name: string, span: Span): void {
  const known = fresh.states.get(name);
  if (known === undefined) return;
  const initial = tensorOfNode(c, known.initial);
  store.state(known.info, () => initial);
  store.updateState(name, initial, span);
}

/** The flat arena with some parameters replaced; what lies between them is copied in whole runs. */
function replaceParameters(b: ProgramBuilder, flat: TensorId, layout: Layout, changed: ReadonlyMap<string, TensorId>): TensorId {
  const parts: TensorId[] = [];
  const offsets: number[] = [];
  const add = (offset: number, id: TensorId): void => { parts.push(id); offsets.push(offset); };
  const origin = { span: null, name: 'parameters' };
  const copy = (id: TensorId): TensorId => b.comprehension('f32', b.tensor(id).shape, null, b.identity(id), origin);
  let from = 0;
  const keep = (to: number): void => { if (to > from) add(from, copy(b.window(flat, from, [to - from], origin))); };
  layout.parameters.forEach((p, k) => {
    const next = changed.get(p.path);
    if (next === undefined) return;
    keep(p.offset);
    add(p.offset, copy(next));
    from = layout.parameters[k + 1]?.offset ?? layout.size;
  });
  keep(layout.size);
  return b.pack(parts, origin, offsets);
}
