/** A device without sslc on it: buffers, pipelines and timed work, for measuring what the driver itself costs. */
import { bufferUsage, mapModeRead } from '../../runtime/device/gpu/dawn.js';

const { storage, copySource, copyTarget, mapRead } = bufferUsage;

export const buffer = (device: GPUDevice, size: number): GPUBuffer => device.createBuffer({ size: Math.max(16, size), usage: storage | copySource | copyTarget });

/** Compiles a module; bindings are storage buffers in order. */
export async function pipelineOf(device: GPUDevice, code: string): Promise<GPUComputePipeline> {
  return device.createComputePipelineAsync({ layout: 'auto', compute: { module: device.createShaderModule({ code }), entryPoint: 'main' } });
}

export function bind(device: GPUDevice, pipeline: GPUComputePipeline, buffers: readonly GPUBuffer[]): GPUBindGroup {
  return device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: buffers.map((b, binding) => ({ binding, resource: { buffer: b } })) });
}

/** Reads bytes once the work queued so far is done. */
export async function readBack(device: GPUDevice, from: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
  const staging = device.createBuffer({ size: Math.max(4, bytes), usage: mapRead | copyTarget });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(from, 0, staging, 0, Math.max(4, bytes));
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(mapModeRead);
  const copy = staging.getMappedRange().slice(0);
  staging.unmap();
  staging.destroy();
  return copy;
}

/** Milliseconds that `work` and a fence take, the least of several times. */
export async function least(times: number, work: () => void | Promise<void>): Promise<number> {
  let best = Infinity;
  for (let k = 0; k < times; k++) {
    const started = performance.now();
    await work();
    best = Math.min(best, performance.now() - started);
  }
  return best;
}
