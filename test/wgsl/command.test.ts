/** What goes wrong on a device, as a command ends: a named event, exit code 3. */
import { expect, it } from 'vitest';
import { GpuFailure } from '../../runtime/device/gpu/gpu-failure.js';
import { openDawn, requestAdapter } from '../../runtime/device/gpu/dawn.js';
import { root, sslc } from '../cli/command.js';

const train = ['train', 'models/vision/simclr.ssl', '--steps', '1', '--out', '/nonexistent/run'];

it('a device that is not there ends the command with 3 and a hint', async () => {
  const { code, stdout, stderr } = await sslc(root, [...train, '--device', 'gpu9000']);
  expect([code, stdout]).toEqual([3, '']);
  expect(stderr).toMatch(/^error: [^]*`gpu9000`[^]*\n {2}= help: `sslc doctor` lists/);
});

it('doctor says what was found, and what a run uses', async () => {
  const { code, stdout } = await sslc(root, ['doctor', '--json']);
  expect(code).toBe(0);
  const { result } = JSON.parse(stdout);
  expect(['gpu', 'cpu']).toContain(result.chosen);
  expect(result.devices.map((d: { choice: string }) => d.choice)).toEqual(['gpu', 'cpu', 'software']);
  expect(result.adapters.length + result.missing.length).toBeGreaterThan(0);
  expect(typeof result.printed).toBe('string');
  const text = (await sslc(root, ['doctor'])).stdout;
  expect(text).toMatch(/\na run uses {2}\S/);
});

it('an error that nobody waits for fails the run it belongs to', async () => {
  const adapter = await requestAdapter(await openDawn({ backend: 'null', adapter: null }));
  if (adapter === null) throw new Error('no null backend');
  const device = await adapter.requestDevice();
  const failure = new GpuFailure(device);
  device.createBuffer({ size: 2 ** 40, usage: 0x80 });
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(() => failure.check()).toThrow(expect.objectContaining({ name: 'DeviceError', event: expect.stringMatching(/validation|out-of-memory/) }));
  failure.closing();
  device.destroy();
});
