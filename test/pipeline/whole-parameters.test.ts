/** Steps of optimizers that take norms of whole parameters, on both targets, against the float64 interpreter. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CompiledModel, TargetOptions } from '../../compiler/api.js';
import { compileTraining, loadProgram } from '../../compiler/pipeline.js';
import type { Device } from '../../runtime/device/device.js';
import { openCpuDevice } from '../../runtime/device/cpu/open-cpu-device.js';
import { memoryReader } from '../lower/harness.js';
import { exactOptions } from '../wasm/harness.js';
import { gpuOptions, openTestDevice, softwareOptions } from '../wgsl/harness.js';
import { batch, expectSameSteps } from './steps.js';

/** One parameter of more than a piece, others of less than a block. */
const text = (optimizer: string, others = ''): string => `
use std.layers { linear }
use std.optimizers { lars, lamb, rowwise_adagrad }
use std.schedules { cosine }
model m() {
  input x: u8[D]
  net f = linear(70) |> relu |> linear(5)
  target t = ema(f, 0.9)
  minimize near: mean((f(x / 255) - 1)^2) + 0.1 * mean((f(x / 255) - t(x / 255))^2)
  represent f(x / 255)
}
train m { batch ${batch}; optimizer ${optimizer}; ${others} }`;

const cases = [
  ['lars(rate: 0.3, decay: 1e-3)', ''],
  ['lamb(rate: 0.05)', ''],
  ['lars(rate: 0.3, decay: 1e-3, variant: "clip", skip: [])', 'schedule cosine(); group bias { rate 0.05 }'],
  ['lamb(rate: 0.05, skip: [linear1])', `virtual_batch ${2 * batch}`],
  ['lars(rate: 0.3)', 'precision "f16"'],
  ['rowwise_adagrad(rate: 0.3)', ''],
] as const;

function compile(optimizer: string, others: string, target: TargetOptions): CompiledModel {
  const loaded = loadProgram('main.ssl', memoryReader({ 'main.ssl': text(optimizer, others) }));
  expect(loaded.diagnostics).toEqual([]);
  return compileTraining(loaded, { model: null, set: {}, steps: 8, resident: true, embedBatch: batch, target, data: { examples: 12, classes: null, inputs: [{ name: 'x', element: 'u8', shape: [64] }] } });
}

const model = { name: 'm', inputs: ['x'], channels: 1, set: {}, given: [{ name: 'x', element: 'u8', shape: [64] }] } as const;

describe('norms of whole parameters', () => {
  let device: Device;
  beforeAll(async () => { device = await openCpuDevice({ threads: 2, exact: true }); });
  afterAll(async () => { await device.close(); });
  it.each(cases)('on the CPU: %s %s', async (optimizer, others) => {
    await expectSameSteps(device, compile(optimizer, others, { ...exactOptions, half: true }), model);
  }, 60_000);
});

const opened = await openTestDevice();

describe.skipIf(typeof opened === 'string')(`norms of whole parameters on an adapter${typeof opened === 'string' ? `: ${opened}` : ''}`, () => {
  afterAll(async () => { if (typeof opened !== 'string') await opened.close(); });
  it.each(cases.slice(0, 3).flatMap(([optimizer, others]) => [softwareOptions, gpuOptions].map((target) => [optimizer, others, target.software ? 'software' : 'GPU', target] as const)))('%s %s, schedules of a %s', async (optimizer, others, _, target) => {
    if (typeof opened !== 'string') await expectSameSteps(opened, compile(optimizer, others, target), model);
  }, 120_000);
});
