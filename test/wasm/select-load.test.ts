/** Maps that choose between tensors: by outer axes (one load at a chosen address), by the innermost, and by data. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import type { Scalar } from '../../compiler/tensor/scalar.js';
import { binary, float, index, int, select, substitute } from '../../compiler/tensor/scalar.js';
import { numbers, origin } from '../kernels/tools.js';
import { expectAgreement } from './harness.js';

const shapes = fc.record({ points: fc.integer({ min: 1, max: 9 }), channels: fc.integer({ min: 1, max: 19 }), parts: fc.integer({ min: 2, max: 4 }) });
const conditions = fc.constantFrom('outer', 'innermost', 'data', 'zero last', 'shifted');

it('chooses between tensors', async () => {
  await fc.assert(fc.asyncProperty(shapes, conditions, async ({ points, channels, parts }, by) => {
    const b = new ProgramBuilder('choose');
    const chooser = b.source('chooser', 'data', 'i32', [points, channels], origin('chooser'));
    const from = Array.from({ length: parts }, (_, i) => {
      const extent = Math.max(1, Math.ceil((points - i) / parts));
      const shape = [extent, channels];
      const source = b.source(`part${i}`, 'data', 'f32', shape, origin(`part${i}`));
      const at = [binary('idiv', index(0), int(parts)), by === 'shifted' && i === 1 ? binary('sub', index(1), int(2)) : index(1)];
      // Some axes are shorter than others, some reads need no guard.
      return b.read(source, at, extent * parts >= points && !(by === 'shifted' && i === 1) ? null : float(0));
    });
    const key = by === 'innermost' ? index(1) : by === 'data' ? b.identity(chooser) : index(0);
    const values: Scalar[] = by === 'zero last' ? [...from.slice(0, -1), float(0)] : from;
    const body = values.reduceRight((rest, value, i) => select(binary('eq', binary('mod', key, int(parts)), int(i)), value, rest));
    b.output('y', b.comprehension('f32', [points, channels], null, body, origin('y')));
    // A sum keeps the choice inside its loop.
    b.output('sums', b.comprehension('f32', [channels], { op: 'sum', extents: [points] }, swapAxes(body), origin('sums')));
    const program = b.build();
    await expectAgreement(fuse(program, { disabled: [], maxBindings: 100, target: 'wasm' }), numbers(program, points + 3));
  }), { numRuns: 40 });
  expect.hasAssertions();
});

function swapAxes(body: Scalar): Scalar {
  return substitute(body, (axis) => index(1 - axis));
}
