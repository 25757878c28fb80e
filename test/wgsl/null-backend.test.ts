/**
 * Checks generated WGSL with Dawn's null backend, which needs no driver: every kernel the other tests make, under every
 * kind of schedule, must be accepted; and a refusal must name the kernel, the line and the text.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { bufferUsage, openDawn, requestAdapter } from '../../runtime/device/gpu/dawn.js';
import { GpuFailure } from '../../runtime/device/gpu/gpu-failure.js';
import { makePipeline, preparePipelines } from '../../runtime/device/gpu/gpu-pipelines.js';
import { acceptModule } from '../pipeline/null-device.js';
import { gpuOptions, lanesOptions, planOf, softwareOptions } from './harness.js';
import { convolution, product, reduction, similarity } from './kernels.js';

let device: GPUDevice;
let failure: GpuFailure;

beforeAll(async () => {
  const adapter = await requestAdapter(await openDawn({ backend: 'null', adapter: null }));
  if (adapter === null) throw new Error('no null backend');
  const features = (['subgroups'] as const).filter((f) => adapter.features.has(f));
  device = await adapter.requestDevice({ requiredFeatures: [...features] });
  failure = new GpuFailure(device);
});

afterAll(() => {
  failure.check();
  failure.closing();
  device.destroy();
});

const roomy = { ...gpuOptions, maxWorkgroupInvocations: 1024, maxWorkgroupStorageBytes: 49152, subgroups: true };
const narrow = { ...gpuOptions, maxWorkgroupInvocations: 128, maxWorkgroupStorageBytes: 16384 };

const programs: readonly (() => KernelProgram)[] = [
  () => product(1, 2048, 2048, 512, 'nn'), () => product(1, 2048, 512, 100, 'nt'), () => product(8, 200, 100, 64, 'tn'),
  () => product(1, 64, 64, 4096, 'tt'), () => product(1, 1, 1, 1, 'nn'), () => product(70000, 4, 4, 4, 'nt'),
  () => convolution(256, 14, 32, 64, 3, 2, 1), () => convolution(64, 28, 1, 32, 3, 1, 1), () => convolution(256, 32, 64, 128, 3, 1, 1),
  ...(['sum', 'max', 'min', 'prod', 'any', 'all', 'logsumexp', 'argmax', 'deviations'] as const).flatMap((op) => [
    () => reduction(op, 4096, [28, 28], 'rows'), () => reduction(op, 64, [50000], 'columns'), () => reduction(op, 1, [100000], 'rows'), () => reduction(op, 5000000, [2], 'columns'),
  ]),
  () => similarity('reduce', 512, 128), () => similarity('contract', 512, 128), () => similarity('contract', 64, 33, 16), () => similarity('reduce', 1, 1),
];

describe('generated WGSL is accepted', () => {
  it.each([['software', softwareOptions], ['software with subgroups', lanesOptions], ['gpu', gpuOptions], ['roomy gpu', roomy], ['narrow gpu', narrow]] as const)('with %s schedules', async (_name, options) => {
    const arena = device.createBuffer({ size: 256, usage: bufferUsage.storage });
    for (const build of programs) {
      const plan = planOf(build(), options);
      for (const launch of plan.entries['main'].launches) {
        expect(Math.max(...launch.workgroups)).toBeLessThanOrEqual(65535);
        expect(launch.bindings.length).toBeLessThanOrEqual(options.maxBindings);
      }
      if (plan.code.target !== 'wgsl') throw new Error('not WGSL');
      // Binding needs real sizes; what is checked here is the text, so the entries are checked without their bindings.
      const entry = plan.entries['main'];
      const bare = { ...plan, entries: { main: { ...entry, launches: [] } } };
      await preparePipelines(device, bare, plan.code.modules, [arena]);
      for (const launch of entry.launches) {
        await acceptModule(device, launch, plan.code.modules[launch.kernel], options);
      }
    }
    arena.destroy();
  });

  it('and the same program gives the same text', () => {
    for (const options of [softwareOptions, gpuOptions]) {
      for (const build of programs.slice(0, 12)) expect(planOf(build(), options).code).toEqual(planOf(build(), options).code);
    }
  });
});

it('a refusal names the kernel, the place and the text', async () => {
  const layout = device.createBindGroupLayout({ entries: [] });
  await expect(makePipeline(device, 'k_07', 'simclr.ssl:12 relu', '@compute @workgroup_size(1)\nfn main() { let x = nothing; }\n', layout))
    .rejects.toThrow(/kernel k_07 \(simclr\.ssl:12 relu\) was refused[^]*2:2\d unresolved value 'nothing'[^]*let x = nothing/);
});
