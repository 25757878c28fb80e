/** Streamed products whose streamed side is long are taken in parts: the results are the interpreter's, and those of the whole. */
import { describe, expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import type { Program } from '../../compiler/tensor/program.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import { expectClose } from '../kernels/tools.js';
import { runOn, testDevice } from '../wasm/harness.js';
import { numbers } from './generate.js';
import { attention } from './attention.js';
import { crossEntropy, ntXent } from './nt-xent.js';

const options = { disabled: [], maxBindings: 1000, target: 'wasm' } as const;
const whole = { ...options, disabled: ['long streams'] };

function inputsOf(program: Program): Record<string, Float64Array> {
  return Object.fromEntries(program.tensors.flatMap((t) => (t.kind !== 'source' ? [] : [[t.name, t.element === 'i32' ? Float64Array.from({ length: sizeOf(t.shape) }, (_, i) => (i * 5) % 7) : numbers(sizeOf(t.shape), t.id)]])));
}

const partsIn = (kernels: KernelProgram): readonly (readonly number[])[] => kernels.program.tensors.filter((t) => t.origin.name.startsWith('parts of')).map((t) => t.shape);
const kinds = (kernels: KernelProgram): string => kernels.kernels.map((k) => k.kind).sort().join();

describe('long streams', () => {
  // 8.25 MiB of vocabulary, in two pieces of it.
  const [rows, words, width] = [8, 8192, 264];
  const program = crossEntropy(rows, words, width);
  const kernels = fuse(program, options);

  it('are taken in parts, which are joined', async () => {
    expect(partsIn(kernels)).toEqual([[2, rows], [2, rows, width]]);
    expect(kinds(kernels)).not.toBe(kinds(fuse(program, whole)));
    const exact = inputsOf(program);
    const inputs = Object.fromEntries(Object.entries(exact).map(([name, v]) => [name, name === 'target' ? Int32Array.from(v) : Float32Array.from(v)]));
    const device = await testDevice();
    const [inParts, atOnce] = [await runOn(device, kernels, inputs), await runOn(device, fuse(program, whole), inputs)];
    const expected = interpret(program, exact).outputs;
    for (const { name } of program.outputs) {
      expectClose(inParts.get(name), Float64Array.from(atOnce.get(name) ?? []), 1e-5, name);
      expectClose(inParts.get(name), expected.get(name) ?? new Float64Array(), 2e-5, name);
    }
  }, 120_000);

  it('stay whole where they stay in a cache, and where parts would be large beside what is streamed, or short', () => {
    for (const p of [crossEntropy(rows, 4096, width), ntXent(4096, 128, true), attention(2, 6, 1024, 1024, 64)]) expect(partsIn(fuse(p, options))).toEqual([]);
    expect(partsIn(fuse(crossEntropy(8192, 8192, width), options))).toEqual([[2, 8192]]);
    expect(partsIn(fuse(crossEntropy(4096, 30522, 768), options))).toEqual([]);
  });
});
