/** Data that is damaged, missing, too large or of the wrong shape, through the command: what is said, and how it ends. */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, describe, expect, it } from 'vitest';
import { run } from '../../cli/run.js';
import { place, recordingTerminal, type Place } from './command.js';

const places: Place[] = [];
afterAll(() => { for (const p of places) p.remove(); });

/** A model of one number a pixel, trained on `data`. */
const program = (data: string, input = 'x: u8[H, W, C]', batch = 4): string => `use std.optimizers { sgd }
view jitter(x: [H, W, C]) { let by ~ normal(0, 0.05); x + by }
model tiny {
  input ${input}
  view a ~ jitter(x)
  param w: [H, W, C, 3] ~ normal(0, 0.2)
  fn code(p: [H, W, C]) { z[k] = sum[i, j, c](p[i, j, c] * w[i, j, c, k]); z }
  minimize size: mean((code(a)^2 - 1)^2)
  represent code(x)
}
train tiny {
  data ${data}
  batch ${batch}
  steps 6
  every 2 steps { checkpoint }
  optimizer sgd(rate: 0.01)
}
`;

function project(files: Readonly<Record<string, string>>): Place {
  const made = place(files);
  places.push(made);
  return made;
}

const idxHeader = (count: number): readonly number[] => [0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 5, 0, 0, 0, 5];
const idx = (count: number, bytes = count * 25): Buffer => Buffer.concat([Buffer.from(idxHeader(count)), Buffer.from(Uint8Array.from({ length: bytes }, (_, i) => (i * 89) % 256))]);
const noise = (seed: number): Promise<Buffer> => sharp(Uint8Array.from({ length: 24 * 24 * 3 }, (_, i) => (i * 7919 * seed + (i >> 3) * 31) % 256), { raw: { width: 24, height: 24, channels: 3 } }).png().toBuffer();
const cpu = ['--device', 'cpu', '--no-evaluate'];

async function pictures(p: Place, folder: string, names: readonly string[]): Promise<void> {
  mkdirSync(join(p.folder, folder), { recursive: true });
  for (const [i, name] of names.entries()) writeFileSync(join(p.folder, folder, name), await noise(i + 1));
}

describe('IDX files', () => {
  const train = async (bytes: Uint8Array, more: Readonly<Record<string, string>> = {}): Promise<unknown> => {
    const p = project({ 'm.ssl': program('idx(images: "images")'), ...more });
    writeFileSync(join(p.folder, 'images'), bytes);
    return p.sslc('train', 'm.ssl', ...cpu);
  };
  it.each([
    ['cut short', idx(12, 200), /^error\[SSL5010\]: images is cut short: expected 316 bytes, found 216\n *= help: /],
    ['cut in the header', Buffer.from(idxHeader(12)).subarray(0, 9), /^error\[SSL5010\]/],
    ['longer than it says', idx(12, 301), /^error\[SSL5012\]/],
    ['another format', Buffer.from('GIF89a and so on'), /^error\[SSL5011\]: images is not an IDX file/],
    ['empty', Buffer.alloc(0), /^error\[SSL5011\].*an empty file/],
  ])('%s', async (_, bytes, words) => {
    expect(await train(bytes)).toMatchObject({ code: 3, stdout: '', stderr: expect.stringMatching(words) });
  });

  it('whole ones train', async () => {
    expect(await train(idx(12))).toMatchObject({ code: 0, stdout: expect.stringMatching(/^trained 6 steps/) });
  });

  it('that are not there are errors with the path', async () => {
    const p = project({ 'm.ssl': program('idx(images: "imagse")') });
    expect(await p.sslc('train', 'm.ssl', ...cpu)).toMatchObject({ code: 3, stderr: expect.stringMatching(/^error\[SSL5005\]: imagse: expected a file, found nothing there/) });
  });

  it('of another shape than the model asks for are errors', async () => {
    const p = project({ 'm.ssl': program('idx(images: "images")', 'x: u8[H, W, 3]').replace(/\[H, W, C, 3\]/, '[H, W, 3, 3]') });
    writeFileSync(join(p.folder, 'images'), idx(12));
    const { code, stderr } = await p.sslc('train', 'm.ssl', ...cpu);
    expect([1, 3]).toContain(code);
    expect(stderr).toMatch(/^error\[SSL\d+\]: [^]*3[^]*1/);
  });

  it('with fewer examples than a batch are one batch, and that is said', async () => {
    const p = project({ 'm.ssl': program('idx(images: "images")', undefined, 64) });
    writeFileSync(join(p.folder, 'images'), idx(12));
    expect(await p.sslc('train', 'm.ssl', ...cpu)).toMatchObject({ code: 0, stderr: expect.stringContaining('a batch is all 12') });
  });
});

describe('descriptions of data', () => {
  it.each([
    ['idxx(images: "a")', /SSL1001[^]*did you mean `idx`/],
    ['idx(image: "a")', /SSL1006[^]*did you mean `images`/],
    ['idx(images: 3)', /SSL5004/],
  ])('%s', async (data, words) => {
    const { code, stderr } = await project({ 'm.ssl': program(data) }).sslc('train', 'm.ssl', ...cpu);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(words);
  });

  it('of a spec may not leave the folder it is run from', async () => {
    const p = project({ 'm.ssl': program('idx(images: "../images")') });
    const { stdout } = await p.sslc('spec', 'm.ssl');
    expect(await project({ 'm.json': stdout }).sslc('train', 'm.json', ...cpu)).toMatchObject({ code: 3, stderr: expect.stringMatching(/SSL5006\]: \.\.\/images leaves the project/) });
  });

  it('of a spec may not leave it through a link', async () => {
    const outside = project({});
    writeFileSync(join(outside.folder, 'images'), idx(12));
    const p = project({});
    symlinkSync(join(outside.folder, 'images'), join(p.folder, 'link'));
    writeFileSync(join(p.folder, 'm.json'), (await project({ 'm.ssl': program('idx(images: "link")') }).sslc('spec', 'm.ssl')).stdout);
    expect(await p.sslc('train', 'm.json', ...cpu)).toMatchObject({ code: 3, stderr: expect.stringContaining('SSL5006') });
  });
});

describe('folders of pictures', () => {
  const names = Array.from({ length: 16 }, (_, i) => `${i}.png`);
  const data = 'images("pictures", size: 5, holdout: 0)';

  it('name damaged ones with a count, and train without them', async () => {
    const p = project({ 'm.ssl': program(data) });
    await pictures(p, 'pictures', names);
    const good = await noise(3);
    writeFileSync(join(p.folder, 'pictures/cut.png'), good.subarray(0, good.length >> 1));
    writeFileSync(join(p.folder, 'pictures/not.jpg'), 'hello');
    const { code, stderr } = await p.sslc('train', 'm.ssl', ...cpu);
    expect(code).toBe(0);
    expect(stderr).toMatch(/warning\[SSL5016\]: pictures: 2 of 18 files could not be read and are left out\n *= help: cut\.png \(.*\); not\.jpg \(.*\)/);
  });

  it('train the same when they are decoded while training, and evaluate', async () => {
    const p = project({ 'm.ssl': program(data.replace('holdout: 0', 'holdout: 0.3')) });
    for (const kind of ['a', 'b']) await pictures(p, `pictures/${kind}`, names);
    const losses = async (out: string, ...more: string[]): Promise<readonly unknown[]> => {
      const { code, stdout, stderr } = await p.sslc('train', 'm.ssl', '--json', '--device', 'cpu', '--out', out, ...more);
      expect({ code, stderr }).toMatchObject({ code: 0 });
      const events: readonly Record<string, unknown>[] = stdout.trim().split('\n').map((line) => JSON.parse(line));
      expect(events.at(-1)).toMatchObject({ result: { outcome: 'finished' } });
      return events.filter((e) => e.event === 'step').map((e) => e.loss);
    };
    const held = await losses('held');
    expect(held.length).toBe(6);
    expect(await losses('streamed', '--data-memory', '0')).toEqual(held);
  });

  it('say which picture went away while training, and keep the last checkpoint', async () => {
    const p = project({ 'm.ssl': program(data).replace('steps 6', 'steps 40') });
    await pictures(p, 'pictures', names);
    const { terminal, stderr } = recordingTerminal(p.folder);
    let started = false;
    const code = await run(['train', 'm.ssl', '--data-memory', '0', '--out', 'run', ...cpu], {
      ...terminal,
      stderr: (text) => {
        stderr.push(text);
        if (!started && text.startsWith('step')) {
          started = true;
          for (const name of names) rmSync(join(p.folder, 'pictures', name));
        }
      },
    });
    expect(code).toBe(3);
    expect(stderr.join('')).toMatch(/error\[SSL5017\]: .*pictures\/\d+\.png can no longer be read: /);
    await pictures(p, 'pictures', names);
    expect(await p.sslc('train', 'run', '--resume', '--data-memory', '0', ...cpu)).toMatchObject({ code: 0, stdout: expect.stringContaining('trained 40 steps') });
  });

  it('in pairs name those without a partner', async () => {
    const p = project({ 'm.ssl': program('image_pairs("one", "two", size: 5, holdout: 0)', 'first: u8[H, W, C], second: u8[H, W, C]').replaceAll('(x)', '(first)') });
    await pictures(p, 'one', names);
    await pictures(p, 'two', [...names.slice(1), 'z.png']);
    const { code, stderr } = await p.sslc('train', 'm.ssl', ...cpu);
    expect(code).toBe(0);
    expect(stderr).toMatch(/warning\[SSL5018\]: one and two: 2 pictures have no partner of the same name and are left out\n *= help: one\/0\.png; two\/z\.png/);
  });
});

describe('CIFAR', () => {
  it('trains on the binary files', async () => {
    const p = project({ 'm.ssl': program('cifar("cifar")') });
    mkdirSync(join(p.folder, 'cifar'));
    const record = (label: number): Buffer => Buffer.concat([Buffer.of(label), Buffer.from(Uint8Array.from({ length: 3072 }, (_, i) => (i * (label + 3)) % 251))]);
    for (const name of [1, 2, 3, 4, 5].map((n) => `data_batch_${n}.bin`)) writeFileSync(join(p.folder, 'cifar', name), Buffer.concat([record(1), record(2)]));
    writeFileSync(join(p.folder, 'cifar/test_batch.bin'), Buffer.concat([record(1), record(4)]));
    expect(await p.sslc('train', 'm.ssl', '--set', 'optimizer.rate=1e-7', ...cpu)).toMatchObject({ code: 0, stderr: expect.stringContaining('CIFAR-10, 10 training and 2 test images of 32 x 32 x 3') });
    writeFileSync(join(p.folder, 'cifar/data_batch_3.bin'), record(1).subarray(2));
    expect(await p.sslc('train', 'm.ssl', '--out', 'x', ...cpu)).toMatchObject({ code: 3, stderr: expect.stringMatching(/SSL5010\]: cifar\/data_batch_3\.bin is cut short/) });
  });
});
