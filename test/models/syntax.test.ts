/** Every `.ssl` of the library and of the models parses without a diagnostic, and every public item is documented. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from '../../grammar/parse.js';

const root = join(import.meta.dirname, '../..');
const files = ['models/std', 'models/vision', 'models/latent'].flatMap((folder) =>
  readdirSync(join(root, folder)).filter((f) => f.endsWith('.ssl')).map((f) => `${folder}/${f}`));

test.each(files)('%s', (file) => {
  const text = readFileSync(join(root, file), 'utf8');
  const { module, diagnostics } = parse({ name: file, text });
  const shown = diagnostics.map((d) => `${file}:${text.slice(0, d.span.start).split('\n').length} ${d.code} ${d.title} ${d.label}`);
  expect(shown).toEqual([]);
  if (!file.startsWith('models/std/')) return;
  const undocumented = module.declarations.filter((d) => d.kind !== 'train' && d.documentation.trim() === '');
  expect(undocumented.map((d) => (d.kind === 'train' ? '' : d.name.text))).toEqual([]);
});
