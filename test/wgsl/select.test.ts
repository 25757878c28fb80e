/** Choosing a device by name. */
import { expect, it } from 'vitest';
import { openDevice } from '../../runtime/device/select.js';
import { openTestDevice } from './harness.js';

const probe = await openTestDevice();
const software = typeof probe !== 'string';
if (software) await probe.close();

it('auto never takes a software adapter', async () => {
  const device = await openDevice('auto');
  expect(device.limits.software && device.kind === 'gpu').toBe(false);
  await device.close();
});

it('an unknown name is an error that repeats it', async () => {
  await expect(openDevice('gpu9000')).rejects.toThrow(/gpu9000/);
});

it.skipIf(!software)(`a software adapter is used when named${software ? '' : ` (skipped: ${probe})`}`, async () => {
  const device = await openDevice('llvmpipe');
  expect([device.kind, device.target, device.limits.software]).toEqual(['gpu', 'wgsl', true]);
  await device.close();
});
