/** The code kept of the program's chunks: taken for the text it was made from, else not, and never of consequence. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { codeCachePath, readCodeCache, writeCodeCache } from '../../cli/code-cache.js';
import type { KeptCode } from '../../cli/code-cache.js';
import { openChunks } from '../../cli/load-chunks.js';

let folder = '';
const file = (): string => join(folder, 'code', 'check.bin');

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sslc-code-'));
  writeFileSync(join(folder, 'first.cjs'), 'const { twice } = require("./math-AbCd_123.cjs"); exports.answer = () => twice(21); exports.node = () => require("./native-packages-AbCd_123.cjs").node();');
  writeFileSync(join(folder, 'native-packages-AbCd_123.cjs'), 'exports.node = () => import("node:path");');
  writeFileSync(join(folder, 'math-AbCd_123.cjs'), 'const { sep } = require("node:path"); exports.sep = sep; exports.twice = (x) => 2 * x;');
});
afterEach(() => { rmSync(folder, { recursive: true, force: true }); });

interface First {
  readonly answer: () => number;
  readonly node: () => Promise<unknown>;
}

/** Runs the program; gives its answer and what it would keep. */
function run(kept: KeptCode | null): { readonly first: First; readonly answer: number; readonly made: KeptCode | null } {
  const chunks = openChunks(folder, kept);
  const first = chunks.load('./first.cjs') as First;
  const answer = first.answer();
  return { first, answer, made: chunks.made() };
}

describe('kept code', () => {
  it('is taken the next time, and the program does the same', async () => {
    const cold = run(new Map());
    expect([...cold.made?.keys() ?? []]).toEqual(['math-AbCd_123.cjs']);
    await writeCodeCache(file(), cold.made ?? new Map());
    const warm = run(readCodeCache(file()));
    expect(warm.made).toBeNull();
    expect([warm.answer, cold.answer, run(null).answer]).toEqual([42, 42, 42]);
  });

  it('is not taken when it is not V8\'s, and made anew', () => {
    const { answer, made } = run(new Map([['math-AbCd_123.cjs', Buffer.from('nonsense, but long enough to look at')]]));
    expect(answer).toBe(42);
    expect(made?.has('math-AbCd_123.cjs')).toBe(true);
  });

  it('of chunks that are gone is dropped, of chunks that another run needs is left', () => {
    writeFileSync(join(folder, 'other-AbCd_123.cjs'), '');
    const kept = new Map([['other-AbCd_123.cjs', Buffer.from('a')], ['gone-AbCd_123.cjs', Buffer.from('b')]]);
    expect([...run(kept).made?.keys() ?? []].sort()).toEqual(['math-AbCd_123.cjs', 'other-AbCd_123.cjs']);
  });

  it('is not kept of the chunk that imports packages, which a script cannot', async () => {
    const { first, made } = run(new Map());
    expect(await first.node()).toHaveProperty('join');
    expect([...made?.keys() ?? []]).toEqual(['math-AbCd_123.cjs']);
  });
});

describe('the file of kept code', () => {
  it('gives back what was written', async () => {
    const code = new Map([['a', Buffer.from([1, 2, 10, 3])], ['b', Buffer.from([])]]);
    await writeCodeCache(file(), code);
    expect([...readCodeCache(file())].map(([name, bytes]) => [name, [...bytes]])).toEqual([['a', [1, 2, 10, 3]], ['b', []]]);
  });

  it('is as good as none when it is cut short, something else, or cannot be written', async () => {
    await writeCodeCache(file(), new Map([['a', Buffer.alloc(100)]]));
    truncateSync(file(), 50);
    expect(readCodeCache(file()).size).toBe(0);
    writeFileSync(file(), '{"x": [1]}\n');
    expect(readCodeCache(file()).size).toBe(0);
    await writeCodeCache(join(file(), 'below', 'a', 'file'), new Map());
    expect(readCodeCache(join(folder, 'nothing')).size).toBe(0);
  });

  it('lies in the user\'s cache folder, one for each command', () => {
    const here = { XDG_CACHE_HOME: '/c' };
    expect(codeCachePath(here, 'check')).toBe(join('/c', 'sslc', 'code', 'check.bin'));
    for (const odd of ['--version', '', '../check']) expect(codeCachePath(here, odd)).toBe(join('/c', 'sslc', 'code', 'sslc.bin'));
    expect(codeCachePath({ ...here, NODE_DISABLE_COMPILE_CACHE: '1' }, 'check')).toBeNull();
  });
});
