/**
 * The program of the process that looks for adapters. Kept as text, because a bundle has no file of its own to start it
 * from. A driver may print what it likes, hang or crash there without harm. It writes one JSON line a discovery to stdout, so
 * that what was found before a crash is known.
 *
 * Its arguments: the URL of Dawn's module, then the backends to try.
 */
import { dawnFeatures } from './dawn.js';
import { probeMatricesText } from './probe-matrices-text.js';

export const probeText = `
'use strict';
const { writeSync } = require('node:fs');
const say = (report) => writeSync(1, JSON.stringify(report) + '\\n');
const words = (error) => String(error && error.message || error).trim();
const limits = ['maxBufferSize', 'maxStorageBufferBindingSize', 'maxStorageBuffersPerShaderStage', 'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup', 'maxComputeWorkgroupSizeX'];
// Adds 1 to four numbers: a driver that cannot do that is not used.
const code = '@group(0) @binding(0) var<storage, read_write> x: array<f32>; @compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) { x[i] += 1.0; }';
async function runOnce(device, code, numbers) {
  const module = device.createShaderModule({ code });
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint: 'main' } });
  const buffer = device.createBuffer({ size: numbers.byteLength, usage: 0x8c });
  const copy = device.createBuffer({ size: numbers.byteLength, usage: 0x9 });
  const bindGroup = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer } }] });
  device.queue.writeBuffer(buffer, 0, numbers);
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(buffer, 0, copy, 0, numbers.byteLength);
  device.queue.submit([encoder.finish()]);
  await copy.mapAsync(1);
  return new Float32Array(copy.getMappedRange().slice(0));
}
async function tryOut(adapter) {
  const found = [...await runOnce(await adapter.requestDevice(), code, new Float32Array([1, 2, 3, 4]))].join();
  if (found !== '2,3,4,5') throw new Error('it adds wrongly: expected 2,3,4,5 and found ' + found);
}
${probeMatricesText}
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
  const works = [];
  const fast = { powerPreference: 'high-performance' };
  for (const backend of backends) {
    try {
      const gpu = create(['${dawnFeatures}', 'backend=' + backend]);
      kept.push(gpu);
      const adapter = (await gpu.requestAdapter(fast)) ?? (await gpu.requestAdapter({ ...fast, featureLevel: 'compatibility' }));
      if (adapter === null) { say({ kind: 'missing', backend, problem: '' }); continue; }
      const { vendor, architecture, device, description, isFallbackAdapter, subgroupMinSize, subgroupMaxSize } = adapter.info;
      say({
        kind: 'found', backend, info: { vendor, architecture, device, description, isFallbackAdapter, subgroupMinSize, subgroupMaxSize },
        features: [...adapter.features], limits: Object.fromEntries(limits.map((name) => [name, adapter.limits[name]])),
      });
      const units = [...(adapter.info.subgroupMatrixConfigs ?? [])].map(({ componentType, resultComponentType, M, N, K }) => ({ componentType, resultComponentType, M, N, K }));
      await tryOut(adapter).then(() => { say({ kind: 'works', backend }); works.push({ backend, gpu, units }); }, (error) => say({ kind: 'fails', backend, problem: words(error) }));
    } catch (error) {
      say({ kind: 'missing', backend, problem: words(error) });
    }
  }
  // Last: what a driver may crash on must not hide the adapters.
  for (const { backend, gpu, units } of works) {
    for (const unit of units.filter((u) => (u.componentType === 'f16' || u.componentType === 'f32') && u.resultComponentType === 'f32')) {
      await tryUnit(await gpu.requestAdapter(fast), unit).then(() => say({ kind: 'multiplies', backend, unit }), () => undefined);
    }
  }
  say({ kind: 'done' });
  process.exit(0);
})();
`;
