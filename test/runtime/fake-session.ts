/**
 * A session without a device: a linear encoder pulled towards a random target by plain arithmetic, with a momentum
 * buffer, so that its losses depend on every piece of state, on the step, the seed and the order of examples.
 */
import type { CompiledModel, TrainingSpec } from '../../compiler/api.js';
import type { Manifest } from '../../compiler/plan/manifest.js';
import type { Plan, Slot } from '../../compiler/plan/plan.js';
import type { HostArray, Session } from '../../runtime/device/device.js';
import { memorySplit, type DataSet } from '../../runtime/data/data-set.js';
import { splitMix } from '../../runtime/train/data-order.js';

export const inputSize = 16;
export const width = 4;

export interface FakeOptions {
  readonly steps: number;
  readonly batch?: number;
  readonly streamed?: boolean;
  readonly every?: TrainingSpec['every'];
  /** The step (from 0) whose loss is NaN. */
  readonly nanAt?: number;
  /** The loss scale of each step, whose gradient is not finite at step `overflowAt`. */
  readonly scale?: number;
  readonly overflowAt?: number;
}

export function toyData(examples = 64, classes = 4): DataSet {
  const next = splitMix(5);
  const make = (count: number): { x: Uint8Array; labels: Int32Array } => {
    const x = new Uint8Array(count * inputSize);
    const labels = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      labels[i] = i % classes;
      for (let p = 0; p < inputSize; p++) x[i * inputSize + p] = (p % classes === labels[i] ? 180 : 20) + (next() % 60);
    }
    return { x, labels };
  };
  const train = make(examples);
  const test = make(examples / 2);
  return {
    info: { examples, inputs: [{ name: 'x', element: 'u8', shape: [4, 4, 1] }], classes },
    train: memorySplit(examples, { x: train.x }, train.labels),
    test: memorySplit(examples / 2, { x: test.x }, test.labels),
    classNames: ['a', 'b', 'c', 'd'].slice(0, classes), paired: false, skipped: { count: 0, names: [] }, warnings: [], description: 'toy',
  };
}

export function fakeModel(options: FakeOptions, data: DataSet): { readonly compiled: Pick<CompiledModel, 'training' | 'manifest'>; readonly session: Session; readonly log: string[] } {
  const batch = options.batch ?? 8;
  const embedBatch = 12;
  const slot = (shape: readonly number[], element: Slot['element']): Slot => ({ arena: 0, offset: 0, bytes: 0, element, shape });
  const sources: Record<string, Plan['sources'][string]> = {
    'clock.seed': { ...slot([], 'i32'), role: 'clock' },
    'clock.step': { ...slot([], 'i32'), role: 'clock' },
    'batch.example': { ...slot([batch], 'i32'), role: 'batch' },
    'embed.x': { ...slot([embedBatch, 4, 4, 1], 'u8'), role: 'batch' },
    parameters: { ...slot([128], 'f32'), role: 'parameters' },
    'optimizer.momentum': { ...slot([128], 'f32'), role: 'state' },
    'state.counter': { ...slot([1], 'i32'), role: 'state' },
  };
  if (options.streamed === true) sources['batch.x'] = { ...slot([batch, 4, 4, 1], 'u8'), role: 'batch' };
  else {
    sources['data.x'] = { ...slot([data.train.examples, 4, 4, 1], 'u8'), role: 'data' };
    sources['batch.order'] = { ...slot([batch], 'i32'), role: 'batch' };
  }
  const plan: Plan = { version: 1, arenas: [], sources, entries: {}, code: { target: 'wasm', binary: '', bases: [], memoryBytes: 0, scratchBase: 0, scratchBytes: 0, relaxed: false } };
  const manifest: Manifest = {
    model: 'toy', settings: { width }, inputs: [{ name: 'x', element: 'u8', shape: [4, 4, 1] }],
    parameters: [{ path: 'f.linear1.w', arena: 'parameters', offset: 0, shape: [inputSize, width] }, { path: 'f.linear1.b', arena: 'parameters', offset: 64, shape: [width] }],
    targets: [], states: [], stages: [], objectives: [{ name: 'pull', role: 'minimize' }], monitors: [], codes: [], views: [], compared: [], trivial: null, reports: ['loss', 'pull', 'rate', ...(options.scale === undefined ? [] : ['gradient_norm', 'loss_scale'])], batch, chunk: batch, embedBatch, embeddingSize: width, steps: options.steps,
  };
  const training: TrainingSpec = { model: 'toy', settings: { width }, data: null, batch, chunk: batch, batchNorm: null, epochs: null, steps: options.steps, seed: 0, activations: 'keep', precision: 'f32', every: options.every ?? [] };

  const memory: Record<string, HostArray> = {};
  for (const [name, source] of Object.entries(sources)) {
    const length = source.shape.reduce((a, b) => a * b, 1);
    memory[name] = source.element === 'f32' ? new Float32Array(length) : source.element === 'u8' ? new Uint8Array(length) : new Int32Array(length);
  }
  const outputs: Record<string, Float32Array> = {};
  const log: string[] = [];
  const encode = (x: HostArray, row: number): number[] => Array.from({ length: width }, (_, o) => {
    let sum = memory['parameters'][64 + o];
    for (let i = 0; i < inputSize; i++) sum += (x[row * inputSize + i] / 255) * memory['parameters'][i * width + o];
    return sum;
  });
  const entries: Record<string, () => void> = {
    init: () => {
      const next = splitMix(memory['clock.seed'][0]);
      memory['parameters'].fill(0);
      for (let i = 0; i < inputSize * width; i++) memory['parameters'][i] = next() / 2 ** 32 - 0.5;
      memory['optimizer.momentum'].fill(0);
      memory['state.counter'].fill(0);
    },
    step: () => {
      const next = splitMix(memory['clock.seed'][0] * 7919 + memory['clock.step'][0]);
      const gradient = new Float32Array(128);
      let loss = 0;
      for (let i = 0; i < batch; i++) {
        const x = options.streamed === true ? memory['batch.x'] : memory['data.x'];
        const row = options.streamed === true ? i : memory['batch.order'][i];
        const z = encode(x, row);
        z.forEach((v, o) => {
          const wanted = ((memory['batch.example'][i] % width) === o ? 1 : 0) + 0.1 * (next() / 2 ** 32);
          loss += (v - wanted) ** 2 / batch;
          for (let p = 0; p < inputSize; p++) gradient[p * width + o] += (2 * (v - wanted) * x[row * inputSize + p]) / 255 / batch;
          gradient[64 + o] += (2 * (v - wanted)) / batch;
        });
      }
      const rate = 0.05 * (1 - memory['clock.step'][0] / options.steps);
      for (let i = 0; i < 128; i++) {
        memory['optimizer.momentum'][i] = 0.5 * memory['optimizer.momentum'][i] + gradient[i];
        memory['parameters'][i] -= rate * memory['optimizer.momentum'][i];
      }
      memory['state.counter'][0]++;
      if (memory['clock.step'][0] === options.nanAt) loss = NaN;
      const scaled = options.scale === undefined ? [] : [memory['clock.step'][0] === options.overflowAt ? Infinity : 1, options.scale];
      outputs['step.reports'] = Float32Array.of(loss, loss, rate, ...scaled);
    },
    embed: () => {
      const out = new Float32Array(embedBatch * width);
      for (let i = 0; i < embedBatch; i++) out.set(encode(memory['embed.x'], i), i * width);
      outputs['embed.embedding'] = out;
    },
  };
  const session: Session = {
    plan,
    write: (source, values, offset = 0) => {
      if (!(source in memory)) throw new Error(`no source ${source}`);
      memory[source].set(values, offset);
    },
    run: async (entry) => {
      log.push(entry);
      entries[entry]();
    },
    readSource: async (source) => memory[source].slice(),
    readOutput: async (entry, output) => outputs[`${entry}.${output}`].slice(),
    finish: async () => undefined,
    close: async () => undefined,
  };
  return { compiled: { training, manifest }, session, log };
}
