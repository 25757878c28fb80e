/** Looking for adapters in a process of its own: what it says, and that crashes and silence do no harm. */
import { expect, it } from 'vitest';
import { factsOf, usableGpu, whyNoGpu } from '../../runtime/device/gpu/list-adapters.js';
import { runProbe } from '../../runtime/device/gpu/probe.js';

const found = `const say = (r) => require('node:fs').writeSync(1, JSON.stringify(r) + '\\n');
say({ kind: 'found', backend: 'vulkan', info: { vendor: 'acme', architecture: '', device: 'Acme 9', description: 'acme driver 1.0', isFallbackAdapter: false },
  features: ['subgroups', 'core-features-and-limits'], limits: { maxBufferSize: 1024, maxStorageBufferBindingSize: 512, maxStorageBuffersPerShaderStage: 10,
  maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupSizeX: 256 } });`;

it('a GPU that passes its trial is used', async () => {
  const facts = factsOf(await runProbe(`${found} console.log('chatter'); console.error('noise'); say({ kind: 'works', backend: 'vulkan' }); say({ kind: 'done' });`, 5000));
  expect(usableGpu(facts)).toMatchObject({ backend: 'vulkan', name: 'Acme 9 (acme driver 1.0)', software: false, limits: { maxBindingBytes: 512, maxBindings: 10, subgroups: true } });
  expect(facts.printed).toBe('noise');
});

it('one that computes wrongly is not', async () => {
  const facts = factsOf(await runProbe(`${found} say({ kind: 'fails', backend: 'vulkan', problem: 'it adds wrongly' }); say({ kind: 'done' });`, 5000));
  expect(usableGpu(facts)).toBeNull();
  expect(whyNoGpu(facts)).toBe('Acme 9 (acme driver 1.0) was found but cannot be used: it adds wrongly');
});

it('a driver that crashes does not take the run with it', async () => {
  const facts = factsOf(await runProbe(`${found} process.kill(process.pid, 'SIGSEGV');`, 5000));
  expect(usableGpu(facts)).toBeNull();
  expect(whyNoGpu(facts)).toMatch(/Acme 9.* cannot be used: the graphics driver crashed \(SIGSEGV\)/);
});

it('nor does one that never answers', async () => {
  const facts = factsOf(await runProbe(`${found} setInterval(() => undefined, 1000);`, 1000));
  expect(whyNoGpu(facts)).toMatch(/did not answer within 1 s/);
  expect(whyNoGpu(factsOf(await runProbe('setInterval(() => undefined, 1000);', 300)))).toMatch(/did not answer/);
});

it('matrix units count once they have multiplied right, whatever the driver does after', async () => {
  const works = `${found.replace("features: ['subgroups',", "features: ['subgroups', 'chromium-experimental-subgroup-matrix',").replace('isFallbackAdapter: false', 'isFallbackAdapter: false, subgroupMinSize: 32, subgroupMaxSize: 32')} say({ kind: 'works', backend: 'vulkan' });`;
  const unit = (resultComponentType: string): string => `say({ kind: 'multiplies', backend: 'vulkan', unit: { componentType: 'f16', resultComponentType: '${resultComponentType}', M: 16, N: 8, K: 16 } });`;
  const units = async (text: string): Promise<unknown> => usableGpu(factsOf(await runProbe(`${works} ${text}`, 5000)))?.limits.matrixUnits;
  expect(await units(`${unit('f32')} say({ kind: 'done' });`)).toEqual({ lanes: 32, shapes: [{ element: 'f16', rows: 16, columns: 8, depth: 16 }] });
  expect(await units(`${unit('f16')} say({ kind: 'done' });`)).toBeUndefined();
  expect(await units(`${unit('f32')} process.kill(process.pid, 'SIGSEGV');`)).toEqual({ lanes: 32, shapes: [{ element: 'f16', rows: 16, columns: 8, depth: 16 }] });
  expect(await units(`process.kill(process.pid, 'SIGSEGV');`)).toBeUndefined();
});
