/** Evaluates library functions with the float64 interpreter: loads a `.ssl` with its imports, builds the call, runs it. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Module, Use } from '../../grammar/ast.js';
import { parse } from '../../grammar/parse.js';
import type { LoadedProgram } from '../../compiler/api.js';
import { buildCall } from '../../compiler/lower/call-programs.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import type { Program } from '../../compiler/tensor/program.js';
import { sizeOf } from '../../compiler/tensor/program.js';

export const root = join(import.meta.dirname, '../..');

/** A file of the repository (or a text under a made-up name) with the library modules it uses. */
export function load(file: string, text: string | null = null): LoadedProgram {
  const modules = new Map<string, { source: { name: string; text: string }; module: Module; imports: ReadonlyMap<Use, string> }>();
  const visit = (path: string, given: string | null): void => {
    if (modules.has(path)) return;
    const source = { name: path, text: given ?? readFileSync(join(root, path), 'utf8') };
    const { module, diagnostics } = parse(source);
    if (diagnostics.length > 0) throw new Error(`${path}: ${diagnostics[0].title}`);
    const imports = new Map(module.uses.map((u) => [u, u.from.kind === 'library' ? `models/${u.from.path.replace(/\./g, '/')}.ssl` : u.from.path] as const));
    modules.set(path, { source, module, imports });
    for (const [, target] of imports) if (existsSync(join(root, target))) visit(target, null);
  };
  const prelude = 'models/std/prelude.ssl';
  visit(prelude, null);
  visit(file, text);
  return { main: file, modules, prelude, diagnostics: [] };
}

export interface Given {
  readonly shape: readonly number[];
  readonly values: readonly number[];
  readonly element?: 'f32' | 'i32' | 'u8';
}

export interface Evaluation {
  readonly outputs: ReadonlyMap<string, { readonly shape: readonly number[]; readonly values: Float64Array }>;
  readonly sources: ReadonlyMap<string, Float64Array>;
  /** Shape of each parameter. */
  readonly parameters: ReadonlyMap<string, readonly number[]>;
}

/** `parameters` replaces drawn weights by path. Evaluates again with other inputs through `at`. */
export function evaluateCall(
  loaded: LoadedProgram, name: string, inputs: Readonly<Record<string, Given>>,
  options: { readonly set?: Readonly<Record<string, string>>; readonly parameters?: Readonly<Record<string, readonly number[]>>; readonly gradients?: boolean; readonly training?: boolean; readonly seed?: number; readonly step?: number; readonly sources?: Readonly<Record<string, ArrayLike<number>>> } = {},
): Evaluation {
  const built = buildCall(loaded, {
    name, set: options.set ?? {}, gradients: options.gradients ?? false, training: options.training ?? true,
    inputs: Object.fromEntries(Object.entries(inputs).map(([k, v]) => [k, { element: v.element ?? 'f32', shape: v.shape }])),
  });
  const clock = { 'clock.seed': [options.seed ?? 1], 'clock.step': [options.step ?? 0] };
  const init = interpret(built.programs.init, { ...zeros(built.programs.init), ...clock });
  const flat = Float64Array.from(init.sources.get('parameters') ?? []);
  for (const p of built.parameters) {
    const given = options.parameters?.[p.path];
    if (given !== undefined) flat.set(given, p.offset);
  }
  const values: Record<string, ArrayLike<number>> = { ...zeros(built.programs.call), ...Object.fromEntries(init.sources), ...clock, parameters: flat, ...options.sources };
  for (const [k, v] of Object.entries(inputs)) values[`input.${k}`] = v.values;
  const result = interpret(built.programs.call, values);
  const outputs = built.programs.call.outputs.map((o) => [o.name, { shape: built.programs.call.tensors[o.tensor].shape, values: result.outputs.get(o.name) ?? new Float64Array() }] as const);
  return { outputs: new Map(outputs), sources: result.sources, parameters: new Map(built.parameters.map((p) => [p.path, p.shape])) };
}

function zeros(program: Program): Record<string, ArrayLike<number>> {
  return Object.fromEntries(program.tensors.flatMap((t) => (t.kind === 'source' ? [[t.name, new Float64Array(sizeOf(t.shape))]] : [])));
}

/** A small generator of its own: the same numbers everywhere. */
export function numbers(count: number, seed: number): number[] {
  let s = (seed * 2654435761 + 12345) >>> 0;
  return Array.from({ length: count }, () => { s = (Math.imul(s, 1664525) + 1013904223) >>> 0; return s / 2 ** 31 - 1 + 0.013; });
}
