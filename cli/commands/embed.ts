/** `sslc embed`: the embedding of every example as one matrix, in NumPy's format or safetensors. */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { DataSet, Split } from '../../runtime/data/data-set.js';
import { openData } from '../../runtime/data/open-data.js';
import { bindInputs, embedSplit } from '../../runtime/evaluate/embed.js';
import { encodeNpy } from '../../runtime/evaluate/npy.js';
import { atomicWrite } from '../../runtime/train/atomic-write.js';
import { encodeSafetensors } from '../../runtime/train/safetensors.js';
import { missing, usage } from '../failure.js';
import { withTrained } from '../open-trained.js';
import { done, type Context, type Outcome } from '../outcome.js';

export interface EmbedOptions {
  readonly device: string;
  readonly output: string;
}

/** Embeds `train` or `test` of the run's own data, or a folder of pictures. */
export async function embed(context: Context, shown: string, what: string, { device, output }: EmbedOptions): Promise<Outcome> {
  if (!/\.(npy|safetensors)$/.test(output)) usage(`-o ${output}: expected a name that ends in .npy or .safetensors`);
  return withTrained(context, shown, device, async ({ compiled, data, session }) => {
    const { manifest } = compiled;
    const { from, split } = await examplesOf(context, what, data);
    const features = await embedSplit({ session, manifest, split, binding: bindInputs(manifest, from.info) });
    const shape = [features.rows, features.size];
    const bytes = output.endsWith('.npy') ? encodeNpy(features.values, shape) : encodeSafetensors(new Map([['embedding', { shape, data: features.values }]]));
    await atomicWrite(resolve(context.terminal.directory, output), bytes);
    return done(`${output}: ${features.rows} embeddings of ${features.size} numbers\n`, { output, rows: features.rows, size: features.size }, from.warnings);
  });
}

async function examplesOf(context: Context, what: string, own: DataSet): Promise<{ readonly from: DataSet; readonly split: Split }> {
  if (what === 'train') return { from: own, split: own.train };
  if (what === 'test') return { from: own, split: own.test ?? missing('the run\'s data has no test examples', 'use `train`') };
  const entry = statSync(resolve(context.terminal.directory, what), { throwIfNoEntry: false });
  if (entry === undefined) return missing(`${what}: no such file or folder`, 'expected train, test, a folder of pictures or an IDX file');
  const [height] = own.info.inputs[0].shape;
  const from = entry.isDirectory()
    ? await openData({ kind: 'images', arguments: { path: what, size: height, holdout: 0 } }, { root: context.terminal.directory })
    : await openData({ kind: 'idx', arguments: { images: what } }, { root: context.terminal.directory });
  return { from, split: from.train };
}
