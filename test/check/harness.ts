/** The verdict on collapse of bundled models, as they are and with text of theirs replaced. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decideCollapse } from '../../compiler/check/collapse.js';
import type { CollapseRequest, CollapseVerdict } from '../../compiler/check/collapse.js';
import { loadProgram } from '../../compiler/check/load-program.js';
import type { DataInfo, LoadedProgram } from '../../compiler/api.js';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import { memoryReader } from '../lower/harness.js';

export const models = join(import.meta.dirname, '..', '..', 'models');

/** Changes a model's text. */
export type Change = (text: string) => string;

/** A bundled model with its text changed. */
export function changed(name: string, change: Change): LoadedProgram {
  return loaded(change(readFileSync(join(models, isLatent(name) ? 'latent' : 'vision', `${name}.ssl`), 'utf8')));
}

/** A program without mistakes. */
export function loaded(text: string): LoadedProgram {
  const program = loadProgram('main.ssl', memoryReader({ 'main.ssl': text }));
  if (program.diagnostics.length > 0) throw new DiagnosticError(program.diagnostics);
  return program;
}

const isLatent = (name: string): boolean => name.endsWith('prediction') || name === 'two_rooms';

/** Small data of the form that a bundled model takes. */
export function requestFor(name: string, set: Readonly<Record<string, string>>): Omit<CollapseRequest, 'batch'> {
  const pictures = (names: readonly string[], shape: readonly number[]): DataInfo['inputs'] => names.map((n) => ({ name: n, element: 'u8', shape }));
  const inputs: DataInfo['inputs'] = name === 'two_rooms' ? [...pictures(['x'], [4, 16, 16, 2]), { name: 'action', element: 'f32', shape: [3, 2] }]
    : name === 'emoji_pairs' ? pictures(['x', 'y'], [32, 32, 3]) : pictures(['x'], [28, 28, 1]);
  return { model: null, set, data: { examples: 1000, inputs, classes: null } };
}

export function verdict(name: string, change: Change = (t) => t, set: Readonly<Record<string, string>> = {}): CollapseVerdict {
  return decided(changed(name, change), { ...requestFor(name, set), batch: 256 });
}

/** The verdict on a model written out, with vectors of five numbers as its input. */
export function verdictOn(text: string, more: DataInfo['inputs'] = []): CollapseVerdict {
  return decided(loaded(text), { model: null, set: {}, data: { examples: 100, classes: null, inputs: [{ name: 'x', element: 'f32', shape: [5] }, ...more] }, batch: 10 });
}

function decided(program: LoadedProgram, request: CollapseRequest): CollapseVerdict {
  const found = decideCollapse(program, request);
  if (found.mechanism === 'undecided') throw new Error(found.reason);
  return found;
}

/** Replaces pairs of texts, each of which must be there. */
export const swap = (...pairs: readonly (readonly [from: string | RegExp, to: string])[]): Change => (text) => pairs.reduce((t, [from, to]) => {
  const after = t.replaceAll(from, to);
  if (after === t) throw new Error(`nothing to replace: ${String(from)}`);
  return after;
}, text);

/** Leaves out the statements that begin so, with all their lines. */
export const without = (...starts: readonly string[]): Change => swap(...starts.map((s) => [new RegExp(`^  ${s.replaceAll(' ', ' +')}\\b.*\\{\\n[^]*?\\n  \\}\\n|^  ${s.replaceAll(' ', ' +')}\\b.*\\n`, 'gm'), ''] as const));

/** One change after the other. */
export const both = (first: Change, second: Change): Change => (text) => second(first(text));
