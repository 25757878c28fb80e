/**
 * Runs with a stage that are killed or interrupted inside it and between: what follows is bit for bit what an uninterrupted run does.
 * The model has tables, prototypes that a stage makes, a queue, a slow copy on a schedule, running statistics, a state, and a group
 * that learns only later.
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildCommand, type Built, type Running } from './built.js';
import { place, type Place } from './command.js';
import { idxImages } from './idx-project.js';

/** The large products make the stage last long enough to be met. */
const program = `use std.vision { mlp }
use std.layers { conv, batch_norm, linear }
use std.energies { info_nce }
use std.clustering { cluster_of, spherical_kmeans, principal_components }
use std.optimizers { adamw }
use std.schedules { cosine, after }
fn slowly(x: []) -> [] {
  let m[i: 1024, j: 1024] = sin(0.1 * i + 0.7 * j + x)
  repeat 4 { let m = m @ m / 1024 }
  m[3, 5]
}
view moved(x: [H, W, C]) { let by[i: H, j: W, c: C] ~ normal(0, 0.05); x + by }
backbone small(x: [H, W, C]) { x |> conv(8, stride: 2) |> batch_norm |> relu |> mean[H, W] }
model everything(k: int = 4, width: int = 6, keys: int = 16) {
  input x: u8[H, W, C], id: example
  view a, b ~ moved(x)
  net f = small
  net h = mlp(8, width)
  net head = linear(k)
  target slow = ema(f, cosine(0.9, 1), when: "before")
  memory queue: [keys, width] ~ unit_normal()
  memory centre: [width] = 0
  state seen: [] = 0
  param codes: [k, width] ~ unit_normal()
  table cluster: int[examples] = 0
  table before: [examples, width] = 0
  stage cluster_again every 10 steps {
    let z = normalize(h(f(x))) over data
    let main = principal_components(3, rounds: 5)(z)
    let means = spherical_kmeans(k, rounds: 4)(z)
    codes <- means
    cluster <- cluster_of(z, means)
    before <- 0.5 * z + 0.5 * before
    centre <- sum[n](z[n]) / examples + mean[n](abs(main[n, 0])) + slowly(z[0, 0])
    reset head
  }
  let u = normalize(h(f(a))), v = normalize(h(slow(b)))
  minimize contrast: info_nce(0.2)(u, v, queue)
  minimize tell: cross_entropy(head(f(a)), cluster[id]) + cross_entropy(normalize(codes) @ u / 0.1, cluster[id])
  minimize stay: after(12 steps) * mse(u - centre, before[id])
  update queue <- enqueue(queue, v)
  update seen <- seen + 1
  represent f(x)
}
train everything {
  data idx(images: "images")
  batch 8
  steps 36
  optimizer adamw(rate: 0.01)
  schedule cosine(warmup: 5 steps)
  group codes { trainable after(14 steps) }
  every 5 steps { checkpoint }
}
`;

let built: Built;
let p: Place;
beforeAll(() => {
  built = buildCommand();
  p = place({ 'everything.ssl': program });
  writeFileSync(join(p.folder, 'images'), idxImages(120, 8));
});
afterAll(() => { built.remove(); p.remove(); });

const train = (...argv: string[]): Running => built.start(p.folder, ['train', ...argv, '--device', 'cpu', '--no-evaluate', '--json']);
const event = (line: string, name: string, step: number): boolean => line.includes(`"event":"${name}"`) && line.includes(`"step":${step},`);

/** Everything that was logged, but for how long it took. */
const log = (run: string): readonly string[] => readFileSync(join(p.folder, run, 'metrics.jsonl'), 'utf8').split('\n').map((line) => line.replace(/"seconds":[\d.]+,/, ''));
const last = (run: string): Buffer => readFileSync(join(p.folder, run, 'checkpoints/step-36.safetensors'));

it('killed and interrupted in the stage and between, goes on bit for bit', async () => {
  expect(await train('everything.ssl', '--out', 'whole').ended).toEqual({ code: 0, signal: null });

  // Inside the stage before step 11: the checkpoint of step 10 is there, what the stage gives is not.
  let run = train('everything.ssl', '--out', 'parts');
  expect(await run.seen((line) => event(line, 'checkpoint', 10))).toBe(true);
  run.child.kill('SIGKILL');
  expect(await run.ended).toEqual({ code: null, signal: 'SIGKILL' });
  expect(log('parts').filter((line) => line.includes('"kind":"stage"')).length).toBe(1);
  expect(log('parts').at(-2)).toContain('"kind":"checkpoint","step":10');

  // Between: after the stage, before the next checkpoint.
  run = train('parts', '--resume');
  expect(await run.seen((line) => event(line, 'step', 13))).toBe(true);
  run.child.kill('SIGKILL');
  await run.ended;

  // Ctrl-C inside the stage before step 21: it is finished, and the step after it.
  run = train('parts', '--resume');
  expect(await run.seen((line) => event(line, 'started', 10))).toBe(true);
  expect(await run.seen((line) => event(line, 'checkpoint', 20))).toBe(true);
  run.child.kill('SIGINT');
  expect(await run.ended).toEqual({ code: 130, signal: null });
  expect(run.stdout()).toContain('"event":"interrupted","step":21,');
  expect(await train('parts', '--resume').ended).toEqual({ code: 0, signal: null });

  const lines = (name: string): readonly string[] => log(name).filter((line) => !line.includes('"step":21,"path"'));
  expect(lines('parts')).toEqual(lines('whole'));
  expect(last('parts').equals(last('whole'))).toBe(true);
  const header = last('whole').subarray(0, 6000).toString('latin1');
  for (const name of ['table.cluster', 'table.before', 'memory.queue', 'memory.centre', 'state.seen', 'running_mean', 'target.slow', 'param.codes', 'state.optimizer.m', 'cluster_again@30 codes ']) expect(header).toContain(name);
  // The stages did something each time, and the group began to learn.
  const stages = log('whole').filter((line) => line.includes('"kind":"stage"'));
  expect(stages.map((line) => Number(/"step":(\d+)/.exec(line)?.[1]))).toEqual([0, 10, 20, 30]);
  expect(new Set(stages.map((line) => /"name":"cluster","sha256":"(\w+)"/.exec(line)?.[1])).size).toBeGreaterThan(1);
  expect(readdirSync(join(p.folder, 'parts/checkpoints')).filter((name) => name.endsWith('.tmp'))).toEqual([]);
}, 60_000);
