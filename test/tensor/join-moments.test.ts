/** Mean and variance in one pass: the same numbers, in float32 too, far from zero. */
import { describe, expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import { joinMoments } from '../../compiler/tensor/join-moments.js';
import type { Program } from '../../compiler/tensor/program.js';
import { float, index, mul, sub } from '../../compiler/tensor/scalar.js';
import { simplify } from '../../compiler/tensor/simplify.js';
import { verify } from '../../compiler/tensor/verify.js';
import { runOn, testDevice } from '../wasm/harness.js';
import { origin } from './check-gradient.js';

const columns = 7;

function statistics(rows = 500): Program {
  const b = new ProgramBuilder('p');
  const x = b.source('x', 'data', 'f32', [rows, columns], origin);
  const element = b.read(x, [index(1), index(0)]);
  const total = b.comprehension('f32', [columns], { op: 'sum', extents: [rows] }, element, origin);
  const mean = b.comprehension('f32', [columns], null, mul(b.identity(total), float(1 / rows)), origin);
  const deviation = sub(element, b.read(mean, [index(0)]));
  const squares = b.comprehension('f32', [columns], { op: 'sum', extents: [rows] }, mul(deviation, deviation), origin);
  b.output('mean', mean);
  b.output('variance', b.comprehension('f32', [columns], null, mul(b.identity(squares), float(1 / rows)), origin));
  return simplify(b.build());
}

/** Column c lies c thousands from zero and spreads by 1; the last is constant. */
const dataOf = (rows: number): Float32Array => Float32Array.from({ length: rows * columns }, (_, i) => (i % columns === columns - 1 ? 3 : 1000 * (i % columns) + Math.sin(i * 1.7) * 1.4));
const data = dataOf(500);

describe('moments', () => {
  it('keep their values', () => {
    const program = statistics();
    const joined = joinMoments(program);
    verify(joined);
    const [expected, found] = [interpret(program, { x: data }), interpret(joined, { x: data })];
    for (const [name, values] of expected.outputs) values.forEach((v, i) => expect(found.outputs.get(name)?.[i]).toBeCloseTo(v, 9));
  });

  it('are one pass', () => {
    const count = (p: Program): number => fuse(p, { disabled: [], maxBindings: 8, target: 'wasm' }).kernels.length;
    expect(count(statistics())).toBe(2);
    expect(count(joinMoments(statistics()))).toBe(1);
  });

  // Few rows are one part, many are several that are merged.
  it.each([500, 20001])('keep their digits in float32, however far from zero, of %i rows', async (rows) => {
    const x = dataOf(rows);
    const expected = interpret(statistics(rows), { x }).outputs.get('variance');
    const kernels = fuse(joinMoments(statistics(rows)), { disabled: [], maxBindings: 8, target: 'wasm' });
    const found = (await runOn(await testDevice(), kernels, { x })).get('variance');
    for (let c = 0; c < columns; c++) expect(Math.abs((found?.[c] ?? NaN) - (expected?.[c] ?? NaN))).toBeLessThan(1e-5);
  });
});
