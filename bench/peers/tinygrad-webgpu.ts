/**
 * tinygrad on the WebGPU adapter that sslc uses: `node tinygrad-webgpu.mjs PYTHON` asks tinygrad_peer.py for the WGSL kernels of a step and
 * runs them through Dawn's bindings for Node, one compute pass a step. tinygrad's own bindings need a library it downloads.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fill, hashedArray } from '../values.js';
import type { ParameterSpec } from '../values.js';
import type { Work } from '../works.js';
import type { Request, Runnable } from './serve.js';
import { serve } from './serve.js';
import { installWebGpu } from './webgpu.js';

/** What tinygrad made of a step. */
interface Kernels {
  readonly kernels: readonly { readonly name: string; readonly code: string; readonly workgroups: readonly [number, number, number]; readonly buffers: readonly number[] }[];
  /** A buffer begins as the tensor `name`, as `value` everywhere, or as zeros. */
  readonly buffers: readonly { readonly bytes: number; readonly name?: string; readonly value?: number }[];
  readonly loss: number;
  readonly compileMs: number;
  readonly error?: string;
  readonly unable?: boolean;
}

const gpu = await installWebGpu();
const adapter = await gpu.requestAdapter();
if (adapter === null) throw new Error('no WebGPU adapter');
const { maxStorageBufferBindingSize, maxBufferSize, maxStorageBuffersPerShaderStage } = adapter.limits;
const device = await adapter.requestDevice({ requiredLimits: { maxStorageBufferBindingSize, maxBufferSize, maxStorageBuffersPerShaderStage } });

const python = spawn(process.argv[2] ?? 'python3', [join('bench', 'peers', 'tinygrad_peer.py'), 'wgsl'], { stdio: ['pipe', 'pipe', 'ignore'] });
const lines = createInterface({ input: python.stdout })[Symbol.asyncIterator]();

async function ask(request: Request): Promise<Kernels> {
  python.stdin.write(`${JSON.stringify(request)}\n`);
  for (;;) {
    const line = await lines.next();
    if (line.done === true) throw new Error('tinygrad ended');
    if (line.value.startsWith('{')) return JSON.parse(line.value) as Kernels;
  }
}

/** The axes of a tensor in another order. */
function transposed(values: Float32Array, shape: readonly number[], order: readonly number[]): Float32Array {
  const strides = shape.map((_, a) => shape.slice(a + 1).reduce((x, y) => x * y, 1));
  return Float32Array.from(values, (_, at) => {
    let from = 0;
    for (let a = order.length - 1, rest = at; a >= 0; a--) {
      const size = shape[order[a]];
      from += (rest % size) * strides[order[a]];
      rest = Math.floor(rest / size);
    }
    return values[from];
  });
}

/** The tensors a step begins with, in tinygrad's layout: channels first. */
function startValues(work: Extract<Work, { kind: 'step' }>, specs: readonly ParameterSpec[]): ReadonlyMap<string, Float32Array> {
  const shape = [work.batch, ...work.inputs['a'].shape];
  const size = shape.reduce((x, y) => x * y, 1);
  const data = (salt: number): Float32Array => (shape.length === 4 ? transposed(hashedArray(size, salt), shape, [0, 3, 1, 2]) : hashedArray(size, salt));
  const weights = specs.map((s) => [s.path, s.shape.length === 4 ? transposed(fill(s), s.shape, [3, 2, 0, 1]) : fill(s)] as const);
  return new Map([...weights, ['a', data(1)], ['b', data(2)]]);
}

async function prepareStep(work: Extract<Work, { kind: 'step' }>, specs: readonly ParameterSpec[]): Promise<Runnable | null> {
  const made = await ask({ op: 'prepare', work, parameters: specs });
  if (made.unable === true) return null;
  if (made.error !== undefined) throw new Error(made.error);
  const started = performance.now();
  const values = startValues(work, specs);
  const infinity = device.createBuffer({ size: 16, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
  device.queue.writeBuffer(infinity, 0, Float32Array.of(Infinity));
  const buffers = made.buffers.map(({ bytes, name, value }) => {
    const buffer = device.createBuffer({ size: Math.ceil(bytes / 4) * 4, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC });
    const start = name !== undefined ? values.get(name) : value !== undefined && value !== 0 ? new Float32Array(bytes / 4).fill(value) : undefined;
    if (start !== undefined) device.queue.writeBuffer(buffer, 0, new Float32Array(start));
    return buffer;
  });
  const dispatches = await Promise.all(made.kernels.map(async ({ name, code, workgroups, buffers: bound }) => {
    const entries = [infinity, ...bound.map((b) => buffers[b])];
    // What a kernel does not read must still be bound, so the layout is not left to be guessed.
    const layout = device.createBindGroupLayout({ entries: entries.map((_, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type: binding === 0 ? 'uniform' : 'storage' } })) });
    const pipeline = await device.createComputePipelineAsync({ layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }), compute: { module: device.createShaderModule({ code }), entryPoint: name } });
    return { pipeline, workgroups, group: device.createBindGroup({ layout, entries: entries.map((buffer, binding) => ({ binding, resource: { buffer } })) }) };
  }));
  const readback = device.createBuffer({ size: 4, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  const run = async (): Promise<number> => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const { pipeline, workgroups, group } of dispatches) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...workgroups);
    }
    pass.end();
    encoder.copyBufferToBuffer(buffers[made.loss], 0, readback, 0, 4);
    device.queue.submit([encoder.finish()]);
    await readback.mapAsync(GPUMapMode.READ);
    const loss = new Float32Array(readback.getMappedRange())[0];
    readback.unmap();
    return loss;
  };
  const check = [await run(), await run()];
  const close = (): Promise<void> => {
    for (const buffer of [...buffers, infinity, readback]) buffer.destroy();
    device.queue.submit([]);
    return Promise.resolve();
  };
  return { prepared: { check, launches: dispatches.length, compileMs: made.compileMs + performance.now() - started }, run: async () => { await run(); }, close };
}

// Without tinygrad there is nothing to serve.
await ask({ op: 'hello' });
await serve({ name: 'tinygrad (WGSL, on Dawn)', prepare: (work, specs) => (work.kind === 'step' ? prepareStep(work, specs) : Promise.resolve(null)) });
python.kill();
device.destroy();
