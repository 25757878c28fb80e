/**
 * Pairs of pictures of one thing: the bundled emoji as two vendors draw them, or two folders with the same file
 * names. Each example has two inputs; concepts are held out whole, by a hash of their name.
 */
import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import type { Span } from '../../grammar/span.js';
import { count, heldOut, memorySplit, type DataSet } from './data-set.js';
import { readIdx } from './idx.js';
import { decodeImage, listImages } from './images.js';
import { fail, runProblem } from './problem.js';
import { messageOf } from './read-bytes.js';

/** Share of the concepts that are never trained on. */
const holdout = 0.2;

interface Pairs {
  readonly names: readonly string[];
  readonly labels: Int32Array | null;
  readonly classNames: readonly string[] | null;
  readonly shape: readonly number[];
  /** By input, all concepts. */
  readonly pixels: Readonly<Record<string, Uint8Array>>;
}

function splitPairs(pairs: Pairs, title: string, holdoutShare: number, skipped: DataSet['skipped'], warnings: DataSet['warnings']): DataSet {
  const size = pairs.shape.reduce((a, b) => a * b, 1);
  const numbers = pairs.names.map((_, i) => i);
  const take = (chosen: readonly number[]): ReturnType<typeof memorySplit> => {
    const inputs: Record<string, Uint8Array> = {};
    for (const [name, all] of Object.entries(pairs.pixels)) {
      const part = new Uint8Array(chosen.length * size);
      chosen.forEach((from, to) => part.set(all.subarray(from * size, (from + 1) * size), to * size));
      inputs[name] = part;
    }
    return memorySplit(chosen.length, inputs, pairs.labels === null ? null : Int32Array.from(chosen, (i) => pairs.labels?.[i] ?? 0), chosen.map((i) => pairs.names[i]));
  };
  const train = numbers.filter((i) => !heldOut(pairs.names[i], holdoutShare));
  const test = numbers.filter((i) => heldOut(pairs.names[i], holdoutShare));
  return {
    info: {
      examples: train.length,
      inputs: Object.keys(pairs.pixels).map((name) => ({ name, element: 'u8', shape: pairs.shape })),
      classes: pairs.classNames === null ? null : pairs.classNames.length,
    },
    train: take(train),
    test: test.length > 0 ? take(test) : null,
    classNames: pairs.classNames,
    paired: true,
    skipped,
    warnings,
    description: `${title}, ${count(train.length)} pairs to train on and ${count(test.length)} held-out concepts, ${pairs.shape.join(' x ')}`,
  };
}

interface EmojiIndex {
  readonly categories: readonly string[];
  readonly concepts: readonly (readonly [string, string, number])[];
}

/** Opens the bundled emoji: inputs `twitter` and `google`. */
export async function openEmoji(folder: string, span: Span): Promise<DataSet> {
  const [twitter, google] = await Promise.all(['twitter', 'google'].map((v) => readIdx(join(folder, `${v}-images-idx4-ubyte.gz`), `emoji/${v}`, span)));
  const index: EmojiIndex = JSON.parse(readFileSync(join(folder, 'emoji.json'), 'utf8'));
  return splitPairs({
    names: index.concepts.map((c) => c[1]),
    labels: Int32Array.from(index.concepts, (c) => c[2]),
    classNames: index.categories,
    shape: twitter.shape.slice(1),
    pixels: { twitter: twitter.values, google: google.values },
  }, 'Emoji of two vendors', holdout, { count: 0, names: [] }, []);
}

/** Opens two folders with the same file names: inputs `first` and `second`. */
export async function openPairFolders(first: readonly [string, string], second: readonly [string, string], size: number, holdoutShare: number, span: Span): Promise<DataSet> {
  const files = [first, second].map(([real, shown]) => {
    if (statSync(real, { throwIfNoEntry: false })?.isDirectory() !== true) return fail('SSL5005', { path: shown, what: 'a folder of pictures' }, span);
    return new Map(listImages(real).map((f) => [f.name.slice(0, f.name.length - extname(f.name).length), f.path]));
  });
  const shared = [...files[0].keys()].filter((n) => files[1].has(n)).sort();
  const bytes = size * size * 3;
  const kept: string[] = [];
  const parts: [Uint8Array[], Uint8Array[]] = [[], []];
  const problems: string[] = [];
  for (const name of shared) {
    try {
      const pair = await Promise.all(files.map((f) => decodeImage(f.get(name) ?? '', size)));
      parts[0].push(pair[0]);
      parts[1].push(pair[1]);
      kept.push(name);
    } catch (error) {
      problems.push(`${name} (${messageOf(error).split('\n')[0]})`);
    }
  }
  if (kept.length < 2) return fail('SSL5015', { path: `${first[1]} and ${second[1]}`, skipped: problems.length, examples: problems.slice(0, 3) }, span);
  const joined = parts.map((list) => {
    const all = new Uint8Array(list.length * bytes);
    list.forEach((p, i) => all.set(p, i * bytes));
    return all;
  });
  const names = problems.slice(0, 8);
  const unpaired = files.flatMap((own, side) => [...own].filter(([name]) => !files[1 - side].has(name)).map(([, path]) => path)).sort();
  const warnings = [
    ...(problems.length > 0 ? [runProblem('SSL5016', { path: first[1], count: problems.length, total: shared.length, names }, span)] : []),
    ...(unpaired.length > 0 ? [runProblem('SSL5018', { first: first[1], second: second[1], count: unpaired.length, names: unpaired.slice(0, 8).map((path) => `${basename(dirname(path))}/${basename(path)}`) }, span)] : []),
  ];
  return splitPairs(
    { names: kept, labels: null, classNames: null, shape: [size, size, 3], pixels: { first: joined[0], second: joined[1] } },
    `${first[1]} and ${second[1]}`,
    holdoutShare,
    { count: problems.length, names },
    warnings,
  );
}
