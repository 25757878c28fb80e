/**
 * The bundled models' training, small, as WGSL. All of it is checked by Dawn's null backend, which needs no driver, with the schedules
 * of GPUs and of software adapters; where an adapter is found, whole steps run on it and agree with the float64 interpreter.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TargetOptions } from '../../compiler/api.js';
import { gpuOptions, lanesOptions, openTestDevice, softwareOptions, subgroupOptions } from '../wgsl/harness.js';
import type { NullDevice } from './null-device.js';
import { acceptModules, nullDevice } from './null-device.js';
import { chunkedModels, compile, expectSameSteps, models, titleOf } from './steps.js';

const opened = await openTestDevice();
const reason = typeof opened === 'string' ? ` (skipped: ${opened})` : '';

describe('the WGSL of a training', () => {
  let checker: NullDevice;
  beforeAll(async () => { checker = await nullDevice(); });
  afterAll(() => checker.close());

  // Software adapters with and without subgroups, by turns.
  const schedules = (k: number): readonly (readonly [string, TargetOptions])[] => [['a GPU', gpuOptions], ['a software adapter', k % 2 === 0 ? lanesOptions : softwareOptions]];
  it.each([...models, ...chunkedModels].flatMap((m, k) => schedules(k).map(([name, options]) => [titleOf(m), name, m, options] as const)))('of %s for %s is accepted', async (_title, _name, m, options) => {
    await acceptModules(checker, compile(m, options).plan, options);
  });
});

describe.skipIf(typeof opened === 'string')(`a training step on an adapter${reason}`, () => {
  afterAll(async () => { if (typeof opened !== 'string') await opened.close(); });

  it.each([...models, ...chunkedModels].map((m) => [titleOf(m), m] as const))('of %s agrees with the interpreter', async (_, m) => {
    if (typeof opened === 'string') throw new Error(opened);
    await expectSameSteps(opened, compile(m, opened.limits.subgroupSize === lanesOptions.subgroupSize ? lanesOptions : softwareOptions), m);
  }, 300_000);

  it('agrees with the interpreter with the schedules of a GPU, kernels following one another in workgroups', async () => {
    if (typeof opened === 'string') throw new Error(opened);
    const compiled = compile(models[0], subgroupOptions);
    expect(compiled.kernels['step'].chains).not.toEqual([]);
    await expectSameSteps(opened, compiled, models[0]);
  }, 300_000);
});
