/** What passes a device's limits is a diagnostic at a line of the model, not a bug. */
import { expect, it } from 'vitest';
import type { TargetOptions } from '../../compiler/api.js';
import { bindTensors } from '../../compiler/emit/wgsl/bindings.js';
import { compileTraining, loadProgram } from '../../compiler/pipeline.js';
import type { Slot } from '../../compiler/plan/plan.js';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import type { Diagnostic } from '../../grammar/diagnostics/diagnostic.js';
import type { TensorId } from '../../compiler/tensor/scalar.js';
import { memoryReader } from '../lower/harness.js';
import { gpuOptions, softwareOptions } from './harness.js';
import { product } from './kernels.js';

function diagnosticsOf(work: () => unknown): readonly Diagnostic[] {
  try {
    work();
  } catch (error) {
    if (error instanceof DiagnosticError) return error.diagnostics;
    throw error;
  }
  return [];
}

function compileFor(target: TargetOptions, width: number): void {
  const text = `use std.layers { linear }
use std.optimizers { sgd }
model m {
  input x: [64]
  net f = linear(${width})
  minimize size: mean(f(x)^2)
  represent f(x)
}
train m {
  batch 4
  steps 1
  optimizer sgd(rate: 0.1)
}
`;
  const loaded = loadProgram('m.ssl', memoryReader({ 'm.ssl': text }));
  expect(loaded.diagnostics).toEqual([]);
  compileTraining(loaded, {
    model: null, set: {}, steps: 1, resident: true, embedBatch: 4, target,
    data: { examples: 8, classes: null, inputs: [{ name: 'x', element: 'f32', shape: [64] }] },
  });
}

it('a tensor larger than a binding', () => {
  const [found] = diagnosticsOf(() => compileFor({ ...softwareOptions, maxBindingBytes: 65536 }, 1000));
  expect(found).toMatchObject({ code: 'SSL4003', severity: 'error', title: expect.stringMatching(/^the device allows 65536 at once, and this needs \d+ bytes in one piece$/) });
  expect(found.span.file).toMatch(/\.ssl$/);
  expect(diagnosticsOf(() => compileFor({ ...softwareOptions, maxBindingBytes: 65536 }, 8))).toEqual([]);
});

it('more separate ranges than can be bound', () => {
  const kernels = product(1, 64, 64, 64, 'nn');
  const [kernel] = kernels.kernels;
  // Every tensor in an arena of its own, so none can be bound together.
  const placements = new Map(kernels.program.tensors.map((t, arena): [TensorId, Slot] => [t.id, { arena, offset: 0, bytes: 16384, element: t.element, shape: t.shape }]));
  expect(bindTensors([kernel], kernels.program, placements, { ...gpuOptions, maxBindings: 4 }).bindings).toHaveLength(4);
  expect(diagnosticsOf(() => bindTensors([kernel], kernels.program, placements, { ...gpuOptions, maxBindings: 3 }))).toMatchObject([
    { code: 'SSL4003', title: 'the device allows 3 at once, and this needs 4 separate ranges of memory' },
  ]);
});
