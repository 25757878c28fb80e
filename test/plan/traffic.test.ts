/** The model of what kernels move: parts of tensors by hand, loop nests against a simulated cache, launches by hand. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TargetOptions } from '../../compiler/api.js';
import { fuse } from '../../compiler/fuse/fuse.js';
import { loopExtents } from '../../compiler/fuse/inline-maps.js';
import type { Kernel } from '../../compiler/fuse/kernel.js';
import { elementsOf, lineBytes, lineBytesOf, readAccesses, writeAccesses } from '../../compiler/plan/accesses.js';
import type { Access } from '../../compiler/plan/accesses.js';
import type { LoopNest } from '../../compiler/plan/loop-nest.js';
import { total, touched, transfersOf } from '../../compiler/plan/loop-nest.js';
import { machineOf } from '../../compiler/plan/machine.js';
import { trafficOf } from '../../compiler/plan/traffic.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import type { Program } from '../../compiler/tensor/program.js';
import type { Scalar, TensorId } from '../../compiler/tensor/scalar.js';
import { add, binary, float, index, int, mul, read, sub } from '../../compiler/tensor/scalar.js';

const origin = { span: null, name: 't' };
const options: TargetOptions = {
  target: 'wasm', maxBindingBytes: 2 ** 32, maxBindings: 1000, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 32768,
  subgroups: false, software: false, threads: 2, relaxedSimd: false, disabled: [],
};

describe('parts of tensors', () => {
  /** A map of `n` points over reads of a tensor of the given shape. */
  const accesses = (n: number, shape: readonly number[], reads: readonly (readonly Scalar[])[]): readonly Access[] => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'data', 'f32', shape, origin);
    b.source('keys', 'data', 'i32', [n], origin);
    const kernel: Kernel = { kind: 'map', name: 'm', origins: [origin], extents: [n], stores: [{ tensor: x, value: reads.map((at): Scalar => read(x, at, 'f32', float(0))).reduce(add) }] };
    return readAccesses(b.build(), kernel).late.filter((a) => a.tensor === x);
  };
  const count = (n: number, shape: readonly number[], ...reads: readonly (readonly Scalar[])[]): readonly [number, number] => {
    const found = accesses(n, shape, reads);
    expect(found).toHaveLength(1);
    return [elementsOf(found[0], [n]), lineBytesOf(found[0], [n])];
  };
  const i = index(0);
  const line = lineBytes;

  it.each([
    ['a range', 64, [128], [[i]], 64, 256],
    ['neighbours, which overlap', 64, [128], [[i], [add(i, int(1))], [add(i, int(2))]], 66, 288],
    ['every second element, whose lines come whole', 64, [128], [[mul(i, int(2))]], 64, 512],
    ['both phases of a stride, which are all', 64, [128], [[mul(i, int(2))], [add(mul(i, int(2)), int(1))]], 128, 512],
    ['a column, a line each', 64, [64, 64], [[i, int(3)]], 64, 64 * line],
    ['a diagonal, a line each', 64, [64, 64], [[i, i]], 64, 64 * line],
    ['a row read by all points', 64, [4, 128], [[int(2), int(5)]], 1, line],
    ['backwards', 64, [64], [[sub(int(63), i)]], 64, 256],
    ['places that data names: no more than there are points', 8, [1000], [[read(1 as TensorId, [i], 'i32')]], 8, 32],
    ['remainders, no more than they can be', 64, [1000], [[binary('mod', i, int(8))]], 64, 256],
  ] as [string, number, number[], Scalar[][], number, number][])('%s', (_, n, shape, reads, elements, bytes) => {
    expect(count(n, shape, ...reads)).toEqual([elements, bytes]);
  });
});

/** The axes that the elements of an operand, or of a result, depend on, and the word in memory of one of them. */
interface Operand {
  readonly axes: readonly number[];
  readonly word: (at: readonly number[]) => number;
}

/** Bytes that a cache transfers, line by line, which keeps what was used last; a nest's innermost rounds go through one operand after the other, tasks end with results. */
function simulate(extents: readonly number[], operands: readonly Operand[], nest: LoopNest, cacheBytes: number, results: readonly Operand[] = []): number {
  const cache = new Set<number>();
  let misses = 0;
  const touch = (word: number): void => {
    const at = Math.floor((4 * word) / lineBytes);
    if (!cache.delete(at)) {
      misses++;
      if ((cache.size + 1) * lineBytes > cacheBytes) for (const oldest of cache) { cache.delete(oldest); break; }
    }
    cache.add(at);
  };
  const touchAll = ({ axes, word }: Operand, from: readonly number[], to: readonly number[], depth = 0, at: readonly number[] = from): void => {
    if (depth === axes.length) { touch(word(at)); return; }
    for (let v = from[axes[depth]]; v < to[axes[depth]]; v++) touchAll({ axes, word }, from, to, depth + 1, at.with(axes[depth], v));
  };
  const wide = (loops: LoopNest['tasks']): LoopNest['tasks'] => loops.filter((l) => l.step < extents[l.axes[0]]);
  const loops = [...wide(nest.tasks), ...wide(nest.inner)];
  const run = (depth: number, from: readonly number[], to: readonly number[]): void => {
    if (depth === loops.length) for (const operand of operands) touchAll(operand, from, to);
    else {
      const { axes: [axis], step } = loops[depth];
      for (let v = from[axis]; v < to[axis]; v += step) run(depth + 1, from.with(axis, v), to.with(axis, Math.min(to[axis], v + step)));
    }
    if (depth === wide(nest.tasks).length) for (const result of results) touchAll(result, from, to);
  };
  run(0, extents.map(() => 0), extents);
  return misses * lineBytes;
}

describe('a product in a cache', () => {
  const [m, k, n] = [192, 128, 160];
  const b = new ProgramBuilder('product');
  const x = b.source('x', 'data', 'f32', [m, k], origin);
  const w = b.source('w', 'data', 'f32', [k, n], origin);
  b.output('y', b.comprehension('f32', [m, n], { op: 'sum', extents: [k] }, mul(b.read(x, [index(0), index(2)]), b.read(w, [index(2), index(1)])), origin));
  const { program, kernels: [kernel] } = fuse(b.build(), options);
  const reads = readAccesses(program, kernel);
  const extents = loopExtents(kernel);
  const nestOf = (order: readonly [number, number][], inner: number): LoopNest => ({ tasks: order.map(([axis, step]) => ({ axes: [axis], step })), inner: [{ axes: [2], step: inner }], scratchBytes: 0, partialBytes: 0 });
  const [rowsFirst, columnsFirst]: [number, number][][] = [[[0, 32], [1, 32]], [[1, 32], [0, 32]]];

  const cases: readonly (readonly [name: string, order: readonly [number, number][], cacheBytes: number])[] = [
    // All of it fits; then one operand does, and the other is read once; then neither.
    ['rows first', rowsFirst, 1 << 20], ['columns first', columnsFirst, 1 << 20],
    ['rows first', rowsFirst, 140 << 10], ['rows first', rowsFirst, 120 << 10], ['rows first', rowsFirst, 110 << 10], ['columns first', columnsFirst, 140 << 10],
    ['rows first', rowsFirst, 48 << 10], ['columns first', columnsFirst, 48 << 10],
    ['rows first, tasks too large', rowsFirst, 12 << 10],
  ];
  const operands: readonly Operand[] = [{ axes: [0, 2], word: ([i, , p]) => i * k + p }, { axes: [2, 1], word: ([, j, p]) => m * k + p * n + j }];
  const agrees = (counted: number, simulated: number): void => {
    expect(counted / simulated).toBeGreaterThan(0.95);
    // Near the size at which something stops to fit the count is the larger.
    expect(counted / simulated).toBeLessThan(1.5);
  };

  it.each(cases)('%s (case %#): as simulated', (_, order, cacheBytes) => {
    const nest = nestOf(order, 16);
    const moved = transfersOf(nest, { ...reads, writes: [], once: touched(reads.inner, extents) }, extents, cacheBytes);
    agrees(total(moved), simulate([m, n, k], operands, nest, cacheBytes));
  });

  it.each(cases)('%s, whose results are added to others (case %#): as simulated', (_, order, cacheBytes) => {
    const c = new ProgramBuilder('sum');
    const [left, right, others] = [[m, k], [k, n], [m, n]].map((shape, i) => c.source(`s${i}`, 'data', 'f32', shape, origin));
    const sum = c.comprehension('f32', [m, n], { op: 'sum', extents: [k] }, mul(c.read(left, [index(0), index(2)]), c.read(right, [index(2), index(1)])), origin);
    c.output('y', c.comprehension('f32', [m, n], null, add(c.identity(sum), c.identity(others)), origin));
    const fused = fuse(c.build(), options);
    expect(fused.kernels).toHaveLength(1);
    const own = { ...readAccesses(fused.program, fused.kernels[0]), writes: writeAccesses(fused.program, fused.kernels[0]) };
    const nest = nestOf(order, 16);
    const moved = transfersOf(nest, { ...own, once: touched([...own.inner, ...own.late], extents) }, extents, cacheBytes);
    const results = [0, 1].map((which): Operand => ({ axes: [0, 1], word: ([i, j]) => m * k + k * n + which * m * n + i * n + j }));
    agrees(total(moved) + 4 * m * n, simulate([m, n, k], operands, nest, cacheBytes, results));
  });

  it('in any blocks and cache: as simulated', () => {
    const block = fc.constantFrom(8, 16, 24, 32, 40, 56, 64, 72, 112);
    const any = fc.record({ rows: block, columns: block, depth: fc.constantFrom(8, 16, 32), columnsFirst: fc.boolean(), cacheBytes: fc.integer({ min: 6, max: 220 }).map((n) => n << 10) });
    const ratios: number[] = [];
    fc.assert(fc.property(any, ({ rows, columns, depth, columnsFirst: second, cacheBytes }) => {
      const nest = nestOf(second ? [[1, columns], [0, rows]] : [[0, rows], [1, columns]], depth);
      const moved = transfersOf(nest, { ...reads, writes: [], once: touched(reads.inner, extents) }, extents, cacheBytes);
      ratios.push(total(moved) / simulate([m, n, k], operands, nest, cacheBytes));
    }), { numRuns: 60, seed: 3 });
    expect(Math.min(...ratios)).toBeGreaterThan(0.95);
    expect(ratios.reduce((a, b) => a + b) / ratios.length).toBeLessThan(1.1);
  }, 60_000);

  it('in steps that go on over the end of an axis: rounds as often as they begin', () => {
    const c = new ProgramBuilder('p');
    const [pictures, width] = [[2, 64], 64];
    const data = c.source('data', 'data', 'f32', [...pictures, width], origin);
    const weights = c.source('weights', 'data', 'f32', [width, width], origin);
    c.output('y', c.comprehension('f32', [...pictures, width], { op: 'sum', extents: [width] }, mul(c.read(data, [index(0), index(1), index(3)]), c.read(weights, [index(3), index(2)])), origin));
    const fused = fuse(c.build(), options);
    const own = readAccesses(fused.program, fused.kernels[0]);
    const sizes = loopExtents(fused.kernels[0]);
    const moved = transfersOf({ tasks: [{ axes: [0, 1], step: 44 }], inner: [], scratchBytes: 0, partialBytes: 0 }, { ...own, writes: [], once: touched(own.inner, sizes) }, sizes, 8 << 10);
    expect(moved.get(data)).toBeCloseTo(4 * 2 * 64 * width, 5);
    expect(moved.get(weights)).toBeCloseTo(3 * 4 * width * width, 5);
  });

  it('moves all of both operands once where they fit', () => {
    const once = touched(reads.inner, extents);
    expect([...transfersOf(nestOf(rowsFirst, 16), { ...reads, writes: writeAccesses(program, kernel), once }, extents, 1 << 20).values()]).toEqual([4 * m * k, 4 * k * n]);
  });
});

describe('a convolution in a cache', () => {
  const [positions, channels, results, taps] = [96, 64, 16, 3];
  const b = new ProgramBuilder('convolution');
  const x = b.source('x', 'data', 'f32', [positions + taps - 1, channels], origin);
  const w = b.source('w', 'data', 'f32', [taps, channels, results], origin);
  b.output('y', b.comprehension('f32', [positions, results], { op: 'sum', extents: [taps, channels] }, mul(b.read(x, [add(index(0), index(2)), index(3)]), b.read(w, [index(2), index(3), index(1)])), origin));
  const { program, kernels: [kernel] } = fuse(b.build(), options);
  const reads = readAccesses(program, kernel);
  const extents = loopExtents(kernel);
  const nest: LoopNest = { tasks: [{ axes: [0], step: positions }], inner: [{ axes: [2], step: 1 }, { axes: [3], step: 8 }], scratchBytes: 0, partialBytes: 0 };

  // All of it fits; then what a tap reads does, which is mostly what the one before it read; then nothing.
  it.each([40 << 10, 34 << 10, 12 << 10])('of %i bytes: as simulated', (cacheBytes) => {
    const moved = transfersOf(nest, { ...reads, writes: [], once: touched(reads.inner, extents) }, extents, cacheBytes);
    const data: Operand = { axes: [0, 2, 3], word: ([i, , t, c]) => (i + t) * channels + c };
    const weights: Operand = { axes: [2, 3, 1], word: ([, o, t, c]) => (positions + taps - 1) * channels + (t * channels + c) * results + o };
    const simulated = simulate(extents, [data, weights], nest, cacheBytes);
    expect(total(moved) / simulated).toBeGreaterThan(0.95);
    expect(total(moved) / simulated).toBeLessThan(1.5);
  });
});

describe('a launch', () => {
  const size = 1 << 16;
  const bytes = 4 * size;
  const machine = (program: Program, cacheBytes: number) => ({ ...machineOf(options, program), cacheBytes });
  const double = (t: TensorId, b: ProgramBuilder, by: number): TensorId => b.comprehension('f32', [size], null, mul(b.identity(t), float(by)), origin);

  it('of two parts counts what both read once where it stays in the cache between them', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'data', 'f32', [size], origin);
    b.output('y', double(x, b, 2));
    b.output('z', double(x, b, 3));
    const kernels = fuse(b.build(), { ...options, disabled: ['siblings', 'epilogues', 'late epilogues'] });
    expect(kernels.kernels).toHaveLength(2);
    const traffic = (cacheBytes: number, steps: number) => trafficOf(kernels, [[0, 1]], { ...machine(kernels.program, cacheBytes), steps })[0];
    expect(traffic(8 * bytes, 1)).toEqual({ idealBytes: 3 * bytes, bytesRead: bytes, bytesWritten: 2 * bytes });
    expect(traffic(bytes, 1)).toEqual({ idealBytes: 3 * bytes, bytesRead: 2 * bytes, bytesWritten: 2 * bytes });
    // Side by side, where a step of both stays.
    expect(traffic(bytes, 64)).toEqual({ idealBytes: 3 * bytes, bytesRead: bytes, bytesWritten: 2 * bytes });
    expect(traffic(bytes / 256, 64)).toEqual({ idealBytes: 3 * bytes, bytesRead: 2 * bytes, bytesWritten: 2 * bytes });
  });

  it('of a map and a long sum on a GPU counts what both read once where the sum goes on as far as the map in a step', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'data', 'f32', [size], origin);
    b.output('y', double(x, b, 2));
    b.output('z', b.comprehension('f32', [], { op: 'sum', extents: [size] }, b.read(x, [index(0)]), origin));
    const target: TargetOptions = { ...options, target: 'wgsl' };
    const kernels = fuse(b.build(), { ...options, target: 'wgsl', disabled: ['siblings', 'epilogues', 'late epilogues'] });
    const traffic = (cacheBytes: number) => trafficOf(kernels, [[0, 1]], { ...machineOf(target, kernels.program), cacheBytes })[0];
    // A quarter of the map's workgroups run at a time.
    expect(traffic(bytes)).toEqual({ idealBytes: 2 * bytes + 4, bytesRead: bytes, bytesWritten: bytes + 4 });
    expect(traffic(bytes / 4)).toEqual({ idealBytes: 2 * bytes + 4, bytesRead: 2 * bytes, bytesWritten: bytes + 4 });
  });

  it('of a product in parts moves what they leave only where not all of it stays', () => {
    const b = new ProgramBuilder('p');
    const [sums, side] = [8192, 32];
    const [x, y] = ['x', 'y'].map((name) => b.source(name, 'data', 'f32', [sums, side], origin));
    b.output('z', b.comprehension('f32', [side, side], { op: 'sum', extents: [sums] }, mul(b.read(x, [index(2), index(0)]), b.read(y, [index(2), index(1)])), origin));
    const kernels = fuse(b.build(), options);
    const [operands, results] = [2 * 4 * sums * side, 4 * side * side];
    const { partialBytes } = machineOf(options, kernels.program).nestOf(kernels.kernels[0]);
    expect(partialBytes).toBeGreaterThan(results);
    const traffic = (cacheBytes: number) => trafficOf(kernels, kernels.launches, machine(kernels.program, cacheBytes))[0];
    expect(traffic(2 * operands)).toEqual({ idealBytes: operands + results, bytesRead: operands, bytesWritten: results });
    expect(traffic(operands + results)).toEqual({ idealBytes: operands + results, bytesRead: operands + partialBytes, bytesWritten: results + partialBytes });
  });

  it('writes what nobody needs after it, which the ideal does not', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'data', 'f32', [256, 256], origin);
    const y = b.comprehension('f32', [256, 256], null, mul(b.identity(x), b.identity(x)), origin);
    const sum = b.comprehension('f32', [256], { op: 'sum', extents: [256] }, b.read(y, [index(0), index(1)]), origin);
    b.output('z', b.comprehension('f32', [256, 256], null, mul(b.read(y, [index(0), index(1)]), b.read(sum, [index(0)])), origin));
    const kernels = fuse(b.build(), { ...options, disabled: ['inline'] });
    const [traffic] = trafficOf(kernels, kernels.launches, machine(kernels.program, 16 << 20));
    expect(kernels.launches).toHaveLength(1);
    expect(traffic.idealBytes).toBe(2 * bytes);
    expect(traffic.bytesRead).toBe(bytes);
    expect(traffic.bytesWritten).toBe(2 * bytes + 4 * 256);
  });
});
