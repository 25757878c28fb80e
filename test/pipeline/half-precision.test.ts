/** Mixed precision: training steps whose kernels hand each other 16-bit floats, counted and run. */
import { afterAll, describe, expect, it } from 'vitest';
import type { CompiledModel, TargetOptions } from '../../compiler/api.js';
import { compileTraining, loadProgram } from '../../compiler/pipeline.js';
import { interpretKernels } from '../../compiler/fuse/interpret-kernels.js';
import { isComputed, sizeOf } from '../../compiler/tensor/program.js';
import type { Device, HostArray, Session } from '../../runtime/device/device.js';
import { openCpuDevice } from '../../runtime/device/cpu/open-cpu-device.js';
import { expectClose } from '../kernels/tools.js';
import { memoryReader } from '../lower/harness.js';
import { exactOptions } from '../wasm/harness.js';
import { openTestDevice, softwareOptions } from '../wgsl/harness.js';
import { compile } from './steps.js';
import type { SmallModel } from './steps.js';

const cpu: TargetOptions = { ...exactOptions, half: true };
const model = (name: string, precision: 'f16' | 'f32', set: Readonly<Record<string, string>>): SmallModel => ({ name, inputs: ['x'], channels: 1, set: { ...set, precision } });
const small = { width: '8', hidden: '8', channels: '4' };
const scaleOf = (values: ReadonlyMap<string, HostArray>): number => values.get('precision.loss_scale')?.[0] ?? NaN;

describe('a step in mixed precision', () => {
  const peak = (c: CompiledModel): number => c.plan.entries['step'].peakBytes;

  it.each([['simclr', { channels: '16' }], ['byol', { channels: '16' }]] as const)('of %s takes half the memory, in about as many launches', (name, set) => {
    const [whole, half] = (['f32', 'f16'] as const).map((precision) => compile({ ...model(name, precision, set), side: 32 }, cpu));
    expect(peak(half)).toBeLessThan(0.56 * peak(whole));
    expect(half.plan.entries['step'].launches.length).toBeLessThanOrEqual(whole.plan.entries['step'].launches.length + 2);
    expect(peak(compile({ ...model(name, 'f16', set), side: 32 }, { ...cpu, disabled: ['half'] }))).toBeGreaterThan(0.95 * peak(whole));
  });

  it('keeps parameters, states, reports, statistics and parameters\' gradients whole, and all other programs', () => {
    const { kernels } = compile(model('byol', 'f16', small), cpu);
    const { program, kernels: step } = kernels['step'];
    const halves = new Set(program.tensors.filter((t) => t.element === 'f16').map((t) => t.id));
    expect(halves.size).toBeGreaterThan(10);
    for (const k of step) for (const s of k.stores) if (halves.has(s.tensor)) expect(['map', 'contract', 'online']).toContain(k.kind);
    for (const t of program.tensors) {
      if (t.element === 'f16') expect(isComputed(t) && sizeOf(t.shape) >= 2048, t.origin.name).toBe(true);
      if (t.kind === 'pack') expect(t.parts.filter((p) => halves.has(p))).toEqual([]);
    }
    for (const o of [...program.outputs.map((x) => x.tensor), ...program.updates.map((u) => u.value)]) expect(halves.has(o)).toBe(false);
    for (const name of ['init', 'embed']) expect(kernels[name].program.tensors.filter((t) => t.element === 'f16')).toEqual([]);
  });

  it('is refused where a device keeps no 16-bit floats', () => {
    expect(() => compile(model('simclr', 'f16', small), { ...cpu, half: false })).toThrow(/SSL4001.*16-bit floats/);
  });
});

/** A network of few kernels, for adapters that take long to compile one: its activations are large enough for 16 bits. */
function perceptron(precision: 'f16' | 'f32', target: TargetOptions): CompiledModel {
  const loaded = loadProgram('main.ssl', memoryReader({ 'main.ssl': `
use std.layers { linear, batch_norm }
use std.optimizers { adamw }
model m() {
  input x: u8[D]
  net f = linear(64) |> batch_norm |> relu |> linear(16)
  let z = f(x / 255)
  minimize spread: mean(z^4) - mean(z^2)
  represent z
}
train m { batch 32; optimizer adamw(rate: 0.01); precision "${precision}" }
` }));
  expect(loaded.diagnostics).toEqual([]);
  return compileTraining(loaded, { model: null, set: {}, steps: 8, resident: true, embedBatch: 4, target, data: { examples: 32, classes: null, inputs: [{ name: 'x', element: 'u8', shape: [48] }] } });
}

/** A session in which everything is drawn and step 1 can run, and what it holds. */
async function begin(device: Device, { plan, manifest }: CompiledModel): Promise<{ readonly session: Session; readonly state: () => Promise<Map<string, HostArray>> }> {
  const session = await device.load(plan);
  session.write('clock.seed', Int32Array.of(7));
  session.write('clock.step', Int32Array.of(0));
  session.write('data.x', Uint8Array.from({ length: sizeOf(plan.sources['data.x'].shape) }, (_, i) => 128 + 127 * Math.sin(0.7 * i + (i % 13))));
  await session.run('init');
  // The rate warms up from 0.
  session.write('clock.step', Int32Array.of(1));
  const order = Int32Array.from({ length: manifest.batch }, (_, i) => i);
  session.write('batch.order', order);
  if ('batch.example' in plan.sources) session.write('batch.example', order);
  const names = Object.keys(plan.sources).filter((n) => ['parameters', 'state'].includes(plan.sources[n].role));
  return { session, state: async () => new Map(await Promise.all(names.map(async (n) => [n, await session.readSource(n)] as const))) };
}

async function inputsOf(session: Session): Promise<Record<string, number[]>> {
  return Object.fromEntries(await Promise.all(Object.keys(session.plan.sources).map(async (n) => [n, Array.from(await session.readSource(n))] as const)));
}

async function expectHalfSteps(device: Device, compileAs: (precision: 'f16' | 'f32') => CompiledModel): Promise<void> {
  const compiled = compileAs('f16');
  const { session, state } = await begin(device, compiled);
  // Four examples have gradients too large for the first scale.
  session.write('precision.loss_scale', Float32Array.of(1024));
  const given = await inputsOf(session);
  const expected = interpretKernels(compiled.kernels['step'], Object.fromEntries(compiled.kernels['step'].program.tensors.flatMap((t) => (t.kind === 'source' ? [[t.name, given[t.name]]] : []))));
  const before = await state();
  await session.run('step');
  const reports = await session.readOutput('step', 'reports');
  // Sums in another order may round an activation to its neighbour, a 2,048th away.
  expectClose(reports, expected.outputs.get('reports') ?? new Float64Array(), 4e-3, 'reports');
  const after = await state();
  expect(scaleOf(after)).toBe(1024);
  expect(after.get('parameters')).not.toEqual(before.get('parameters'));

  // Beyond what 16 bits can hold: nothing is written but the scale.
  session.write('precision.loss_scale', Float32Array.of(2 ** 24));
  session.write('clock.step', Int32Array.of(2));
  const ready = await state();
  session.write('precision.loss_scale', Float32Array.of(2 ** 60));
  await session.run('step');
  const skipped = await state();
  for (const [name, value] of ready) if (!name.startsWith('precision.')) expect(skipped.get(name), name).toEqual(value);
  expect([scaleOf(skipped), skipped.get('precision.skipped_steps')?.[0], skipped.get('precision.good_steps')?.[0]]).toEqual([2 ** 59, 1, 0]);
  const told = await session.readOutput('step', 'reports');
  expect(Number.isFinite(told[compiled.manifest.reports.indexOf('gradient_norm')])).toBe(false);
  expect(Number.isFinite(told[0])).toBe(true);
  await session.close();

  // The same step without 16-bit floats; the targets agree on it, so one will do.
  if (device.kind === 'gpu') return;
  const whole = await begin(device, compileAs('f32'));
  await whole.session.run('step');
  expectClose((await whole.session.readOutput('step', 'reports')).slice(0, 4), Float64Array.from(reports.slice(0, 4)), 5e-3, 'reports in f32');
  await whole.session.close();
}

describe('a training step in mixed precision', () => {
  it('agrees on the CPU with the interpreter and with f32, and is skipped where it overflows', async () => {
    const device = await openCpuDevice({ threads: 1, exact: true });
    await expectHalfSteps(device, (precision) => compile(model('simclr', precision, small), cpu));
    await expectHalfSteps(device, (precision) => perceptron(precision, cpu));
    await device.close();
  });
});

const opened = await openTestDevice();
const reason = typeof opened === 'string' ? ` (skipped: ${opened})` : opened.limits.half === true ? '' : ' (skipped: the adapter has no shader-f16)';

describe.skipIf(reason !== '')(`a training step in mixed precision on an adapter${reason}`, () => {
  afterAll(async () => { if (typeof opened !== 'string') await opened.close(); });

  it('agrees with the interpreter and with f32, and is skipped where it overflows', async () => {
    if (typeof opened === 'string') throw new Error(opened);
    await expectHalfSteps(opened, (precision) => perceptron(precision, { ...softwareOptions, half: true }));
  }, 100_000);
});
