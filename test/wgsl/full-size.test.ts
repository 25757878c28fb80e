/** Steps of their real size for a GPU, where kernels share dispatches and follow one another in workgroups: all modules are accepted, within the limits of a device. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { compileTraining, loadProgram } from '../../compiler/pipeline.js';
import { memoryReader } from '../lower/harness.js';
import { root } from '../models/harness.js';
import type { NullDevice } from '../pipeline/null-device.js';
import { acceptModules, nullDevice } from '../pipeline/null-device.js';
import { subgroupOptions } from './harness.js';

const target = { ...subgroupOptions, maxBindingBytes: 2 ** 31 };
const views = (...shape: number[]) => ['a', 'b'].map((name) => ({ name, element: 'f32' as const, shape }));
const pictures = [{ name: 'x', element: 'u8' as const, shape: [28, 28, 1] }];

describe('the WGSL of a step', () => {
  let checker: NullDevice;
  beforeAll(async () => { checker = await nullDevice(); });
  afterAll(() => checker.close());

  it.each([
    ['bench/works/cnn.ssl', views(28, 28, 1), { batch: '128' }], ['bench/works/mlp.ssl', views(784), { batch: '256' }], ['bench/works/resnet18.ssl', views(32, 32, 3), { batch: '64' }],
    ['models/vision/simclr.ssl', pictures, {}], ['models/vision/barlow_twins.ssl', pictures, {}], ['models/vision/swav.ssl', pictures, {}],
  ] as const)('of %s', async (file, inputs, set) => {
    const data = { examples: 10000, classes: 10, inputs };
    const { plan } = compileTraining(loadProgram(join(root, file), memoryReader({})), { model: null, set, data, steps: 100, resident: true, embedBatch: 256, target });
    await acceptModules(checker, plan, target);
  }, 60_000);
});
