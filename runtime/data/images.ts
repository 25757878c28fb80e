/**
 * A folder of pictures (JPEG, PNG, WebP), decoded by sharp on its own threads, scaled and cropped to a square. The
 * class is the first sub-folder, when all pictures lie in one. A folder with `train` and `test` (or `val`) inside is
 * split so; else a share is held out by a hash of each file's name. What cannot be decoded is named and left out.
 * A set that does not fit in memory is decoded when its rows are asked for.
 */
import { readdirSync, statSync } from 'node:fs';
import { extname, join, relative, sep } from 'node:path';
import type { Span } from '../../grammar/span.js';
import { count, heldOut, memorySplit, type DataSet, type Split } from './data-set.js';
import { fail, runProblem } from './problem.js';
import { messageOf } from './read-bytes.js';

const extensions: ReadonlySet<string> = new Set(['.jpg', '.jpeg', '.png', '.webp']);
/** Pictures decoded at once: sharp uses the four threads of Node's pool. */
const concurrency = 8;
/** How many damaged files are named. */
const namedAtMost = 8;

export interface ImageOptions {
  readonly size: number;
  /** Share of the files held out when the folder has no `test` or `val` inside. */
  readonly holdout: number;
  /** Bytes of decoded pixels kept in memory; larger sets are decoded as they are read. */
  readonly residentBytes: number;
}

interface ImageFile {
  readonly path: string;
  /** Path below the split's folder, with `/`. */
  readonly name: string;
}

/** Opens `data images(folder, size: ..., holdout: ...)`. */
export async function openImages(folder: string, shown: string, options: ImageOptions, span: Span): Promise<DataSet> {
  const stat = statSync(folder, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isDirectory()) return fail('SSL5005', { path: shown, what: 'a folder of pictures' }, span);
  const splitFolders = readdirSync(folder, { withFileTypes: true }).filter((e) => e.isDirectory()).map((e) => e.name);
  const testName = ['test', 'val', 'valid'].find((n) => splitFolders.includes(n));
  const bySplit = splitFolders.includes('train') && testName !== undefined;
  const trainFiles = listImages(bySplit ? join(folder, 'train') : folder);
  const all = bySplit ? trainFiles : trainFiles.filter((f) => !heldOut(f.name, options.holdout));
  const held = bySplit ? listImages(join(folder, testName)) : trainFiles.filter((f) => heldOut(f.name, options.holdout));

  const problems: string[] = [];
  let bad = 0;
  const report = (file: ImageFile, why: string): void => {
    bad++;
    if (problems.length < namedAtMost) problems.push(`${relative(folder, file.path)} (${why})`);
  };
  const bytes = options.size * options.size * 3;
  const resident = (all.length + held.length) * bytes <= options.residentBytes;
  const load = resident ? decodeAll : probeAll;
  const train = await load(all, options.size, report);
  const test = await load(held, options.size, report);
  problems.sort();
  if (train.files.length < 2) return fail('SSL5015', { path: shown, skipped: bad, examples: problems.slice(0, 3) }, span);

  const classNames = [...new Set([...train.files, ...test.files].map(classOf))].sort();
  const labelled = classNames.length > 1 && !classNames.includes('');
  const labels = (files: readonly ImageFile[]): Int32Array | null => (labelled ? Int32Array.from(files, (f) => classNames.indexOf(classOf(f))) : null);
  const split = (decoded: Decoded): Split => {
    const names = decoded.files.map((f) => f.name);
    return decoded.pixels !== null
      ? memorySplit(decoded.files.length, { x: decoded.pixels }, labels(decoded.files), names)
      : streamedSplit(decoded.files, options.size, labels(decoded.files), names, span);
  };
  return {
    info: { examples: train.files.length, inputs: [{ name: 'x', element: 'u8', shape: [options.size, options.size, 3] }], classes: labelled ? classNames.length : null },
    train: split(train),
    test: test.files.length > 0 ? split(test) : null,
    classNames: labelled ? classNames : null,
    paired: false,
    skipped: { count: bad, names: problems },
    warnings: bad > 0 ? [runProblem('SSL5016', { path: shown, count: bad, total: all.length + held.length, names: problems }, span)] : [],
    description: `${shown}, ${count(train.files.length)} training and ${count(test.files.length)} held-out images at ${options.size} x ${options.size} x 3`,
  };
}

function classOf(file: ImageFile): string {
  const at = file.name.indexOf('/');
  return at < 0 ? '' : file.name.slice(0, at);
}

/** All pictures in and below a folder, by name. */
export function listImages(folder: string): readonly ImageFile[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((e) => e.isFile() && !e.name.startsWith('.') && extensions.has(extname(e.name).toLowerCase()))
    .map((e) => ({ path: join(e.parentPath, e.name), name: relative(folder, join(e.parentPath, e.name)).split(sep).join('/') }))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** Decodes one picture to size x size x 3 bytes: shorter side scaled to fit, centre kept, transparency over white. */
export async function decodeImage(path: string, size: number): Promise<Uint8Array> {
  const { importSharp } = await import('../native-packages.js');
  const { default: sharp } = await importSharp();
  const pixels = await sharp(path, { failOn: 'error' })
    .rotate()
    .flatten({ background: '#ffffff' })
    .resize(size, size, { fit: 'cover', position: 'centre' })
    .toColourspace('srgb')
    .removeAlpha()
    .raw()
    .toBuffer();
  if (pixels.length === size * size * 3) return pixels;
  throw new Error(`decoded to ${pixels.length} bytes`);
}

interface Decoded {
  readonly files: readonly ImageFile[];
  readonly pixels: Uint8Array | null;
}

async function decodeAll(files: readonly ImageFile[], size: number, report: (file: ImageFile, why: string) => void): Promise<Decoded> {
  const bytes = size * size * 3;
  const pixels = new Uint8Array(files.length * bytes);
  const good = await attempt(files, async (file, i) => pixels.set(await decodeImage(file.path, size), i * bytes), report);
  let kept = 0;
  files.forEach((_, i) => {
    if (!good[i]) return;
    if (kept !== i) pixels.copyWithin(kept * bytes, i * bytes, (i + 1) * bytes);
    kept++;
  });
  return { files: files.filter((_, i) => good[i]), pixels: pixels.subarray(0, kept * bytes) };
}

/** Without room for the pixels, every file is decoded once at a small size, so that damaged ones are known before training. */
async function probeAll(files: readonly ImageFile[], _size: number, report: (file: ImageFile, why: string) => void): Promise<Decoded> {
  const good = await attempt(files, async (file) => void (await decodeImage(file.path, 8)), report);
  return { files: files.filter((_, i) => good[i]), pixels: null };
}

async function attempt(
  files: readonly ImageFile[],
  f: (file: ImageFile, index: number) => Promise<void>,
  report: (file: ImageFile, why: string) => void,
): Promise<readonly boolean[]> {
  const good: boolean[] = files.map(() => true);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < files.length) {
      const i = next++;
      try {
        await f(files[i], i);
      } catch (error) {
        good[i] = false;
        report(files[i], messageOf(error).split('\n')[0]);
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return good;
}

function streamedSplit(files: readonly ImageFile[], size: number, labels: Int32Array | null, exampleNames: readonly string[], span: Span): Split {
  const bytes = size * size * 3;
  return {
    examples: files.length,
    resident: false,
    labels,
    exampleNames,
    input: () => fail('SSL5001', { path: 'data', problem: 'the set is too large to be held whole', help: null }),
    rows: async (indices, into) => {
      const target = into['x'];
      let next = 0;
      const worker = async (): Promise<void> => {
        while (next < indices.length) {
          const i = next++;
          const file = files[indices[i]];
          try {
            target.set(await decodeImage(file.path, size), i * bytes);
          } catch (error) {
            // It could be read when the data was opened.
            return fail('SSL5017', { path: file.path, problem: messageOf(error).split('\n')[0] }, span);
          }
        }
      };
      await Promise.all(Array.from({ length: concurrency }, worker));
    },
  };
}
