/**
 * Training on a device that takes its time: Dawn's null backend behind fences that arrive three submits late, or when the host does
 * nothing but wait. It never does: a step is one submit, several are under way at once, losses arrive some steps late, and the
 * examples of the next batch are read and sent meanwhile.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compileTraining, loadProgram } from '../../compiler/pipeline.js';
import type { DataSet } from '../../runtime/data/data-set.js';
import { memorySplit } from '../../runtime/data/data-set.js';
import { GpuFailure } from '../../runtime/device/gpu/gpu-failure.js';
import { openGpuSession } from '../../runtime/device/gpu/gpu-session.js';
import { readMetrics } from '../../runtime/train/metrics.js';
import { train } from '../../runtime/train/train.js';
import { memoryReader } from '../lower/harness.js';
import type { NullDevice } from '../pipeline/null-device.js';
import { nullDevice } from '../pipeline/null-device.js';
import { softwareOptions } from './harness.js';

const steps = 40;
const text = `
use std.layers { linear }
use std.optimizers { sgd }
model m() {
  input x: u8[16]
  net f = linear(8)
  minimize size: mean(f(x / 255)^2)
  represent f(x / 255)
}
train m { batch 8; steps ${steps}; optimizer sgd(rate: 0.1) }
`;

type Event = 'submit' | 'arrival' | 'upload' | 'rows' | 'wait';

/** How many submits a fence is late, and turns of the event loop without a word from the host after which it is waiting. */
const behind = 3;
const patience = 200;

/** The device with late fences; `happened` lists what the host did and what arrived. */
function slow(device: GPUDevice, happened: Event[]): GPUDevice {
  const fences: (() => void)[] = [];
  const arrive = (leave: number): void => { while (fences.length > leave) fences.shift()?.(); };
  const watch = (seen: number, turns: number): void => {
    if (fences.length === 0) return;
    if (happened.length === seen && turns >= patience) {
      happened.push('wait');
      arrive(0);
      return;
    }
    setImmediate(watch, happened.length, happened.length === seen ? turns + 1 : 0);
  };
  const bound = (target: object, name: string | symbol): unknown => {
    const value: unknown = Reflect.get(target, name, target);
    return typeof value === 'function' ? value.bind(target) : value;
  };
  const queue = new Proxy(device.queue, {
    get(target, name) {
      if (name === 'submit') return (buffers: GPUCommandBuffer[]): void => { happened.push('submit'); target.submit(buffers); arrive(behind - 1); };
      if (name === 'writeBuffer') happened.push('upload');
      return bound(target, name);
    },
  });
  return new Proxy(device, {
    get(target, name) {
      if (name === 'queue') return queue;
      if (name !== 'createBuffer') return bound(target, name);
      return (descriptor: GPUBufferDescriptor): GPUBuffer => {
        const made = target.createBuffer(descriptor);
        const map = made.mapAsync.bind(made);
        const late = async (mode: GPUMapModeFlags): Promise<undefined> => {
          const fence = new Promise<void>((resolve) => { fences.push(resolve); });
          if (fences.length === 1) watch(happened.length, 0);
          await Promise.all([map(mode), fence]);
          happened.push('arrival');
          return undefined;
        };
        Object.defineProperty(made, 'mapAsync', { value: late });
        return made;
      };
    },
  });
}

let opened: NullDevice;
const directory = mkdtempSync(join(tmpdir(), 'overlap-'));
beforeAll(async () => { opened = await nullDevice(); });
afterAll(() => {
  opened.close();
  rmSync(directory, { recursive: true, force: true });
});

it('keeps several steps under way and reads the next batch meanwhile', async () => {
  const loaded = loadProgram('m.ssl', memoryReader({ 'm.ssl': text }));
  expect(loaded.diagnostics).toEqual([]);
  const inputs = [{ name: 'x', element: 'u8' as const, shape: [16] }];
  const compiled = compileTraining(loaded, { model: null, set: {}, steps, resident: false, embedBatch: 8, target: softwareOptions, data: { examples: 64, classes: null, inputs } });
  const happened: Event[] = [];
  const session = await openGpuSession(slow(opened.device, happened), new GpuFailure(opened.device), compiled.plan, () => undefined);
  const examples = memorySplit(64, { x: new Uint8Array(64 * 16).fill(7) }, null);
  const split = { ...examples, rows: (...given: Parameters<typeof examples.rows>) => { happened.push('rows'); return examples.rows(...given); } };
  const data: DataSet = {
    info: { examples: 64, inputs, classes: null }, train: split, test: null, classNames: null, paired: false, skipped: { count: 0, names: [] }, warnings: [], description: 'sevens',
  };
  /** Of each step as it was reported, how many had been submitted by then. */
  const reported: { readonly step: number; readonly submitted: number }[] = [];
  let before = 0;
  await train({
    compiled, session, data, directory: join(directory, 'run'), seed: 1, resume: false, embeddingEvery: 0, checkpointSeconds: 1e9,
    events: (e) => {
      // The first checkpoint reads everything back: what follows is training alone.
      if (e.kind === 'checkpoint' && e.step === 0) { before = happened.length; }
      if (e.kind === 'step') reported.push({ step: e.step, submitted: happened.slice(before).filter((x) => x === 'submit').length });
    },
  });
  await session.close();

  expect(readMetrics(join(directory, 'run')).filter((l) => l.kind === 'step')).toHaveLength(steps);
  // One submit a step; a loss is read four steps late and costs none.
  for (const { step, submitted } of reported.slice(0, steps - 4)) expect(submitted - step).toBe(4);
  const training = happened.slice(before);
  const last = training.map((e, i) => (e === 'submit' ? i : -1)).filter((i) => i >= 0)[steps - 1];
  let underWay = 0;
  const waiting = { submit: [] as number[], upload: [] as number[], rows: [] as number[] };
  for (const event of training.slice(0, last + 1)) {
    expect(event).not.toBe('wait');
    if (event === 'arrival') underWay--;
    else if (event !== 'wait') waiting[event].push(underWay);
    if (event === 'submit') underWay++;
  }
  expect(waiting.submit).toHaveLength(steps);
  // Once begun, each step is queued behind others, and its examples were read and sent before those were done.
  for (const kind of ['submit', 'upload', 'rows'] as const) expect(Math.min(...waiting[kind].slice(kind === 'upload' ? 20 : 5)), kind).toBeGreaterThanOrEqual(2);
  expect(Math.max(...waiting.submit)).toBeLessThanOrEqual(4);
});
