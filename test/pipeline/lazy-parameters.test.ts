/** Steps with lazy parameters on both targets, against the float64 interpreter; and that a run goes on bit for bit from what a checkpoint keeps. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CompiledModel, TargetOptions } from '../../compiler/api.js';
import { compileTraining } from '../../compiler/pipeline.js';
import type { Device, HostArray, Session } from '../../runtime/device/device.js';
import { openCpuDevice } from '../../runtime/device/cpu/open-cpu-device.js';
import { readState, writeState } from '../../runtime/train/run-state.js';
import { runStep, stepReports } from '../../runtime/train/run-step.js';
import { expectClose } from '../kernels/tools.js';
import { batch, contexts, skipgram, steps, training, words } from '../lower/skipgram.js';
import { stepOf } from '../lower/training.js';
import type { Values } from '../lower/training.js';
import { exactOptions } from '../wasm/harness.js';
import { gpuOptions, openTestDevice, softwareOptions } from '../wgsl/harness.js';

const group = 'group inside, outside { lazy true }';
const cases = [
  ['sgd(rate: 0.5)', ''], ['rowwise_adagrad(rate: 0.1)', ''], ['adam(rate: 0.1)', ''], ['lamb(rate: 0.1, skip: [])', ''],
  ['adagrad(rate: 0.1)', 'net h = dense(2)\n  minimize small: mean(h(inside[word])^2)'],
] as const;

function compile(optimizer: string, more: string, target: TargetOptions, others = ''): CompiledModel {
  const { loaded, options } = training(skipgram(`optimizer ${optimizer}\n${group}\n${others}`, optimizer.slice(0, optimizer.indexOf('(')), more), target);
  return compileTraining(loaded, options);
}

/** Chunks of two of the four examples of a batch, with a network that reads rows too. */
function inChunks(target: TargetOptions): CompiledModel {
  const text = skipgram(`optimizer adagrad(rate: 0.1)\nvirtual_batch ${batch}\n${group}`, 'adagrad', 'net h = dense(2)\n  minimize small: mean(h(inside[word])^2)');
  const { loaded, options } = training(text, target, { batch: '2' });
  return compileTraining(loaded, options);
}

async function open(device: Device, { plan }: CompiledModel): Promise<Session> {
  const session = await device.load(plan);
  session.write('clock.seed', Int32Array.of(3));
  session.write('data.word', Int32Array.from(words));
  session.write('data.context', Int32Array.from(contexts));
  return session;
}

async function step(session: Session, number: number, { manifest }: Pick<CompiledModel, 'manifest'>): Promise<Int32Array> {
  const order = Int32Array.from({ length: batch }, (_, i) => number * batch + i);
  session.write('clock.step', Int32Array.of(number));
  session.write('batch.order', order);
  session.write('batch.example', order);
  await runStep(session, manifest);
  return order;
}

const kept = ({ plan }: CompiledModel): readonly string[] => Object.keys(plan.sources).filter((n) => ['parameters', 'state'].includes(plan.sources[n].role));

async function expectSteps(device: Device, compiled: CompiledModel): Promise<void> {
  const session = await open(device, compiled);
  await session.run('init');
  let values: Values = { 'clock.seed': [3], 'data.word': words, 'data.context': contexts };
  for (const name of kept(compiled)) values[name] = await session.readSource(name);
  for (let number = 0; number < steps; number++) {
    const order = await step(session, number, compiled);
    const { reports, next } = stepOf(compiled.programs, compiled.manifest, { ...values, 'clock.step': [number], 'batch.order': order, 'batch.example': order });
    expectClose(await session.readOutput(stepReports(compiled.manifest), 'reports'), reports, 1e-4, `reports of step ${number}`);
    values = next;
  }
  for (const name of kept(compiled)) expectClose(await session.readSource(name), Float64Array.from(values[name]), 2e-4, name);
  await session.close();
}

describe('lazy parameters', () => {
  let device: Device;
  beforeAll(async () => { device = await openCpuDevice({ threads: 2, exact: true }); });
  afterAll(async () => { await device.close(); });

  it.each(cases)('on the CPU: %s %s', async (optimizer, more) => {
    await expectSteps(device, compile(optimizer, more, exactOptions));
  });

  it('on the CPU under a virtual batch', async () => {
    await expectSteps(device, inChunks(exactOptions));
  });

  it('on the CPU in mixed precision: a step that overflows writes no row', async () => {
    const compiled = compile('adam(rate: 0.1)', '', { ...exactOptions, half: true }, 'precision "f16"');
    await expectSteps(device, compiled);
    const session = await open(device, compiled);
    await session.run('init');
    await step(session, 0, compiled);
    const rows = async (): Promise<HostArray[]> => Promise.all(kept(compiled).filter((n) => !n.startsWith('precision.')).map(async (n) => (await session.readSource(n)).slice()));
    const before = await rows();
    session.write('precision.loss_scale', Float32Array.of(3e38));
    session.write('parameters.inside', (await session.readSource('parameters.inside')).map((x) => 100 * x));
    const ready = await rows();
    await step(session, 1, compiled);
    expect(await rows()).toEqual(ready);
    expect(ready).not.toEqual(before);
    await session.close();
  });

  it('go on from a checkpoint bit for bit, and by any number of threads', async () => {
    const compiled = compile('adam(rate: 0.1)', cases[4][1], exactOptions);
    const states = async (session: Session): Promise<readonly HostArray[]> => Promise.all(kept(compiled).map(async (n) => (await session.readSource(n)).slice()));
    const one = await openCpuDevice({ threads: 1, exact: true });
    const [first, second] = [await open(device, compiled), await open(one, compiled)];
    await first.run('init');
    await step(first, 0, compiled);
    const saved = await readState(first, compiled.manifest);
    expect([...saved.keys()].filter((n) => n.startsWith('param.')).sort()).toEqual(['param.h.b', 'param.h.w', 'param.inside', 'param.outside']);
    await step(first, 1, compiled);
    writeState(second, compiled.manifest, saved, 'checkpoint');
    await step(second, 1, compiled);
    expect(await states(second)).toEqual(await states(first));
    await first.close();
    await second.close();
    await one.close();
  });
});

const opened = await openTestDevice();

describe.skipIf(typeof opened === 'string')(`lazy parameters on an adapter${typeof opened === 'string' ? `: ${opened}` : ''}`, () => {
  afterAll(async () => { if (typeof opened !== 'string') await opened.close(); });
  it.each(cases.slice(0, 3).flatMap(([optimizer, more]) => [softwareOptions, gpuOptions].map((target) => [optimizer, target.software ? 'software' : 'GPU', more, target] as const)))('%s, schedules of a %s', async (optimizer, _, more, target) => {
    if (typeof opened !== 'string') await expectSteps(opened, compile(optimizer, more, target));
  }, 120_000);

  it.each([['software', softwareOptions], ['GPU', gpuOptions]] as const)('under a virtual batch, schedules of a %s', async (_, target) => {
    if (typeof opened !== 'string') await expectSteps(opened, inChunks(target));
  }, 120_000);
});
