/** Elaborates a model: inputs, views, networks, targets, objectives and the representation. */
import type { Diagnostic } from '../../grammar/diagnostics/diagnostic.js';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import type { Expression, Input, ModelDeclaration, Statement } from '../../grammar/ast.js';
import { index } from '../tensor/scalar.js';
import { bindSettings } from './arguments.js';
import { netOf } from './call.js';
import type { Context, Frame } from './context.js';
import { fail, Poisoned } from './context.js';
import { declaredNames } from './declared-names.js';
import { evaluate, needInteger } from './evaluate.js';
import { neededPart } from './needed-part.js';
import type { Wanted } from './needed-part.js';
import { Scope } from './scope.js';
import { execute, named } from './statements.js';
import { close, convertTensor, materialize, needTensor, open, orderedFree, reduceOver } from './tensor-value.js';
import type { TensorValue, Value } from './value.js';
import { describe, showShape } from './value.js';

export interface Objective {
  readonly name: string;
  readonly role: 'minimize' | 'regularize';
  /** A scalar. */
  readonly value: TensorValue;
}

/** `monitor NAME: ...`: a scalar to report. */
export interface Monitor {
  readonly name: string;
  readonly value: TensorValue;
  /** How many codes there are, where the monitor is the perplexity of how a batch uses them; else null. */
  readonly codes: number | null;
}

export interface ElaboratedModel {
  readonly objectives: readonly Objective[];
  readonly monitors: readonly Monitor[];
  /** Per example, batch implicit; null when the model has no `represent`. */
  readonly representation: TensorValue | null;
  readonly frame: Frame;
}

/** A frame for the top level of a model or train block. */
export function rootFrame(c: Context, scope: Scope, callee: string): Frame {
  return {
    scope, path: '', site: callee, lifts: c.batch === null ? [] : [c.batch.variable], counters: new Map(), target: null, callee, role: 'model',
    declaredResult: null, early: new Map(), indexing: false,
  };
}

/**
 * `inputs` gives each input of the model as a per-example tensor. `wanted` says what is evaluated (`needed-part.ts`): a training step
 * has no use for the representation (and applying a network for it would move its running statistics), an embedding none for the
 * objectives. `replaced` are values that stand in for inputs.
 */
export function elaborateModel(
  c: Context, model: ModelDeclaration, scope: Scope, settings: ReadonlyMap<string, Value>, wanted: Wanted,
  inputs: (input: Input, position: number) => TensorValue, replaced: ReadonlyMap<string, TensorValue> = new Map(),
): ElaboratedModel {
  const inner = new Scope(scope);
  const frame = rootFrame(c, inner, model.name.text);
  bindSettings(c, frame, inner, model.name.text, model.settings, settings, model.name.span);
  const objectives: Objective[] = [];
  const monitors: Monitor[] = [];
  const errors: Diagnostic[] = [];
  let representation: TensorValue | null = null;
  let position = 0;
  for (const s of neededPart(model.body, wanted)) {
    try {
      switch (s.kind) {
        case 'input':
          for (const i of s.inputs) {
            if (isExample(i)) bindExample(c, frame, i);
            else bindInput(c, frame, i, inputs(i, position++));
            const other = replaced.get(i.name.text);
            if (other !== undefined) inner.set(i.name.text, other);
          }
          break;
        case 'objective': {
          if (wanted !== 'objectives') break;
          const codes = s.role === 'monitor' ? codesOf(c, frame, s.value) : null;
          const value = toScalar(c, frame, s);
          if (s.role === 'monitor') monitors.push({ name: s.name.text, value, codes });
          else objectives.push({ name: s.name.text, role: s.role, value });
          break;
        }
        case 'represent': if (wanted === 'representation' || wanted === 'discovery') representation = convertTensor(needTensor(c, s.value.span, evaluate(c, frame, s.value)), 'f32'); break;
        default: modelStatement(c, frame, s);
      }
    } catch (e) {
      if (e instanceof DiagnosticError) errors.push(...e.diagnostics);
      else if (!(e instanceof Poisoned)) throw e;
      for (const name of declaredNames(s)) if (!inner.hasOwn(name)) inner.set(name, { kind: 'poison' });
    }
  }
  if (errors.length > 0) throw new DiagnosticError(errors);
  return { objectives, monitors, representation, frame };
}

function modelStatement(c: Context, f: Frame, s: Statement): void {
  switch (s.kind) {
    case 'view': return views(c, f, s);
    case 'net': f.scope.set(s.name.text, { ...netOf(c, s.name.text, evaluate(c, f, s.value), s.value.span), name: s.name.text }); return;
    case 'target': {
      const value = evaluate(c, f, s.value);
      if (value.kind !== 'ema') return fail(c, 'SSL2001', s.value.span, { expected: '`ema(net, momentum)`', found: describe(value) });
      const target = { name: s.name.text, of: value.net.name, momentum: value.momentum, when: value.when, buffers: value.buffers };
      c.store.target(target);
      f.scope.set(s.name.text, { ...value.net, target });
      return;
    }
    case 'stage': return; // programs of their own: stage-programs.ts
    default: execute(c, f, s);
  }
}

function views(c: Context, f: Frame, s: Extract<Statement, { kind: 'view' }>): void {
  const draw = (name: string): Value => {
    const inside: Frame = { ...f, site: name, path: name, counters: new Map(), early: new Map() };
    const v = evaluate(c, inside, s.value);
    return v.kind === 'tuple' ? v : named(c, v, name, s.value.span, { ...f, path: '' });
  };
  const first = s.names[0];
  if (s.names.length > 1 && first.count === null) {
    const v = draw(first.name.text);
    if (v.kind === 'tuple' && v.items.length === s.names.length) {
      s.names.forEach((n, k) => f.scope.set(n.name.text, named(c, v.items[k], n.name.text, s.value.span, { ...f, path: '' })));
      return;
    }
    f.scope.set(first.name.text, v);
    for (const n of s.names.slice(1)) f.scope.set(n.name.text, draw(n.name.text));
    return;
  }
  for (const n of s.names) {
    const count = n.count === null ? null : needInteger(c, n.count.span, evaluate(c, f, n.count));
    f.scope.set(n.name.text, count === null ? draw(n.name.text) : { kind: 'list', items: Array.from({ length: count }, (_, k) => draw(`${n.name.text}${k + 1}`)) });
  }
}

/** `id: example`: the number of the example in the training set, not something the data holds. */
export const isExample = (input: Input): boolean => input.type.kind === 'namedType' && input.type.name === 'example';

function bindExample(c: Context, f: Frame, input: Input): void {
  const { batch } = c;
  if (batch === null) return fail(c, 'SSL4001', input.span, { feature: 'the number of an example without a batch', help: null });
  const { variable } = batch;
  const read = c.builder.read(batch.unnumbered ?? batch.example, [index(variable.id)]);
  f.scope.set(input.name.text, { kind: 'tensor', element: 'i32', axes: [], free: new Map([[variable.id, variable]]), at: () => read });
}

/** Binds the axis names of a model's input to the sizes the data has; a fixed size is a requirement. */
function bindInput(c: Context, f: Frame, input: Input, v: TensorValue): void {
  const type = input.type;
  if (type.kind !== 'tensorType') return fail(c, 'SSL4001', type.span, { feature: `an input of type \`${type.kind === 'namedType' ? type.name : 'tuple'}\``, help: null });
  if (type.dimensions.length !== v.axes.length) {
    return fail(c, 'SSL2003', input.span, { name: input.name.text, expected: `a tensor with ${type.dimensions.length} axes`, found: showShape(v.axes) });
  }
  if (type.element === 'u8' && v.element !== 'u8') return fail(c, 'SSL2003', input.span, { name: input.name.text, expected: 'u8', found: describe(v) });
  const axes = type.dimensions.map((d, k) => {
    const axis = v.axes[k];
    if (d.kind === 'rest') return fail(c, 'SSL4001', d.span, { feature: 'a rest axis in a model input', help: 'name each axis' });
    if (d.size.kind === 'name') {
      const known = f.scope.get(d.size.name);
      if (known?.kind === 'number' && known.value !== axis.size) return fail(c, 'SSL2003', d.span, { name: d.size.name, expected: `${known.value}`, found: `${axis.size}` });
      f.scope.set(d.size.name, { kind: 'number', value: axis.size, integer: true });
      return { ...axis, label: d.size.name };
    }
    const size = needInteger(c, d.size.span, evaluate(c, f, d.size));
    if (size !== axis.size) return fail(c, 'SSL2003', d.span, { name: `axis ${k + 1} of ${input.name.text}`, expected: `${size}`, found: `${axis.size} in the data` });
    return axis;
  });
  const typed = type.element === 'f32' ? convertTensor(v, 'f32') : v;
  f.scope.set(input.name.text, { ...typed, axes });
}

/** The codes that `perplexity(...)` looks at when it is that of one distribution for the whole batch. */
function codesOf(c: Context, f: Frame, e: Expression): number | null {
  if (e.kind !== 'call' || e.arguments.length !== 1) return null;
  const callee = evaluate(c, f, e.callee);
  if (callee.kind !== 'function' || callee.declaration.name.text !== 'perplexity') return null;
  const { value } = e.arguments[0];
  const p = evaluate(c, f, value);
  f.early.set(value, p);
  return p.kind === 'tensor' && p.axes.length === 1 && p.free.size === 0 ? p.axes[0].size : null;
}

/** An objective's value, averaged over every axis that is left: own axes and the batch. */
function toScalar(c: Context, f: Frame, s: Extract<Statement, { kind: 'objective' }>): TensorValue {
  const v = convertTensor(needTensor(c, s.value.span, evaluate(c, f, s.value)), 'f32');
  const whole = close(v, orderedFree(v).filter((x) => x.implicit));
  if (whole.axes.length === 0) return materialize(c, whole, s.name.text, s.span);
  const stored = materialize(c, whole, `${s.name.text} per example`, s.span);
  const variables = stored.axes.map((a, k) => ({ id: 3_000_000 + k, name: 'mean', axis: a, implicit: false }));
  return materialize(c, reduceOver(c, s.span, s.name.text, 'mean', open(stored, variables), variables, null), s.name.text, s.span);
}
