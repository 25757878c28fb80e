/** Memory plans: what is alive at the same time does not overlap, and little is wasted. Costs: counted by hand. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import type { TargetOptions } from '../../compiler/api.js';
import { costLaunches } from '../../compiler/plan/cost.js';
import { findAllocations } from '../../compiler/plan/lifetimes.js';
import type { Lifetime } from '../../compiler/plan/lifetimes.js';
import { liveBound, packIntervals } from '../../compiler/plan/pack-intervals.js';
import { planMemory } from '../../compiler/plan/plan-memory.js';
import { describePlan, inUnits } from '../../compiler/plan/report.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { index, mul } from '../../compiler/tensor/scalar.js';
import type { TensorId } from '../../compiler/tensor/scalar.js';
import { generateProgram, steps } from '../fuse/generate.js';
import { ntXent } from '../fuse/nt-xent.js';

const options: TargetOptions = {
  target: 'wasm', maxBindingBytes: 2 ** 32, maxBindings: 8, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 32768,
  subgroups: false, software: false, threads: 2, relaxedSimd: false, disabled: [],
};
const size = { m: 9, n: 10 };

const lifetimes: fc.Arbitrary<Lifetime[]> = fc.array(fc.record({ bytes: fc.integer({ min: 1, max: 200000 }), first: fc.nat(40), span: fc.nat(8) }), { maxLength: 40 })
  .map((list) => list.map((l, i) => ({ id: i as TensorId, bytes: l.bytes, first: l.first, last: l.first + l.span })));

describe('packing of lifetimes', () => {
  it('never overlaps what is alive at the same time', () => {
    fc.assert(fc.property(lifetimes, (list) => {
      const { offsets, bytes } = packIntervals(list, 256);
      list.forEach((a, i) => {
        expect(offsets[i] % 256).toBe(0);
        expect(offsets[i] + a.bytes).toBeLessThanOrEqual(bytes);
        list.forEach((b, j) => {
          if (j <= i || a.last < b.first || b.last < a.first) return;
          expect(offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i]).toBe(true);
        });
      });
      expect(bytes).toBeGreaterThanOrEqual(liveBound(list, 256));
    }), { numRuns: 100 });
  });

  it('wastes at most a tenth on the shape of a training step', () => {
    // Activations of a network, deep or not: written in order, read again in reverse order, with short-lived gradients.
    fc.assert(fc.property(fc.array(fc.integer({ min: 1000, max: 400000 }), { minLength: 1, maxLength: 40 }), (sizes) => {
      const n = sizes.length;
      const list = sizes.flatMap((bytes, i): Lifetime[] => [
        { id: (2 * i) as TensorId, bytes, first: i, last: 2 * n - i },
        { id: (2 * i + 1) as TensorId, bytes, first: 2 * n - i - 1, last: 2 * n - i },
      ]);
      expect(packIntervals(list, 256).bytes).toBeLessThanOrEqual(1.1 * liveBound(list, 256));
    }), { numRuns: 300 });
  });
});

describe('memory plans', () => {
  it.each<{ arenaLimit: number | null }>([{ arenaLimit: null }, { arenaLimit: 4096 }])('give every tensor its own memory while it lives ($arenaLimit)', ({ arenaLimit }) => {
    fc.assert(fc.property(steps, (choices) => {
      const kernels = fuse(generateProgram(choices, size).program, options);
      const plan = planMemory([kernels], { alignment: 256, arenaLimit });
      const [{ placements }] = plan.entries;
      const { locate, transients, persistent } = findAllocations(kernels);
      const lives = new Map<TensorId, { first: number; last: number }>([...transients.map((t) => [t.id, t] as const), ...persistent.map((id) => [id, { first: 0, last: Infinity }] as const)]);
      const owners = [...lives.keys()];
      for (const id of kernels.materialized) {
        const slot = placements.get(id);
        const owner = placements.get(locate(id).owner);
        if (slot === undefined || owner === undefined) throw new Error('no slot');
        expect(slot.offset).toBe(owner.offset + locate(id).byteOffset);
        expect(slot.offset + slot.bytes).toBeLessThanOrEqual(plan.arenas[slot.arena].bytes);
        if (arenaLimit !== null) expect(plan.arenas[slot.arena].bytes).toBeLessThanOrEqual(arenaLimit);
      }
      owners.forEach((a, i) => owners.slice(i + 1).forEach((b) => {
        const [x, y, l, k] = [placements.get(a), placements.get(b), lives.get(a), lives.get(b)];
        if (x === undefined || y === undefined || l === undefined || k === undefined) throw new Error('no slot');
        if (x.arena !== y.arena || l.last < k.first || k.last < l.first) return;
        expect(x.offset + x.bytes <= y.offset || y.offset + y.bytes <= x.offset).toBe(true);
      }));
      expect(plan.entries[0].peakBytes).toBeGreaterThanOrEqual(arenaLimit === null ? plan.entries[0].liveBytes : 0);
    }), { numRuns: 40 });
  });

  it('refuses a source of two shapes', () => {
    const entry = (n: number): ReturnType<typeof fuse> => {
      const b = new ProgramBuilder('entry');
      const s = b.source('s', 'state', 'f32', [n], { span: null, name: 's' });
      b.output('s', s);
      return fuse(b.build(), options);
    };
    expect(() => planMemory([entry(3), entry(4)], { alignment: 256, arenaLimit: null })).toThrow(/source s/);
  });
});

describe('costs', () => {
  it('count a product by hand', () => {
    const b = new ProgramBuilder('product');
    const origin = { span: null, name: 'y' };
    const x = b.source('x', 'data', 'f32', [16, 32], origin);
    const w = b.source('w', 'parameters', 'f32', [32, 24], origin);
    b.output('y', b.comprehension('f32', [16, 24], { op: 'sum', extents: [32] }, mul(b.read(x, [index(0), index(2)]), b.read(w, [index(2), index(1)])), origin));
    const kernels = fuse(b.build(), options);
    const [bytesRead, bytesWritten] = [4 * (16 * 32 + 32 * 24), 4 * 16 * 24];
    expect(costLaunches(kernels, kernels.launches, options)).toEqual([{ flops: 2 * 16 * 24 * 32, bytesRead, bytesWritten, idealBytes: bytesRead + bytesWritten }]);
  });

  it('are reported per kernel and in total', () => {
    const kernels = fuse(ntXent(8, 6, true), options);
    const memory = planMemory([kernels], { alignment: 256, arenaLimit: null });
    const costs = costLaunches(kernels, kernels.kernels.map((_, i) => [i]), options);
    const launches = kernels.kernels.map((k, i) => ({ kernel: k.name, class: k.kind, origin: k.origins.map((o) => o.name).join('; '), cost: costs[i], workgroups: [1, 1, 1] as const, bindings: [] }));
    const [{ peakBytes, liveBytes }] = memory.entries;
    const { text, json } = describePlan({
      plan: { version: 1, arenas: memory.arenas, sources: memory.sources, entries: { nt_xent: { name: 'nt_xent', launches, outputs: {}, peakBytes, liveBytes } }, code: { target: 'wgsl', modules: {}, features: [] } },
      kernels: { nt_xent: kernels },
    });
    expect(json.entries[0].launches).toBe(4);
    expect(json.entries[0].flops).toBe(json.entries[0].kernels.reduce((n, k) => n + k.flops, 0));
    expect(text).toContain('4 launches');
    // The largest tensor is the gradient, not the matrix of pairs.
    expect(json.entries[0].largest[0].shape).toEqual([16, 6]);
    expect(inUnits(1536, 1024)).toBe('1.50 Ki');
  });
});
