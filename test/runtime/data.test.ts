import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import { heldOut } from '../../runtime/data/data-set.js';
import { dataKinds as compiledKinds } from '../../compiler/lower/builtins.js';
import { dataKinds, describeData, openData } from '../../runtime/data/open-data.js';

let root = '';
beforeAll(() => { root = mkdtempSync(join(tmpdir(), 'data-')); });
afterAll(() => rmSync(root, { recursive: true, force: true }));

function idx(shape: readonly number[], values: Uint8Array): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.set([0, 0, 8, shape.length]);
  shape.forEach((n, i) => header.writeUInt32BE(n, 4 + 4 * i));
  return Buffer.concat([header, values]);
}
const ramp = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => i % 251);
const images = idx([5, 3, 2], ramp(30));
const labels = idx([5], Uint8Array.of(0, 1, 2, 1, 0));

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'no error';
  } catch (error) {
    if (error instanceof DiagnosticError) return error.message;
    throw error;
  }
}

describe('idx', () => {
  test('reads plain and gzip files, with the channel axis added', async () => {
    writeFileSync(join(root, 'i'), images);
    writeFileSync(join(root, 'l.gz'), gzipSync(labels));
    const data = await openData({ kind: 'idx', arguments: { images: 'i', labels: 'l.gz', testImages: 'i' } }, { root });
    expect(data.info).toEqual({ examples: 5, inputs: [{ name: 'x', element: 'u8', shape: [3, 2, 1] }], classes: 3 });
    expect([...data.train.input('x')]).toEqual([...ramp(30)]);
    expect([...(data.train.labels ?? [])]).toEqual([0, 1, 2, 1, 0]);
    const rows = new Uint8Array(12);
    await data.train.rows([4, 1], { x: rows });
    expect([...rows]).toEqual([...ramp(30).subarray(24, 30), ...ramp(30).subarray(6, 12)]);
  });

  test('every truncation is named, whole or under gzip', async () => {
    for (let length = 0; length < images.length; length++) {
      for (const bytes of [images.subarray(0, length), gzipSync(images.subarray(0, length))]) {
        writeFileSync(join(root, 'cut'), bytes);
        expect(await codeOf(openData({ kind: 'idx', arguments: { images: 'cut' } }, { root })), `${length} bytes`).toMatch(/^SSL501[01]: cut/);
      }
    }
    const whole = gzipSync(images);
    for (let length = 2; length < whole.length; length += 3) {
      writeFileSync(join(root, 'cut'), whole.subarray(0, length));
      expect(await codeOf(openData({ kind: 'idx', arguments: { images: 'cut' } }, { root }))).toMatch(/^SSL5014: cut/);
    }
  });

  test.each([
    ['a wrong magic', Buffer.from([1, 2, 3, 4, 5]), 'SSL5011'],
    ['a wrong element type', Buffer.from([0, 0, 13, 1, 0, 0, 0, 0]), 'SSL5011'],
    ['bytes after the end', Buffer.concat([images, Buffer.of(7)]), 'SSL5012'],
    ['labels in place of pictures', labels, 'SSL5013'],
    ['a size that overflows', idx([0xffffffff, 0xffffffff, 2], new Uint8Array(3)), 'SSL5010'],
  ])('%s', async (_what, bytes, code) => {
    writeFileSync(join(root, 'bad'), bytes);
    expect(await codeOf(openData({ kind: 'idx', arguments: { images: 'bad' } }, { root }))).toMatch(new RegExp(`^${code}`));
  });

  test('labels and test pictures must fit', async () => {
    writeFileSync(join(root, 'i'), images);
    writeFileSync(join(root, 'four'), idx([4], new Uint8Array(4)));
    writeFileSync(join(root, 'other'), idx([5, 2, 3], ramp(30)));
    expect(await codeOf(openData({ kind: 'idx', arguments: { images: 'i', labels: 'four' } }, { root }))).toMatch(/^SSL5013: four: expected 5 labels/);
    expect(await codeOf(openData({ kind: 'idx', arguments: { images: 'i', testImages: 'other' } }, { root }))).toMatch(/^SSL5013: other/);
    expect(await codeOf(openData({ kind: 'idx', arguments: { images: 'gone' } }, { root }))).toMatch(/^SSL5005: gone/);
  });
});

describe('what is known without opening', () => {
  test('is what the opened data say, and pictures are not unpacked for it', async () => {
    writeFileSync(join(root, 'head-i'), images);
    writeFileSync(join(root, 'head-l'), labels);
    writeFileSync(join(root, 'head-t'), idx([5], Uint8Array.of(0, 1, 2, 3, 3)));
    writeFileSync(join(root, 'head-cut.gz'), gzipSync(idx([5, 300, 200], ramp(300_000))).subarray(0, 2000));
    const all: Record<string, string>[] = [{ images: 'head-i' }, { images: 'head-i', labels: 'head-l' }, { images: 'head-i', labels: 'head-l', testImages: 'head-i', testLabels: 'head-t' }];
    for (const files of all) {
      const description = { kind: 'idx', arguments: files };
      expect(await describeData(description, { root })).toEqual((await openData(description, { root })).info);
    }
    expect(await describeData({ kind: 'idx', arguments: { images: 'head-cut.gz' } }, { root })).toEqual({ examples: 5, classes: null, inputs: [{ name: 'x', element: 'u8', shape: [300, 200, 1] }] });
    const fashion = { kind: 'bundled', arguments: { name: 'fashion-mnist' } };
    expect(await describeData(fashion, { root })).toEqual((await openData(fashion, { root })).info);
    expect(await describeData({ kind: 'bundled', arguments: { name: 'emoji' } }, { root })).toBeNull();
  });

  test('is diagnosed like what is opened', async () => {
    writeFileSync(join(root, 'head-short'), Buffer.from([0, 0, 8, 3, 0]));
    for (const files of [{ images: 'nothing' }, { images: 'head-short' }, { images: '.' }]) {
      const description = { kind: 'idx', arguments: files };
      expect(await codeOf(describeData(description, { root }))).toBe(await codeOf(openData(description, { root })));
    }
  });
});

describe('descriptions', () => {
  test.each([
    [{ kind: 'idxx', arguments: {} }, /^SSL5002: no kind of data is called `idxx`/],
    [{ kind: 'toString', arguments: {} }, /^SSL5002/],
    [{ kind: 'idx', arguments: { image: 'a' } }, /^SSL5003: data `idx` takes no argument `image`/],
    [{ kind: 'idx', arguments: {} }, /^SSL5004: data `idx` needs `images`/],
    [{ kind: 'idx', arguments: { images: 3 } }, /^SSL5004: expected a text/],
    [{ kind: 'images', arguments: { path: '.', size: 'x' } }, /^SSL5004: expected a positive number/],
    [{ kind: 'bundled', arguments: { name: 'mnist' } }, /^SSL5004/],
    [{ kind: 'images', arguments: { path: 'nowhere' } }, /^SSL5005/],
    [{ kind: 'cifar', arguments: { '0': 'nowhere' } }, /^SSL5005/],
  ])('%o', async (description, message) => {
    expect(await codeOf(openData(description, { root }))).toMatch(message);
  });

  test('a confined path may not leave the folder', async () => {
    expect(await codeOf(openData({ kind: 'idx', arguments: { images: '../i' } }, { root, confined: true }))).toMatch(/^SSL5006/);
    expect(await codeOf(openData({ kind: 'idx', arguments: { images: '/etc/passwd' } }, { root, confined: true }))).toMatch(/^SSL5006/);
  });
});

describe('cifar', () => {
  test('turns channel planes into pixels', async () => {
    const folder = join(root, 'cifar');
    mkdirSync(folder);
    const record = Buffer.concat([Buffer.of(7), Buffer.alloc(1024, 1), Buffer.alloc(1024, 2), Buffer.alloc(1024, 3)]);
    for (const n of [1, 2, 3, 4, 5]) writeFileSync(join(folder, `data_batch_${n}.bin`), Buffer.concat([record, record]));
    writeFileSync(join(folder, 'test_batch.bin'), record);
    const data = await openData({ kind: 'cifar', arguments: { '0': 'cifar' } }, { root });
    expect(data.info).toMatchObject({ examples: 10, classes: 10 });
    expect([...data.train.input('x').subarray(0, 6)]).toEqual([1, 2, 3, 1, 2, 3]);
    expect(data.train.labels?.[3]).toBe(7);
    writeFileSync(join(folder, 'test_batch.bin'), record.subarray(1));
    expect(await codeOf(openData({ kind: 'cifar', arguments: { path: 'cifar' } }, { root }))).toMatch(/^SSL5010: cifar\/test_batch.bin/);
  });
});

describe('folders of pictures', () => {
  const colour = async (path: string, r: number, format: 'png' | 'jpeg' | 'webp'): Promise<void> =>
    void (await sharp({ create: { width: 20, height: 12, channels: 3, background: { r, g: 0, b: 0 } } }).toFormat(format).toFile(path));
  beforeAll(async () => {
    for (const [c, name] of ['cat', 'dog'].entries()) {
      mkdirSync(join(root, 'pictures', name), { recursive: true });
      for (let i = 0; i < 8; i++) await colour(join(root, 'pictures', name, `${i}.${['png', 'jpg', 'webp'][i % 3]}`), 50 + 100 * c, (['png', 'jpeg', 'webp'] as const)[i % 3]);
    }
    const good = await sharp({ create: { width: 64, height: 64, channels: 3, background: 'blue', noise: { type: 'gaussian', mean: 100, sigma: 40 } } }).png().toBuffer();
    writeFileSync(join(root, 'pictures', 'cat', 'cut.png'), good.subarray(0, good.length / 2));
    writeFileSync(join(root, 'pictures', 'dog', 'not.jpg'), 'hello');
    writeFileSync(join(root, 'pictures', 'dog', 'empty.webp'), '');
  });

  test.each([{ residentBytes: 1e9 }, { residentBytes: 0 }])('decodes, labels, and names what is damaged: %o', async ({ residentBytes }) => {
    const data = await openData({ kind: 'images', arguments: { path: 'pictures', size: 8, holdout: 0.25 } }, { root, residentBytes });
    expect(data.skipped.count).toBe(3);
    expect(data.skipped.names.join()).toMatch(/cat\/cut.png .*dog\/empty.webp .*dog\/not.jpg/);
    expect(data.warnings[0]).toMatchObject({ code: 'SSL5016', severity: 'warning' });
    expect(data.classNames).toEqual(['cat', 'dog']);
    expect(data.train.resident).toBe(residentBytes > 0);
    expect(data.train.examples + (data.test?.examples ?? 0)).toBe(16);
    const rows = new Uint8Array(2 * 8 * 8 * 3);
    await data.train.rows([0, data.train.examples - 1], { x: rows });
    expect(Math.abs(rows[0] - 50)).toBeLessThan(4);
    expect(Math.abs(rows[192] - 150)).toBeLessThan(4);
    expect([data.train.labels?.[0], data.train.labels?.at(-1)]).toEqual([0, 1]);
  });

  test('a folder without a readable picture is an error that names some', async () => {
    mkdirSync(join(root, 'damaged'));
    writeFileSync(join(root, 'damaged', 'a.png'), 'x');
    expect(await codeOf(openData({ kind: 'images', arguments: { path: 'damaged' } }, { root }))).toMatch(/^SSL5015/);
  });

  test('pairs share their names', async () => {
    for (const name of ['one', 'two']) mkdirSync(join(root, name));
    for (let i = 0; i < 12; i++) {
      await colour(join(root, 'one', `${i}.png`), 10, 'png');
      if (i !== 3) await colour(join(root, 'two', `${i}.webp`), 90, 'webp');
    }
    const data = await openData({ kind: 'image_pairs', arguments: { first: 'one', second: 'two', size: 4 } }, { root });
    expect(data.info.inputs.map((i) => i.name)).toEqual(['first', 'second']);
    expect(data.train.examples + (data.test?.examples ?? 0)).toBe(11);
    expect(Math.abs(data.train.input('second')[0] - 90)).toBeLessThan(4);
  });
});

describe('bundled', () => {
  test('Fashion-MNIST', async () => {
    const data = await openData({ kind: 'bundled', arguments: { name: 'fashion-mnist' } }, { root });
    expect(data.info).toEqual({ examples: 10_000, inputs: [{ name: 'x', element: 'u8', shape: [28, 28, 1] }], classes: 10 });
    expect(data.test?.examples).toBe(10_000);
    expect([...(data.train.labels ?? []).slice(0, 5)]).toEqual([9, 0, 0, 3, 0]);
  });

  test('emoji, split by concept', async () => {
    const data = await openData({ kind: 'bundled', arguments: { '0': 'emoji' } }, { root });
    expect(data.paired).toBe(true);
    expect(data.train.examples + (data.test?.examples ?? 0)).toBe(1906);
    expect(data.test?.exampleNames?.every((n) => heldOut(n, 0.2))).toBe(true);
    expect(data.train.exampleNames?.some((n) => heldOut(n, 0.2))).toBe(false);
    expect(data.test?.examples).toBeGreaterThan(330);
    expect(data.classNames).toHaveLength(9);
  });
});

test('the compiler and the runtime know the same kinds of data and the same arguments, in order', () => {
  const opened = Object.fromEntries(Object.entries(dataKinds).map(([kind, { arguments: list }]) => [kind, list.map((a) => a.name)]));
  expect(opened).toEqual(compiledKinds);
});
