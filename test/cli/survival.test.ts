/**
 * Runs that are killed, interrupted, or find the leavings of a killed one: nothing is lost but the work since the last
 * checkpoint, and what follows is bit for bit what an uninterrupted run does. The model has every kind of state: a queue,
 * slow copies, running statistics, moments of an optimizer, a schedule and draws.
 */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildCommand, type Built, type Running } from './built.js';
import { place, type Place } from './command.js';
import { idxImages } from './idx-project.js';

const program = `use std.vision { mlp }
use std.layers { conv, batch_norm }
use std.views { flip }
use std.energies { info_nce }
use std.optimizers { adamw }
use std.schedules { cosine }
view jitter(x: [H, W, C]) { let by[i: H, j: W, c: C] ~ normal(0, 0.05); x + by }
view moved(x: [H, W, C]) = x |> flip |> jitter
backbone small(x: [H, W, C]) { x |> conv(4, stride: 2) |> batch_norm |> relu |> mean[H, W] }
model moco(width: int = 5, keys: int = 24) {
  input x: u8[H, W, C]
  view a, b ~ moved(x)
  net f = small
  net h = mlp(6, width)
  target fk = ema(f, 0.9, when: "before")
  target hk = ema(h, 0.9, when: "before")
  memory queue: [keys, width] ~ unit_normal()
  let q = normalize(h(f(a))), k = normalize(hk(fk(b)))
  minimize contrast: info_nce(0.2)(q, k, queue)
  update queue <- enqueue(queue, k)
  represent f(x)
}
train moco {
  data idx(images: "images")
  batch 8
  steps 400
  optimizer adamw(rate: 0.01)
  schedule cosine(warmup: 5 steps)
  every 7 steps { checkpoint }
}
`;
const options = ['--device', 'cpu', '--no-evaluate', '--json'];

let built: Built;
let p: Place;
beforeAll(() => {
  built = buildCommand();
  p = place({ 'moco.ssl': program });
  writeFileSync(join(p.folder, 'images'), idxImages(50, 8));
});
afterAll(() => { built.remove(); p.remove(); });

const train = (...argv: string[]): Running => built.start(p.folder, ['train', ...argv, ...options]);
const steps = (run: string): readonly string[] => readFileSync(join(p.folder, run, 'metrics.jsonl'), 'utf8').split('\n').filter((line) => line.includes('"kind":"step"'));
const checkpoints = (run: string): readonly string[] => (existsSync(join(p.folder, run, 'checkpoints')) ? readdirSync(join(p.folder, run, 'checkpoints')) : []);
const newest = (run: string): number => Math.max(-1, ...checkpoints(run).flatMap((name) => { const m = /^step-(\d+)\.safetensors$/.exec(name); return m === null ? [] : [Number(m[1])]; }));
const stepOf = (line: string): number => (line.includes('"event":"step"') ? Number(/"step":(\d+)/.exec(line)?.[1]) : -1);

async function whole(): Promise<void> {
  if (!existsSync(join(p.folder, 'whole'))) expect(await train('moco.ssl', '--out', 'whole').ended).toEqual({ code: 0, signal: null });
}

describe('kill -9', () => {
  it('loses at most the work since the last checkpoint, and the rest is bit for bit the same', async () => {
    await whole();
    let run = train('moco.ssl', '--out', 'killed');
    // At moments of its own each time: some fall into the writing of a checkpoint.
    for (const [round, at] of [30, 95, 160, 225].entries()) {
      expect(await run.seen((line) => stepOf(line) >= at)).toBe(true);
      await new Promise((resolve) => setTimeout(resolve, 3 * round));
      run.child.kill('SIGKILL');
      expect(await run.ended).toEqual({ code: null, signal: 'SIGKILL' });
      const reached = Math.max(...run.stdout().split('\n').map(stepOf));
      const kept = newest('killed');
      expect(reached - kept).toBeLessThanOrEqual(7);
      // As if it had been in the middle of the next checkpoint.
      writeFileSync(join(p.folder, 'killed/checkpoints', `step-${kept + 7}.safetensors.12345.tmp`), 'half a chec');
      run = train('killed', '--resume');
      expect(await run.seen((line) => line.includes(`"event":"started","step":${kept},`))).toBe(true);
    }
    expect(await run.ended).toEqual({ code: 0, signal: null });
    expect(steps('killed')).toEqual(steps('whole'));
    expect(checkpoints('killed')).toEqual(checkpoints('whole'));
    const last = 'checkpoints/step-400.safetensors';
    expect(readFileSync(join(p.folder, 'killed', last)).equals(readFileSync(join(p.folder, 'whole', last)))).toBe(true);
    for (const name of ['queue', 'mean', 'param.f.conv1.w', 'param.h.']) expect(readFileSync(join(p.folder, 'whole', last)).subarray(0, 4000).toString('latin1')).toContain(name);
  });

  it('before the first checkpoint leaves a folder that can be started in again', async () => {
    const run = train('moco.ssl', '--out', 'early', '--steps', '3');
    expect(await run.ended).toMatchObject({ code: 0 });
    p.write('begun/metrics.jsonl', '{"kind":"st');
    const resumed = train('moco.ssl', '--resume', '--out', 'begun');
    expect(await resumed.ended).toMatchObject({ code: 3 });
    const again = train('moco.ssl', '--out', 'begun', '--steps', '3');
    expect(await again.ended).toMatchObject({ code: 0 });
    expect(steps('begun')).toEqual(steps('early'));
  });
});

describe('Ctrl-C', () => {
  it('finishes the step, writes a checkpoint and says how to go on; the rest is the same', async () => {
    await whole();
    const run = built.start(p.folder, ['train', 'moco.ssl', '--out', 'stopped', '--device', 'cpu', '--no-evaluate']);
    expect(await run.seen((line) => /^step/.test(line))).toBe(true);
    run.child.kill('SIGINT');
    expect(await run.ended).toEqual({ code: 130, signal: null });
    expect(run.stderr()).toContain('press Ctrl-C again to stop at once');
    const [, step] = /^stopped after step (\d+); checkpoint .*\ngo on with: sslc train stopped --resume\n$/.exec(run.stdout()) ?? [];
    expect(Number(step)).toBe(newest('stopped'));
    expect(Number(step)).toBeLessThan(400);
    expect(await train('stopped', '--resume').ended).toMatchObject({ code: 0 });
    expect(steps('stopped')).toEqual(steps('whole'));
  });

  it('twice ends the process at once, with the checkpoints there were', async () => {
    const run = train('moco.ssl', '--out', 'twice');
    expect(await run.seen((line) => stepOf(line) >= 20)).toBe(true);
    run.child.kill('SIGINT');
    run.child.kill('SIGINT');
    const { code, signal } = await run.ended;
    expect(code === 130 || signal === 'SIGINT').toBe(true);
    expect(newest('twice')).toBeGreaterThanOrEqual(14);
    expect(await train('twice', '--resume').ended).toMatchObject({ code: 0 });
    await whole();
    expect(steps('twice')).toEqual(steps('whole'));
  });
});
