/**
 * Checks the functions of a file that nobody calls, by elaborating each on sample sizes: every axis name gets a size of its own, so
 * that axes that were mixed up do not fit. Settings without a default get a plausible value of their type.
 */
import type { FunctionDeclaration, Input, Setting } from '../../grammar/ast.js';
import type { Diagnostic } from '../../grammar/diagnostics/diagnostic.js';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import type { LoadedProgram } from '../api.js';
import { callFunction } from '../lower/call.js';
import { Poisoned } from '../lower/context.js';
import { rootFrame } from '../lower/model.js';
import { moduleScopes } from '../lower/module-scopes.js';
import { stepNames } from '../lower/step-names.js';
import { scratchContext } from '../lower/training-spec.js';
import { tensorOfNode } from '../lower/tensor-value.js';
import type { TensorValue, Value } from '../lower/value.js';
import { sampleSize, usualSizes } from './sample-inputs.js';

/** Diagnostics of every function declared in the main module; `skip` names those that were checked with real sizes. */
export function checkDeclarations(loaded: LoadedProgram, skip: ReadonlySet<string> = new Set()): Diagnostic[] {
  const found: Diagnostic[] = [];
  const seen = new Set<string>();
  for (const d of loaded.modules.get(loaded.main)?.module.declarations ?? []) {
    if (d.kind !== 'function' || d.role === 'data' || skip.has(d.name.text)) continue;
    for (const x of checkFunction(loaded, d)) {
      const key = `${x.code} ${x.span.file} ${x.span.start} ${x.title}`;
      if (!seen.has(key)) found.push(x);
      seen.add(key);
    }
  }
  return found;
}

function checkFunction(loaded: LoadedProgram, d: FunctionDeclaration): readonly Diagnostic[] {
  const c = scratchContext(10);
  const scope = moduleScopes(loaded, stepNames(c, { batch: 6, steps: 100, epochSteps: 10, examples: 60 })).main;
  const fn = scope.get(d.name.text);
  if (fn === null || fn.kind !== 'function') return [];
  const frame = { ...rootFrame(c, scope, d.name.text) };
  const sizes = new Map<string, number>();
  try {
    const settings = new Map<string, Value>();
    for (const s of d.settings) {
      const sample = s.default === null ? sampleSetting(s) : null;
      if (sample !== null) settings.set(s.name.text, sample);
      if (s.default === null && sample === null) return [];
    }
    const known = new Set(d.settings.map((s) => s.name.text));
    const args = d.inputs.map((i) => ({ name: i.name.text, value: sampleInput(c.builder, c, i, sizes, known), span: i.span }));
    if (args.some((a) => a.value === null)) return [];
    callFunction(c, frame, { ...fn, settings }, args.flatMap((a) => (a.value === null ? [] : [{ ...a, value: a.value }])), d.name.span, { path: '', site: d.name.text, target: null });
    return [];
  } catch (e) {
    if (e instanceof DiagnosticError) return e.diagnostics;
    if (e instanceof Poisoned) return [];
    throw e;
  }
}

function sampleSetting(s: Setting): Value | null {
  switch (s.type?.text) {
    case 'int': return { kind: 'number', value: 4, integer: true };
    case 'float': return { kind: 'number', value: 0.5, integer: false };
    case 'bool': return { kind: 'boolean', value: true };
    case 'string': return { kind: 'string', value: '' };
    case 'range': return { kind: 'range', low: 0.5, high: 1 };
    default: return null;
  }
}

/** A tensor of the declared type with sample sizes; null for types whose size cannot be chosen freely. */
function sampleInput(builder: ReturnType<typeof scratchContext>['builder'], c: ReturnType<typeof scratchContext>, input: Input, sizes: Map<string, number>, settings: ReadonlySet<string>): TensorValue | null {
  const type = input.type;
  if (type.kind !== 'tensorType') return null;
  const shape: number[] = [];
  for (const d of type.dimensions) {
    if (d.kind === 'rest') { shape.push(6, 4); continue; }
    const size = sampleSize(d.size, usualSizes, sizes, (name) => (settings.has(name) ? 4 : null));
    if (size === null) return null;
    shape.push(size);
  }
  const element = type.element === 'int' ? 'i32' : type.element;
  const id = builder.source(`sample.${input.name.text}`, 'batch', element, shape, { span: input.span, name: input.name.text });
  return tensorOfNode(c, id);
}
