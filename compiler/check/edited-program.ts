/** A program whose main file is changed and read again, so that what is tried is what a user could have written. */
import { parse } from '../../grammar/parse.js';
import type { LoadedProgram } from '../api.js';

/** A change of a text: what lies between `at` and `until` (nothing, when that is left out) becomes `text`. */
export interface Edit {
  readonly at: number;
  readonly until?: number;
  readonly text: string;
}

/** A text after some edits; those at one place come in their order. */
export function edited(text: string, edits: readonly Edit[]): string {
  return edits.map((e, k) => ({ ...e, k })).sort((a, b) => b.at - a.at || b.k - a.k).reduce((t, e) => t.slice(0, e.at) + e.text + t.slice(e.until ?? e.at), text);
}

/** The program with another text of its main file; null when that cannot be read. */
export function withMain(loaded: LoadedProgram, text: string): LoadedProgram | null {
  const main = loaded.modules.get(loaded.main);
  if (main === undefined) return null;
  const source = { name: main.source.name, text };
  const { module, diagnostics } = parse(source);
  if (diagnostics.length > 0) return null;
  const imports = new Map(module.uses.flatMap((use) => {
    const before = [...main.imports].find(([u]) => u.from.path === use.from.path);
    return before === undefined ? [] : [[use, before[1]] as const];
  }));
  return { ...loaded, modules: new Map([...loaded.modules, [loaded.main, { source, module, imports }]]) };
}
