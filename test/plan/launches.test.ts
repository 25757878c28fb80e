/** Kernels that do not need each other share a launch, and it changes nothing but their number. */
import { describe, expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import { groupLaunches } from '../../compiler/fuse/group-launches.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import type { TensorId } from '../../compiler/tensor/scalar.js';
import { add, float, index, mul } from '../../compiler/tensor/scalar.js';
import { expectAgreement } from '../wasm/harness.js';
import { numbers } from '../kernels/tools.js';

const origin = { span: null, name: 'x' };
const options = { disabled: [], maxBindings: 1000, target: 'wasm' } as const;

/** Column sums of several matrices, each large enough to be cut into chunks, and a map that needs all of them (it ends in one of them). */
function sums(count: number): ProgramBuilder {
  const b = new ProgramBuilder('p');
  const rows = 3000;
  const totals = Array.from({ length: count }, (_, k): TensorId => {
    const x = b.source(`x${k}`, 'data', 'f32', [rows, 5 + k], origin);
    return b.comprehension('f32', [5 + k], { op: 'sum', extents: [rows] }, mul(b.read(x, [index(1), index(0)]), float(0.01)), origin);
  });
  totals.forEach((t, k) => b.output(`t${k}`, t));
  b.output('all', b.comprehension('f32', [5], null, totals.map((t) => b.read(t, [index(0)])).reduce(add), origin));
  return b;
}

describe('launches', () => {
  it('hold kernels that do not need each other', () => {
    const kernels = fuse(sums(4).build(), options);
    expect(kernels.launches.map((l) => l.length)).toEqual([3, 1]);
    expect(fuse(sums(4).build(), { ...options, disabled: ['launches'] }).launches.map((l) => l.length)).toEqual([1, 1, 1, 1]);
  });

  it('keep partial results of their kernels apart', async () => {
    const kernels = fuse(sums(4).build(), options);
    await expectAgreement(kernels, numbers(kernels.program));
  });

  it('wait for what is read before it is overwritten', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'state', 'f32', [64], origin);
    const y = b.source('y', 'state', 'f32', [32], origin);
    const doubled = b.comprehension('f32', [64], null, mul(b.identity(x), float(2)), origin);
    const some = b.comprehension('f32', [32], null, add(b.identity(y), b.read(x, [index(0)])), origin);
    b.update(x, doubled);
    b.update(y, some);
    const { program, kernels } = fuse(b.build(), options);
    const { launches } = groupLaunches(program, kernels, null, options);
    const launchOf = (name: string): number => launches.findIndex((l) => l.some((k) => kernels[k].stores.some((s) => { const t = program.tensors[s.tensor]; return t.kind === 'source' && t.name === name; })));
    expect(launchOf('x')).toBeGreaterThan(launchOf('y'));
  });
});
