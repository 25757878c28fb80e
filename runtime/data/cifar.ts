/**
 * CIFAR-10 and CIFAR-100 in their binary form (Krizhevsky, 2009): records of one label byte (two for CIFAR-100: coarse,
 * then fine) and 3 x 32 x 32 bytes, channel planes first. They are turned to [32, 32, 3] here.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Span } from '../../grammar/span.js';
import { count, memorySplit, type DataSet } from './data-set.js';
import { fail } from './problem.js';
import { readBytes } from './read-bytes.js';

const side = 32;
const pixels = side * side;

interface Variant {
  readonly title: string;
  readonly train: readonly string[];
  readonly test: string;
  readonly labelBytes: number;
  readonly names: string;
  readonly folder: string;
}

const variants: readonly Variant[] = [
  { title: 'CIFAR-10', train: [1, 2, 3, 4, 5].map((n) => `data_batch_${n}.bin`), test: 'test_batch.bin', labelBytes: 1, names: 'batches.meta.txt', folder: 'cifar-10-batches-bin' },
  { title: 'CIFAR-100', train: ['train.bin'], test: 'test.bin', labelBytes: 2, names: 'fine_label_names.txt', folder: 'cifar-100-binary' },
];

/** Opens a folder of CIFAR-10 or CIFAR-100 binaries; which one is seen from the names in it. */
export async function openCifar(folder: string, shown: string, span: Span): Promise<DataSet> {
  for (const variant of variants) {
    for (const [real, written] of [[folder, shown], [join(folder, variant.folder), join(shown, variant.folder)]]) {
      if (existsSync(join(real, variant.train[0]))) return openVariant(variant, real, written, span);
    }
  }
  return fail('SSL5005', { path: shown, what: `CIFAR in binary form (${variants.map((v) => v.train[0]).join(' or ')})` }, span);
}

async function openVariant(variant: Variant, folder: string, shown: string, span: Span): Promise<DataSet> {
  const read = async (file: string): Promise<Records> => records(await readBytes(join(folder, file), join(shown, file), span), variant, join(shown, file), span);
  const parts: Records[] = [];
  for (const file of variant.train) parts.push(await read(file));
  const train = joined(parts);
  const test = await read(variant.test);
  const namesFile = join(folder, variant.names);
  const names = existsSync(namesFile) ? readFileSync(namesFile, 'utf8').split('\n').map((l) => l.trim()).filter((l) => l !== '') : null;
  const examples = train.labels.length;
  return {
    info: { examples, inputs: [{ name: 'x', element: 'u8', shape: [side, side, 3] }], classes: variant.labelBytes === 1 ? 10 : 100 },
    train: memorySplit(examples, { x: train.images }, train.labels),
    test: memorySplit(test.labels.length, { x: test.images }, test.labels),
    classNames: names,
    paired: false,
    skipped: { count: 0, names: [] },
    warnings: [],
    description: `${variant.title}, ${count(examples)} training and ${count(test.labels.length)} test images of 32 x 32 x 3`,
  };
}

interface Records {
  readonly images: Uint8Array;
  readonly labels: Int32Array;
}

function records(bytes: Uint8Array, variant: Variant, shown: string, span: Span): Records {
  const size = variant.labelBytes + 3 * pixels;
  const examples = Math.floor(bytes.length / size);
  if (examples === 0 || bytes.length % size !== 0) {
    return fail('SSL5010', { path: shown, expected: (examples + 1) * size, found: bytes.length }, span);
  }
  const images = new Uint8Array(examples * 3 * pixels);
  const labels = new Int32Array(examples);
  for (let i = 0; i < examples; i++) {
    labels[i] = bytes[i * size + variant.labelBytes - 1];
    const from = i * size + variant.labelBytes;
    const to = i * 3 * pixels;
    for (let p = 0; p < pixels; p++) {
      images[to + 3 * p] = bytes[from + p];
      images[to + 3 * p + 1] = bytes[from + pixels + p];
      images[to + 3 * p + 2] = bytes[from + 2 * pixels + p];
    }
  }
  const classes = variant.labelBytes === 1 ? 10 : 100;
  const wrong = labels.findIndex((l) => l >= classes);
  if (wrong >= 0) return fail('SSL5013', { path: shown, expected: `labels below ${classes}`, found: `${labels[wrong]} at example ${wrong}` }, span);
  return { images, labels };
}

function joined(parts: readonly Records[]): Records {
  const images = new Uint8Array(parts.reduce((n, p) => n + p.images.length, 0));
  const labels = new Int32Array(parts.reduce((n, p) => n + p.labels.length, 0));
  let at = 0;
  for (const part of parts) {
    images.set(part.images, at * 3 * pixels);
    labels.set(part.labels, at);
    at += part.labels.length;
  }
  return { images, labels };
}
