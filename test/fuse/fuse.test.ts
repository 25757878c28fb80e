/** Fused kernels compute what the program computes, with every pass on and with each one off. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { tensorsTouched } from '../../compiler/fuse/draft.js';
import { fuse, fusePasses } from '../../compiler/fuse/fuse.js';
import { interpretKernels } from '../../compiler/fuse/interpret-kernels.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import { difference, generateProgram, steps } from './generate.js';

const options = { disabled: [], maxBindings: 8, target: 'wasm' } as const;
const sizes = fc.constantFrom({ m: 9, n: 10 }, { m: 12, n: 8 }, { m: 3, n: 5 }, { m: 1, n: 6 });

function check(choices: Parameters<typeof generateProgram>[0], size: { m: number; n: number }, disabled: readonly string[], maxBindings = 8): number {
  const { program, inputs } = generateProgram(choices, size);
  const expected = interpret(program, inputs);
  const kernels = fuse(program, { ...options, disabled, maxBindings });
  const result = interpretKernels(kernels, inputs);
  return Math.max(difference(expected.outputs, result.outputs), difference(expected.sources, result.sources));
}

describe('fused kernels', () => {
  it('equal the interpreter', () => {
    fc.assert(fc.property(steps, sizes, (choices, size) => { expect(check(choices, size, [])).toBeLessThan(1e-9); }), { numRuns: 150 });
  });

  it('touch no more tensors than may be bound', () => {
    fc.assert(fc.property(steps, sizes, fc.constantFrom(5, 6), (choices, size, maxBindings) => {
      expect(check(choices, size, [], maxBindings)).toBeLessThan(1e-9);
      const { kernels } = fuse(generateProgram(choices, size).program, { ...options, maxBindings });
      expect(Math.max(...kernels.map((k) => tensorsTouched(k).size))).toBeLessThanOrEqual(maxBindings);
    }), { numRuns: 40 });
  });

  it.each([...fusePasses.map((p) => p.name), 'updates'])('equal the interpreter without %s', (name) => {
    fc.assert(fc.property(steps, sizes, (choices, size) => { expect(check(choices, size, [name])).toBeLessThan(1e-9); }), { numRuns: 30 });
  });
});
