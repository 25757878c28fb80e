/** Segmented sums into large tables: the same results by sorting, one sort for equal keys, and no more looked at than rows and items. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import { interpretKernels } from '../../compiler/fuse/interpret-kernels.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import type { HostArray } from '../../runtime/device/device.js';
import { gather, gathers, segments } from '../kernels/routines.js';
import type { TableRead } from '../kernels/routines.js';
import { expectClose, numbers } from '../kernels/tools.js';

const options = (disabled: readonly string[], maxBindings = 8, target: 'wasm' | 'wgsl' = 'wasm') => ({ disabled, maxBindings, target });
const scatters = ({ kernels }: KernelProgram): readonly string[] => kernels.flatMap((k) => (k.kind === 'scatter' ? [`${k.sorted ? 'sorted' : 'as they come'} ${k.reduceExtents.join('x')}`] : []));
const sorts = ({ kernels }: KernelProgram): readonly number[] => kernels.flatMap((k) => (k.kind === 'routine' && k.op === 'argsort' ? [sizeOf(k.extents)] : []));

const read: fc.Arbitrary<TableRead> = fc.record({ table: fc.constantFrom(0, 1), items: fc.integer({ min: 1, max: 9 }), repeated: fc.constantFrom(1, 2), sameRows: fc.boolean() });
const cases = fc.record({ rows: fc.constantFrom(4096, 4100), reads: fc.array(read, { minLength: 2, maxLength: 3 }), maxBindings: fc.constantFrom(6, 8), seed: fc.integer({ min: 1, max: 1000 }) });

describe('segmented sums into large tables', () => {
  it('mean the same sorted', () => {
    fc.assert(fc.property(cases, ({ rows, reads, maxBindings, seed }) => {
      const built = gathers(rows, 16, reads);
      const inputs: Record<string, HostArray> = numbers(built, seed);
      // Rows several times, rows far apart, and what is no row.
      for (const name of Object.keys(inputs)) if (name.startsWith('at')) inputs[name] = Int32Array.from(inputs[name], (k) => [0, -1, 3, rows, 7, rows - 1, 1000][k]);
      const [sorted, plain] = [[], ['sorted segments']].map((disabled) => fuse(built, options(disabled, maxBindings)));
      const expected = interpretKernels(plain, inputs).outputs;
      for (const [name, found] of interpretKernels(sorted, inputs).outputs) expectClose(found, expected.get(name) ?? new Float64Array(), 1e-12, name);
    }), { numRuns: 6 });
  });

  it('are one sum a table, with one sort for all that have the same keys', () => {
    const once = (table: number, sameRows: boolean, items = 64): TableRead => ({ table, items, repeated: 1, sameRows });
    const found = fuse(gathers(100_000, 100, [once(0, false), once(1, true), once(0, true)]), options([]));
    expect(scatters(found)).toEqual(['sorted 64', 'sorted 64']);
    expect(sorts(found)).toEqual([64]);
    // Other places follow one another, in one sort; and five for each row that was read are added up first.
    const places = fuse(gathers(100_000, 100, [{ ...once(0, false), repeated: 5 }, once(0, false, 30)]), options([]));
    expect(scatters(places)).toEqual(['sorted 94']);
    expect(sorts(places)).toEqual([94]);
    expect(places.kernels.filter((k) => k.stores.some((s) => sizeOf(places.program.tensors[s.tensor].shape) === 10_000_000))).toHaveLength(1);
  });

  it('are left where sorting does not pay', () => {
    const small = (program: ReturnType<typeof gather>): readonly number[] => sorts(fuse(program, options([])));
    expect(small(gather(10_000, 100, 50))).toEqual([]);
    expect(small(gather(1_000_000, 8, 50))).toEqual([]);
    expect(small(gather(1000, 5000, 5000))).toEqual([]);
    expect(small(segments({ items: [64], rows: [300, 300], columns: [20] }))).toEqual([]);
    expect(small(gather(50_000, 100, 500))).toEqual([500]);
    // Where threads are few.
    const onGpu = (items: number, manyCores: boolean): readonly number[] => sorts(fuse(gather(50_000, 100, items), { ...options([], 8, 'wgsl'), manyCores }));
    expect(onGpu(500, true)).toEqual([500]);
    expect(onGpu(500, false)).toEqual([]);
  });
});
