/**
 * The examples of the explain pages, run: the wrong one gives the code it is about, the right one gives no error. A program is
 * checked with `sslc check`; lines that begin with `$` are commands. Examples in prose are told apart by having neither.
 */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codes, explain } from '../../grammar/diagnostics/pages.js';
import { parse } from '../../grammar/parse.js';
import { place, root, type Place, type Written } from './command.js';
import { idxImages } from './idx-project.js';

/** Mistakes that lie in files, devices or in what happens while running; test/cli/data.test.ts, collapse.test.ts, test/runtime and test/wgsl make them. */
const inProse: readonly string[] = ['SSL1009', 'SSL4003', 'SSL5001', 'SSL5002', 'SSL5003', 'SSL5006', 'SSL5010', 'SSL5011', 'SSL5012', 'SSL5013', 'SSL5014', 'SSL5016', 'SSL5017', 'SSL5018', 'SSL5020', 'SSL5021', 'SSL5022', 'SSL5023', 'SSL5024', 'SSL5025', 'SSL5030', 'SSL5031', 'SSL5032', 'SSL5033', 'SSL5041'];

let p: Place;
beforeAll(() => {
  // What the examples take for granted: two models, two pictures, packages, a sub-folder to leave the project from.
  p = place();
  for (const name of ['simclr.ssl', 'vicreg.ssl']) cpSync(join(root, 'models/vision', name), join(p.folder, name));
  const pictures: readonly (readonly [string, string])[] = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => ['pictures', name]);
  const dot = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC', 'base64');
  for (const [folder, name] of pictures) {
    mkdirSync(join(p.folder, folder), { recursive: true });
    writeFileSync(join(p.folder, folder, `${name}.png`), dot);
  }
  mkdirSync(join(p.folder, 'empty'));
  // Twelve pictures of 2 x 2, as IDX.
  writeFileSync(join(p.folder, 'train-images.gz'), idxImages(12, 2, () => 0));
  p.write('losses.ssl', 'use std.energies { vicreg }\nfn f(x: []) = x\n');
  p.write('node_modules/@scope/installed/package.json', '{ "name": "@scope/installed" }');
  p.write('node_modules/@scope/without-ssl/package.json', '{ "name": "@scope/without-ssl" }');
  p.write('node_modules/@scope/installed/index.ssl', 'fn f(x: []) = x\n');
});
afterAll(() => { p.remove(); });

let number = 0;

/** Runs an example: the files in it, or its commands one after the other; the last one's outcome. */
async function runExample(text: string): Promise<Written> {
  if (text.startsWith('$ ')) {
    let last: Written = { code: 0, stdout: '', stderr: '' };
    for (const line of text.trim().split('\n')) {
      const [, command, output] = /^\$ sslc (.*?)(?: > (\S+))?$/.exec(line) ?? [];
      last = await p.sslc(...command.split(' '));
      if (output !== undefined) writeFileSync(join(p.folder, output), last.stdout);
    }
    return last;
  }
  const folder = `example${++number}`;
  const files = text.split(/^(?=\/\/ \w+\.ssl$)/m);
  const named = files.map((file, i) => [/^\/\/ (\w+\.ssl)$/m.exec(file.split('\n')[0])?.[1] ?? `main${i}.ssl`, file] as const);
  for (const [name, file] of named) p.write(join(folder, name), file);
  for (const name of ['losses.ssl', 'pictures', 'empty', 'train-images.gz']) if (!named.some(([n]) => n === name)) cpSync(join(p.folder, name), join(p.folder, folder, name), { recursive: true });
  return p.sslc('check', join(folder, named[0][0]));
}

const isProgram = (code: string): boolean => !inProse.includes(code);

describe('explain pages', () => {
  it('exist for every code', () => {
    for (const code of codes) expect(explain(code), code).not.toBeNull();
  });

  it.each(codes.filter(isProgram))('%s: the wrong example gives the code, the right one none', async (code) => {
    const page = explain(code);
    const wrong = await runExample(page?.wrong ?? '');
    const given = [...wrong.stderr.matchAll(/^(?:error|warning)\[(SSL\d+)\]/gm)].map((m) => m[1]);
    expect({ given: [...new Set(given)], said: wrong.stderr }).toMatchObject({ given: [code] });
    const right = await runExample(page?.right ?? '');
    expect({ code: right.code, stderr: right.stderr }).toEqual({ code: 0, stderr: '' });
  });

  it.each(codes.filter((code) => !isProgram(code)))('%s: programs in it parse', (code) => {
    const page = explain(code);
    for (const text of [page?.wrong ?? '', page?.right ?? '']) if (text.startsWith('train ')) expect(parse({ name: code, text }).diagnostics).toEqual([]);
  });

});
