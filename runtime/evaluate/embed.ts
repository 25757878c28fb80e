/** Embeddings through a plan's entry `embed`, in chunks of its batch; and raw pixels in the same form, as a baseline. */
import type { DataInfo } from '../../compiler/api.js';
import type { Manifest, ModelInput } from '../../compiler/plan/manifest.js';
import { allocateInput, elementsOf, type Split } from '../data/data-set.js';
import { fail } from '../data/problem.js';
import type { Session } from '../device/device.js';
import type { Features } from './spectrum.js';

/** Which input of the data each of the model's inputs takes: by name when all names are there, else by position. */
export function bindInputs(manifest: Pick<Manifest, 'inputs' | 'model'>, info: DataInfo): ReadonlyMap<string, ModelInput> {
  const byName = manifest.inputs.every((i) => info.inputs.some((d) => d.name === i.name));
  return new Map(manifest.inputs.map((input, position) => {
    const found = byName ? info.inputs.find((d) => d.name === input.name) : info.inputs[position];
    if (found === undefined) {
      return fail('SSL5013', { path: `model ${manifest.model}`, expected: `data with ${manifest.inputs.length} inputs (${manifest.inputs.map((i) => i.name).join(', ')})`, found: `${info.inputs.length} (${info.inputs.map((i) => i.name).join(', ')})` });
    }
    if (found.shape.join() !== input.shape.join() || found.element !== input.element) {
      return fail('SSL5013', { path: `input ${input.name}`, expected: `${input.element} [${input.shape.join(', ')}]`, found: `${found.element} [${found.shape.join(', ')}] in the data` });
    }
    return [input.name, found];
  }));
}

/** The model's inputs that entry `embed` reads. */
export function embedInputs(session: Session, manifest: Manifest): readonly ModelInput[] {
  return manifest.inputs.filter((i) => `embed.${i.name}` in session.plan.sources);
}

export interface EmbedOptions {
  readonly session: Session;
  readonly manifest: Manifest;
  readonly split: Split;
  /** By name of the model's input, the data's. */
  readonly binding: ReadonlyMap<string, ModelInput>;
  /** How many examples, from the first; all by default. */
  readonly limit?: number;
  readonly progress?: (done: number, total: number) => void;
}

/** Embeds the first examples of a split. */
export async function embedSplit({ session, manifest, split, binding, limit, progress }: EmbedOptions): Promise<Features> {
  const total = Math.min(limit ?? split.examples, split.examples);
  const size = manifest.embeddingSize;
  const values = new Float32Array(total * size);
  await forEachEmbedBatch({ session, manifest, split, binding, limit: total }, 'embed', async (from, count) => {
    const out = await session.readOutput('embed', 'embedding');
    values.set(out.subarray(0, count * size), from * size);
    progress?.(from + count, total);
  });
  return { rows: total, size, values };
}

/** Runs an entry that reads `embed.INPUT` on the first examples of a split, batch by batch; `take` reads what each run gave. */
export async function forEachEmbedBatch({ session, manifest, split, binding, limit }: EmbedOptions, entry: string, take: (from: number, count: number) => Promise<void>): Promise<void> {
  const total = Math.min(limit ?? split.examples, split.examples);
  const batch = manifest.embedBatch;
  const inputs = embedInputs(session, manifest).map((model) => ({ model, data: binding.get(model.name) ?? model, rows: allocateInput(model, batch) }));
  for (let from = 0; from < total; from += batch) {
    const count = Math.min(batch, total - from);
    const indices = Array.from({ length: count }, (_, i) => from + i);
    for (const { model, data, rows } of inputs) {
      if (count < batch) rows.fill(0, count * elementsOf(model));
      await split.rows(indices, { [data.name]: rows });
      session.write(`embed.${model.name}`, rows);
    }
    // Where draws and tables are keyed by example.
    if ('embed.example' in session.plan.sources) session.write('embed.example', Int32Array.from({ length: batch }, (_, i) => Math.min(from + i, total - 1)));
    await session.run(entry);
    await take(from, count);
  }
}

/** Largest number of values a picture keeps as a baseline vector; larger ones are averaged over squares first. */
const pixelLimit = 4096;
/** Examples read at a time. */
const pixelChunk = 256;

/**
 * Pixels / 255 as one vector an example; pictures with more than 4,096 values are averaged over squares. Of a sequence of
 * pictures, the first.
 */
export async function pixelFeatures(split: Split, input: ModelInput, limit: number = split.examples): Promise<Features> {
  const rows = Math.min(limit, split.examples);
  const pictures = input.shape.length >= 3;
  const [height, width, channels] = pictures ? input.shape.slice(-3) : [1, elementsOf(input), 1];
  let factor = 1;
  while (Math.ceil(height / factor) * Math.ceil(width / factor) * channels > pixelLimit && pictures) factor++;
  const scale = (input.element === 'u8' ? 1 / 255 : 1) / factor ** 2;
  const h = Math.floor(height / factor);
  const w = Math.floor(width / factor);
  const size = h * w * channels;
  const values = new Float32Array(rows * size);
  const chunk = allocateInput(input, Math.min(rows, pixelChunk));
  for (let from = 0; from < rows; from += pixelChunk) {
    const count = Math.min(pixelChunk, rows - from);
    await split.rows(Array.from({ length: count }, (_, i) => from + i), { [input.name]: chunk.subarray(0, count * elementsOf(input)) });
    for (let i = 0; i < count; i++) {
      for (let y = 0; y < h * factor; y++) {
        for (let x = 0; x < w * factor; x++) {
          for (let c = 0; c < channels; c++) {
            values[(from + i) * size + (Math.floor(y / factor) * w + Math.floor(x / factor)) * channels + c] += chunk[i * elementsOf(input) + (y * width + x) * channels + c] * scale;
          }
        }
      }
    }
  }
  return { rows, size, values };
}
