/** Kernels over 16-bit floats: those of other tests with their tensors kept so, and one that rounds every kind of number. */
import { lowerKernels } from '../../compiler/fuse/lower-kernels.js';
import { appendTensor, mapScalars } from '../../compiler/fuse/draft.js';
import type { Kernel, KernelProgram } from '../../compiler/fuse/kernel.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import type { Program } from '../../compiler/tensor/program.js';
import type { TensorId } from '../../compiler/tensor/scalar.js';
import { index, read, rewrite } from '../../compiler/tensor/scalar.js';
import { handMade, origin } from './tools.js';

/** The same kernels on copies in f16 of their f32 sources, and with results in f16, which are widened for the host. */
export function halved(kernels: KernelProgram): KernelProgram {
  let program: Program = kernels.program;
  const copy = (id: TensorId, element: 'f16' | 'f32'): { readonly kernel: Kernel; readonly id: TensorId } => {
    const { shape } = program.tensors[id];
    const value = read(id, shape.map((_, i) => index(i)), 'f32');
    const added = appendTensor(program, (made) => ({ kind: 'comprehension', id: made, element, shape, reduce: null, body: value, origin: origin(`${element} of ${id}`) }));
    program = added.program;
    return { id: added.id, kernel: { kind: 'map', name: `${element}_of_${id}`, origins: [origin('copy')], extents: shape, stores: [{ tensor: added.id, value }] } };
  };
  const sources = new Map(program.tensors.flatMap((t) => (t.kind === 'source' && t.element === 'f32' ? [[t.id, copy(t.id, 'f16')] as const] : [])));
  const main = kernels.kernels.map((k) => mapScalars(k, (s) => rewrite(s, (n) => (n.kind === 'read' ? { ...n, tensor: sources.get(n.tensor)?.id ?? n.tensor } : n))));
  const results = new Set(main.flatMap((k) => k.stores.map((s) => s.tensor)).filter((id) => program.tensors[id].element === 'f32'));
  program = { ...program, tensors: program.tensors.map((t) => (results.has(t.id) ? { ...t, element: 'f16' as const } : t)) };
  const outputs = program.outputs.map((o) => ({ o, wide: results.has(o.tensor) ? copy(o.tensor, 'f32') : null }));
  program = { ...program, outputs: outputs.map(({ o, wide }) => ({ name: o.name, tensor: wide?.id ?? o.tensor })) };
  return handMade(program, [...[...sources.values()].map((c) => c.kernel), ...main, ...outputs.flatMap(({ wide }) => (wide === null ? [] : [wide.kernel]))]);
}

/** Numbers, and the halves they round to. */
export interface Roundings {
  readonly given: Float32Array;
  readonly expected: Float64Array;
}

const halfOf = (bits: number): number => (bits < 1024 ? bits * 2 ** -24 : 2 ** ((bits >> 10) - 15) * (1 + (bits & 1023) / 1024));

/**
 * Every non-negative half by its bits, the point halfway to the next (which goes to the even one), and the floats around that point; then
 * all of them negated, what is too large, infinities and NaN.
 */
export function roundings(): Roundings {
  const pairs: [number, number][] = [];
  const word = new DataView(new ArrayBuffer(4));
  const beside = (x: number, by: number): number => { word.setFloat32(0, x); word.setUint32(0, word.getUint32(0) + by); return word.getFloat32(0); };
  for (let bits = 0; bits < 0x7c00; bits++) {
    const low = halfOf(bits);
    const high = bits + 1 === 0x7c00 ? Infinity : halfOf(bits + 1);
    const middle = bits + 1 === 0x7c00 ? 65520 : (low + high) / 2;
    pairs.push([low, low], [middle, bits % 2 === 0 ? low : high], [beside(middle, -1), low], [beside(middle, 1), high]);
  }
  pairs.push([2 ** 17, Infinity], [3e38, Infinity], [Infinity, Infinity], [2 ** -30, 0], [1e-40, 0]);
  const both = [...pairs, ...pairs.map(([a, b]): [number, number] => [-a, -b]), [NaN, NaN] as [number, number]];
  return { given: Float32Array.from(both, ([a]) => a), expected: Float64Array.from(both, ([, b]) => b) };
}

/** Stores `x` in f16 and gives what can be read again: of all elements, and backwards. */
export function roundTrip(count: number): KernelProgram {
  const b = new ProgramBuilder('halves');
  const x = b.source('x', 'data', 'f32', [count], origin('x'));
  const half = b.comprehension('f16', [count], null, b.identity(x), origin('half'));
  b.output('y', b.comprehension('f32', [count], null, b.identity(half), origin('y')));
  const program = b.build();
  return handMade(program, lowerKernels(program).kernels.map((k, i) => ({ ...k, name: `k${i}` })));
}
