/**
 * sslc as a peer: `node sslc.mjs cpu` or with a device that `sslc --device` takes; `f16` after it: training steps in that precision, and nothing
 * else; `tuned` after both: with the schedules that were measured to be fastest for each work's kernels.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CompiledCall, LoadedProgram, Reader, TargetOptions } from '../../compiler/api.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { compileCall, compileTraining, loadProgram } from '../../compiler/pipeline.js';
import { openDevice } from '../../runtime/device/select.js';
import type { Device, Session } from '../../runtime/device/device.js';
import type { Manifest } from '../../compiler/plan/manifest.js';
import type { Plan } from '../../compiler/plan/plan.js';
import { tunables } from '../../compiler/plan/tuning.js';
import { measureByClock, tuneKernels } from '../../runtime/tune/tune-kernels.js';
import { targetOf } from '../../cli/device.js';
import { fill, inputValues, parameterSpecs } from '../values.js';
import type { ParameterSpec } from '../values.js';
import type { Work } from '../works.js';
import type { ClassCost, Runnable } from './serve.js';
import { serve } from './serve.js';

const root = process.cwd();
const [choice = 'cpu', precision = 'f32', tuned = ''] = process.argv.slice(2);
const text = (path: string): string | null => (existsSync(path) ? readFileSync(path, 'utf8') : null);
const reader: Reader = { read: text, resolve: () => null, library: (name) => join(root, 'models', `${name.replaceAll('.', '/')}.ssl`) };

function load(file: string): LoadedProgram {
  const loaded = loadProgram(join(root, 'bench', 'works', `${file}.ssl`), reader);
  if (loaded.diagnostics.length > 0) throw new Error(loaded.diagnostics[0].title);
  return loaded;
}

/** The target with the fastest schedules of the kernels of an entry, where that is asked for. */
async function tunedTarget(device: Device, kernels: KernelProgram): Promise<TargetOptions> {
  const target = targetOf(device);
  if (tuned === '') return target;
  const found = await tuneKernels(device, tunables({ [kernels.name]: kernels }, target), { rounds: 5, measure: measureByClock, signal: new AbortController().signal, found: () => Promise.resolve() });
  return { ...target, schedules: Object.fromEntries(found.map((r) => [r.tunable.key, r.winner])) };
}

function compileStep(work: Extract<Work, { kind: 'step' }>, target: TargetOptions) {
  return compileTraining(load(work.file), {
    model: null, set: { batch: `${work.batch}`, precision }, steps: 100, resident: true, embedBatch: work.batch, target,
    data: { examples: work.batch, classes: null, inputs: Object.entries(work.inputs).map(([name, { element, shape }]) => ({ name, element, shape })) },
  });
}

/** What a step trains, without slow copies of it. */
const trained = ({ parameters }: Manifest): Manifest['parameters'] => parameters.filter((p) => !p.arena.startsWith('target.'));

function writeParameters(session: Session, places: Manifest['parameters'], parameters: readonly ParameterSpec[]): void {
  for (const p of parameters) {
    const place = places.find((a) => a.path === p.path);
    if (place !== undefined) session.write(place.arena, fill(p), place.offset);
  }
}

/** Runs each launch of an entry alone, once and often in one go: the difference leaves out what a run costs by itself. */
async function profileEntry(device: Device, plan: Plan, entry: string, fill: (session: Session) => Promise<void>): Promise<readonly ClassCost[]> {
  const often = 33;
  const { launches } = plan.entries[entry];
  const alone = (copies: number) => Object.fromEntries(launches.map((launch, k) => [`${copies} of ${k}`, { ...plan.entries[entry], name: `${copies} of ${k}`, launches: Array.from({ length: copies }, () => launch) }]));
  const session = await device.load({ ...plan, entries: { ...plan.entries, ...alone(1), ...alone(often) } });
  try {
    await fill(session);
    const timed = async (name: string): Promise<number> => {
      const started = performance.now();
      await session.run(name);
      await session.finish();
      return performance.now() - started;
    };
    const least = async (name: string): Promise<number> => Math.min(await timed(name), await timed(name), await timed(name));
    const classes = new Map<string, { ms: number; each: ClassCost['each'][number][] }>();
    for (const [k, launch] of launches.entries()) {
      await timed(`1 of ${k}`);
      const once = await least(`1 of ${k}`);
      const ms = once > 10 ? once : Math.max(1e-4, ((await least(`${often} of ${k}`)) - once) / (often - 1));
      const sums = classes.get(launch.class) ?? { ms: 0, each: [] };
      sums.ms += ms;
      sums.each.push({ ms, flops: launch.cost.flops, bytes: launch.cost.bytesRead + launch.cost.bytesWritten, idealBytes: launch.cost.idealBytes });
      classes.set(launch.class, sums);
    }
    return [...classes].map(([name, { ms, each }]) => ({ class: name, launches: each.length, ms, each })).sort((a, b) => b.ms - a.ms);
  } finally {
    await session.close();
  }
}

async function prepareStep(device: Device, work: Extract<Work, { kind: 'step' }>, parameters: readonly ParameterSpec[]): Promise<Runnable> {
  const started = performance.now();
  const { plan, manifest } = compileStep(work, await tunedTarget(device, compileStep(work, targetOf(device)).kernels['step']));
  const session = await device.load(plan);
  const compileMs = performance.now() - started;
  const fillSources = async (to: Session): Promise<void> => {
    to.write('clock.seed', Int32Array.of(0));
    to.write('clock.step', Int32Array.of(0));
    await to.run('init');
    writeParameters(to, trained(manifest), parameters);
    Object.entries(work.inputs).forEach(([name, input], k) => { to.write(`data.${name}`, inputValues(input, work.batch, 1 + k)); });
    const order = Int32Array.from({ length: work.batch }, (_, i) => i);
    for (const name of ['batch.order', 'batch.example']) if (name in plan.sources) to.write(name, order);
  };
  await fillSources(session);
  let step = 0;
  const run = async (): Promise<void> => {
    session.write('clock.step', Int32Array.of(step++));
    await session.run('step');
    await session.finish();
  };
  const check: number[] = [];
  for (let k = 0; k < 2; k++) {
    await run();
    check.push((await session.readOutput('step', 'reports'))[0]);
  }
  return { prepared: { check, compileMs, launches: plan.entries['step'].launches.length }, run, close: () => session.close(), profile: () => profileEntry(device, plan, 'step', fillSources) };
}

async function prepareOperation(device: Device, work: Extract<Work, { kind: 'operation' }>): Promise<Runnable> {
  const started = performance.now();
  const compile = (target: TargetOptions): CompiledCall => compileCall(load('operations'), { name: work.call, set: work.set, inputs: work.inputs, gradients: work.gradients, training: true, target });
  const compiled = compile(await tunedTarget(device, compile(targetOf(device)).kernels['call']));
  const session = await device.load(compiled.plan);
  const compileMs = performance.now() - started;
  for (const clock of ['clock.seed', 'clock.step']) if (clock in compiled.plan.sources) session.write(clock, Int32Array.of(0));
  await session.run('init');
  Object.entries(work.inputs).forEach(([name, input], k) => {
    if (`input.${name}` in compiled.plan.sources) session.write(`input.${name}`, inputValues(input, 1, 1 + k));
  });
  const run = async (): Promise<void> => {
    await session.run('call');
    await session.finish();
  };
  await run();
  const check: number[] = [];
  for (const name of compiled.outputs) {
    let sum = 0;
    for (const v of await session.readOutput('call', name)) sum += v * v;
    check.push(sum);
  }
  return { prepared: { check, compileMs, launches: compiled.plan.entries['call'].launches.length }, run, close: () => session.close() };
}

const device = await openDevice(choice).catch((error: unknown) => {
  // Said as an answer, so that the benchmark can say it to whoever started it.
  process.stdout.write(`${JSON.stringify({ error: error instanceof Error ? error.message : String(error) })}\n`);
  return process.exit(3);
});
await serve({
  name: `sslc (${device.name})`,
  gpu: device.kind === 'gpu' && !device.limits.software,
  half: device.limits.half === true,
  parameters: (work) => Promise.resolve(work.kind === 'operation' ? [] : parameterSpecs(trained(compileStep(work, targetOf(device)).manifest))),
  prepare: (work, parameters) => (work.kind === 'step' ? prepareStep(device, work, parameters) : precision === 'f32' ? prepareOperation(device, work) : Promise.resolve(null)),
});
await device.close();
