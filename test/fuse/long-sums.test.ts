/** Long sums in parts: the same results, parts that are counted as memory, and only where they are worth it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { fuse } from '../../compiler/fuse/fuse.js';
import type { FuseOptions } from '../../compiler/fuse/fuse.js';
import { interpretKernels } from '../../compiler/fuse/interpret-kernels.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { planMemory } from '../../compiler/plan/plan-memory.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import type { Program } from '../../compiler/tensor/program.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import { add, binary, float, index, int, mul, sub, unary } from '../../compiler/tensor/scalar.js';
import type { Device } from '../../runtime/device/device.js';
import { expectClose, numbers, origin } from '../kernels/tools.js';
import { expectAgreement, openTestDevice, runOn, subgroupOptions } from '../wgsl/harness.js';

const options: FuseOptions = { disabled: [], maxBindings: 8, target: 'wgsl', manyCores: true };
const kinds = (kernels: KernelProgram): string => kernels.kernels.map((k) => `${k.kind} ${k.extents.join('x')}`).join(', ');

/** The gradient of a linear layer's weights, and of a step of descent with it. */
function weightGradient(rows: number, input: number, output: number): Program {
  const b = new ProgramBuilder('weights');
  const x = b.source('x', 'data', 'f32', [rows, input], origin('x'));
  const dy = b.source('dy', 'data', 'f32', [rows, output], origin('dy'));
  const w = b.source('w', 'parameters', 'f32', [input, output], origin('w'));
  const gradient = b.comprehension('f32', [input, output], { op: 'sum', extents: [rows] }, mul(b.read(x, [index(2), index(0)]), b.read(dy, [index(2), index(1)])), origin('grad w'));
  b.update(w, b.comprehension('f32', [input, output], null, sub(b.identity(w), mul(float(0.01), b.identity(gradient))), origin('sgd')));
  b.output('gradient', gradient);
  return b.build();
}

/** The gradient of a convolution's weights: guarded reads over batch, rows and columns. */
function filterGradient(batch: number, side: number, input: number, output: number): Program {
  const b = new ProgramBuilder('filter');
  const x = b.source('x', 'data', 'f32', [batch, side, side, input], origin('x'));
  const dy = b.source('dy', 'data', 'f32', [batch, side, side, output], origin('dy'));
  const at = (axis: number, tap: number) => sub(add(index(axis), index(tap)), int(1));
  const product = mul(b.read(x, [index(4), at(5, 0), at(6, 1), index(2)], float(0)), b.read(dy, [index(4), index(5), index(6), index(3)]));
  b.output('gradient', b.comprehension('f32', [3, 3, input, output], { op: 'sum', extents: [batch, side, side] }, product, origin('grad w')));
  return b.build();
}

/** Mean, squared deviations and largest of every channel. */
function statistics(rows: number, channels: number, shift = 0): Program {
  const b = new ProgramBuilder('statistics');
  const x = b.source('x', 'data', 'f32', [rows, channels], origin('x'));
  const value = add(b.read(x, [index(1), index(0)]), float(shift));
  const of = (op: 'sum' | 'deviations' | 'max') => b.comprehension('f32', [channels], { op, extents: [rows] }, value, origin(op));
  const [sum, deviations, largest] = [of('sum'), of('deviations'), of('max')];
  b.output('scale', b.comprehension('f32', [channels], null, binary('div', float(1), unary('sqrt', add(mul(b.identity(deviations), float(1 / rows)), float(1e-5)))), origin('scale')));
  b.output('mean', b.comprehension('f32', [channels], null, mul(b.identity(sum), float(1 / rows)), origin('mean')));
  b.output('largest', largest);
  return b.build();
}

/** The length of one long vector. */
function norm(length: number): Program {
  const b = new ProgramBuilder('norm');
  const x = b.source('x', 'data', 'f32', [length], origin('x'));
  const squares = b.comprehension('f32', [], { op: 'sum', extents: [length] }, mul(b.read(x, [index(0)]), b.read(x, [index(0)])), origin('squares'));
  b.output('norm', b.comprehension('f32', [], null, unary('sqrt', b.read(squares, [])), origin('norm')));
  return b.build();
}

const worthIt: readonly (readonly [string, () => Program])[] = [
  ['gradient of weights', () => weightGradient(16384, 40, 33)], ['gradient of a filter', () => filterGradient(32, 16, 8, 12)],
  ['statistics of channels', () => statistics(32768, 24)], ['statistics far from zero', () => statistics(32768, 24, 50)], ['norm of a vector', () => norm(1 << 20)],
];

describe('in parts', () => {
  it.each(worthIt)('%s', (_name, build) => {
    const program = build();
    const inputs = numbers(program, 3);
    const split = fuse(program, options);
    expect(kinds(split)).not.toBe(kinds(fuse(program, { ...options, disabled: ['long sums'] })));
    const { outputs, sources } = interpretKernels(split, inputs);
    const expected = interpret(program, inputs);
    for (const o of program.outputs) expectClose(outputs.get(o.name), expected.outputs.get(o.name) ?? new Float64Array(), 1e-9, o.name);
    for (const [name, value] of expected.sources) expectClose(sources.get(name), value, 1e-9, name);
  });

  it('whatever the sizes', () => {
    const sizes = fc.record({ rows: fc.integer({ min: 1, max: 5000 }).map((n) => 2 * n), input: fc.integer({ min: 1, max: 20 }), output: fc.integer({ min: 1, max: 20 }) });
    let split = 0;
    fc.assert(fc.property(sizes, ({ rows, input, output }) => {
      const program = weightGradient(rows, input, output);
      const inputs = numbers(program, 5);
      const kernels = fuse(program, options);
      if (kernels.kernels.length > fuse(program, { ...options, disabled: ['long sums'] }).kernels.length) split++;
      expectClose(interpretKernels(kernels, inputs).outputs.get('gradient'), interpret(program, inputs).outputs.get('gradient') ?? new Float64Array(), 1e-9, 'gradient');
    }), { numRuns: 25 });
    expect(split).toBeGreaterThan(3);
  });

  it('are memory that is planned and counted', () => {
    const program = filterGradient(32, 16, 8, 12);
    const kernels = fuse(program, options);
    const parts = kernels.program.tensors.filter((t) => t.origin.name.startsWith('parts of'));
    expect(parts.length).toBe(1);
    const bytes = 4 * sizeOf(parts[0].shape);
    expect(bytes).toBeGreaterThanOrEqual(2 * 4 * 9 * 8 * 12);
    const [{ peakBytes }] = planMemory([kernels], { alignment: 256, arenaLimit: null }).entries;
    expect(peakBytes).toBeGreaterThanOrEqual(bytes);
    // No more than what is summed.
    expect(bytes).toBeLessThanOrEqual(4 * 32 * 16 * 16 * 20);
  });

  it('only where it is worth another kernel, and only on GPUs', () => {
    const whole = (program: Program, o: FuseOptions = options): boolean => kinds(fuse(program, o)) === kinds(fuse(program, { ...o, disabled: ['long sums'] }));
    expect(whole(weightGradient(512, 256, 256))).toBe(true);
    expect(whole(weightGradient(4096, 2048, 2048))).toBe(true);
    expect(whole(statistics(512, 64))).toBe(true);
    expect(whole(norm(10_000))).toBe(true);
    expect(whole(filterGradient(32, 16, 8, 12), { ...options, manyCores: false })).toBe(true);
  });
});

const opened = await openTestDevice();
const reason = typeof opened === 'string' ? ` (skipped: ${opened})` : '';

describe.skipIf(typeof opened === 'string')(`in parts on an adapter${reason}`, () => {
  let device: Device;
  beforeAll(() => { if (typeof opened !== 'string') device = opened; });
  afterAll(() => device.close());

  it.each(worthIt)('%s', async (_name, build) => {
    const kernels = fuse(build(), options);
    await expectAgreement(device, kernels, numbers(kernels.program, 7), subgroupOptions, 5e-4);
  }, 60_000);

  it('with the same bits every time', async () => {
    const kernels = fuse(weightGradient(16384, 40, 33), options);
    const inputs = numbers(kernels.program, 9);
    const once = await runOn(device, kernels, inputs, subgroupOptions);
    expect(await runOn(device, kernels, inputs, subgroupOptions)).toEqual(once);
  }, 60_000);
});
