/**
 * IDX files, the format of MNIST and its relatives: 00 00, element type, rank, the sizes as big-endian 32-bit
 * numbers, then the elements, row-major. Unsigned bytes (type 08) are read; gzip is undone.
 */
import type { DataInfo } from '../../compiler/api.js';
import type { Span } from '../../grammar/span.js';
import { count, memorySplit, type DataSet } from './data-set.js';
import { fail } from './problem.js';
import { readBytes, readHead } from './read-bytes.js';

export interface IdxArray {
  readonly shape: readonly number[];
  readonly values: Uint8Array;
}

/** The sizes at the head of IDX bytes, and where its elements begin; `shown` names the file in errors. */
function parseHead(bytes: Uint8Array, shown: string, span: Span): { readonly shape: readonly number[]; readonly header: number } {
  const rank = bytes.length > 3 ? bytes[3] : 0;
  if (bytes.length < 4 || bytes[0] !== 0 || bytes[1] !== 0 || bytes[2] !== 8 || rank < 1 || rank > 4) {
    const start = [...bytes.subarray(0, 4)].map((b) => b.toString(16).padStart(2, '0')).join(' ');
    return fail('SSL5011', { path: shown, found: start === '' ? 'an empty file' : start }, span);
  }
  const header = 4 + 4 * rank;
  if (bytes.length < header) return fail('SSL5010', { path: shown, expected: header, found: bytes.length }, span);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { shape: Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i)), header };
}

/** Parses IDX bytes. */
export function parseIdx(bytes: Uint8Array, shown: string, span: Span): IdxArray {
  const { shape, header } = parseHead(bytes, shown, span);
  const expected = header + shape.reduce((a, b) => a * b, 1);
  if (bytes.length < expected) return fail('SSL5010', { path: shown, expected, found: bytes.length }, span);
  if (bytes.length > expected) return fail('SSL5012', { path: shown, expected, found: bytes.length }, span);
  return { shape, values: bytes.subarray(header) };
}

/** Reads an IDX file. */
export async function readIdx(path: string, shown: string, span: Span): Promise<IdxArray> {
  return parseIdx(await readBytes(path, shown, span), shown, span);
}

export interface IdxPaths {
  readonly images: string;
  readonly labels: string | null;
  readonly testImages: string | null;
  readonly testLabels: string | null;
}

/** Opens `data idx(images: ..., labels: ..., testImages: ..., testLabels: ...)`; `locate` turns a written path into a real one. */
export async function openIdx(paths: IdxPaths, title: string, classNames: readonly string[] | null, locate: (shown: string) => string, span: Span): Promise<DataSet> {
  const read = async (shown: string | null): Promise<IdxArray | null> => (shown === null ? null : readIdx(locate(shown), shown, span));
  const [images, labels, testImages, testLabels] = await Promise.all([read(paths.images), read(paths.labels), read(paths.testImages), read(paths.testLabels)]);
  if (images === null) return fail('SSL5004', { kind: 'idx', argument: 'images', expected: 'a path', found: null }, span);
  const shape = exampleShape(images, paths.images, span);
  const trainLabels = labelsOf(labels, paths.labels, images.shape[0], span);
  if (testImages !== null) {
    const testShape = exampleShape(testImages, paths.testImages ?? '', span);
    if (testShape.join() !== shape.join()) fail('SSL5013', { path: paths.testImages ?? '', expected: `pictures of ${shape.join(' x ')} as in ${paths.images}`, found: testShape.join(' x ') }, span);
  }
  const heldOutLabels = labelsOf(testLabels, paths.testLabels, testImages === null ? null : testImages.shape[0], span);
  const classes = trainLabels === null ? null : 1 + Math.max(maximum(trainLabels), heldOutLabels === null ? 0 : maximum(heldOutLabels));
  return {
    info: { examples: images.shape[0], inputs: [{ name: 'x', element: 'u8', shape }], classes },
    train: memorySplit(images.shape[0], { x: images.values }, trainLabels),
    test: testImages === null ? null : memorySplit(testImages.shape[0], { x: testImages.values }, heldOutLabels),
    classNames: classNames ?? (classes === null ? null : Array.from({ length: classes }, (_, i) => String(i))),
    paired: false,
    skipped: { count: 0, names: [] },
    warnings: [],
    description: `${title}, ${count(images.shape[0])} training${testImages === null ? '' : ` and ${count(testImages.shape[0])} test`} images of ${shape.join(' x ')}`,
  };
}

/** What `openIdx` says of the data, from the sizes at the head of the pictures: they are not unpacked, nor looked at for damage. */
export async function describeIdx(paths: IdxPaths, locate: (shown: string) => string, span: Span): Promise<DataInfo> {
  const sizes = async (shown: string): Promise<IdxArray> => ({ shape: parseHead(await readHead(locate(shown), shown, span), shown, span).shape, values: new Uint8Array() });
  const classesOf = async (shown: string | null): Promise<number | null> => (shown === null ? null : 1 + maximum(Int32Array.from((await readIdx(locate(shown), shown, span)).values)));
  const [images, classes, testClasses] = await Promise.all([sizes(paths.images), classesOf(paths.labels), classesOf(paths.testImages === null ? null : paths.testLabels)]);
  return { examples: images.shape[0], inputs: [{ name: 'x', element: 'u8', shape: exampleShape(images, paths.images, span) }], classes: classes === null ? null : Math.max(classes, testClasses ?? 0) };
}

/** [H, W, C] of one picture; pictures without a channel axis get one of size 1. */
function exampleShape(images: IdxArray, shown: string, span: Span): readonly number[] {
  const [, ...shape] = images.shape;
  if (images.shape[0] < 2) return fail('SSL5013', { path: shown, expected: 'at least two pictures', found: String(images.shape[0]) }, span);
  if (shape.length === 2) return [...shape, 1];
  if (shape.length === 3) return shape;
  return fail('SSL5013', { path: shown, expected: 'pictures (rank 3 or 4)', found: `a tensor of shape [${images.shape.join(', ')}]` }, span);
}

function labelsOf(labels: IdxArray | null, shown: string | null, examples: number | null, span: Span): Int32Array | null {
  if (labels === null || shown === null) return null;
  if (labels.shape.length !== 1) return fail('SSL5013', { path: shown, expected: 'labels (rank 1)', found: `a tensor of shape [${labels.shape.join(', ')}]` }, span);
  if (examples === null) return fail('SSL5004', { kind: 'idx', argument: 'testImages', expected: 'the pictures that testLabels belong to', found: null }, span);
  if (labels.shape[0] !== examples) return fail('SSL5013', { path: shown, expected: `${count(examples)} labels, one a picture`, found: count(labels.shape[0]) }, span);
  return Int32Array.from(labels.values);
}

function maximum(values: Int32Array): number {
  return values.reduce((a, b) => Math.max(a, b), 0);
}
