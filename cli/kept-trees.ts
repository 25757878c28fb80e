/**
 * Syntax trees kept from one run to the next: parsing a model and what it uses of the library is a twentieth of the time of a compile.
 *
 * A tree stands for a file of the same name with the very text it was parsed from, without a mistake, by the very program that parsed it: the chunk
 * that this module is bundled into holds the parser or names the chunk that does, and has a hash of its text in its own name. Where it is
 * not bundled nothing is kept.
 */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Module } from '../grammar/ast.js';
import { parse } from '../grammar/parse.js';
import { packCode, readCodeCache } from './code-cache.js';
import { namedByContent } from './load-chunks.js';

export interface KeptTrees {
  /** The file's tree, as `parse` gives it. */
  readonly parse: typeof parse;
  /** Writes what is new, and what was known of other files. */
  readonly save: () => void;
}

/** The chunk that parses; null for sources. */
export const thisChunk = ((name) => (namedByContent.test(name) ? name : null))(basename(fileURLToPath(import.meta.url)));

/** Files that are kept: those used now before others. */
const most = 64;

/** The trees in a file that `chunk` wrote; those of another count for nothing. */
export function openTrees(path: string, chunk: string): KeptTrees {
  const { chunk: writer, ...files } = Object.fromEntries(readCodeCache(path));
  const known = textOf(writer) === chunk ? files : {};
  const used = new Map<string, Uint8Array>();
  let added = false;
  return {
    parse: (source) => {
      const before = Object.hasOwn(known, source.name) ? treeOf(known[source.name], source.text) : null;
      if (before !== null) {
        used.set(source.name, known[source.name]);
        return { module: before, diagnostics: [] };
      }
      const parsed = parse(source);
      const bytes = parsed.diagnostics.length > 0 ? null : keepable(source.text, parsed.module);
      if (bytes !== null) used.set(source.name, bytes);
      added ||= bytes !== null;
      return parsed;
    },
    save: () => {
      if (!added) return;
      const others = Object.entries(known).filter(([name]) => !used.has(name));
      const temporary = `${path}.${process.pid}.tmp`;
      try {
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(temporary, packCode(new Map([['chunk', Buffer.from(chunk)], ...[...used, ...others].slice(0, most)])));
        renameSync(temporary, path);
      } catch {
        // The next run parses once more.
      }
    },
  };
}

const textOf = (bytes: Uint8Array | undefined): string => (bytes === undefined ? '' : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));

/** A text, a zero, and its tree in JSON; null where JSON does not hold the tree, for a number without bounds. */
function keepable(text: string, module: Module): Uint8Array | null {
  let exact = !text.includes('\0');
  const tree = JSON.stringify(module, (_key, value: unknown) => { exact &&= typeof value !== 'number' || Number.isFinite(value); return value; });
  return exact ? Buffer.from(`${text}\0${tree}`) : null;
}

/** The tree kept for just this text. */
function treeOf(bytes: Uint8Array, text: string): Module | null {
  const end = Buffer.byteLength(text);
  if (bytes[end] !== 0 || textOf(bytes.subarray(0, end)) !== text) return null;
  try {
    const tree: Module = JSON.parse(textOf(bytes.subarray(end + 1)));
    return tree;
  } catch {
    // A file that a machine did not finish to write.
    return null;
  }
}
