/** Twin computations run as one, and mean what they meant: bundled models with the pass on and off, in float64. */
import { describe, expect, it } from 'vitest';
import type { TargetOptions } from '../../compiler/api.js';
import type { Program } from '../../compiler/tensor/program.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import { batch, compile, expectSameValues, models, titleOf } from './steps.js';

const target: TargetOptions = {
  target: 'wasm', maxBindingBytes: 2 ** 32, maxBindings: 1000, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 32768,
  subgroups: false, software: false, threads: 2, relaxedSimd: false, disabled: [],
};

/** Values that make statistics and gradients ordinary; the same for both programs, by name. */
function valuesOf(program: Program): Record<string, Float64Array> {
  const values: Record<string, Float64Array> = {};
  for (const t of program.tensors) {
    if (t.kind !== 'source') continue;
    const wave = (i: number): number => Math.sin(1.3 * i + t.name.length);
    values[t.name] = Float64Array.from({ length: sizeOf(t.shape) }, (_, i) => {
      if (t.element === 'u8') return Math.floor(128 + 127 * wave(i));
      if (t.element === 'i32') return t.role === 'clock' ? 3 : i % batch;
      return t.role === 'state' ? 0.5 + 0.3 * Math.abs(wave(i)) : 0.4 * wave(i);
    });
  }
  return values;
}

function expectSame(a: Program, b: Program): void {
  const values = valuesOf(a);
  const [left, right] = [interpret(a, values), interpret(b, values)];
  expectSameValues(left.outputs, right.outputs, 1e-7);
  expectSameValues(left.sources, right.sources, 1e-7);
}

describe('twins', () => {
  it.each(models.map((m) => [titleOf(m), m] as const))('of %s compute what they compute apart', (_, m) => {
    const together = compile(m, target);
    const apart = compile(m, { ...target, disabled: ['twins'] });
    expectSame(together.programs['step'], apart.programs['step']);
  }, 60_000);

  it('keep the statistics of each view', () => {
    const step = compile(models[0], target).programs['step'];
    const centres = step.tensors.filter((t) => t.origin.name.endsWith('batch_norm1.centre'));
    expect(centres.length).toBeGreaterThan(0);
    for (const t of centres) expect(t.shape[0]).toBe(2);
  });
});
