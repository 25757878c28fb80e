/**
 * Loads the chunks of the bundled program as Node loads CommonJS modules, but hands V8 the code kept of them. Node does so by itself
 * from version 22 on, and for modules that are required by name alone.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { Script } from 'node:vm';
import type { KeptCode } from './code-cache.js';

export interface Chunks {
  /** What a chunk, `./NAME`, exports. */
  readonly load: (request: string) => unknown;
  /** The code to keep now; null when all that was loaded had been kept. */
  readonly made: () => KeptCode | null;
}

/** Rolldown puts a hash of the text into the name of every chunk but the first, which holds next to nothing. */
export const namedByContent = /-[\w-]{8}\.cjs$/;
/** A script cannot import packages; this chunk does nothing else. */
const importsPackages = /^native-packages-/;

type ChunkFunction = (this: unknown, exports: unknown, require: (request: string) => unknown, module: { readonly exports: unknown }, filename: string, folder: string) => void;

/** The chunks in a folder; without kept code (null) they are loaded by Node. */
export function openChunks(folder: string, kept: KeptCode | null): Chunks {
  const require = createRequire(join(folder, 'chunks.cjs'));
  if (kept === null) return { load: require, made: () => null };
  const modules = new Map<string, { readonly exports: unknown }>();
  const scripts = new Map<string, Script>();
  const load = (request: string): unknown => {
    const name = basename(request);
    if (!request.startsWith('./') || importsPackages.test(name)) return require(request);
    const known = modules.get(name);
    if (known !== undefined) return known.exports;
    const module = { exports: {} };
    modules.set(name, module);
    const filename = join(folder, name);
    const cachedData = kept.get(name);
    const script = new Script(`(function (exports, require, module, __filename, __dirname) {${readFileSync(filename, 'utf8')}\n})`, {
      filename, ...(cachedData === undefined ? {} : { cachedData }),
    });
    if (namedByContent.test(name)) scripts.set(name, script);
    const run: ChunkFunction = script.runInThisContext();
    run.call(module.exports, module.exports, load, module, filename, folder);
    return module.exports;
  };
  const made = (): KeptCode | null => {
    if ([...scripts].every(([name, script]) => kept.has(name) && script.cachedDataRejected !== true)) return null;
    const others = [...kept].filter(([name]) => !scripts.has(name) && existsSync(join(folder, name)));
    return new Map([...others, ...[...scripts].map(([name, script]) => [name, script.createCachedData()] as const)]);
  };
  return { load, made };
}
