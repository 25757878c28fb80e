/** Executes the statements of a block and evaluates its result. Statements that only models have are in `model.ts`. */
import type { Expression, Statement, TypeExpression } from '../../grammar/ast.js';
import { bindIndices } from './along.js';
import type { Context, Frame, StateInfo } from './context.js';
import { fail } from './context.js';
import { drawTensor } from './draws.js';
import { evaluate, needInteger } from './evaluate.js';
import { inferLatent } from './latent.js';
import { Scope } from './scope.js';
import { close, convertTensor, ensureMaterialized, isCheap, materialize, needTensor } from './tensor-value.js';
import type { Axis, TensorValue, Value } from './value.js';
import { axisOf, describe, showShape } from './value.js';
import type { Span } from '../../grammar/span.js';

export function evaluateBlock(c: Context, f: Frame, block: { readonly statements: readonly Statement[]; readonly result: Expression | null; readonly span: Span }): Value {
  const frame: Frame = { ...f, scope: new Scope(f.scope) };
  for (const s of block.statements) execute(c, frame, s);
  return block.result === null ? { kind: 'tuple', items: [] } : evaluate(c, frame, block.result);
}

export function execute(c: Context, f: Frame, s: Statement): void {
  switch (s.kind) {
    case 'let':
      for (const b of s.bindings) {
        const value = evaluate(c, f, b.value);
        if (b.names.length === 1) { f.scope.set(b.names[0].text, named(c, value, b.names[0].text, b.value.span, f)); continue; }
        const items = value.kind === 'tuple' || value.kind === 'list' ? value.items : null;
        if (items === null || items.length !== b.names.length) {
          return fail(c, 'SSL2001', b.value.span, { expected: `${b.names.length} values`, found: describe(value) });
        }
        b.names.forEach((n, k) => f.scope.set(n.text, named(c, items[k], n.text, b.value.span, f)));
      }
      return;
    case 'define': return define(c, f, s);
    case 'draw':
      for (const d of s.draws) {
        const { variables, frame } = bindIndices(c, f, d.indices, [d.distribution], f.declaredResult);
        const distribution = evaluate(c, frame, d.distribution);
        f.scope.set(d.name.text, drawTensor(c, f, distribution, variables, [], d.name.text, d.distribution.span));
      }
      return;
    case 'own': return own(c, f, s);
    case 'update': {
      const key = f.scope.get(`${s.name.text} state`);
      if (key?.kind !== 'string') return fail(c, 'SSL3002', s.name.span, { role: `\`${s.name.text}\``, problem: 'is not a state or memory', help: 'only what `state` or `memory` declares can be updated' });
      c.store.updateState(key.value, needTensor(c, s.value.span, evaluate(c, f, s.value)), s.span);
      return;
    }
    case 'repeat': return repeat(c, f, s);
    case 'latent': f.scope.set(s.name.text, inferLatent(c, f, s)); return;
    case 'local': {
      f.scope.set(s.declaration.name.text, { kind: 'function', declaration: s.declaration, scope: f.scope, settings: null });
      return;
    }
    case 'net': case 'target': case 'view': case 'input': case 'objective': case 'represent': case 'stage':
      return fail(c, 'SSL3002', s.span, { role: `\`${s.kind === 'objective' ? s.role : s.kind}\``, problem: 'belongs in a model', help: 'move it into a `model { ... }`' });
  }
}

/** More rounds than this are a slip of the pen: every round is written out in the program. */
const maximumRounds = 1000;

/** The rounds one after the other in the scope around them, so that names keep their values; draws differ from round to round. */
function repeat(c: Context, f: Frame, s: Extract<Statement, { kind: 'repeat' }>): void {
  const count = needInteger(c, s.count.span, evaluate(c, { ...f, indexing: true }, s.count));
  if (count < 0 || count > maximumRounds) return fail(c, 'SSL2001', s.count.span, { expected: `0 to ${maximumRounds} rounds`, found: `${count}` });
  for (let round = 1; round <= count; round++) {
    const frame: Frame = { ...f, site: `${f.site}.round${round}`, early: new Map() };
    for (const inner of s.body) execute(c, frame, inner);
  }
}

/** Gives a computed value its name and its memory: a `let` is where sharing is written down. */
export function named(c: Context, v: Value, name: string, span: Span, f: Frame): Value {
  if (v.kind !== 'tensor') return v;
  if (v.element !== 'u8') return ensureMaterialized(c, v, fullName(f, name), span);
  return isCheap(v) ? v : materialize(c, keepPixels(v), fullName(f, name), span);
}

const keepPixels = (v: TensorValue): TensorValue => (v.element === 'u8' ? convertTensor(v, 'f32') : v);

const fullName = (f: Frame, name: string): string => (f.path === '' ? name : `${f.path}.${name}`);

function define(c: Context, f: Frame, s: Extract<Statement, { kind: 'define' }>): void {
  const declared = f.declaredResult !== null && f.declaredResult.length === s.indices.length ? f.declaredResult : null;
  const { variables, frame } = bindIndices(c, f, s.indices, [s.value], declared);
  const value = needTensor(c, s.value.span, evaluate(c, frame, s.value));
  f.scope.set(s.name.text, materialize(c, close(keepPixels(value), variables), fullName(f, s.name.text), s.span));
}

/** The sizes of a declared tensor type, with `*S` spread to the axes bound to it. */
export function shapeOf(c: Context, f: Frame, type: TypeExpression): Axis[] {
  if (type.kind !== 'tensorType') return fail(c, 'SSL2001', type.span, { expected: 'a tensor type such as `[K, D]`', found: 'another type' });
  return type.dimensions.flatMap((d): Axis[] => {
    if (d.kind === 'rest') {
      const bound = f.scope.get(`*${d.name.text}`);
      if (bound?.kind !== 'list') return fail(c, 'SSL1001', d.span, { name: `*${d.name.text}`, suggestion: null });
      return bound.items.map((n) => ({ ...axisOf(n.kind === 'number' ? n.value : 0), group: d.name.text }));
    }
    const size = needInteger(c, d.size.span, evaluate(c, { ...f, indexing: true }, d.size));
    if (size < 1) return fail(c, 'SSL2001', d.span, { expected: 'a size of at least 1', found: `${size}` });
    return [axisOf(size, d.size.kind === 'name' ? d.size.name : null)];
  });
}

function stateName(f: Frame, name: string): string {
  return `state.${f.path === '' ? name : `${f.path}.${name}`}`;
}

/** Numbers are f32, but a table's may be `int`. A table belongs to a model and has a row for each training example. */
function ownedElement(c: Context, f: Frame, s: Extract<Statement, { kind: 'own' }>, axes: readonly Axis[]): 'f32' | 'i32' {
  if (s.ownership !== 'table') return 'f32';
  const examples = f.scope.get('examples');
  if (f.role !== 'model') return fail(c, 'SSL3002', s.span, { role: '`table`', problem: 'belongs in a model', help: 'move it into the `model { ... }`' });
  if (examples?.kind === 'number' && axes[0]?.size !== examples.value) {
    return fail(c, 'SSL2003', s.type.span, { name: s.name.text, expected: '`examples` as its first axis', found: showShape(axes) });
  }
  const type = s.type.kind === 'tensorType' ? s.type.element : 'f32';
  if (type !== 'f32' && type !== 'int') return fail(c, 'SSL2001', s.type.span, { expected: 'a table of numbers or of `int`', found: `one of ${type}` });
  return type === 'int' ? 'i32' : 'f32';
}

function own(c: Context, f: Frame, s: Extract<Statement, { kind: 'own' }>): void {
  const name = s.name.text;
  const axes = shapeOf(c, f, s.type);
  const shape = axes.map((a) => a.size);
  const element = ownedElement(c, f, s, axes);
  const initial = (): TensorValue => {
    const value = evaluate(c, f, s.init.value);
    const outside: Frame = { ...f, lifts: [], site: fullName(f, name) };
    if (s.init.kind === 'draw') return drawTensor(c, outside, value, [], axes, 'init', s.init.value.span);
    const fill = convertTensor(needTensor(c, s.init.value.span, value), element);
    if (fill.axes.length > axes.length || fill.axes.some((a, k) => a.size !== axes[axes.length - fill.axes.length + k].size)) {
      return fail(c, 'SSL2004', s.init.value.span, { left: showShape(axes), right: showShape(fill.axes) });
    }
    return materialize(c, { ...fill, axes, at: (i) => fill.at(i.slice(axes.length - fill.axes.length)) }, fullName(f, name), s.span);
  };
  if (s.ownership === 'param') {
    if (f.role === 'view' || f.role === 'energy' || f.role === 'regularizer' || f.role === 'fn' || f.role === 'schedule') {
      return fail(c, 'SSL3002', s.span, { role: `${f.role} \`${f.callee}\``, problem: 'may not own parameters', help: 'declare it as a `layer`, or pass the weights in' });
    }
    const value = c.store.parameter({ path: fullName(f, name), shape, layer: f.callee }, f.target, initial, s.span);
    f.scope.set(name, { ...value, axes });
    return;
  }
  const info: StateInfo = { name: s.ownership === 'state' ? stateName(f, name) : `${s.ownership}.${fullName(f, name)}`, shape, element };
  const value = c.store.state(info, initial, s.span);
  f.scope.set(`${name} state`, { kind: 'string', value: info.name });
  // A number that stands for one of each parameter has their axis.
  f.scope.set(name, value.axes.length === axes.length ? { ...value, axes } : value);
}
