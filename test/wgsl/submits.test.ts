/** What a step costs the host, counted on Dawn's null backend: one submit with one command buffer, whatever is read of it. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { GpuFailure } from '../../runtime/device/gpu/gpu-failure.js';
import { openGpuSession } from '../../runtime/device/gpu/gpu-session.js';
import type { NullDevice } from '../pipeline/null-device.js';
import { nullDevice } from '../pipeline/null-device.js';
import { planOf, softwareOptions } from './harness.js';
import { reduction } from './kernels.js';

let opened: NullDevice;
beforeAll(async () => { opened = await nullDevice(); });
afterAll(() => opened.close());

/** The device, with counted submits and command buffers. */
function counting(device: GPUDevice): { readonly device: GPUDevice; readonly counts: { submits: number; buffers: number } } {
  const counts = { submits: 0, buffers: 0 };
  const queue = new Proxy(device.queue, {
    get(target, name) {
      if (name === 'submit') return (buffers: GPUCommandBuffer[]): void => { counts.submits++; counts.buffers += buffers.length; target.submit(buffers); };
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const counted = new Proxy(device, {
    get(target, name) {
      if (name === 'queue') return queue;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return { device: counted, counts };
}

it('a step with its scalars and its report is one submit of one command buffer', async () => {
  const { device, counts } = counting(opened.device);
  const session = await openGpuSession(device, new GpuFailure(opened.device), planOf(reduction('sum', 5, [17], 'rows'), softwareOptions), () => undefined);
  for (let step = 0; step < 10; step++) {
    session.write('x', Float32Array.of(step));
    await session.run('main');
    expect(await session.readOutput('main', 'out')).toHaveLength(5);
  }
  expect(counts).toEqual({ submits: 10, buffers: 10 });
  await session.finish();
  expect(counts.submits).toBe(11);
  await session.close();
});
