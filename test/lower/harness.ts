/** Compiles and evaluates small `.ssl` texts in memory. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CallInput, LoadedProgram, Reader } from '../../compiler/api.js';
import { checkDeclarations } from '../../compiler/check/check-declarations.js';
import { loadProgram } from '../../compiler/check/load-program.js';
import { buildCall } from '../../compiler/lower/call-programs.js';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import { simplify } from '../../compiler/tensor/simplify.js';
import { verify } from '../../compiler/tensor/verify.js';
import { sizeOf } from '../../compiler/tensor/program.js';

const root = join(import.meta.dirname, '..', '..');

/** Files given by name, and the real standard library. */
export function memoryReader(files: Readonly<Record<string, string>>): Reader {
  return {
    read: (path) => files[path] ?? (existsSync(path) ? readFileSync(path, 'utf8') : null),
    resolve: (_from, request) => { const name = request.replace(/^\.\//, ''); return name in files ? name : null; },
    library: (name) => { const path = join(root, 'models', `${name.replaceAll('.', '/')}.ssl`); return existsSync(path) ? path : null; },
  };
}

export function load(text: string, others: Readonly<Record<string, string>> = {}): LoadedProgram {
  return loadProgram('main.ssl', memoryReader({ 'main.ssl': text, ...others }));
}

/** Codes of everything `check` finds in a text, in order. */
export function codes(text: string, others: Readonly<Record<string, string>> = {}): string[] {
  const loaded = load(text, others);
  const found = loaded.diagnostics.length > 0 ? loaded.diagnostics : checkDeclarations(loaded);
  return found.map((d) => d.code);
}

export interface Tensor {
  readonly shape: readonly number[];
  readonly data: readonly number[];
  readonly element?: CallInput['element'];
}

/** Evaluates a function or model of a text with the float64 interpreter. */
export function call(text: string, name: string, inputs: Readonly<Record<string, Tensor>>, options: { set?: Record<string, string>; gradients?: boolean; training?: boolean; parameters?: readonly number[] } = {}): Record<string, number[]> {
  const loaded = load(text);
  if (loaded.diagnostics.length > 0) throw new DiagnosticError(loaded.diagnostics);
  const built = buildCall(loaded, {
    name, set: options.set ?? {}, gradients: options.gradients ?? false, training: options.training ?? true,
    inputs: Object.fromEntries(Object.entries(inputs).map(([k, t]) => [k, { element: t.element ?? 'f32', shape: t.shape }])),
  });
  verify(built.programs.call);
  verify(built.programs.init);
  const initial = run(built.programs.init, {});
  const sources: Record<string, ArrayLike<number>> = Object.fromEntries(initial.sources);
  if (options.parameters !== undefined) sources['parameters'] = options.parameters;
  for (const [k, t] of Object.entries(inputs)) sources[`input.${k}`] = t.data;
  const result = run(simplify(built.programs.call), sources);
  return Object.fromEntries([...result.outputs].map(([k, v]) => [k, [...v]]));
}

function run(program: Parameters<typeof interpret>[0], given: Readonly<Record<string, ArrayLike<number>>>): ReturnType<typeof interpret> {
  const inputs: Record<string, Float64Array> = {};
  for (const t of program.tensors) {
    if (t.kind !== 'source') continue;
    inputs[t.name] = t.name in given ? Float64Array.from(given[t.name]) : new Float64Array(sizeOf(t.shape));
  }
  return interpret(program, inputs);
}

export const range = (n: number, f: (i: number) => number): number[] => Array.from({ length: n }, (_, i) => f(i));

/** Fixed, irregular values in about -1..1. */
export const values = (n: number, salt = 1): number[] => range(n, (i) => Math.sin(1.7 * (i + 1) * salt + 0.3 * salt));
