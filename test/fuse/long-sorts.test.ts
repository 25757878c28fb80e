/** Long sorts on GPUs: the same order by blocks, and few comparisons. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import { loopExtents } from '../../compiler/fuse/inline-maps.js';
import { interpretKernels } from '../../compiler/fuse/interpret-kernels.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import { sorting } from '../kernels/routines.js';

const compiled = (n: number, target: 'wasm' | 'wgsl', disabled: readonly string[] = []): KernelProgram => fuse(sorting([n], 'i32'), { disabled, maxBindings: 8, target });
const kinds = ({ kernels }: KernelProgram): readonly string[] => kernels.map((k) => k.kind);

describe('long sorts', () => {
  it('give the same order', () => {
    fc.assert(fc.property(fc.integer({ min: 4096, max: 4400 }), fc.constantFrom(1, 7, 5000, 2 ** 31), fc.integer({ min: 1, max: 1000 }), (n, values, seed) => {
      const x = Int32Array.from({ length: n }, (_, i) => Math.floor((Math.abs(Math.sin(seed * 12.9898 + i * 78.233)) * 43758.5453 % 1) * values) - Math.floor(values / 2));
      // The greatest number is a key like others.
      if (values > 5000) x.fill(2 ** 31 - 1, 10, 20);
      const expected = interpretKernels(compiled(n, 'wgsl', ['long sorts']), { x }).outputs;
      for (const [name, found] of interpretKernels(compiled(n, 'wgsl'), { x }).outputs) expect(found).toEqual(expected.get(name));
    }), { numRuns: 6 });
  });

  it('compare an element with a block and search the others', () => {
    const { kernels } = compiled(30_000, 'wgsl');
    const [sort] = kernels.filter((k) => k.kind === 'routine');
    const [places] = kernels.filter((k) => k.kind === 'reduce');
    const [blocks, size] = sort.extents;
    expect(blocks * size).toBeLessThan(30_000 + size);
    // A block for each element, and a search in every block for each.
    expect(sizeOf(loopExtents(sort))).toBe(blocks * size * size);
    expect(sizeOf(loopExtents(places))).toBe(blocks * size * blocks);
    expect(size + blocks * Math.log2(size)).toBeLessThan(30_000 / 20);
  });

  it('are one where counting is as good, and on the CPU, which merges', () => {
    expect(kinds(compiled(2000, 'wgsl')).filter((k) => k === 'routine' || k === 'reduce')).toEqual(['routine']);
    expect(kinds(compiled(30_000, 'wasm')).filter((k) => k === 'routine' || k === 'reduce')).toEqual(['routine']);
  });
});
