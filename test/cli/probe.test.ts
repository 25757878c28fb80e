/** `sslc check --probe`: what a model does from a nearly collapsed start, and what a mutation of it does. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { probe, probeRows } from '../../cli/probe.js';
import { loadProgram, readTraining } from '../../compiler/pipeline.js';
import { memoryReader } from '../lower/harness.js';
import { root } from '../models/harness.js';

const small = { channels: '2', width: '32' };
const info = { examples: 512, classes: null, inputs: [{ name: 'x', element: 'u8' as const, shape: [16, 16, 1] }] };

/** What becomes of the one network that is compared, on noise. */
async function spreading(model: string, set: Readonly<Record<string, string>>, edits: readonly (readonly [string, string])[]): Promise<string> {
  const text = edits.reduce((t, [from, to]) => {
    expect(t).toContain(from);
    return t.replaceAll(from, to);
  }, readFileSync(join(root, 'models', 'vision', `${model}.ssl`), 'utf8'));
  const loaded = loadProgram('main.ssl', memoryReader({ 'main.ssl': text }));
  expect(loaded.diagnostics).toEqual([]);
  const spec = readTraining(loaded, { model: null, set });
  const result = await probe({ loaded, model: null, set }, { spec, data: null, info });
  if ('reason' in result) throw new Error(result.reason);
  expect(result.networks).toHaveLength(1);
  expect(probeRows(result)[0][1]).toContain(result.networks[0].network);
  return result.networks[0].spreading;
}

it.each([
  ['vicreg', 'grows', { ...small, hidden: '32' }, []],
  ['vicreg', 'shrinks', { ...small, hidden: '32' }, [['  regularize spread: 25 * (variance(u) + variance(v)) / 2\n', '']]],
  ['simclr', 'shrinks', { ...small, hidden: '32' }, [['use std.energies { nt_xent }', 'use std.energies { alignment }'], ['nt_xent(tau)(g(f(a)), g(f(b)))', 'tau * alignment(g(f(a)), g(f(b)))']]],
  ['byol', 'shrinks', { ...small, hidden: '32' }, [['predict(f(a))', 'f(a)'], ['predict(f(b))', 'f(b)']]],
  // With a stage and a table.
  ['clusterfit', 'grows', { channels: '2', k: '8', rounds: '3' }, []],
] as const)('%s %s', async (model, expected, set, edits) => {
  expect(await spreading(model, set, edits)).toBe(expected);
}, 60_000);
