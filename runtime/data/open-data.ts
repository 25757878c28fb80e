/**
 * Opens what a `data` line describes. Each kind declares its arguments in one table, from which mistakes in names
 * and types are diagnosed; arguments without a name are taken in the order of the table.
 */
import { existsSync, realpathSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DataDescription, DataInfo } from '../../compiler/api.js';
import type { Span } from '../../grammar/span.js';
import { openCifar } from './cifar.js';
import type { DataSet } from './data-set.js';
import { describeIdx, openIdx } from './idx.js';
import type { IdxPaths } from './idx.js';
import { openImages } from './images.js';
import { openEmoji, openPairFolders } from './pairs.js';
import { closest, fail, nowhere } from './problem.js';
import { openTwoRooms } from './two-rooms.js';

export interface DataContext {
  /** The folder that relative paths start from. */
  readonly root: string;
  /** Refuse paths that leave `root`: for specs that came from others. */
  readonly confined?: boolean;
  /** The `data` line, for errors. */
  readonly span?: Span;
  /** Bytes of pixels that may be held in memory; larger picture folders are decoded as they are read. */
  readonly residentBytes?: number;
}

type Default = string | number | boolean | null | undefined;

interface Argument {
  readonly name: string;
  readonly type: 'string' | 'number';
  /** What it is, for errors and documentation. */
  readonly what: string;
  /** undefined: must be given. */
  readonly default: Default;
}

interface Kind {
  readonly doc: string;
  readonly arguments: readonly Argument[];
  readonly open: (get: Getter, context: Opened) => Promise<DataSet>;
  /** What `open` would say of the data, for kinds that need not be opened to know. */
  readonly describe?: (get: Getter, context: Opened) => Promise<DataInfo> | null;
  /** What the declaration alone says of the inputs, for kinds whose pictures need not be there to know. */
  readonly declares?: (get: Getter) => DataInfo;
}

interface Getter {
  text(name: string): string;
  optional(name: string): string | null;
  number(name: string): number;
}

interface Opened {
  readonly span: Span;
  readonly residentBytes: number;
  locate(shown: string): string;
}

const path = (name: string, what: string, otherwise?: null): Argument => ({ name, type: 'string', what, default: otherwise });
const number = (name: string, what: string, otherwise: number): Argument => ({ name, type: 'number', what, default: otherwise });
const fashionClasses = ['T-shirt', 'trouser', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag', 'boot'];
const fashionFiles: IdxPaths = {
  images: 'train-images-idx3-ubyte.gz', labels: 'train-labels-idx1-ubyte.gz', testImages: 't10k-images-idx3-ubyte.gz', testLabels: 't10k-labels-idx1-ubyte.gz',
};
const bundledNames = ['fashion-mnist', 'emoji'];

/** Colour pictures of a size; a folder's number of files is not known, and assumed. */
const picturesOf = (size: number, names: readonly string[], examples = 10_000): DataInfo => ({
  examples, classes: null, inputs: names.map((name) => ({ name, element: 'u8', shape: [size, size, 3] })),
});

const idxPaths = (get: Getter): IdxPaths => ({ images: get.text('images'), labels: get.optional('labels'), testImages: get.optional('testImages'), testLabels: get.optional('testLabels') });

const cifar: Kind = {
  doc: 'CIFAR-10 or CIFAR-100 in binary form, a folder',
  arguments: [path('path', 'the folder with the .bin files')],
  open: (get, context) => openCifar(context.locate(get.text('path')), get.text('path'), context.span),
  declares: () => picturesOf(32, ['x'], 50_000),
};

/** The kinds of data and their arguments. */
export const dataKinds: Readonly<Record<string, Kind>> = {
  bundled: {
    doc: 'a data set that comes with the program: "fashion-mnist" or "emoji"',
    arguments: [path('name', '"fashion-mnist" or "emoji"')],
    open: (get, context) => openBundled(get.text('name'), context.span),
    describe: (get, { span }) => (get.text('name') === 'fashion-mnist' ? describeIdx(fashionFiles, fashionLocator(span), span) : null),
  },
  idx: {
    doc: 'pictures and labels in IDX files, the format of MNIST; gzip is accepted',
    arguments: [
      path('images', 'an IDX file of pictures'), path('labels', 'an IDX file of labels', null),
      path('testImages', 'pictures that are held out', null), path('testLabels', 'labels of the held-out pictures', null),
    ],
    open: (get, context) => openIdx(idxPaths(get), get.text('images'), null, context.locate, context.span),
    describe: (get, context) => describeIdx(idxPaths(get), context.locate, context.span),
  },
  cifar,
  images: {
    doc: 'a folder of JPEG, PNG and WebP pictures; sub-folders are classes',
    arguments: [path('path', 'the folder'), number('size', 'pixels of a side', 64), number('holdout', 'share of the files held out', 0.1)],
    open: (get, context) => openImages(
      context.locate(get.text('path')), get.text('path'),
      { size: get.number('size'), holdout: get.number('holdout'), residentBytes: context.residentBytes }, context.span,
    ),
    declares: (get) => picturesOf(get.number('size'), ['x']),
  },
  rooms: {
    doc: 'walks of a dot through two rooms, made as they are read, and the world they are from',
    arguments: [
      number('size', 'pixels of a side', 32), number('frames', 'pictures seen of a walk', 9), number('steps', 'actions of a whole walk', 8),
      number('stride', 'length of an action, of 65 units', 2.5), number('examples', 'walks to train on', 100_000),
    ],
    open: async (get, context) => {
      const frames = Math.floor(get.number('frames'));
      if (frames < 2) return fail('SSL5004', { kind: 'rooms', argument: 'frames', expected: 'at least 2 pictures', found: String(frames) }, context.span);
      return openTwoRooms({ size: get.number('size'), frames, steps: Math.floor(get.number('steps')), stride: get.number('stride'), examples: Math.max(2, Math.floor(get.number('examples'))) });
    },
  },
  image_pairs: {
    doc: 'two folders of pictures with the same file names: two views of each concept',
    arguments: [path('first', 'a folder'), path('second', 'a folder'), number('size', 'pixels of a side', 32), number('holdout', 'share of the concepts held out', 0.2)],
    open: (get, context) => openPairFolders(
      [context.locate(get.text('first')), get.text('first')], [context.locate(get.text('second')), get.text('second')],
      get.number('size'), get.number('holdout'), context.span,
    ),
    declares: (get) => picturesOf(get.number('size'), ['x', 'y']),
  },
};

/** Opens a data set. Throws a `DiagnosticError` when it is not there, damaged, or described wrongly. */
export async function openData(description: DataDescription, context: DataContext): Promise<DataSet> {
  const { kind, get, opened } = prepareToOpen(description, context);
  return kind.open(get, opened);
}

/** What `openData` says of a data set that lies on the device whole; null for kinds that must be opened to know. */
export async function describeData(description: DataDescription, context: DataContext): Promise<DataInfo | null> {
  const { kind, get, opened } = prepareToOpen(description, context);
  return await kind.describe?.(get, opened) ?? null;
}

function prepareToOpen(description: DataDescription, context: DataContext): { readonly kind: Kind; readonly get: Getter; readonly opened: Opened } {
  const span = context.span ?? nowhere;
  const { kind, get } = understand(description, span);
  const locate = (shown: string): string => {
    const full = resolve(context.root, shown);
    const leaves = (root: string, path: string): boolean => { const below = relative(root, path); return below.startsWith('..') || isAbsolute(below); };
    // Neither by its path nor through a link.
    if (context.confined === true && (leaves(context.root, full) || (existsSync(full) && leaves(realpathSync(context.root), realpathSync(full))))) return fail('SSL5006', { path: shown }, span);
    return full;
  };
  return { kind, get, opened: { span, residentBytes: context.residentBytes ?? 2 ** 30, locate } };
}

/** What a description says of its inputs by itself; null for kinds that must be opened to know. */
export function declaredInfo(description: DataDescription): DataInfo | null {
  const { kind, get } = understand(description, nowhere);
  return kind.declares?.(get) ?? null;
}

function understand(description: DataDescription, span: Span): { readonly kind: Kind; readonly get: Getter } {
  const names = Object.keys(dataKinds);
  const kind = Object.hasOwn(dataKinds, description.kind) ? dataKinds[description.kind] : null;
  if (kind === null) return fail('SSL5002', { kind: description.kind, known: names, suggestion: closest(description.kind, names) }, span);
  const values = bindArguments(description, kind, span);
  return {
    kind,
    get: {
      text: (name) => String(values.get(name) ?? ''),
      optional: (name) => { const v = values.get(name); return v === null || v === undefined ? null : String(v); },
      number: (name) => Number(values.get(name)),
    },
  };
}

function bindArguments(description: DataDescription, kind: Kind, span: Span): ReadonlyMap<string, Default> {
  const values = new Map<string, Default>();
  for (const [key, value] of Object.entries(description.arguments)) {
    const argument = /^\d+$/.test(key) ? kind.arguments[Number(key)] : kind.arguments.find((a) => a.name === key);
    if (argument === undefined) {
      const known = kind.arguments.map((a) => a.name);
      return fail('SSL5003', { kind: description.kind, argument: key, known, suggestion: closest(key, known) }, span);
    }
    const expected = argument.type === 'number' ? `a positive number (${argument.what})` : `a text (${argument.what})`;
    const good = typeof value === argument.type && (typeof value !== 'number' || (value >= 0 && Number.isFinite(value)));
    if (!good) return fail('SSL5004', { kind: description.kind, argument: argument.name, expected, found: JSON.stringify(value) }, span);
    values.set(argument.name, argument.name === 'size' ? Math.max(1, Math.floor(Number(value))) : value);
  }
  for (const argument of kind.arguments) {
    if (values.has(argument.name)) continue;
    if (argument.default === undefined) return fail('SSL5004', { kind: description.kind, argument: argument.name, expected: argument.what, found: null }, span);
    values.set(argument.name, argument.default);
  }
  return values;
}

async function openBundled(name: string, span: Span): Promise<DataSet> {
  if (!bundledNames.includes(name)) {
    return fail('SSL5004', { kind: 'bundled', argument: 'name', expected: bundledNames.map((n) => `"${n}"`).join(' or '), found: `"${name}"` }, span);
  }
  return name === 'emoji' ? openEmoji(bundledFolder(name, span), span) : openIdx(fashionFiles, 'Fashion-MNIST', fashionClasses, fashionLocator(span), span);
}

function fashionLocator(span: Span): (shown: string) => string {
  const folder = bundledFolder('fashion-mnist', span);
  return (shown) => join(folder, shown);
}

/** `data/NAME` beside the program: above this file in the sources, above the bundle when installed. */
function bundledFolder(name: string, span: Span): string {
  let at = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const folder = join(at, 'data', name);
    if (existsSync(folder)) return folder;
    const above = dirname(at);
    if (above === at) return fail('SSL5005', { path: name, what: 'the data that comes with the program' }, span);
    at = above;
  }
}
