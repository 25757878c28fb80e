/** What a driver charges for everything but arithmetic: dispatches, submits, bind groups, pipelines, and bytes moved. */
import { bind, buffer, least, pipelineOf, readBack } from './bare.js';

export interface Costs {
  /** Microseconds on the device of each of many dependent empty dispatches, with one pipeline and changing between two; and on the host to encode them. */
  readonly dispatch: number;
  readonly dispatchChanging: number;
  readonly encode: number;
  readonly encodeChanging: number;
  /** Microseconds on the host. */
  readonly submit: number;
  readonly bindGroup: number;
  /** Milliseconds of a pipeline of a short kernel, one by one and of many at a time. */
  readonly pipeline: number;
  readonly pipelineOfMany: number;
  /** Milliseconds until so many bytes are on the host, by their number. */
  readonly readback: Readonly<Record<string, number>>;
  /** GB/s, read and written: copies between buffers, kernels that copy and add, an elementwise kernel; and uploads. */
  readonly copyBuffer: number;
  readonly copyKernel: number;
  readonly triadKernel: number;
  readonly upload: number;
}

const count = '@group(0) @binding(0) var<storage, read_write> o: array<u32>; @compute @workgroup_size(1) fn main() { o[WORD] += 1u; }';

export async function measureCosts(device: GPUDevice, quick: boolean): Promise<Costs> {
  const small = buffer(device, 16);
  const fence = (): Promise<ArrayBuffer> => readBack(device, small, 4);
  const pipelines = [await pipelineOf(device, count.replace('WORD', '0')), await pipelineOf(device, count.replace('WORD', '1'))];
  const groups = pipelines.map((p) => bind(device, p, [small]));
  const times = quick ? 3 : 7;
  /** Encodes `n` dispatches; submits them if asked. */
  const encode = (n: number, changing: boolean, submit: boolean): void => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let k = 0; k < n; k++) {
      const which = changing ? k % 2 : 0;
      if (changing || k === 0) { pass.setPipeline(pipelines[which]); pass.setBindGroup(0, groups[which]); }
      pass.dispatchWorkgroups(1);
    }
    pass.end();
    const commands = encoder.finish();
    if (submit) device.queue.submit([commands]);
  };
  const many = quick ? 300 : 3000;
  /** Per dispatch, without what one costs with its fence. */
  const dispatched = async (changing: boolean): Promise<number> => {
    const run = (n: number): Promise<number> => least(times, async () => { encode(n, changing, true); await fence(); });
    return (1000 * Math.max(0, (await run(many)) - (await run(1)))) / (many - 1);
  };
  const encoded = async (changing: boolean): Promise<number> => (1000 * await least(times, () => encode(many, changing, false))) / many;
  const submits = 200;
  const submit = (1000 * await least(times, () => { for (let k = 0; k < submits; k++) encode(1, false, true); })) / submits;
  await fence();
  const bindGroup = (1000 * await least(times, () => { for (let k = 0; k < submits; k++) bind(device, pipelines[0], [small]); })) / submits;
  // No two alike, of this run or another: drivers remember what they have compiled.
  let salt = Math.floor(performance.timeOrigin) % 100_000;
  const fresh = (): Promise<GPUComputePipeline> => pipelineOf(device, `@group(0) @binding(0) var<storage, read_write> x: array<f32>; @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) g: vec3u) { var v = x[g.x] + ${salt++}f; for (var k = 0; k < 20; k++) { v = fma(v, 1.01, exp(-abs(v))); } x[g.x] = v; }`);
  const pipeline = await least(3, async () => { await fresh(); });
  const together = quick ? 8 : 32;
  const pipelineOfMany = (await least(1, async () => { await Promise.all(Array.from({ length: together }, fresh)); })) / together;
  const bandwidth = await measureBandwidth(device, quick, fence);
  const readback: Record<string, number> = {};
  for (const bytes of [4, 4096, 1 << 20, ...(quick ? [] : [64 << 20])]) {
    const from = buffer(device, bytes);
    readback[bytes] = await least(times, async () => { await readBack(device, from, bytes); });
    from.destroy();
  }
  const result = {
    dispatch: await dispatched(false), dispatchChanging: await dispatched(true), encode: await encoded(false), encodeChanging: await encoded(true),
    submit, bindGroup, pipeline, pipelineOfMany, readback, ...bandwidth,
  };
  small.destroy();
  device.queue.submit([]);
  return result;
}

/** Each is queued often enough that a submit and its fence cost little beside it. */
async function measureBandwidth(device: GPUDevice, quick: boolean, fence: () => Promise<ArrayBuffer>): Promise<Pick<Costs, 'copyBuffer' | 'copyKernel' | 'triadKernel' | 'upload'>> {
  const bytes = Math.floor(Math.min(quick ? 16 << 20 : 1 << 30, device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize) / 4096) * 4096;
  const [a, b, c] = [0, 1, 2].map(() => buffer(device, bytes));
  const vectors = bytes / 16;
  const groups = Math.ceil(vectors / 256);
  const [x, y] = [Math.min(groups, 32768), Math.ceil(groups / 32768)];
  const times = quick ? 3 : 6;
  const often = 8;
  const rate = async (moved: number, encode: (encoder: GPUCommandEncoder) => void): Promise<number> => {
    const run = (n: number): Promise<number> => least(times, async () => {
      const encoder = device.createCommandEncoder();
      for (let k = 0; k < n; k++) encode(encoder);
      device.queue.submit([encoder.finish()]);
      await fence();
    });
    await run(1);
    return (often * moved) / (await run(often)) / 1e6;
  };
  const kernel = async (body: string, buffers: readonly GPUBuffer[]): Promise<(encoder: GPUCommandEncoder) => void> => {
    const declared = buffers.map((_, i) => `@group(0) @binding(${i}) var<storage, read_write> ${'abc'[i]}: array<vec4f>;`).join('\n');
    const pipeline = await pipelineOf(device, `${declared}\n@compute @workgroup_size(256) fn main(@builtin(workgroup_id) w: vec3u, @builtin(local_invocation_index) l: u32) { let i = (w.y * ${x}u + w.x) * 256u + l; if (i < ${vectors}u) { ${body} } }`);
    const group = bind(device, pipeline, buffers);
    return (encoder) => {
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(x, y);
      pass.end();
    };
  };
  const copyBuffer = await rate(2 * bytes, (encoder) => encoder.copyBufferToBuffer(a, 0, b, 0, bytes));
  const copyKernel = await rate(2 * bytes, await kernel('b[i] = a[i];', [a, b]));
  const triadKernel = await rate(3 * bytes, await kernel('c[i] = a[i] * 2.0 + b[i];', [a, b, c]));
  const data = new Uint8Array(Math.min(bytes, 64 << 20));
  const upload = data.byteLength / 1e6 / await least(times, async () => { device.queue.writeBuffer(a, 0, data); await fence(); });
  for (const each of [a, b, c]) each.destroy();
  device.queue.submit([]);
  return { copyBuffer, copyKernel, triadKernel, upload };
}
