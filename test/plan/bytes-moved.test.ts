/** Each class of kernels moves at most 1.25 times the bytes of its ideal, in all programs of models and in single operations. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CallInput, TargetOptions } from '../../compiler/api.js';
import { fuse } from '../../compiler/fuse/fuse.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { buildTraining } from '../../compiler/lower/training-programs.js';
import { compileCall, compileTraining, loadProgram, runPasses } from '../../compiler/pipeline.js';
import { classesOf, costLaunches, excessOf, totalCost } from '../../compiler/plan/cost.js';
import { machineOf } from '../../compiler/plan/machine.js';
import type { Launch, LaunchCost } from '../../compiler/plan/plan.js';
import { trafficOf } from '../../compiler/plan/traffic.js';
import { memoryReader } from '../lower/harness.js';
import { root } from '../models/harness.js';

const cpu: TargetOptions = {
  target: 'wasm', maxBindingBytes: 2 ** 32, maxBindings: 1000, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 32768,
  subgroups: false, software: false, threads: 2, relaxedSimd: true, disabled: [],
};
/** What Dawn offers on a discrete GPU. */
const gpu: TargetOptions = { ...cpu, target: 'wgsl', maxBindingBytes: 2 ** 31, maxBindings: 10, subgroups: true };

type Inputs = readonly { readonly name: string; readonly element: 'u8' | 'f32' | 'i32'; readonly shape: readonly number[] }[];

const u8 = (shape: readonly number[], ...names: string[]): Inputs => names.map((name) => ({ name, element: 'u8', shape }));
const views = (...shape: number[]): Inputs => ['a', 'b'].map((name) => ({ name, element: 'f32', shape }));

const words: Inputs = [['word'], ['context'], ['noise', 5]].map(([name, ...shape]) => ({ name: String(name), element: 'i32', shape: shape.map(Number) }));

/** Models that do not read pictures `x` of one channel, or not those alone. */
const others: Readonly<Record<string, Inputs>> = {
  emoji_pairs: u8([28, 28, 1], 'x', 'y'), two_rooms: [...u8([9, 28, 28, 2], 'x'), { name: 'action', element: 'f32', shape: [8, 2] }],
};

type Work = readonly [name: string, file: string, inputs: Inputs, set: Readonly<Record<string, string>>];

const bundled = ['vision', 'latent'].flatMap((folder) => readdirSync(join(root, 'models', folder)).filter((f) => f.endsWith('.ssl')).map((file): Work => {
  const name = file.replace('.ssl', '');
  return [name, `models/${folder}/${file}`, others[name] ?? u8([28, 28, 1], 'x'), {}];
}));

const models: readonly Work[] = [
  ['cnn', 'bench/works/cnn.ssl', views(28, 28, 1), { batch: '128' }],
  ['mlp', 'bench/works/mlp.ssl', views(784), { batch: '256' }],
  ['resnet18', 'bench/works/resnet18.ssl', views(32, 32, 3), { batch: '64' }],
  ['vit_tiny', 'bench/works/vit_tiny.ssl', views(32, 32, 3), { batch: '32' }],
  ...['embedding', 'embedding_lazy', 'embedding_lazy_adam'].map((name): Work => [name, `bench/works/${name}.ssl`, words, { batch: '4096' }]),
  ...bundled,
];

function optionsOf(inputs: Inputs, set: Readonly<Record<string, string>>, target: TargetOptions) {
  return { model: null, set, data: { examples: 10000, classes: 10, inputs }, steps: 100, resident: true, embedBatch: 256, target };
}

const f32 = (...shape: number[]): CallInput => ({ element: 'f32', shape });
const rows = (n: number) => ({ u: f32(n / 2, 128), v: f32(n / 2, 128) });
const heads = f32(2, 6, 1024, 64);

const operations: readonly (readonly [name: string, call: string, inputs: Readonly<Record<string, CallInput>>, gradients: boolean, set: Readonly<Record<string, string>>])[] = [
  ['layer norm 8192x1024', 'norm', { x: f32(8192, 1024) }, true, {}],
  ['cross-entropy 4096x30522', 'vocabulary', { h: f32(4096, 128), w: f32(30522, 128), label: { element: 'i32', shape: [4096] } }, true, {}],
  ['NT-Xent 4096', 'contrast', rows(4096), true, {}],
  ['NT-Xent 16384', 'contrast', rows(16384), true, {}],
  ['attention 2x6x1024x64', 'attention', { q: heads, k: heads, v: heads, pull: heads }, true, {}],
  ['causal attention 2x6x1024x64', 'causal_attention', { q: heads, k: heads, v: heads, pull: heads }, true, {}],
  ...([[512, 512, 512], [1024, 1024, 1024], [256, 128, 256], [512, 512, 10000]] as const).map(([m, k, n]) => [`product ${m}x${k}x${n}`, 'product', { a: f32(m, k), b: f32(k, n) }, false, {}] as const),
  ['AdamW 25 M', 'adamw', { w: f32(25e6), g: f32(25e6) }, false, { rate: '0.001', decay: '0.01' }],
  ['augmentation', 'augmentation', { x: { element: 'u8', shape: [256, 32, 32, 3] } }, false, {}],
];

const most = 1.25;

function expectRatios(work: string, launches: readonly Pick<Launch, 'class' | 'cost'>[]): void {
  for (const name of new Set(launches.map((l) => l.class))) {
    const ratio = excessOf(totalCost(launches.filter((l) => l.class === name).map((l) => l.cost)));
    expect(ratio, `${work} ${name}`).toBeLessThanOrEqual(most);
    // The ideal is no more than is moved.
    expect(ratio, `${work} ${name}`).toBeGreaterThanOrEqual(0.999);
  }
}

/** The programs of a model's training for the CPU, as kernels. */
function kernelsOnCpu([, file, inputs, set]: Work, target = cpu): Readonly<Record<string, KernelProgram>> {
  const { programs } = buildTraining(loadProgram(join(root, file), memoryReader({})), optionsOf(inputs, set, target));
  return Object.fromEntries(Object.entries(programs).map(([name, program]) => [name, fuse(runPasses(program, target), target)]));
}

function launchesOf(kernels: KernelProgram): readonly Pick<Launch, 'class' | 'cost'>[] {
  const classes = classesOf(kernels, kernels.launches);
  return costLaunches(kernels, kernels.launches, cpu).map((cost, i) => ({ cost, class: classes[i] }));
}

describe('all programs', () => {
  it.each(models)('of %s on the CPU', (...work) => {
    for (const [name, kernels] of Object.entries(kernelsOnCpu(work))) expectRatios(`cpu ${work[0]} ${name}`, launchesOf(kernels));
  });

  it.each(models)('of %s on a GPU', (name, file, inputs, set) => {
    const { entries } = compileTraining(loadProgram(join(root, file), memoryReader({})), optionsOf(inputs, set, gpu)).plan;
    expect(Object.keys(entries)).toEqual(expect.arrayContaining(['step', 'embed']));
    for (const [entry, { launches }] of Object.entries(entries)) expectRatios(`gpu ${name} ${entry}`, launches);
  });
});

const library = loadProgram(join(root, 'bench/works/operations.ssl'), memoryReader({}));

function call(name: string, inputs: Readonly<Record<string, CallInput>>, gradients: boolean, set: Readonly<Record<string, string>>, target: TargetOptions) {
  const { plan, kernels } = compileCall(library, { name, set, inputs, gradients, training: true, target });
  return { launches: plan.entries['call'].launches, kernels: kernels['call'] };
}

describe.each([['the CPU', 'cpu', cpu], ['a GPU', 'gpu', gpu]] as const)('on %s', (_, short, target) => {
  it.each(operations)('%s', (work, name, inputs, gradients, set) => {
    expectRatios(`${short} ${work}`, call(name, inputs, gradients, set, target).launches);
  });
});

describe('what moves more', () => {
  const ratioOf = (costs: readonly Omit<LaunchCost, 'flops'>[]): number => excessOf(totalCost(costs.map((c) => ({ ...c, flops: 0 }))));

  it('parts of a launch one after the other instead of side by side', () => {
    const kernels = kernelsOnCpu(['vit_tiny', 'bench/works/vit_tiny.ssl', views(32, 32, 3), { batch: '32' }])['step'];
    const products = kernels.launches.map((launch, i) => ({ launch, i })).filter(({ launch }) => launch.length > 1 && launch.some((k) => kernels.kernels[k].kind === 'contract')).map(({ i }) => i);
    const ratio = (parts: number): number => {
      const machine = machineOf(cpu, kernels.program);
      const all = trafficOf(kernels, kernels.launches, { ...machine, cacheBytes: machine.cacheBytes / 4, steps: parts });
      return ratioOf(products.map((i) => all[i]));
    };
    expect(ratio(1)).toBeGreaterThan(ratio(64));
  });

  it('a product whose tiles read it many times, with a small cache', () => {
    const { kernels } = call('product', { a: f32(2048, 2048), b: f32(2048, 2048) }, false, {}, gpu);
    const product = (cacheBytes: number, sideBySide: number): number =>
      ratioOf(trafficOf(kernels, kernels.launches, { ...machineOf(gpu, kernels.program), cacheBytes, sideBySide }));
    expect(product(64 << 20, 1)).toBeCloseTo(1, 5);
    // Workgroups in step share what they read, one at a time they do not.
    expect(product(1 << 20, 128)).toBeGreaterThan(most);
    expect(product(1 << 20, 1)).toBeGreaterThan(4 * most);
  });

  it('an operation that is not fused: a pass over memory for every step of it', () => {
    const moved = (disabled: readonly string[]): number => {
      const { launches } = call('norm', { x: f32(8192, 1024) }, false, {}, { ...cpu, disabled });
      return launches.reduce((n, l) => n + l.cost.bytesRead + l.cost.bytesWritten, 0);
    };
    // What any layer norm reads and writes.
    const ideal = 2 * 4 * 8192 * 1024;
    expect(moved([])).toBeLessThan(1.01 * ideal);
    expect(moved(['inline', 'epilogues', 'late epilogues', 'siblings', 'chains', 'moments'])).toBeGreaterThan(most * ideal);
  });
});
