/** `sslc evaluate` on a small trained model: its figures, its options, and that every figure names its protocol. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { idxProject } from './idx-project.js';
import type { Place } from './command.js';

const program = `use std.layers { linear }
use std.optimizers { sgd }
use std.regularizers { variance, covariance }
view jitter(x: [H, W, C]) { let by[i: H, j: W, c: C] ~ normal(0, 0.1); x + by }
model small(width: int = 6) {
  input x: u8[H, W, C]
  view  a, b ~ jitter(x)
  net   f = flatten |> linear(width)
  let   u = f(a), v = f(b)
  minimize   agree: mean((u - v)^2)
  regularize spread: variance(u)
  regularize decorrelate: covariance(u)
  represent  f(x)
}
train small {
  data      idx(images: "images", labels: "labels", testImages: "images", testLabels: "labels")
  batch     16
  steps     6
  optimizer sgd(rate: 0.05)
}
`;

let p: Place;
beforeAll(async () => {
  p = idxProject({ 'small.ssl': program });
  expect(await p.sslc('train', 'small.ssl', '--out', 'run', '--device', 'cpu', '--no-evaluate')).toMatchObject({ code: 0 });
});
afterAll(() => { p.remove(); });

interface Row { readonly name: string; readonly knn: number; readonly lowLabel: readonly unknown[]; readonly [figure: string]: unknown }
interface Result { readonly protocols: Readonly<Record<string, string>>; readonly rows: readonly Row[] }

async function evaluated(...options: readonly string[]): Promise<Result> {
  const { code, stdout, stderr } = await p.sslc('evaluate', 'run', '--device', 'cpu', '--json', ...options);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout).result;
}

it('gives every figure for the trained and the untrained encoder and the pixels, with its protocol', async () => {
  const { rows, protocols } = await evaluated();
  expect(rows.map((r) => r.name)).toEqual(['trained', 'untrained', 'pixels']);
  const number = expect.any(Number);
  const few = ['1 %', '10 %'].map((budget) => ({ budget, labels: number, mean: number, deviation: number }));
  const without = { std: number, rank: number, participation: number, alpha: number, uniformity: number };
  for (const row of rows.slice(0, 2)) expect(row).toMatchObject({ knn: number, linear: number, lowLabel: few, clusters: { nmi: number, purity: number }, retrieval: null, ...without, alignment: number, lidar: number });
  expect(rows[2]).toMatchObject({ knn: number, lowLabel: few, ...without, alignment: null, lidar: null });
  expect(protocols['encoder']).toContain('the last checkpoint (step 6), not the best');
  expect(Object.keys(protocols).sort()).toEqual(['clusters', 'encoder', 'knn', 'linear', 'lowLabel', 'retrieval', 'spread', 'views']);
  expect(protocols['knn']).toContain('on 48 held-out examples');
});

it('is the same twice, and leaves the trained state as it was', async () => {
  expect(await evaluated()).toEqual(await evaluated());
});

it('takes the neighbours, the split and the labels that are asked for', async () => {
  // The test images are the training images: the nearest neighbour of each is itself, unless it is left out.
  const own = await evaluated('--k', '1', '--metric', 'euclidean');
  expect(own.rows.map((r) => r.knn)).toEqual([1, 1, 1]);
  expect(own.protocols['knn']).toContain('Euclidean distance of the embeddings as they are, k = 1');
  const others = await evaluated('--k', '1', '--metric', 'euclidean', '--split', 'train', '--labels', '5', '--draws', '2');
  expect(others.rows[2].knn).toBeLessThan(1);
  expect(others.protocols['knn']).toContain('on 48 training examples themselves, each leaving itself out');
  expect(others.rows[0].lowLabel).toMatchObject([{ budget: '5 a class', labels: 15 }]);
  expect(others.protocols['lowLabel']).toContain('mean and deviation of 2 draws');
  expect((await evaluated('--no-centre')).protocols['knn']).not.toContain('centred');
});

it('prints tables, and says what is wrong with an option', async () => {
  const { stdout } = await p.sslc('evaluate', 'run', '--device', 'cpu');
  expect(stdout).toMatch(/kNN +linear +1 % +10 % +NMI +purity\ntrained encoder/);
  expect(stdout).toMatch(/std +rank +participation +alpha +uniformity +alignment +LiDAR/);
  expect(await p.sslc('evaluate', 'run', '--metric', 'manhattan')).toMatchObject({ code: 2 });
  expect(await p.sslc('evaluate', 'run', '--labels', 'many')).toMatchObject({ stderr: expect.stringContaining('--labels many') });
});

it('fine-tunes from the trained and the untrained encoder with the labels that are asked for, and says how', async () => {
  const { code, stdout, stderr } = await p.sslc('evaluate', 'run', '--device', 'cpu', '--json', '--finetune', '--finetune-epochs', '300', '--finetune-rate', '0.05', '--finetune-labels', '50%');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const { fineTuning, rows } = JSON.parse(stdout).result;
  expect(fineTuning).toMatchObject({ trained: expect.any(Number), untrained: expect.any(Number), labels: 24, epochs: 300 });
  for (const word of ['24 labels (50 %', '300 epochs of batches of 24', 'adamw(rate: 0.003', 'rate 0.05 instead', 'batch norm in training mode', 'after the last epoch on 48 held-out examples']) expect(fineTuning.protocol).toContain(word);
  // Half of the held-out examples are those it was trained on.
  for (const share of [fineTuning.trained, fineTuning.untrained]) expect(share).toBeGreaterThan(0.5);
  // Neither the trained state nor the other figures notice.
  expect(rows).toEqual((await evaluated()).rows);
  const report = readFileSync(join(p.folder, 'run', 'report.html'), 'utf8');
  expect(report).toContain('fine-tuned from');
  expect(report).toContain('fine-tuning: all weights that the representation uses');
});

it('says what fine-tuning needs', async () => {
  expect(await p.sslc('evaluate', 'run', '--finetune-epochs', '2')).toMatchObject({ code: 2, stderr: expect.stringContaining('add `--finetune`') });
  expect(await p.sslc('evaluate', 'run', '--finetune', '--finetune-labels', '1%,10%')).toMatchObject({ stderr: expect.stringContaining('expected one share') });
  const bare = idxProject({ 'small.ssl': program.replace(/, labels: .*$/m, ')') });
  try {
    expect(await bare.sslc('train', 'small.ssl', '--out', 'run', '--device', 'cpu', '--no-evaluate')).toMatchObject({ code: 0 });
    expect(await bare.sslc('evaluate', 'run', '--device', 'cpu', '--finetune')).toMatchObject({ stderr: expect.stringContaining('fine-tuning cannot be evaluated: the data has no labels') });
  } finally {
    bare.remove();
  }
});

it('measures the checkpoint that is asked for, by step or by file', async () => {
  const first = await evaluated('--checkpoint', '0');
  expect(first.protocols['encoder']).toContain('the checkpoint that was asked for (step 0)');
  const { name: _trained, ...trained } = first.rows[0];
  const { name: _untrained, ...untrained } = first.rows[1];
  expect(trained).toEqual(untrained);
  expect((await evaluated('--checkpoint', 'run/checkpoints/step-6.safetensors')).rows).toEqual((await evaluated()).rows);
  expect(await p.sslc('evaluate', 'run', '--checkpoint', '5')).toMatchObject({ stderr: expect.stringContaining('there are those of steps 0, 6') });
});
