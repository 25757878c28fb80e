/** Small training steps of the bundled models: compiled for a target, run on a device, and compared with the float64 interpreter. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { CompiledModel, TargetOptions } from '../../compiler/api.js';
import { compileTraining, loadProgram } from '../../compiler/pipeline.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import type { ModelInput } from '../../compiler/plan/manifest.js';
import type { Device } from '../../runtime/device/device.js';
import { runStep, stepReports } from '../../runtime/train/run-step.js';
import { memoryReader } from '../lower/harness.js';
import { stepOf } from '../lower/training.js';
import type { Values } from '../lower/training.js';

const root = join(import.meta.dirname, '..', '..');
const examples = 12;
export const batch = 4;

/** A bundled model with settings that make it small. */
export interface SmallModel {
  readonly name: string;
  /** Under `models`, `vision` unless told. */
  readonly folder?: string;
  readonly inputs: readonly string[];
  readonly channels: number;
  /** Pixels a side, 16 unless told. */
  readonly side?: number;
  /** In the data, 12 unless told. */
  readonly examples?: number;
  readonly set: Readonly<Record<string, string>>;
  /** Text of the model and what stands there instead. */
  readonly change?: readonly [from: string, to: string];
  /** Inputs that are not one picture each. */
  readonly given?: readonly ModelInput[];
}

export const models: readonly SmallModel[] = [
  { name: 'simclr', inputs: ['x'], channels: 1, set: { width: '8', hidden: '8', channels: '2' } },
  { name: 'simclr', inputs: ['x'], channels: 3, set: { width: '8', hidden: '8', channels: '2' } },
  { name: 'vicreg', inputs: ['x'], channels: 1, set: { width: '8', hidden: '8', channels: '2' } },
  { name: 'barlow_twins', inputs: ['x'], channels: 1, set: { width: '8', channels: '2' } },
  { name: 'simsiam', inputs: ['x'], channels: 1, set: { width: '8', narrow: '4', channels: '2' } },
  { name: 'byol', inputs: ['x'], channels: 1, set: { width: '8', hidden: '8', channels: '2' } },
  { name: 'moco_v2', inputs: ['x'], channels: 1, set: { width: '8', hidden: '8', keys: '12', channels: '2' } },
  { name: 'sparse_prediction', folder: 'latent', inputs: ['x'], channels: 1, set: { width: '8', hidden: '8', slots: '3', rounds: '3', channels: '2' } },
  { name: 'discrete_prediction', folder: 'latent', inputs: ['x'], channels: 1, set: { width: '8', hidden: '8', codes: '4', channels: '2' } },
  { name: 'siamese', inputs: ['x'], channels: 1, set: { width: '8', hidden: '8', channels: '2' } },
  { name: 'triplet', inputs: ['x'], channels: 1, set: { width: '8', hidden: '8', channels: '2' } },
  { name: 'dcl', inputs: ['x'], channels: 1, set: { width: '8', hidden: '8', channels: '2', weighted: 'true' } },
  { name: 'nnclr', inputs: ['x'], channels: 1, set: { width: '8', hidden: '8', support: '12', channels: '2' } },
  { name: 'wmse', inputs: ['x'], channels: 1, set: { width: '2', hidden: '8', size: '4', eps: '0.1', channels: '2' } },
  { name: 'tico', inputs: ['x'], channels: 1, set: { width: '8', hidden: '8', channels: '2' } },
  { name: 'dino', inputs: ['x'], channels: 1, set: { width: '4', hidden: '8', outputs: '6', parts: '1', channels: '2' } },
  { name: 'lejepa', inputs: ['x'], channels: 1, set: { width: '3', hidden: '8', parts: '1', slices: '4', channels: '2' } },
  {
    name: 'two_rooms', folder: 'latent', inputs: ['x', 'action'], channels: 2, set: { width: '6', channels: '2', rollout: '2', horizon: '2', samples: '6', rounds: '1' },
    given: [{ name: 'x', element: 'u8', shape: [3, 16, 16, 2] }, { name: 'action', element: 'f32', shape: [2, 2] }],
  },
  { name: 'swav', inputs: ['x'], channels: 1, set: { width: '8', hidden: '8', prototypes: '6', queued: '6', parts: '1', queue_from: '0', channels: '2' } },
  { name: 'seer', inputs: ['x'], channels: 1, set: { width: '4', prototypes: '5', parts: '1', rounds: '2' } },
  { name: 'deepcluster_v2', inputs: ['x'], channels: 1, set: { width: '8', hidden: '8', k: '3', rounds: '2', channels: '2' } },
  { name: 'deeper_cluster', inputs: ['x'], channels: 1, set: { k: '4', supers: '2', rounds: '2', channels: '2' } },
  { name: 'clusterfit', inputs: ['x'], channels: 1, set: { k: '3', rounds: '2', channels: '2', grid: '1' } },
  // Its feature maps need pictures of that size.
  { name: 'emoji_pairs', inputs: ['x', 'y'], channels: 3, side: 32, set: { width: '8', channels: '2' } },
];

const joint: SmallModel = {
  name: 'simclr', inputs: ['x'], channels: 1, set: { width: '8', hidden: '8', channels: '2' },
  change: ['minimize  contrast: nt_xent(tau)(g(f(a)), g(f(b)))', 'let z = g(f(joint(a, b)))\n  minimize contrast: nt_xent(tau)(z[0], z[1])'],
};

/**
 * Batches in three chunks, batch norm seeing a chunk: a target that moves before the step and a queue; tables that a stage fills, and
 * prototypes; views that batch norm sees together.
 */
export const chunkedModels: readonly SmallModel[] = [...models.filter((m) => m.name === 'moco_v2' || m.name === 'deepcluster_v2'), joint].map(inChunks);

function inChunks(m: SmallModel): SmallModel {
  return { ...m, set: { ...m.set, virtual_batch: `${3 * batch}`, batch_norm: 'chunk' } };
}

/** Compiles `init`, `step` and `embed`; the file must have nothing wrong with it. */
export function compile(m: SmallModel, options: TargetOptions, resident = true): CompiledModel {
  const path = join(root, 'models', m.folder ?? 'vision', `${m.name}.ssl`);
  const text = readFileSync(path, 'utf8');
  expect(m.change === undefined || text.includes(m.change[0])).toBe(true);
  const loaded = loadProgram(path, memoryReader({ [path]: m.change === undefined ? text : text.replace(...m.change) }));
  expect(loaded.diagnostics).toEqual([]);
  return compileTraining(loaded, {
    model: null, set: { ...m.set, batch: `${batch}` }, steps: 8, resident, embedBatch: batch, target: options,
    data: { examples: m.examples ?? examples, classes: null, inputs: inputsOf(m) },
  });
}

function inputsOf(m: SmallModel): readonly ModelInput[] {
  const side = m.side ?? 16;
  return m.given ?? m.inputs.map((name) => ({ name, element: 'u8', shape: [side, side, m.channels] }));
}

/** Values that differ from place to place and from input to input. */
function valuesOf({ element, shape }: ModelInput, salt: number): Uint8Array | Float32Array {
  const wave = (i: number): number => Math.sin(0.7 * i * salt + (i % 13));
  const length = examples * sizeOf(shape);
  return element === 'u8' ? Uint8Array.from({ length }, (_, i) => 128 + 127 * wave(i)) : Float32Array.from({ length }, (_, i) => wave(i));
}

/** What a model is called in a test's title. */
export function titleOf(m: SmallModel): string {
  return `${m.name}, ${m.channels} channel${m.channels === 1 ? '' : 's'}${m.change === undefined ? '' : ', views together'}${'virtual_batch' in m.set ? ', in chunks' : ''}`;
}

/** Runs two steps on a device and in the interpreter, from the parameters the device drew, and compares reports and what was learned. */
export async function expectSameSteps(device: Device, compiled: CompiledModel, m: SmallModel): Promise<void> {
  const session = await device.load(compiled.plan);
  const { sources } = compiled.plan;
  session.write('clock.seed', new Int32Array([7]));
  session.write('clock.step', new Int32Array([0]));
  const data = inputsOf(m).map((input, k) => ({ name: `data.${input.name}`, values: valuesOf(input, k + 1) }));
  for (const { name, values: v } of data) session.write(name, v);
  await session.run('init');
  let values: Values = { 'clock.seed': [7] };
  for (const { name, values: v } of data) values[name] = v;
  const kept = Object.keys(sources).filter((name) => sources[name].role === 'parameters' || sources[name].role === 'state');
  for (const name of kept) values[name] = await session.readSource(name);
  for (let step = 0; step < 2; step++) {
    const size = compiled.manifest.batch;
    const order = Int32Array.from({ length: size }, (__, i) => (step * size + i) % examples);
    session.write('clock.step', new Int32Array([step]));
    session.write('batch.order', order);
    if ('batch.example' in sources) session.write('batch.example', order);
    await runStep(session, compiled.manifest);
    const reference = stepOf(compiled.programs, compiled.manifest, { ...values, 'clock.step': [step], 'batch.order': order, 'batch.example': order });
    values = reference.next;
    const reports = await session.readOutput(stepReports(compiled.manifest), 'reports');
    reference.reports.forEach((v, k) => expect(Math.abs(reports[k] - v), `${compiled.manifest.reports[k]} at step ${step}: ${reports[k]} and ${v}`).toBeLessThan(2e-3 * Math.max(1, Math.abs(v))));
  }
  for (const name of kept) expectNear(await session.readSource(name), values[name], name);
  await session.close();
}

/**
 * Close as a whole: the length of the difference against the length of the values. Single elements may differ more,
 * because optimizers divide by the size of a gradient that may be nearly zero.
 */
function expectNear(found: ArrayLike<number>, expected: ArrayLike<number>, name: string): void {
  let difference = 0;
  let length = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (found[i] - expected[i]) ** 2;
    length += expected[i] ** 2;
  }
  expect(Math.sqrt(difference), `distance between found and expected \`${name}\``).toBeLessThan(5e-3 * Math.max(1, Math.sqrt(length)));
}

/**
 * The same names and values, each within `tolerance` of the larger of 1 and itself; bit for bit when `tolerance` is 0. One
 * expectation for each tensor: millions of them take longer than what is tested.
 */
export function expectSameValues(found: ReadonlyMap<string, Float64Array>, expected: ReadonlyMap<string, Float64Array>, tolerance: number): void {
  expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, values] of expected) {
    const own = found.get(name) ?? [];
    expect(own.length, name).toBe(values.length);
    const same = (v: number, i: number): boolean => (tolerance === 0 ? Object.is(v, own[i]) : Math.abs(v - own[i]) < tolerance * Math.max(1, Math.abs(v)));
    const wrong = values.findIndex((v, i) => !same(v, i));
    expect(wrong, `${name}[${wrong}]: ${own[wrong]} and ${values[wrong]}`).toBe(-1);
  }
}
