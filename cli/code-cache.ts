/**
 * The code that V8 made of the program's chunks, kept from one run of a command to the next: parsing and compiling them anew is a
 * tenth of the time of a compile. One file a command, since commands run different functions of the same chunks.
 *
 * It never changes what runs: a chunk's name holds a hash of its text, and V8 itself refuses code that another version of it made, or
 * other flags. A file that cannot be read or written is as good as none.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { atomicWrite } from '../runtime/train/atomic-write.js';
import { cacheFolder } from '../runtime/tune/cache-folder.js';

/** Code by name of chunk. */
export type KeptCode = ReadonlyMap<string, Uint8Array>;

/** The file for a command, or for `trees` of syntax; null where nothing is to be kept, by Node's own variable for that. */
export function codeCachePath(environment: Readonly<Record<string, string | undefined>>, command: string): string | null {
  if ((environment['NODE_DISABLE_COMPILE_CACHE'] ?? '') !== '') return null;
  try {
    return join(cacheFolder(environment), 'code', `${/^[a-z]+$/.test(command) ? command : 'sslc'}.bin`);
  } catch {
    // A user without a home.
    return null;
  }
}

/** What the file holds: a line of JSON, [name, bytes] of every chunk, then their code. */
export function readCodeCache(path: string): KeptCode {
  const kept = new Map<string, Uint8Array>();
  try {
    const content = readFileSync(path);
    let at = content.indexOf(10) + 1;
    const sizes: unknown = JSON.parse(content.toString('utf8', 0, at));
    for (const entry of Array.isArray(sizes) ? sizes : []) {
      const [name, size]: unknown[] = Array.isArray(entry) ? entry : [];
      if (typeof name !== 'string' || typeof size !== 'number' || at + size > content.length) return new Map();
      kept.set(name, content.subarray(at, at + size));
      at += size;
    }
  } catch {
    return new Map();
  }
  return kept;
}

/** What `readCodeCache` reads. */
export function packCode(code: KeptCode): Uint8Array {
  const sizes = [...code].map(([name, bytes]) => [name, bytes.length]);
  return Buffer.concat([Buffer.from(`${JSON.stringify(sizes)}\n`), ...code.values()]);
}

export async function writeCodeCache(path: string, code: KeptCode): Promise<void> {
  try {
    mkdirSync(dirname(path), { recursive: true });
    await atomicWrite(path, packCode(code));
  } catch {
    // The next run compiles once more.
  }
}
