/** Small programs through differentiation, fusion and the CPU target, and results that do not depend on threads. */
import { describe, expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { differentiate } from '../../compiler/tensor/differentiate.js';
import type { Scalar } from '../../compiler/tensor/scalar.js';
import { add, float, index, int, mul, sub } from '../../compiler/tensor/scalar.js';
import { openCpuDevice } from '../../runtime/device/cpu/open-cpu-device.js';
import { convolution, product, reduction, similarity } from '../wgsl/kernels.js';
import { numbers, origin } from '../kernels/tools.js';
import { expectAgreement, runOn } from './harness.js';

/** sum of (convolution(x, w))^2 / 2 and its gradients. */
function convolutionGradients(batch: number, size: number, input: number, output: number, window: number, stride: number, padding: number): KernelProgram {
  const b = new ProgramBuilder('gradients');
  const x = b.source('x', 'data', 'f32', [batch, size, size, input], origin('x'));
  const w = b.source('w', 'parameters', 'f32', [output, window, window, input], origin('w'));
  const edge = Math.floor((size + 2 * padding - window) / stride) + 1;
  const at = (axis: number, tap: number): Scalar => sub(add(mul(index(axis), int(stride)), index(tap)), int(padding));
  const y = b.comprehension('f32', [batch, edge, edge, output], { op: 'sum', extents: [window, window, input] },
    mul(b.read(x, [index(0), at(1, 4), at(2, 5), index(6)], float(0)), b.read(w, [index(3), index(4), index(5), index(6)])), origin('y'));
  const read = b.read(y, [0, 1, 2, 3].map((i) => index(i)));
  const loss = b.comprehension('f32', [], { op: 'sum', extents: [batch, edge, edge, output] }, mul(float(0.5), mul(read, read)), origin('loss'));
  const [dx, dw] = differentiate(b, loss, [x, w]);
  b.output('loss', loss);
  b.output('dx', dx);
  b.output('dw', dw);
  return fuse(b.build(), { maxBindings: 1000, target: 'wasm', disabled: [] });
}

describe('programs on the CPU', () => {
  it.each([
    [2, 8, 4, 8, 3, 2, 1], [1, 7, 3, 5, 3, 2, 1], [2, 9, 1, 6, 3, 2, 0], [1, 6, 4, 4, 3, 1, 1], [2, 9, 2, 3, 2, 3, 0], [1, 4, 8, 16, 1, 2, 0],
  ] as const)('convolution and both gradients, batch %i, %ix, %i -> %i, window %i, stride %i, padding %i', async (batch, size, input, output, window, stride, padding) => {
    const kernels = convolutionGradients(batch, size, input, output, window, stride, padding);
    await expectAgreement(kernels, numbers(kernels.program, 3), 1e-4);
  });

  it('gives the same bits on one, two and three threads', async () => {
    const programs = [product(1, 100, 90, 600, 'tn'), product(1, 20, 24, 9000, 'nt'), convolution(4, 12, 3, 20, 3, 2, 1), reduction('sum', 4, [30000], 'rows'), reduction('logsumexp', 40, [3000], 'columns'), similarity('reduce', 130, 24)];
    const devices = await Promise.all([1, 2, 3].map((threads) => openCpuDevice({ threads })));
    for (const kernels of programs) {
      const inputs = numbers(kernels.program, 11);
      const [one, ...others] = await Promise.all(devices.map((d) => runOn(d, kernels, inputs)));
      for (const other of others) for (const [name, value] of one) expect(other.get(name), `${kernels.name} ${name}`).toEqual(value);
    }
    await Promise.all(devices.map((d) => d.close()));
  });

  it('says what to do when memory runs out', async () => {
    const device = await openCpuDevice({ threads: 1 });
    const kernels = product(1, 40000, 40000, 8, 'nt');
    await expect(runOn(device, kernels, {})).rejects.toThrow(/smaller batch/);
    await device.close();
  });
});
