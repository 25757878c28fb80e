/**
 * Applies an optimizer written in `.ssl`. Its body sees one parameter `w` and its gradient `g`. A body that works element by
 * element means the same on the flat arena of all parameters, so it is run there once, with what differs between groups of parameters
 * chosen by the index; reductions over the whole parameter give a value for each (`reduce-parameters.ts`). A body that looks at
 * a parameter otherwise is run for every one. To a lazy parameter it is applied row by row (`lazy-parameters.ts`).
 */
import type { Expression, FunctionDeclaration } from '../../grammar/ast.js';
import { bug } from '../../grammar/diagnostics/report.js';
import { binary, float, int, select } from '../tensor/scalar.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { reductions } from './along.js';
import { callFunction } from './call.js';
import type { Context, Frame, Store } from './context.js';
import { fail } from './context.js';
import { forEachChild, statementExpressions } from './free-names.js';
import type { RowOperands } from './lazy-parameters.js';
import { rootFrame } from './model.js';
import { numbersOfEach } from './numbers-of-each.js';
import { defaultOf } from './optimizer.js';
import type { Optimizer } from './optimizer.js';
import { groupName } from './parameter-groups.js';
import type { ParameterGroup } from './parameter-groups.js';
import { parameterAt, pieceReductions } from './reduce-parameters.js';
import type { Scope } from './scope.js';
import { nodeOf } from './store.js';
import type { Layout, LazyParameter, PlacedParameter, Treatment } from './store.js';
import { asTensor, constantTensor, convertTensor, elementwise, ensureWhole } from './tensor-value.js';
import type { FunctionValue, TensorValue, Value } from './value.js';
import { axisOf, describe, number } from './value.js';

/** Where the optimizer finds a parameter and its gradient: the whole arena, one parameter, or the rows of one that were read. */
export interface OptimizerOperands {
  readonly flat: () => { w: TensorValue; g: TensorValue };
  readonly part: (p: PlacedParameter, k: number) => { w: TensorValue; g: TensorValue };
  readonly rows: (p: LazyParameter) => RowOperands;
}

/** The new flat arena; null where no parameter lies in it. States are declared under the optimizer's own names. */
export function applyOptimizer(c: Context, root: Scope, optimizer: Optimizer, layout: Layout, operands: OptimizerOperands): TensorId | null {
  const { fn, groups } = optimizer;
  const span = fn.declaration.span;
  const frame: Frame = { ...rootFrame({ ...c, batch: null }, fn.scope, 'optimizer'), role: 'optimizer' };
  const clock = root.get('step');
  const counts = mentionsAnywhere(fn, 'step') ? groups.map((g) => countUpdates(c, g, optimizer)) : [];
  const run = (owned: Store, w: TensorValue, g: TensorValue, of: (value: (segment: SegmentTreatment) => Value) => Value, path: string): TensorValue => {
    const names = new Set(groups.flatMap((x) => [...x.settings.keys()]));
    const settings = new Map(fn.settings);
    for (const name of names) {
      const standard = settings.get(name) ?? defaultOf(c, frame, fn.declaration, name);
      settings.set(name, of((s) => groupOf(groups, s)?.settings.get(name) ?? standard));
    }
    root.set('decayed', of((s) => number(s.decayed ? 1 : 0)));
    if (clock !== null) root.set('step', of((s) => (s.group === null ? clock : (counts[s.group] ?? clock))));
    const mask = of((s) => groupOf(groups, s)?.trainable ?? number(1));
    const weight = mask.kind === 'number' && mask.value > 0 ? null : asTensor(mask);
    const trains = weight === null ? null : elementwise(c, span, [convertTensor(weight, 'f32')], 'bool', ([t]) => binary('gt', t, float(0)));
    const store = trains === null ? owned : freezing(c, owned, trains);
    const v = callFunction({ ...c, store, ...(path === flatPath ? { parametersAlong: layout } : {}) }, frame, { ...fn, settings }, [{ name: null, value: w, span }, { name: null, value: g, span }], span, { path, site: path, target: null });
    if (v.kind !== 'tensor') return fail(c, 'SSL2001', span, { expected: 'the new parameter', found: describe(v) });
    return trains === null ? v : elementwise(c, span, [trains, v, w], 'f32', ([t, x, y]) => select(t, x, y));
  };
  const whole = (v: TensorValue): TensorId => nodeOf(ensureWhole(c, v, 'parameters', span));
  try {
    for (const p of layout.lazy) {
      const { w, g, store, arrive } = operands.rows(p);
      arrive(run(store, w, g, (value) => value(p.treatment), `optimizer.${p.path}`), span);
    }
    if (layout.parameters.length === 0) return null;
    if (worksOnAll(fn)) {
      const { w, g } = operands.flat();
      const reducesSome = anyExpression(fn.declaration, fn.scope, new Set(), reduces);
      return whole(run(reducesSome ? numbersOfEach(c, layout) : c.store, w, g, (value) => bySegment(layout, value, reducesSome ? (i) => parameterAt(c.builder, layout, i) : null), flatPath));
    }
    const parts = layout.parameters.map((p, k) => {
      const { w, g } = operands.part(p, k);
      const segment = layout.segments.find((s) => p.offset >= s.from && p.offset < s.to) ?? { from: 0, to: 0, group: null, decayed: true };
      return whole(run(c.store, w, g, (value) => value(segment), `optimizer.${p.path}`));
    });
    return c.builder.pack(parts, { span, name: 'parameters' }, layout.parameters.map((p) => p.offset));
  } finally {
    if (clock !== null) root.set('step', clock);
  }
}

/** Path of the states of all parameters together. */
const flatPath = 'optimizer';

type SegmentTreatment = Omit<Treatment, 'lazy'>;

const groupOf = (groups: readonly ParameterGroup[], s: SegmentTreatment): ParameterGroup | null => (s.group === null ? null : groups[s.group]);

/**
 * A value for every element of the arena: one for all, or chosen by where the element lies. Beside values for each parameter it is chosen
 * by the parameter (`parameterOf`): what is computed from them is then the same for all of its elements, too.
 */
function bySegment(layout: Layout, of: (segment: SegmentTreatment) => Value, parameterOf: ((element: Scalar) => Scalar) | null): Value {
  const pieces: { to: number; value: Value }[] = [];
  const starts = layout.parameters.map((p) => p.offset);
  for (const s of layout.segments) {
    const value = of(s);
    const last = pieces[pieces.length - 1];
    if (last !== undefined && same(last.value, value)) last.to = s.to;
    else pieces.push({ to: s.to, value });
  }
  if (pieces.length === 0) return number(1);
  if (pieces.length === 1) return pieces[0].value;
  const tensors = pieces.map((p) => {
    const t = asTensor(p.value);
    return t === null || t.axes.length > 0 ? bug('a value of a group that is no scalar') : convertTensor(t, 'f32');
  });
  return {
    kind: 'tensor', element: 'f32', axes: [axisOf(layout.size)], free: new Map(),
    at: ([element]) => {
      const place = parameterOf === null ? element : parameterOf(element);
      const end = (k: number): number => (parameterOf === null ? pieces[k].to : starts.filter((o) => o < pieces[k].to).length);
      return tensors.slice(0, -1).reduceRight((rest, t, k) => select(binary('lt', place, int(end(k))), t.at([]), rest), tensors[tensors.length - 1].at([]));
    },
  };
}

const same = (a: Value, b: Value): boolean => a === b || (a.kind === 'number' && b.kind === 'number' && a.value === b.value);

/** Updates a group has had: bias corrections count these, not the steps before its parameters first moved. Null: all of them. */
function countUpdates(c: Context, group: ParameterGroup, optimizer: Optimizer): Value | null {
  if (group.trainable?.kind !== 'tensor') return null;
  const { span } = optimizer.fn.declaration;
  const name = `optimizer.updates.${groupName(group)}`;
  const count = c.store.state({ name, shape: [], element: 'f32' }, () => constantTensor(float(0)), span);
  const next = elementwise(c, span, [count, convertTensor(group.trainable, 'f32')], 'f32', ([n, t]) => select(binary('gt', t, float(0)), binary('add', n, float(1)), n));
  c.store.updateState(name, next, span);
  return count;
}

/** A store in which the states of parameters that do not train stay as they are. */
function freezing(c: Context, store: Store, trains: TensorValue): Store {
  const before = new Map<string, TensorValue>();
  return {
    parameter: (info, target, initial, span) => store.parameter(info, target, initial, span),
    state: (info, initial, span) => {
      const value = store.state(info, initial, span);
      before.set(info.name, value);
      return value;
    },
    updateState: (name, value, span) => {
      const old = before.get(name);
      // What has another shape than the parameters belongs to all of them.
      const fits = old !== undefined && (trains.axes.length === 0 || trains.axes.map((a) => a.size).join() === old.axes.map((a) => a.size).join());
      store.updateState(name, fits ? elementwise(c, span, [trains, value, old], 'f32', ([t, x, y]) => select(t, x, y)) : value, span);
    },
    target: (info) => store.target(info),
  };
}

/** Does the optimizer, or a function it names, mention this name? */
const mentionsAnywhere = (fn: FunctionValue, name: string): boolean => anyExpression(fn.declaration, fn.scope, new Set(), (e) => e.kind === 'name' && e.name === name);

/** Whether the body can be run once for all parameters: what it reduces it reduces whole, and then its states are like the parameter or numbers. */
function worksOnAll(fn: FunctionValue): boolean {
  const has = (test: (e: Expression, scope: Scope) => boolean): boolean => anyExpression(fn.declaration, fn.scope, new Set(), test);
  const whole = fn.declaration.body.statements.every((s) => s.kind !== 'own' || (s.type.kind === 'tensorType' && s.type.dimensions.every((d) => d.kind === 'rest')));
  return !has((e, scope) => reducesPart(e, scope) || (!whole && reduces(e, scope)));
}

function reduces(e: Expression, scope: Scope): boolean {
  return e.kind === 'along' || (e.kind === 'name' && scope.get(e.name)?.kind === 'builtin' && reductions.has(e.name) && e.name !== 'max' && e.name !== 'min');
}

/** A reduction that looks at some axes, or whose value does not follow from those of pieces. */
function reducesPart(e: Expression, scope: Scope): boolean {
  if (!reduces(e, scope)) return false;
  if (e.kind === 'along') return !pieceReductions.has(e.name.text) || e.where !== null || e.binders.some((b) => !b.rest);
  return e.kind === 'name' && !pieceReductions.has(e.name);
}

/** Does `test` hold for an expression of the body, or of a function it names? */
function anyExpression(d: FunctionDeclaration, scope: Scope, seen: Set<string>, test: (e: Expression, scope: Scope) => boolean): boolean {
  if (seen.has(d.name.text)) return false;
  seen.add(d.name.text);
  const visit = (e: Expression): boolean => {
    if (test(e, scope)) return true;
    if (e.kind === 'name') {
      const v = scope.get(e.name);
      if (v?.kind === 'function') return anyExpression(v.declaration, v.scope, seen, test);
    }
    let found = false;
    forEachChild(e, (child) => { if (!found && visit(child)) found = true; });
    return found;
  };
  return [...statementExpressions(d.body.statements), ...(d.body.result === null ? [] : [d.body.result])].some(visit);
}
