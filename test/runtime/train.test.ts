import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import type { TrainingSpec } from '../../compiler/api.js';
import { listCheckpoints, readFacts } from '../../runtime/train/checkpoint.js';
import { epochOrder } from '../../runtime/train/data-order.js';
import type { TrainEvent, TrainResult } from '../../runtime/train/events.js';
import { readMetrics } from '../../runtime/train/metrics.js';
import { decodeSafetensors } from '../../runtime/train/safetensors.js';
import { train, type TrainOptions } from '../../runtime/train/train.js';
import { fakeModel, toyData, type FakeOptions } from './fake-session.js';

const folders: string[] = [];
const folder = (): string => {
  const made = mkdtempSync(join(tmpdir(), 'run-'));
  folders.push(made);
  return join(made, 'run');
};
afterEach(() => { for (const f of folders.splice(0)) rmSync(f, { recursive: true, force: true }); });

const data = toyData();
interface Outcome { readonly result: TrainResult; readonly events: TrainEvent[]; readonly directory: string }

async function runOnce(model: FakeOptions, more: Partial<TrainOptions> = {}): Promise<Outcome> {
  const directory = more.directory ?? folder();
  const events: TrainEvent[] = [];
  const { compiled, session } = fakeModel(model, data);
  const result = await train({ compiled, session, data, directory, seed: 3, resume: false, ...more, events: (e) => { events.push(e); more.events?.(e); } });
  return { result, events, directory };
}

const losses = (directory: string): unknown[] => readMetrics(directory).filter((l) => l.kind === 'step');
const everyEpoch: TrainingSpec['every'] = [{ period: { count: 1, unit: 'epochs' }, actions: [{ name: 'knn', arguments: { k: 5 } }, { name: 'checkpoint', arguments: {} }] }];

describe('order of examples', () => {
  test('is a permutation, the same for the same seed and epoch, another for another', () => {
    fc.assert(fc.property(fc.integer({ min: 2, max: 300 }), fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 0, max: 50 }), (n, seed, epoch) => {
      const order = epochOrder(n, seed, epoch);
      expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i));
      expect(epochOrder(n, seed, epoch)).toEqual(order);
      if (n > 20) expect(epochOrder(n, seed, epoch + 1)).not.toEqual(order);
    }), { numRuns: 50 });
  });
});

describe('training', () => {
  test('runs every step, lowers the loss, measures embeddings and kNN, and leaves a run folder', async () => {
    const { result, events, directory } = await runOnce({ steps: 40, every: everyEpoch }, { files: { 'spec.json': '{}' }, keep: 2 });
    expect(result).toMatchObject({ outcome: 'finished', step: 40 });
    const steps = events.flatMap((e) => (e.kind === 'step' ? [e] : []));
    expect(steps.map((s) => s.step)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    expect(steps[39].loss).toBeLessThan(steps[0].loss / 2);
    expect(steps[39].embedding?.rank).toBeGreaterThan(1);
    expect(events.filter((e) => e.kind === 'knn')).toHaveLength(5);
    expect(readFileSync(join(directory, 'spec.json'), 'utf8')).toBe('{}');
    const kept = listCheckpoints(directory).map((c) => c.step);
    expect(kept).toContain(40);
    expect(kept.length).toBeLessThanOrEqual(3);
    const last = listCheckpoints(directory).at(-1);
    expect(await readFacts(last?.path ?? '')).toMatchObject({ step: 40, seed: 3, model: 'toy' });
    const file = decodeSafetensors(readFileSync(last?.path ?? ''), 'checkpoint');
    expect([...file.tensors.keys()].sort()).toEqual(['optimizer.momentum', 'param.f.linear1.b', 'param.f.linear1.w', 'state.counter']);
    expect(file.tensors.get('state.counter')?.data[0]).toBe(40);
  });

  test.each([{ streamed: false, delay: 0 }, { streamed: true, delay: 3 }])('stopped by a signal and resumed, it has the losses of an uninterrupted run: %o', async ({ streamed, delay }) => {
    const whole = await runOnce({ steps: 30, streamed });
    const directory = folder();
    const stop = new AbortController();
    const first = await runOnce({ steps: 30, streamed }, { directory, signal: stop.signal, reportDelay: delay, events: (e) => { if (e.kind === 'step' && e.step === 11) stop.abort(); } });
    expect(first.result).toMatchObject({ outcome: 'interrupted' });
    expect(first.result.step).toBeGreaterThanOrEqual(11);
    expect(first.events.at(-1)).toMatchObject({ kind: 'interrupted', checkpoint: first.result.checkpoint });
    const second = await runOnce({ steps: 30, streamed }, { directory, resume: true, reportDelay: delay });
    expect(second.result.outcome).toBe('finished');
    expect(losses(directory)).toEqual(losses(whole.directory));
    const [a, b] = [directory, whole.directory].map((d) => decodeSafetensors(readFileSync(join(d, 'checkpoints', 'step-30.safetensors')), d).tensors);
    expect(a).toEqual(b);
  });

  test('a gradient that is not finite does not stop it while the loss scale can still shrink', async () => {
    const { result, directory } = await runOnce({ steps: 30, scale: 2, overflowAt: 17 });
    expect(result).toMatchObject({ outcome: 'finished', step: 30 });
    expect(losses(directory)[17]).toMatchObject({ step: 18, gradient_norm: 'Infinity', loss_scale: 2 });
    const least = await runOnce({ steps: 30, scale: 1, overflowAt: 17 });
    expect(least.result).toMatchObject({ outcome: 'not-finite', step: 18 });
    expect(least.events.at(-1)).toMatchObject({ kind: 'not-finite', name: 'gradient_norm' });
  });

  test('a loss that is not finite stops it, with the checkpoint before kept and nothing saved after', async () => {
    for (const reportDelay of [0, 4]) {
      const { result, events, directory } = await runOnce({ steps: 30, nanAt: 17, every: [{ period: { count: 5, unit: 'steps' }, actions: [{ name: 'checkpoint', arguments: {} }] }] }, { reportDelay });
      expect(result).toMatchObject({ outcome: 'not-finite', step: 18 });
      expect(events.at(-1)).toMatchObject({ kind: 'not-finite', name: 'loss', diagnostic: { code: 'SSL5030' } });
      expect(listCheckpoints(directory).at(-1)?.step).toBe(15);
    }
  });

  test('a folder with a run is not written over, and there is nothing to resume in an empty one', async () => {
    const { directory } = await runOnce({ steps: 2 });
    await expect(runOnce({ steps: 2 }, { directory })).rejects.toThrow(/SSL5025/);
    await expect(runOnce({ steps: 2 }, { resume: true })).rejects.toThrow(/SSL5021/);
    await expect(runOnce({ steps: 2 }, { directory, resume: true, seed: 4 })).rejects.toThrow(/SSL5024.*seed/);
  });

  test('a batch larger than the data, and an unknown action, are errors', async () => {
    await expect(runOnce({ steps: 2, batch: 100 })).rejects.toThrow(/SSL5020/);
    await expect(runOnce({ steps: 2, every: [{ period: { count: 1, unit: 'epochs' }, actions: [{ name: 'knm', arguments: {} }] }] })).rejects.toThrow(/SSL5001/);
  });

  test('given weights replace drawn ones', async () => {
    const { directory } = await runOnce({ steps: 4 });
    const parameters = join(directory, 'checkpoints', 'step-4.safetensors');
    const again = await runOnce({ steps: 4 }, { parameters });
    const start = decodeSafetensors(readFileSync(join(again.directory, 'checkpoints', 'step-0.safetensors')), 'start').tensors;
    const given = decodeSafetensors(readFileSync(parameters), 'given').tensors;
    expect(start.get('param.f.linear1.w')).toEqual(given.get('param.f.linear1.w'));
    expect(start.get('state.counter')?.data[0]).toBe(0);
  });

  test('no temporary file is left behind', async () => {
    const { directory } = await runOnce({ steps: 3 });
    expect(existsSync(directory)).toBe(true);
    expect(readdirSync(directory, { recursive: true }).filter((n) => String(n).endsWith('.tmp'))).toEqual([]);
  });
});
