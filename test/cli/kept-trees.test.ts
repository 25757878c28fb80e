/** Trees kept of files: those that `parse` gives, for just their text, and of no consequence. */
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openTrees, thisChunk } from '../../cli/kept-trees.js';
import { parse } from '../../grammar/parse.js';
import { root } from './command.js';

let folder = '';
const path = (): string => join(folder, 'code', 'trees.bin');
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'sslc-trees-')); });
afterEach(() => { rmSync(folder, { recursive: true, force: true }); });

const source = (name: string, text: string): { name: string; text: string } => ({ name, text });
const example = source('a.ssl', 'layer double(x: [D]) = 2 * x // doppelt, größer\n');

it('are those of the text, for every file of the library and every model', () => {
  const files = ['std', 'vision', 'latent'].flatMap((kind) => readdirSync(join(root, 'models', kind)).map((file) => source(`${kind}/${file}`, readFileSync(join(root, 'models', kind, file), 'utf8'))));
  const first = openTrees(path(), 'reader-AbCd_123.cjs');
  for (const file of files) expect(first.parse(file)).toEqual(parse(file));
  first.save();
  const second = openTrees(path(), 'reader-AbCd_123.cjs');
  for (const file of files) expect(second.parse(file)).toEqual(parse(file));
  // Everything was known: nothing is written.
  rmSync(path());
  second.save();
  expect(existsSync(path())).toBe(false);
});

it('are parsed anew for another text, another name and another program', () => {
  const first = openTrees(path(), 'reader-AbCd_123.cjs');
  first.parse(example);
  first.save();
  const kept = readFileSync(path());
  const changed = source('a.ssl', example.text.replace('2', '3'));
  const known = openTrees(path(), 'reader-AbCd_123.cjs');
  expect(known.parse(changed)).toEqual(parse(changed));
  expect(known.parse(source('b.ssl', example.text))).toEqual(parse(source('b.ssl', example.text)));
  writeFileSync(path(), kept);
  const other = openTrees(path(), 'reader-Other__8.cjs');
  expect(other.parse(example)).toEqual(parse(example));
  other.save();
  expect(readFileSync(path()).includes('reader-Other__8')).toBe(true);
});

it('are not kept of files with mistakes, nor of numbers that JSON does not hold', () => {
  for (const file of [source('a.ssl', 'layer broken(x: [D] = 2 * x\n'), source('a.ssl', 'layer big(x: [D]) = 1e999 * x\n')]) {
    const trees = openTrees(path(), 'reader-AbCd_123.cjs');
    expect(trees.parse(file)).toEqual(parse(file));
    trees.save();
    expect(existsSync(path())).toBe(false);
  }
});

it('are parsed anew where a machine has not finished to write them', () => {
  const first = openTrees(path(), 'reader-AbCd_123.cjs');
  first.parse(example);
  first.save();
  const kept = readFileSync(path());
  writeFileSync(path(), kept.fill(0, kept.length - 20));
  expect(openTrees(path(), 'reader-AbCd_123.cjs').parse(example)).toEqual(parse(example));
});

it('are kept for the bundled program alone', () => {
  expect(thisChunk).toBeNull();
});
