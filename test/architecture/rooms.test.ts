/** The arrows of the architecture, and that nothing in the compiler or the runtime knows a method by name. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** What each room may import of ours, and whether it may touch the platform. */
const rooms: Readonly<Record<string, { readonly may: readonly string[]; readonly platform: boolean }>> = {
  grammar: { may: ['grammar'], platform: false },
  compiler: { may: ['compiler', 'grammar'], platform: false },
  runtime: { may: ['runtime', 'compiler', 'grammar'], platform: true },
};

/** Of the compiler, the runtime imports only data formats: types, and the plan. Diagnostics come from the grammar. */
const runtimeMayRun = ['grammar/diagnostics/report', 'grammar/diagnostics/suggest', 'grammar/span'];

interface Import {
  readonly from: string;
  readonly typeOnly: boolean;
}

function sources(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.ts')).map((f) => join(root, folder, f));
}

function importsOf(text: string): readonly Import[] {
  const found = [...text.matchAll(/^\s*(?:import|export)\s+(type\s+)?(?:[\w*\s{},]+?\s+from\s+)?'([^']+)'/gm)].map((m) => ({ typeOnly: m[1] !== undefined, from: m[2] }));
  return [...found, ...[...text.matchAll(/(?<!typeof )\bimport\('([^']+)'\)/g)].map((m) => ({ typeOnly: false, from: m[1] }))];
}

describe.each(Object.entries(rooms))('%s', (room, { may, platform }) => {
  it('imports what it may', () => {
    const wrong = sources(room).flatMap((file) => importsOf(readFileSync(file, 'utf8')).flatMap(({ from, typeOnly }) => {
      const here = relative(root, file);
      if (!from.startsWith('.')) return !platform && (from.startsWith('node:') || from === 'webgpu' || from === 'sharp') ? [`${here}: ${from}`] : [];
      const target = relative(root, resolve(dirname(file), from));
      if (!may.includes(target.split('/')[0])) return [`${here}: ${target}`];
      const runs = room === 'runtime' && !typeOnly && !target.startsWith('runtime/') && !runtimeMayRun.includes(target.replace(/\.js$/, ''));
      return runs && !/^compiler\/(plan\/|tensor\/scalar)/.test(target) ? [`${here} runs ${target}`] : [];
    }));
    expect(wrong).toEqual([]);
  });
});

describe('methods', () => {
  const names = /\b(sim_?clr|mo_?co|byol|barlow|vic_?reg|swav|sim_?siam|dino|nnclr|info_?nce|nt_?xent|deep_?cluster|seer|lejepa|tico|w_?mse)\b/i;
  // Papers are cited and examples given in comments; code may not know the names.
  const code = (text: string): string => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[^:])\/\/[^\n]*/g, '$1');

  it.each(['compiler', 'runtime'])('have no name in %s/', (room) => {
    const named = sources(room).flatMap((file) => code(readFileSync(file, 'utf8')).split('\n').filter((line) => names.test(line)).map((line) => `${relative(root, file)}: ${line.trim()}`));
    expect(named).toEqual([]);
  });
});

describe('files', () => {
  it('open with what they are', () => {
    const silent = ['grammar', 'compiler', 'runtime', 'cli'].flatMap(sources).filter((file) => !readFileSync(file, 'utf8').startsWith('/**'));
    expect(silent.map((file) => relative(root, file))).toEqual([]);
  });
});
