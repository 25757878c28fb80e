/**
 * Whole training steps of the bundled models, small: the CPU target and, where an adapter is found, the generated WGSL against the
 * float64 interpreter of the same tensor programs.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CompiledModel, TargetOptions } from '../../compiler/api.js';
import { compileTraining, loadProgram } from '../../compiler/pipeline.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import type { Program } from '../../compiler/tensor/program.js';
import type { Device } from '../../runtime/device/device.js';
import { openCpuDevice } from '../../runtime/device/cpu/open-cpu-device.js';
import { memoryReader } from '../lower/harness.js';

const root = join(import.meta.dirname, '..', '..');
const examples = 12;
const batch = 4;
const side = 16;

const target: TargetOptions = {
  target: 'wasm', maxBindingBytes: 2 ** 32, maxBindings: 1000, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 32768,
  subgroups: false, software: false, threads: 2, relaxedSimd: false, disabled: [],
};

const models: readonly { readonly name: string; readonly inputs: readonly string[]; readonly channels: number; readonly set: Readonly<Record<string, string>> }[] = [
  { name: 'simclr', inputs: ['x'], channels: 1, set: { width: '8', hidden: '8', channels: '2' } },
  { name: 'simclr', inputs: ['x'], channels: 3, set: { width: '8', hidden: '8', channels: '2' } },
  { name: 'vicreg', inputs: ['x'], channels: 1, set: { width: '8', channels: '2' } },
  { name: 'barlow_twins', inputs: ['x'], channels: 1, set: { width: '8', channels: '2' } },
  { name: 'simsiam', inputs: ['x'], channels: 1, set: { width: '8', narrow: '4', channels: '2' } },
  { name: 'byol', inputs: ['x'], channels: 1, set: { width: '8', hidden: '8', channels: '2' } },
  { name: 'moco_v2', inputs: ['x'], channels: 1, set: { width: '8', hidden: '8', keys: '12', channels: '2' } },
  { name: 'emoji_pairs', inputs: ['x', 'y'], channels: 3, set: { width: '8', hidden: '8', channels: '2' } },
];

function compile(m: (typeof models)[number], options: TargetOptions): CompiledModel {
  const loaded = loadProgram(join(root, 'models', 'vision', `${m.name}.ssl`), memoryReader({}));
  expect(loaded.diagnostics).toEqual([]);
  return compileTraining(loaded, {
    model: null, set: { ...m.set, batch: `${batch}` }, steps: 8, resident: true, embedBatch: batch, target: options,
    data: { examples, classes: null, inputs: m.inputs.map((name) => ({ name, element: 'u8', shape: [side, side, m.channels] })) },
  });
}

function pixels(m: (typeof models)[number], salt: number): Uint8Array {
  return Uint8Array.from({ length: examples * side * side * m.channels }, (_, i) => 128 + 127 * Math.sin(0.7 * i * salt + (i % 13)));
}

type Values = Record<string, ArrayLike<number>>;

function interpretStep(program: Program, values: Values): { reports: Float64Array; next: Values } {
  const given: Record<string, Float64Array> = {};
  for (const t of program.tensors) if (t.kind === 'source') given[t.name] = t.name in values ? Float64Array.from(values[t.name]) : new Float64Array(sizeOf(t.shape));
  const out = interpret(program, given);
  return { reports: out.outputs.get('reports') ?? new Float64Array(0), next: { ...values, ...Object.fromEntries(out.sources) } };
}

describe('a training step', () => {
  let device: Device;
  beforeAll(async () => { device = await openCpuDevice({ threads: 2, exact: true }); });
  afterAll(async () => { await device.close(); });

  it.each(models.map((m) => [`${m.name}, ${m.channels} channel${m.channels === 1 ? '' : 's'}`, m] as const))('of %s agrees with the interpreter', async (_, m) => {
    const compiled = compile(m, target);
    const session = await device.load(compiled.plan);
    const has = (name: string): boolean => name in compiled.plan.sources;
    session.write('clock.seed', new Int32Array([7]));
    session.write('clock.step', new Int32Array([0]));
    m.inputs.forEach((name, k) => session.write(`data.${name}`, pixels(m, k + 1)));
    await session.run('init');
    let values: Values = { 'clock.seed': [7] };
    m.inputs.forEach((name, k) => { values[`data.${name}`] = pixels(m, k + 1); });
    for (const name of Object.keys(compiled.plan.sources)) {
      const role = compiled.plan.sources[name].role;
      if (role === 'parameters' || role === 'state') values[name] = await session.readSource(name);
    }
    for (let step = 0; step < 2; step++) {
      const order = Int32Array.from({ length: batch }, (__, i) => (step * batch + i) % examples);
      session.write('clock.step', new Int32Array([step]));
      session.write('batch.order', order);
      if (has('batch.example')) session.write('batch.example', order);
      await session.run('step');
      const reference = interpretStep(compiled.programs['step'], { ...values, 'clock.step': [step], 'batch.order': order, 'batch.example': order });
      values = reference.next;
      const reports = await session.readOutput('step', 'reports');
      reference.reports.forEach((v, k) => expect(Math.abs(reports[k] - v), `${compiled.manifest.reports[k]} at step ${step}: ${reports[k]} and ${v}`).toBeLessThan(2e-3 * Math.max(1, Math.abs(v))));
    }
    await session.close();
  }, 120_000);
});

describe('a plan', () => {
  it('is the same, byte for byte, when it is made again', () => {
    const m = models[0];
    expect(JSON.stringify(compile(m, target).plan)).toBe(JSON.stringify(compile(m, target).plan));
  });

  it('never holds the matrix of similarities', () => {
    const m = { ...models[0], set: { ...models[0].set } };
    const compiled = compile(m, target);
    const kernels = compiled.kernels['step'];
    const side2 = 2 * batch;
    const square = kernels.materialized.filter((id) => kernels.program.tensors[id].shape.join() === `${side2},${side2}`);
    // width 8 = 2 * batch here, so the embeddings themselves have that shape; only a product of two of them would be named `s`
    expect(square.map((id) => kernels.program.tensors[id].origin.name).filter((n) => /(^|\.)s$/.test(n))).toEqual([]);
  });
});
