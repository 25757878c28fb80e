/** Small kernels run by the last task of the launch whose results they need. */
import { describe, expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import { verifyKernels } from '../../compiler/fuse/verify-kernels.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { add, float, index, mul, sub, unary } from '../../compiler/tensor/scalar.js';
import { openCpuDevice } from '../../runtime/device/cpu/open-cpu-device.js';
import { numbers } from '../kernels/tools.js';
import { expectAgreement, planOf } from './harness.js';

const origin = { span: null, name: 'x' };
const options = { disabled: [], maxBindings: 1000, target: 'wasm' } as const;

/** Sums of columns, products of what they are, a state that the sums move and the columns read, and a number of all. */
function statistics(rows: number, width: number): ProgramBuilder {
  const b = new ProgramBuilder('statistics');
  const x = b.source('x', 'data', 'f32', [rows, width], origin);
  const w = b.source('w', 'data', 'f32', [width, 5], origin);
  const state = b.source('state', 'state', 'f32', [width], origin);
  const centred = sub(b.read(x, [index(1), index(0)]), b.read(state, [index(0)]));
  const total = b.comprehension('f32', [width], { op: 'sum', extents: [rows] }, mul(centred, centred), origin);
  const spread = b.comprehension('f32', [width], null, unary('sqrt', mul(b.identity(total), float(1 / rows))), origin);
  const mixed = b.comprehension('f32', [5], { op: 'sum', extents: [width] }, mul(b.read(spread, [index(1)]), b.read(w, [index(1), index(0)])), origin);
  b.update(state, b.comprehension('f32', [width], null, add(mul(b.identity(state), float(0.9)), mul(b.identity(spread), float(0.1))), origin));
  b.output('mixed', mixed);
  b.output('number', b.comprehension('f32', [], { op: 'sum', extents: [5] }, unary('exp', b.read(mixed, [index(0)])), origin));
  return b;
}

describe('tails', () => {
  it.each([[4000, 30], [3001, 7], [40, 3]])('compute what they should behind the sums of %i x %i', async (rows, width) => {
    const kernels = fuse(statistics(rows, width).build(), options);
    expect(kernels.launches).toHaveLength(1);
    expect(kernels.tails.length).toBeGreaterThanOrEqual(2);
    await expectAgreement(kernels, numbers(kernels.program), 1e-4);
  });

  it('give the same bits run after run, on one thread and on three', async () => {
    const kernels = fuse(statistics(4000, 30).build(), options);
    const runs = await Promise.all([1, 3].map(async (threads) => {
      const device = await openCpuDevice({ threads, exact: true });
      const session = await device.load(planOf(kernels));
      for (const [name, data] of Object.entries(numbers(kernels.program))) session.write(name, data);
      const seen: unknown[] = [];
      for (let run = 0; run < 20; run++) {
        await session.run('main');
        seen.push(await session.readOutput('main', 'number'), await session.readSource('state'));
      }
      await device.close();
      return seen;
    }));
    expect(runs[1]).toEqual(runs[0]);
  });

  it('are not made of what is too much for one thread, nor of the first kernel', () => {
    const b = new ProgramBuilder('large');
    const x = b.source('x', 'data', 'f32', [600, 400], origin);
    const total = b.comprehension('f32', [400], { op: 'sum', extents: [600] }, b.read(x, [index(1), index(0)]), origin);
    b.output('y', b.comprehension('f32', [600, 400], null, sub(b.read(x, [index(0), index(1)]), unary('tanh', b.read(total, [index(1)]))), origin));
    expect(fuse(b.build(), { ...options, disabled: ['chains'] }).tails).toEqual([]);
    const large = fuse(b.build(), options);
    expect(large.tails.every((k) => large.kernels[k].extents.reduce((n, e) => n * e, 1) <= 400)).toBe(true);
  });

  it('must come last in their launch', () => {
    const kernels = fuse(statistics(4000, 30).build(), options);
    expect(() => verifyKernels({ ...kernels, tails: [0] })).toThrow('the tails of a launch');
    expect(() => verifyKernels({ ...kernels, tails: [] })).toThrow('while another kernel writes it');
  });
});
