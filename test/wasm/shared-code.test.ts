/** Equal layers share their code: what a deeper network adds to the module is one small function for each kernel, which calls the shared one. */
import { expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import type { Program } from '../../compiler/tensor/program.js';
import type { TensorId } from '../../compiler/tensor/scalar.js';
import { binary, float, index, mul } from '../../compiler/tensor/scalar.js';
import { origin } from '../kernels/tools.js';
import { exactOptions, planOf } from './harness.js';

/** Layers of one width: products, and the positive part of them. */
function layers(count: number): Program {
  const b = new ProgramBuilder('main');
  const width = 32;
  let x: TensorId = b.source('x', 'data', 'f32', [64, width], origin('x'));
  for (let k = 0; k < count; k++) {
    const w = b.source(`w${k}`, 'parameters', 'f32', [width, width], origin('weight'));
    const product = b.comprehension('f32', [64, width], { op: 'sum', extents: [width] }, mul(b.read(x, [index(0), index(2)]), b.read(w, [index(1), index(2)])), origin('product'));
    x = b.comprehension('f32', [64, width], null, binary('max', b.identity(product), float(0)), origin('activation'));
  }
  b.output('y', x);
  return b.build();
}

/** The number of functions in a module: section 3 is a list with one type for each. */
function functionsIn(binary64: string): number {
  const bytes = Buffer.from(binary64, 'base64');
  let at = 8;
  const unsigned = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const section = bytes[at++];
    const size = unsigned();
    if (section === 3) return unsigned();
    at += size;
  }
  return 0;
}

it('adds one function a kernel for layers that are there already', () => {
  const made = [4, 8].map((count) => {
    const kernels = fuse(layers(count), exactOptions);
    const { code } = planOf(kernels);
    return { kernels: kernels.kernels.length, functions: code.target === 'wasm' ? functionsIn(code.binary) : 0 };
  });
  const [few, many] = made;
  expect(many.kernels).toBeGreaterThan(few.kernels);
  expect(many.functions - few.functions).toBe(many.kernels - few.kernels);
});
