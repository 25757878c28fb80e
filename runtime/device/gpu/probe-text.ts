/**
 * The program of the process that looks for adapters. Kept as text, because a bundle has no file of its own to start it
 * from. A driver may print what it likes, hang or crash there without harm. It writes one JSON line a discovery to stdout, so
 * that what was found before a crash is known.
 *
 * Its arguments: the URL of Dawn's module, then the backends to try.
 */
import { dawnFeatures } from './dawn.js';

export const probeText = `
'use strict';
const { writeSync } = require('node:fs');
const say = (report) => writeSync(1, JSON.stringify(report) + '\\n');
const words = (error) => String(error && error.message || error).trim();
const limits = ['maxBufferSize', 'maxStorageBufferBindingSize', 'maxStorageBuffersPerShaderStage', 'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup', 'maxComputeWorkgroupSizeX'];
// Adds 1 to four numbers: a driver that cannot do that is not used.
const code = '@group(0) @binding(0) var<storage, read_write> x: array<f32>; @compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) { x[i] += 1.0; }';
async function tryOut(adapter) {
  const device = await adapter.requestDevice();
  const module = device.createShaderModule({ code });
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint: 'main' } });
  const buffer = device.createBuffer({ size: 16, usage: 0x8c });
  const copy = device.createBuffer({ size: 16, usage: 0x9 });
  const bindGroup = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer } }] });
  device.queue.writeBuffer(buffer, 0, new Float32Array([1, 2, 3, 4]));
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(buffer, 0, copy, 0, 16);
  device.queue.submit([encoder.finish()]);
  await copy.mapAsync(1);
  const found = [...new Float32Array(copy.getMappedRange())].join();
  if (found !== '2,3,4,5') throw new Error('it adds wrongly: expected 2,3,4,5 and found ' + found);
}
(async () => {
  const [url, ...backends] = process.argv.slice(1);
  let create;
  try {
    ({ create } = await import(url));
  } catch (error) {
    say({ kind: 'no-module', problem: words(error).split('\\n')[0] });
    return;
  }
  const kept = [];
  for (const backend of backends) {
    try {
      const gpu = create(['${dawnFeatures}', 'backend=' + backend]);
      kept.push(gpu);
      const fast = { powerPreference: 'high-performance' };
      const adapter = (await gpu.requestAdapter(fast)) ?? (await gpu.requestAdapter({ ...fast, featureLevel: 'compatibility' }));
      if (adapter === null) { say({ kind: 'missing', backend, problem: '' }); continue; }
      const { vendor, architecture, device, description, isFallbackAdapter, subgroupMinSize, subgroupMaxSize } = adapter.info;
      say({
        kind: 'found', backend, info: { vendor, architecture, device, description, isFallbackAdapter, subgroupMinSize, subgroupMaxSize },
        features: [...adapter.features], limits: Object.fromEntries(limits.map((name) => [name, adapter.limits[name]])),
      });
      await tryOut(adapter).then(() => say({ kind: 'works', backend }), (error) => say({ kind: 'fails', backend, problem: words(error) }));
    } catch (error) {
      say({ kind: 'missing', backend, problem: words(error) });
    }
  }
  say({ kind: 'done' });
  process.exit(0);
})();
`;
