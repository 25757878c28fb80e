/** The first cut of kernels: what they compute is what the program computes. */
import { describe, expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import { interpretKernels } from '../../compiler/fuse/interpret-kernels.js';
import { planMemory } from '../../compiler/plan/plan-memory.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import { float, index, mul, sub } from '../../compiler/tensor/scalar.js';

const at = (name: string): { span: null; name: string } => ({ span: null, name });
const options = { disabled: [], maxBindings: 8, target: 'wasm' } as const;

function numbers(count: number, seed = 1): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => Math.sin((i + 1) * 12.9898 * seed));
}

/** y = x @ w, loss = mean(y^2), w <- w - 0.1 * x^T 2 y / n, with w a window of the parameters. */
function regression(): ProgramBuilder {
  const b = new ProgramBuilder('step');
  const x = b.source('data.x', 'data', 'f32', [12, 9], at('x'));
  const parameters = b.source('parameters', 'parameters', 'f32', [128], at('parameters'));
  const w = b.window(parameters, 0, [9, 10], at('w'));
  const y = b.comprehension('f32', [12, 10], { op: 'sum', extents: [9] }, mul(b.read(x, [index(0), index(2)]), b.read(w, [index(2), index(1)])), at('y'));
  const square = (): ReturnType<typeof mul> => mul(b.read(y, [index(0), index(1)]), b.read(y, [index(0), index(1)]));
  const loss = b.comprehension('f32', [], { op: 'sum', extents: [12, 10] }, square(), at('loss'));
  const gradient = b.comprehension('f32', [9, 10], { op: 'sum', extents: [12] }, mul(b.read(x, [index(2), index(0)]), b.read(y, [index(2), index(1)])), at('grad w'));
  const pack = b.pack([gradient], at('gradients'));
  const moved = b.comprehension('f32', [128], null, sub(b.identity(parameters), mul(float(0.1), b.identity(pack))), at('parameters'));
  b.output('loss', loss);
  b.update(parameters, moved);
  return b;
}

describe('kernels', () => {
  it('compute what the program computes', () => {
    const program = regression().build();
    const inputs = { 'data.x': numbers(108), parameters: numbers(128, 2) };
    const expected = interpret(program, inputs);
    const kernels = fuse(program, options);
    const result = interpretKernels(kernels, inputs);
    expect([...result.outputs.get('loss') ?? []][0]).toBeCloseTo([...expected.outputs.get('loss') ?? []][0], 9);
    expect([...result.sources.get('parameters') ?? []].map((v) => v.toFixed(9))).toEqual([...expected.sources.get('parameters') ?? []].map((v) => v.toFixed(9)));
    expect(kernels.kernels.map((k) => k.kind)).toContain('contract');
  });

  it('write updates in place where nobody reads the source later', () => {
    const kernels = fuse(regression().build(), options);
    expect(kernels.kernels[kernels.kernels.length - 1].stores.map((s) => kernels.program.tensors[s.tensor].kind)).toEqual(['source']);
  });

  it('swap two sources through a copy', () => {
    const b = new ProgramBuilder('swap');
    const p = b.source('p', 'state', 'f32', [5], at('p'));
    const q = b.source('q', 'state', 'f32', [5], at('q'));
    b.update(p, q);
    b.update(q, p);
    const inputs = { p: numbers(5), q: numbers(5, 3) };
    const program = b.build();
    expect(interpretKernels(fuse(program, options), inputs).sources).toEqual(interpret(program, inputs).sources);
  });

  it('place a pack around its parts and share sources between entries', () => {
    const kernels = fuse(regression().build(), options);
    const plan = planMemory([kernels, { ...kernels, name: 'again' }], { alignment: 256, arenaLimit: null });
    const [first, second] = plan.entries;
    const parameters = kernels.program.tensors.findIndex((t) => t.kind === 'source' && t.name === 'parameters');
    const slots = [...first.placements].filter(([id]) => id === parameters).map(([, s]) => s);
    expect([...second.placements].filter(([id]) => id === parameters).map(([, s]) => s)).toEqual(slots);
    expect(plan.sources.parameters).toMatchObject(slots[0]);
  });
});
