/** The training step of every bundled model of pictures, counted: one pass updates weights and targets, memory is near the least possible. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { ModelDeclaration } from '../../grammar/ast.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { scalarsOf } from '../../compiler/fuse/draft.js';
import { fuse } from '../../compiler/fuse/fuse.js';
import { buildTraining } from '../../compiler/lower/training-programs.js';
import { loadProgram, runPasses } from '../../compiler/pipeline.js';
import { planMemory } from '../../compiler/plan/plan-memory.js';
import type { Scalar } from '../../compiler/tensor/scalar.js';
import { holdsAnew, visit } from '../../compiler/tensor/scalar.js';
import { memoryReader } from '../lower/harness.js';
import { root } from '../models/harness.js';

const target = {
  target: 'wasm', maxBindingBytes: 2 ** 32, maxBindings: 1000, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 32768,
  subgroups: false, software: true, threads: 2, relaxedSimd: false, disabled: [],
} as const;

function step(file: string, files: Readonly<Record<string, string>> = {}): KernelProgram {
  const loaded = loadProgram(file, memoryReader(files));
  expect(loaded.diagnostics).toEqual([]);
  const model = loaded.modules.get(file)?.module.declarations.find((d): d is ModelDeclaration => d.kind === 'model');
  const names = model?.body.flatMap((s) => (s.kind === 'input' ? s.inputs.map((i) => i.name.text) : [])) ?? [];
  const inputs = names.map((name) => ({ name, element: 'u8' as const, shape: [28, 28, 1] }));
  const { programs } = buildTraining(loaded, { model: null, set: {}, data: { examples: 10000, classes: 10, inputs }, steps: 100, resident: true, embedBatch: 256, target });
  return fuse(runPasses(programs['step'], target), target);
}

/** Kernels that write a source whose name begins so. */
function writers({ program, kernels }: KernelProgram, name: string): readonly number[] {
  return kernels.flatMap((k, i) => (k.stores.some((s) => { const t = program.tensors[s.tensor]; return t.kind === 'source' && t.name.startsWith(name); }) ? [i] : []));
}

/** A target that follows the new weights moves in the pass that makes them; one that moves before the step shares a launch with what the step does first. */
function expectTargetsWithin(kernels: KernelProgram, update: readonly number[]): void {
  for (const k of writers(kernels, 'target.')) expect(update.includes(k) || (kernels.launches.find((l) => l.includes(k))?.length ?? 0) > 1).toBe(true);
}

/** The parts of a scalar that do not hold what they say they do. */
function mistaken(root: Scalar): readonly Scalar[] {
  const found: Scalar[] = [];
  visit(root, (s) => { if (s.holds !== holdsAnew(s)) found.push(s); });
  return found;
}

const files = readdirSync(join(root, 'models/vision')).filter((f) => f.endsWith('.ssl'));

it.each(files)('%s', (name) => {
  const kernels = step(join(root, 'models/vision', name));
  const update = writers(kernels, 'parameters');
  expect(update).toHaveLength(1);
  expectTargetsWithin(kernels, update);
  const [{ peakBytes, liveBytes }] = planMemory([kernels], { alignment: 256, arenaLimit: null }).entries;
  expect(peakBytes).toBeLessThanOrEqual(1.1 * liveBytes);
  expect(kernels.kernels.flatMap(scalarsOf).flatMap(mistaken)).toEqual([]);
});

it.each(['byol', 'moco_v2'])('the update of %s under every optimizer', (name) => {
  const text = readFileSync(join(root, `models/vision/${name}.ssl`), 'utf8');
  const under = (optimizer: string, settings = ''): KernelProgram => step('model.ssl', {
    'model.ssl': text.replace(/use std.optimizers \{ adamw \}/, `use std.optimizers { ${optimizer} }`).replace(/optimizer adamw\(.*\)/, `optimizer ${optimizer}(rate: 0.1${settings})`),
  });
  const [sgd, adamw, lars, lamb] = [under('sgd', ', skip: [bias, norm], decay: 1e-4'), under('adamw'), under('lars'), under('lamb')];
  for (const kernels of [sgd, adamw, lars, lamb]) {
    const update = writers(kernels, 'parameters');
    expect(update).toHaveLength(1);
    expectTargetsWithin(kernels, update);
  }
  // Norms of all parameters take two kernels, of which the first shares its launch with the length of the gradient.
  for (const kernels of [lars, lamb]) expect(kernels.launches.length).toBeLessThanOrEqual(adamw.launches.length + 2);
});
