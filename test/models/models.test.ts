/** Every model of pictures elaborates on small pictures, grey or in colour, and its loss at random weights is a number. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { ModelDeclaration } from '../../grammar/ast.js';
import { evaluateCall, load, root, type Given } from './harness.js';

const files = [
  ...readdirSync(join(root, 'models/vision')).filter((f) => f.endsWith('.ssl')).map((f) => `models/vision/${f}`),
  'models/latent/sparse_prediction.ssl', 'models/latent/discrete_prediction.ssl',
];
const batch = 3;

/** Settings that make any model small; those it does not have are left out. */
const small: Readonly<Record<string, string>> = { width: '4', hidden: '4', narrow: '2', keys: '5', channels: '1', rounds: '2', slots: '2', codes: '3', support: '5', outputs: '4', slices: '3', parts: '1', size: '3' };

test.each(files.map((file, k) => ({ file, channels: k % 2 === 0 ? 3 : 1 })))('$file on $channels channels', ({ file, channels }) => {
  const loaded = load(file);
  const model = loaded.modules.get(file)?.module.declarations.find((d): d is ModelDeclaration => d.kind === 'model');
  if (model === undefined) throw new Error(`${file} declares no model`);
  const names = model.body.flatMap((s) => (s.kind === 'input' ? s.inputs.map((i) => i.name.text) : []));
  const pair = names.length > 1;
  const inputs: Record<string, Given> = Object.fromEntries(names.map((name, k) => [name, {
    shape: [batch, pair ? 25 : 9, pair ? 25 : 9, channels], element: 'u8' as const, values: Array.from({ length: batch * (pair ? 625 : 81) * channels }, (_, i) => ((i + 3 * k) * 7919) % 256),
  }]));
  const settings = model.settings.filter((s) => s.type?.text !== 'string').map((s) => s.name.text);
  const set = Object.fromEntries(Object.entries(small).filter(([k]) => settings.includes(k)));
  const { outputs } = evaluateCall(loaded, model.name.text, inputs, { set });
  expect(Number.isFinite(outputs.get('loss')?.values[0] ?? NaN)).toBe(true);
});
