/** A model that does collapse, through the command line: the event, the exit code, the checkpoint. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { idxProject } from './idx-project.js';
import type { Place } from './command.js';

const places: Place[] = [];
afterAll(() => { for (const p of places) p.remove(); });

/** A training that is to stop where it collapses. */
async function trained(text: string): Promise<{ p: Place; code: number | null; stderr: string }> {
  const p = idxProject({ 'model.ssl': text });
  places.push(p);
  return { p, ...await p.sslc('train', 'model.ssl', '--device', 'cpu', '--no-evaluate', '--on-collapse', 'stop', '--out', 'run') };
}

/** What keeps the embeddings apart is there, so `check` lets it pass, but far too weak. */
const program = `use std.layers { linear }
use std.optimizers { sgd }
use std.regularizers { variance }
view jitter(x: [H, W, C]) { let by[i: H, j: W, c: C] ~ normal(0, 0.2); x + by }
model weak(width: int = 8) {
  input x: u8[H, W, C]
  view  a, b ~ jitter(x)
  net   f = flatten |> linear(width)
  let   u = f(a), v = f(b)
  minimize   agree: 8 * mean((u - v)^2)
  regularize spread: 0.0001 * variance(u)
  monitor    length: mean(u^2)
  represent  f(x)
}
train weak {
  data      idx(images: "images", labels: "labels", testImages: "images", testLabels: "labels")
  batch     16
  steps     500
  optimizer sgd(rate: 0.3)
  every 20 steps { checkpoint }
}
`;

test('--on-collapse stop ends the run with exit code 4 and names the last healthy checkpoint, which is kept', async () => {
  const { p, code, stderr } = await trained(program);
  expect(stderr).toContain('error[SSL5032]');
  expect(code).toBe(4);
  expect(stderr).toMatch(/uniform collapse: loss = [\d.e-]+ for 2\d\d steps/);
  const named = /last healthy checkpoint is (\S+\.safetensors)/.exec(stderr)?.[1] ?? '';
  expect(existsSync(join(p.folder, named)) || existsSync(named)).toBe(true);
  const lines: readonly Record<string, unknown>[] = readFileSync(join(p.folder, 'run', 'metrics.jsonl'), 'utf8').trim().split('\n').map((l) => JSON.parse(l));
  expect(lines.at(-1)).toMatchObject({ kind: 'collapse', form: 'uniform' });
  const step = lines.find((l) => l['kind'] === 'step');
  expect(Object.keys(step ?? {})).toEqual(expect.arrayContaining(['gap', 'loss', 'agree', 'spread', 'length', 'gradient_norm', 'rate']));
  expect(lines.find((l) => l['kind'] === 'embedding')).toMatchObject({ std: expect.any(Number), rank: expect.any(Number), participation: expect.any(Number), alignment: expect.any(Number), uniformity: expect.any(Number) });
});

test('by default it is a warning, and the run goes on', async () => {
  const p = idxProject({ 'weak.ssl': program });
  places.push(p);
  const { code, stdout } = await p.sslc('train', 'weak.ssl', '--device', 'cpu', '--no-evaluate', '--json');
  expect(code).toBe(0);
  const lines: readonly Record<string, unknown>[] = stdout.trim().split('\n').map((l) => JSON.parse(l));
  expect(lines.filter((l) => l['event'] === 'collapse')).toMatchObject([{ form: 'uniform', checkpoint: expect.stringContaining('step-') }]);
  expect(lines.at(-1)).toMatchObject({ exitCode: 0, diagnostics: expect.arrayContaining([expect.objectContaining({ code: 'SSL5033', severity: 'warning' })]), result: { outcome: 'finished' } });
});

/** Two views agree through a projector without a stop or a predictor; what little keeps the encoder alive does not reach the projector. */
const behind = `use std.layers { linear, mlp }
use std.energies { negative_cosine }
use std.optimizers { adamw }
use std.regularizers { variance }
view jitter(x: [H, W, C]) { let by[i: H, j: W, c: C] ~ normal(0, 0.2); x + by }
model siamese(width: int = 16) {
  input x: u8[H, W, C]
  view  a, b ~ jitter(x)
  net   f = flatten |> linear(width)
  net   g = mlp(32, 32)
  minimize   agree: negative_cosine(g(f(a)), g(f(b)))
  regularize spread: 0.0001 * variance(f(a))
  represent  f(x)
}
train siamese {
  data      idx(images: "images", labels: "labels", testImages: "images", testLabels: "labels")
  batch     16
  steps     400
  optimizer adamw(rate: 0.01, skip: [bias, norm])
  every 20 steps { checkpoint }
}
`;

test('a projector that collapses behind a healthy encoder is told of by what the loss compares', async () => {
  const { p, code, stderr } = await trained(behind);
  expect(stderr).toMatch(/uniform collapse: loss = -[\d.]+ for 2\d\d steps, and the unit outputs of `g`, which it compares,/);
  expect(code).toBe(4);
  const lines: readonly Record<string, unknown>[] = readFileSync(join(p.folder, 'run', 'metrics.jsonl'), 'utf8').trim().split('\n').map((l) => JSON.parse(l));
  const encoder = lines.filter((l) => l['kind'] === 'embedding').at(-1);
  expect(Number(encoder?.['std'])).toBeGreaterThan(0.1 / Math.sqrt(16));
  expect(lines.find((l) => l['kind'] === 'step')).toHaveProperty('std.g');
});

/** The embeddings stay apart, but a head learns to put everything into one of its clusters. */
const oneCluster = `use std.layers { linear }
use std.optimizers { sgd }
use std.regularizers { variance }
view jitter(x: [H, W, C]) { let by[i: H, j: W, c: C] ~ normal(0, 0.2); x + by }
model lopsided(width: int = 8, k: int = 12) {
  input x: u8[H, W, C]
  view  a, b ~ jitter(x)
  net   f = flatten |> linear(width)
  net   head = linear(k)
  let   u = f(a), v = f(b)
  minimize   agree: mean((u - v)^2)
  regularize spread: 10 * variance(u)
  minimize   lopsided: 0.1 * cross_entropy(head(stop(u)), 0)
  monitor    used: perplexity(shares(k)(argmax(head(u))))
  represent  f(x)
}
train lopsided {
  data      idx(images: "images", labels: "labels", testImages: "images", testLabels: "labels")
  batch     16
  steps     800
  optimizer sgd(rate: 0.1)
  every 20 steps { checkpoint }
}
`;

test('codes of which one takes all are a collapse of their own, with exit code 4 and the checkpoint before it', async () => {
  const { code, stderr } = await trained(oneCluster);
  expect(stderr).toMatch(/collapse of the codes: `used` = 1\.\d\d of 12 in use for 2\d\d steps/);
  expect(code).toBe(4);
  expect(stderr).toMatch(/last healthy checkpoint is \S+step-\d+\.safetensors/);
});
