/** Whole runs of a tiny model: interrupting and going on, guards, starting weights, and `call` against values worked out by hand. */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { run } from '../../cli/run.js';
import { decodeSafetensors, encodeSafetensors } from '../../runtime/train/safetensors.js';
import { idxProject } from './idx-project.js';
import { place, recordingTerminal, type Place, type Written } from './command.js';

const places: Place[] = [];
afterAll(() => { for (const p of places) p.remove(); });

const program = (rate: string): string => `use std.optimizers { sgd }
view jitter(x: [H, W, C]) { let by[i: H, j: W, c: C] ~ normal(0, 0.05); x + by }
model tiny(width: int = 6) {
  input x: u8[H, W, C]
  view a, b ~ jitter(x)
  param w: [H, W, C, width] ~ normal(0, 0.2)
  fn code(p: [H, W, C]) { z[k] = sum[i, j, c](p[i, j, c] * w[i, j, c, k]); z }
  let u = code(a), v = code(b)
  minimize near: mean((u - v)^2)
  regularize size: mean((u^2 - 1)^2)
  represent code(x)
}
train tiny {
  data idx(images: "images", labels: "labels", testImages: "images", testLabels: "labels")
  batch 8
  epochs 3
  optimizer sgd(rate: ${rate})
}
`;

function project(rate = '0.05'): Place {
  const made = idxProject({ 'tiny.ssl': program(rate) });
  places.push(made);
  return made;
}

const cpu = ['--device', 'cpu', '--no-evaluate'];
const losses = (p: Place, runFolder: string): readonly string[] => readFileSync(join(p.folder, runFolder, 'metrics.jsonl'), 'utf8').split('\n').filter((line) => line.includes('"kind":"step"'));

describe('train', () => {
  it('stops on Ctrl-C with a checkpoint, and goes on to the same losses', async () => {
    const p = project();
    expect(await p.sslc('train', 'tiny.ssl', '--out', 'whole', ...cpu)).toMatchObject({ code: 0, stdout: expect.stringMatching(/^trained 18 steps in .*: whole\n$/) });

    const { terminal, stdout, stderr } = recordingTerminal(p.folder);
    let interrupt = (): void => undefined;
    const code = await run(['train', 'tiny.ssl', '--out', 'parts', ...cpu], {
      ...terminal,
      onInterrupt: (handler) => { interrupt = handler; return () => undefined; },
      // The first progress line is the sign that training is under way.
      stderr: (text) => { stderr.push(text); if (text.startsWith('step')) interrupt(); },
    });
    expect(code).toBe(130);
    expect(stdout.join('')).toMatch(/^stopped after step \d+; checkpoint .*step-\d+\.safetensors\ngo on with: sslc train parts --resume\n$/);
    expect(losses(p, 'parts').length).toBeLessThan(18);
    expect(await p.sslc('train', 'parts', '--resume', ...cpu)).toMatchObject({ code: 0, stdout: expect.stringContaining('trained 18 steps') });
    expect(losses(p, 'parts')).toEqual(losses(p, 'whole'));
    expect(await p.sslc('train', 'tiny.ssl', '--out', 'whole', ...cpu)).toMatchObject({ code: 3, stderr: expect.stringMatching(/already holds a run[\s\S]*--resume/) });
    expect(await p.sslc('train', 'parts', '--resume', '--set', 'width=7', ...cpu)).toMatchObject({ code: 3 });
  });

  it('writes events as JSON lines', async () => {
    const p = project();
    const { code, stdout } = await p.sslc('train', 'tiny.ssl', '--steps', '2', '--json', ...cpu);
    expect(code).toBe(0);
    const lines: readonly Record<string, unknown>[] = stdout.trim().split('\n').map((line) => JSON.parse(line));
    expect(lines.every((line) => line.sslc === 1)).toBe(true);
    expect(lines.map((line) => line.event)).toEqual(expect.arrayContaining(['started', 'step', 'checkpoint', 'finished']));
    expect(lines.at(-1)).toMatchObject({ command: 'train', exitCode: 0, result: { run: 'runs/tiny', outcome: 'finished', step: 2 } });
  });

  it('stops with exit code 4 when the loss is not finite', async () => {
    const p = project('1e18');
    const { code, stderr } = await p.sslc('train', 'tiny.ssl', ...cpu);
    expect(code).toBe(4);
    expect(stderr).toMatch(/error\[SSL5030\]: training stopped at step \d+/);
    expect(readdirSync(join(p.folder, 'runs/tiny/checkpoints')).length).toBeGreaterThan(0);
  });

  it('starts from given weights', async () => {
    const p = project();
    await p.sslc('train', 'tiny.ssl', '--steps', '1', '--out', 'a', '--seed', '5', ...cpu);
    const [first] = readdirSync(join(p.folder, 'a/checkpoints')).filter((f) => f.startsWith('step-0'));
    const { tensors } = decodeSafetensors(readFileSync(join(p.folder, 'a/checkpoints', first)), first);
    writeFileSync(join(p.folder, 'start.safetensors'), encodeSafetensors(new Map([...tensors].filter(([name]) => name.startsWith('param.')))));
    await p.sslc('train', 'tiny.ssl', '--steps', '1', '--out', 'b', '--seed', '9', '--params', 'start.safetensors', ...cpu);
    const weights = (name: string): unknown => decodeSafetensors(readFileSync(join(p.folder, name, 'checkpoints/step-0.safetensors')), name).tensors.get('param.w')?.data;
    expect(weights('b')).toEqual(weights('a'));
    // A run stands for its newest checkpoint.
    const from = await p.sslc('train', 'tiny.ssl', '--steps', '1', '--out', 'c', '--params', 'a', ...cpu);
    expect(from.stdout + from.stderr).toContain(`weights of w from ${join(p.folder, 'a/checkpoints/step-1.safetensors')}`);
    const last = decodeSafetensors(readFileSync(join(p.folder, 'a/checkpoints/step-1.safetensors')), 'a').tensors.get('param.w')?.data;
    expect(weights('c')).toEqual(last);
    expect(await p.sslc('train', 'tiny.ssl', '--steps', '1', '--out', 'd', '--params', '.', ...cpu)).toMatchObject({ code: 3, stderr: expect.stringContaining('not a run folder') });
  });
});

describe('call', () => {
  it('gives values and gradients', async () => {
    const p = place({ 'f.ssl': 'energy half(scale: float = 1)(u: [D], v: [D]) -> [] = scale * sum[d]((u[d] - v[d])^2) / 2\n' });
    places.push(p);
    writeFileSync(join(p.folder, 'in.safetensors'), encodeSafetensors(new Map([
      ['u', { shape: [3], data: Float32Array.of(1, 2, 3) }],
      ['v', { shape: [3], data: Float32Array.of(0, 4, 3) }],
    ])));
    expect(await p.sslc('call', 'f.ssl', 'half', '--inputs', 'in.safetensors', '--set', 'scale=2', '--grad', '-o', 'out.safetensors', '--device', 'cpu')).toMatchObject({ code: 0, stderr: '' });
    const { tensors } = decodeSafetensors(readFileSync(join(p.folder, 'out.safetensors')), 'out');
    const values = (name: string): readonly number[] => [...(tensors.get(name)?.data ?? [])];
    expect(values('out')).toEqual([5]);
    expect(values('grad.u')).toEqual([2, -4, 0]);
    expect(values('grad.v')).toEqual([-2, 4, -0]);
    const shown = await p.sslc('call', 'f.ssl', 'half', '--inputs', 'in.safetensors', '--device', 'cpu');
    expect(shown.stdout).toMatch(/^out +\[\] +2\.5\n/);
    expect(await p.sslc('call', 'f.ssl', 'hafl', '--inputs', 'in.safetensors', '--device', 'cpu')).toMatchObject({ code: 1, stderr: expect.stringContaining('hafl') });
  });

  it('says which inputs are unknown and which do not matter; an example without a batch is a batch of one', async () => {
    const p = project();
    p.write('f.ssl', 'fn f(x: [D], y: [D]) = 2 * x\n');
    const tensors = (...named: readonly (readonly [string, readonly number[], number])[]): void =>
      writeFileSync(join(p.folder, 'in.safetensors'), encodeSafetensors(new Map(named.map(([name, shape, value]) => [name, { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value) }]))));
    const call = (...argv: string[]): Promise<Written> => p.sslc('call', ...argv, '--inputs', 'in.safetensors', '--device', 'cpu');
    tensors(['x', [2], 1], ['y', [2], 1]);
    expect(await call('f.ssl', 'f', '--grad')).toMatchObject({ code: 0, stderr: 'note: the result does not depend on y\n', stdout: expect.stringMatching(/^grad\.y +\[2\] +0 0$/m) });
    tensors(['x', [2], 1], ['yy', [2], 1]);
    expect(await call('f.ssl', 'f')).toMatchObject({ code: 1, stderr: expect.stringMatching(/SSL1009\]: `f` has no input `yy`[^]*its inputs are x, y/) });
    const bytes = (shape: readonly number[]): void => writeFileSync(join(p.folder, 'in.safetensors'), encodeSafetensors(new Map([['x', { shape, data: new Uint8Array(25).fill(90) }]])));
    bytes([5, 5, 1]);
    const single = await call('tiny.ssl', 'tiny');
    bytes([1, 5, 5, 1]);
    expect(single).toMatchObject({ code: 0, stdout: expect.stringMatching(/^near[^]*^loss/m) });
    expect(await call('tiny.ssl', 'tiny')).toEqual(single);
  });
});
