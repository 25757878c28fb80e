/**
 * Checks that every name in every declaration of the main module means something, before anything is evaluated: an unknown
 * name in a function nobody calls is still an error. Axis names are whatever an input's type introduces.
 */
import type { Block, Declaration, Expression, FunctionDeclaration, ModelDeclaration, Module, Setting, StageStep, Statement, TrainDeclaration, TypeExpression } from '../../grammar/ast.js';
import type { Diagnostic } from '../../grammar/diagnostics/diagnostic.js';
import { diagnostic } from '../../grammar/diagnostics/report.js';
import { suggest } from '../../grammar/diagnostics/suggest.js';
import type { Span } from '../../grammar/span.js';
import type { LoadedProgram } from '../api.js';
import { reductions } from '../lower/along.js';
import { builtinNames } from '../lower/builtins.js';
import { searchExpressions } from '../lower/free-names.js';
import { offeredNames } from './load-program.js';

/** Names the running step provides. */
const globalNames: readonly string[] = ['training', 'pi', 'step', 'steps', 'epochs', 'batch', 'examples', 'decayed'];

class Names {
  private readonly own = new Set<string>();
  constructor(private readonly parent: Names | null) {}
  add(...names: readonly string[]): void { for (const n of names) this.own.add(n); }
  has(name: string): boolean { return this.own.has(name) || (this.parent?.has(name) ?? false); }
  all(): string[] { return [...this.own, ...(this.parent?.all() ?? [])]; }
}

export function resolveNames(loaded: LoadedProgram): Diagnostic[] {
  const out: Diagnostic[] = [];
  const base = new Names(null);
  base.add(...builtinNames, ...globalNames);
  const prelude = loaded.prelude === null ? undefined : loaded.modules.get(loaded.prelude);
  if (prelude !== undefined) base.add(...offeredNames(prelude.module));
  for (const { module } of loaded.modules.values()) resolveModule(module, base, out);
  return out;
}

function resolveModule(module: Module, base: Names, out: Diagnostic[]): void {
  const names = new Names(base);
  const seen = new Map<string, Span>();
  const declare = (text: string, span: Span): void => {
    const first = seen.get(text);
    if (first !== undefined) out.push(diagnostic('SSL1005', span, { name: text }, [{ span: first, message: 'first declared here' }]));
    else seen.set(text, span);
    names.add(text);
  };
  for (const use of module.uses) for (const n of use.names) { const id = n.as ?? n.name; declare(id.text, id.span); }
  for (const d of module.declarations) if (d.kind !== 'train') declare(d.name.text, d.name.span);
  for (const d of module.declarations) resolveDeclaration(d, names, module, out);
}

function resolveDeclaration(d: Declaration, names: Names, module: Module, out: Diagnostic[]): void {
  switch (d.kind) {
    case 'function': return resolveFunction(d, names, out);
    case 'model': return resolveModel(d, names, out);
    case 'train': return resolveTrain(d, names, module, out);
  }
}

function resolveSettings(settings: readonly Setting[], names: Names, out: Diagnostic[]): void {
  for (const s of settings) {
    if (s.default !== null && s.type?.text !== 'names') expression(s.default, names, out);
    names.add(s.name.text);
  }
}

/** Adds the axis names a type introduces; with `strict`, checks them instead. */
function typeNames(t: TypeExpression, names: Names, strict: boolean, out: Diagnostic[]): void {
  switch (t.kind) {
    case 'tupleType': t.items.forEach((i) => typeNames(i, names, strict, out)); return;
    case 'namedType': return;
    case 'tensorType':
      for (const d of t.dimensions) {
        if (d.kind === 'rest') names.add(`*${d.name.text}`);
        else if (d.size.kind === 'name' && !strict) names.add(d.size.name);
        else expression(d.size, names, out);
      }
  }
}

function resolveFunction(d: FunctionDeclaration, outer: Names, out: Diagnostic[]): void {
  const names = new Names(outer);
  resolveSettings(d.settings, names, out);
  for (const i of d.inputs) { typeNames(i.type, names, false, out); names.add(i.name.text); if (i.type.kind === 'namedType') names.add(i.type.name); }
  if (d.result !== null) typeNames(d.result, new Names(names), false, out);
  block(d.body, names, out);
}

function resolveModel(d: ModelDeclaration, outer: Names, out: Diagnostic[]): void {
  const names = new Names(outer);
  resolveSettings(d.settings, names, out);
  d.body.forEach((s) => statement(s, names, out));
  // What a step reports goes by name.
  const reported = new Set(['loss', 'rate', 'gradient_norm', 'gap', 'kind', 'step']);
  for (const s of d.body) {
    if (s.kind !== 'objective') continue;
    if (reported.has(s.name.text)) out.push(diagnostic('SSL1005', s.name.span, { name: s.name.text }));
    reported.add(s.name.text);
  }
}

function resolveTrain(d: TrainDeclaration, outer: Names, module: Module, out: Diagnostic[]): void {
  const declared = module.declarations.flatMap((x) => (x.kind === 'model' ? [x] : []));
  const models = declared.map((m) => m.name.text);
  const chosen = new Names(outer);
  chosen.add(...declared.filter((m) => m.name.text === d.model.text).flatMap((m) => m.settings.map((x) => x.name.text)));
  if (!models.includes(d.model.text)) out.push(diagnostic('SSL1001', d.model.span, { name: d.model.text, suggestion: suggest(d.model.text, models), ...(models.length === 0 ? {} : { known: models }) }));
  for (const item of d.items) {
    switch (item.kind) {
      // Optimizer and schedule belong to the run; what data and how much of it may follow from the model's settings.
      case 'entry': expression(item.value, item.key.text === 'optimizer' || item.key.text === 'schedule' ? outer : chosen, out, true); break;
      case 'group': item.entries.forEach((e) => expression(e.value, outer, out, true)); break;
      case 'every': expression(item.period, outer, out); break;
    }
  }
}

function block(b: Block | Extract<Expression, { kind: 'block' }>, outer: Names, out: Diagnostic[]): void {
  const names = new Names(outer);
  b.statements.forEach((s) => statement(s, names, out));
  if (b.result !== null) expression(b.result, names, out);
}

function statement(s: Statement, names: Names, out: Diagnostic[]): void {
  switch (s.kind) {
    case 'let': for (const b of s.bindings) { expression(b.value, names, out); names.add(...b.names.map((n) => n.text)); } return;
    case 'draw':
      for (const d of s.draws) {
        const inner = new Names(names);
        inner.add(...d.indices.map((i) => i.name.text));
        expression(d.distribution, inner, out);
        names.add(d.name.text);
      }
      return;
    case 'define': {
      const inner = new Names(names);
      for (const i of s.indices) if (i.extent !== null) expression(i.extent, names, out);
      inner.add(...s.indices.map((i) => i.name.text));
      expression(s.value, inner, out);
      names.add(s.name.text);
      return;
    }
    case 'own': typeNames(s.type, names, true, out); expression(s.init.value, names, out); names.add(s.name.text); return;
    case 'update':
      if (!names.has(s.name.text)) unknown(s.name.text, s.name.span, names, out);
      return expression(s.value, names, out);
    case 'repeat': expression(s.count, names, out); s.body.forEach((x) => statement(x, names, out)); return;
    case 'input': for (const i of s.inputs) { typeNames(i.type, names, false, out); names.add(i.name.text); } return;
    case 'view': for (const n of s.names) if (n.count !== null) expression(n.count, names, out); expression(s.value, names, out); names.add(...s.names.map((n) => n.name.text)); return;
    case 'net': case 'target': expression(s.value, names, out); names.add(s.name.text); return;
    case 'local': names.add(s.declaration.name.text); return resolveFunction(s.declaration, names, out);
    case 'latent':
      if (!names.has(s.energy.text)) unknown(s.energy.text, s.energy.span, names, out);
      typeNames(s.type, names, true, out);
      searchExpressions(s.search).forEach((e) => expression(e, names, out));
      names.add(s.name.text);
      return;
    case 'objective': case 'represent': return expression(s.value, names, out);
    case 'stage': return stage(s.body, withNames(names, ['data']), out);
  }
}

function stage(body: readonly StageStep[], names: Names, out: Diagnostic[]): void {
  for (const x of body) {
    if (x.kind === 'plain') { statement(x.statement, names, out); continue; }
    if (!names.has(x.name.text)) unknown(x.name.text, x.name.span, names, out);
    if (x.kind === 'assign') expression(x.value, names, out);
  }
}

function withNames(parent: Names, names: readonly string[]): Names {
  const inner = new Names(parent);
  inner.add(...names);
  return inner;
}

function unknown(name: string, span: Span, names: Names, out: Diagnostic[]): void {
  out.push(diagnostic('SSL1001', span, { name, suggestion: suggest(name, names.all()) }));
}

/** `lenient` accepts bare names in lists of arguments: `skip: [bias, norm]`. */
function expression(e: Expression, names: Names, out: Diagnostic[], lenient = false): void {
  const inside = (x: Expression): void => expression(x, names, out, lenient);
  switch (e.kind) {
    case 'number': case 'string': case 'boolean': return;
    case 'name': if (!names.has(e.name)) unknown(e.name, e.span, names, out); return;
    case 'member': return inside(e.object);
    case 'call':
      inside(e.callee);
      for (const a of e.arguments) if (!(lenient && a.value.kind === 'list')) inside(a.value);
      return;
    case 'index': inside(e.object); e.indices.forEach(inside); if (e.otherwise !== null) inside(e.otherwise); return;
    case 'along': {
      if (!reductions.has(e.name.text) && e.name.text !== 'standardize' && !names.has(e.name.text)) unknown(e.name.text, e.name.span, names, out);
      const inner = new Names(names);
      for (const b of e.binders) { if (b.extent !== null) inside(b.extent); if (b.source !== null) inside(b.source); inner.add(b.name.text); }
      if (e.where !== null) expression(e.where, inner, out);
      for (const a of e.arguments ?? []) expression(a.value, inner, out);
      return;
    }
    case 'unary': return inside(e.operand);
    case 'binary': case 'pipe': inside(e.left); return inside(e.right);
    case 'range': inside(e.low); return inside(e.high);
    case 'if': inside(e.condition); block(e.then, names, out); if (e.otherwise !== null) block(e.otherwise, names, out); return;
    case 'block': return block(e, names, out);
    case 'list': case 'tuple': return e.items.forEach(inside);
    case 'listComprehension': {
      inside(e.source);
      const inner = new Names(names);
      inner.add(e.variable.text);
      expression(e.element, inner, out);
      if (e.where !== null) expression(e.where, inner, out);
      return;
    }
    case 'over': inside(e.value); return;
  }
}
