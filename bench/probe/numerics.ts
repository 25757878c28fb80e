/** What a device makes of numbers that are none, too large or too small: drivers differ, and our kernels must not rely on them. */
import { bind, buffer, pipelineOf, readBack } from './bare.js';

const inputs = [NaN, Infinity, -Infinity, 0, -1, 1e-40, 100, -100, 50, 1e-4];
const expressions = ['f32(x != x)', 'f32((bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u)', 'x * 0.0', 'x - x', 'max(x, 0.0)', 'exp(x)', 'log(x)', 'tanh(x)'];

export interface Numerics {
  readonly inputs: readonly string[];
  readonly results: Readonly<Record<string, readonly string[]>>;
}

const words = (x: number): string => (Number.isFinite(x) ? String(Number(x.toPrecision(4))) : String(x));

export async function measureNumerics(device: GPUDevice): Promise<Numerics> {
  const [x, y] = [buffer(device, 4 * inputs.length), buffer(device, 4 * inputs.length)];
  device.queue.writeBuffer(x, 0, Float32Array.from(inputs));
  const results: Record<string, readonly string[]> = {};
  for (const expression of expressions) {
    const pipeline = await pipelineOf(device, `@group(0) @binding(0) var<storage, read_write> a: array<f32>; @group(0) @binding(1) var<storage, read_write> o: array<f32>; @compute @workgroup_size(${inputs.length}) fn main(@builtin(local_invocation_index) i: u32) { let x = a[i]; o[i] = ${expression}; }`);
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bind(device, pipeline, [x, y]));
    pass.dispatchWorkgroups(1);
    pass.end();
    device.queue.submit([encoder.finish()]);
    results[expression] = [...new Float32Array(await readBack(device, y, 4 * inputs.length))].map(words);
  }
  x.destroy();
  y.destroy();
  return { inputs: inputs.map(words), results };
}
