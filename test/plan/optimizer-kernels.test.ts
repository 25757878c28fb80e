/** The optimizer's part of a step, counted: as many kernels and launches however many parameters there are, with targets in its pass. */
import { describe, expect, it } from 'vitest';
import type { TargetOptions } from '../../compiler/api.js';
import { fuse } from '../../compiler/fuse/fuse.js';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { buildTraining } from '../../compiler/lower/training-programs.js';
import { loadProgram, runPasses } from '../../compiler/pipeline.js';
import { tensorsTouched } from '../../compiler/fuse/draft.js';
import { memoryReader } from '../lower/harness.js';
import { exactOptions } from '../wasm/harness.js';
import { gpuOptions } from '../wgsl/harness.js';

const cpu: TargetOptions = { ...exactOptions, software: false, threads: 2, half: true };
/** What adapters of desktops bind. */
const gpu: TargetOptions = { ...gpuOptions, maxBindings: 10 };

const nets = { resnet18: 'resnet18', small: 'global_average |> linear(2048) |> relu |> linear(64)' } as const;

interface Case {
  readonly optimizer: string;
  readonly others?: string;
  readonly follows?: boolean;
}

function step(net: keyof typeof nets, { optimizer, others = '', follows = false }: Case, target: TargetOptions): KernelProgram {
  const loaded = loadProgram('main.ssl', memoryReader({ 'main.ssl': `
use std.vision { resnet18 }
use std.layers { linear, global_average }
use std.optimizers { sgd, adamw, lars, lamb, rowwise_adagrad }
use std.schedules { cosine }
model m() {
  input x: u8[H, W, C]
  net f = ${nets[net]}
  ${follows ? 'target t = ema(f, 0.99)' : ''}
  minimize near: mean((f(x / 255) - ${follows ? 't(x / 255)' : '1'})^2)
  represent f(x / 255)
}
train m { batch 4; optimizer ${optimizer}; ${others} }` }));
  expect(loaded.diagnostics).toEqual([]);
  const { programs } = buildTraining(loaded, { model: null, set: {}, steps: 100, resident: true, embedBatch: 4, target, data: { examples: 100, classes: null, inputs: [{ name: 'x', element: 'u8', shape: [16, 16, 3] }] } });
  return fuse(runPasses(programs['step'], target), { ...target, half: others.includes('f16') });
}

/** Kernels that read or write what the optimizer keeps, or a table of where parameters lie, and launches that only those kernels need. */
function optimizerOf({ program, kernels, launches }: KernelProgram): { readonly kernels: number; readonly launches: number; readonly updates: number } {
  const named = (test: (name: string) => boolean) => (k: number): boolean => [...tensorsTouched(kernels[k])].some((id) => { const t = program.tensors[id]; return t.kind === 'source' && test(t.name); });
  const isOptimizer = named((name) => name.startsWith('optimizer.') || name.startsWith('state.optimizer.'));
  const writes = (k: number): boolean => kernels[k].stores.some((s) => program.tensors[s.tensor].kind === 'source' && /^(parameters|target\.|state\.optimizer\.)/.test((program.tensors[s.tensor] as { name: string }).name));
  const all = kernels.map((_, k) => k);
  return { kernels: all.filter(isOptimizer).length, launches: launches.filter((l) => l.some(isOptimizer)).length, updates: all.filter(writes).length };
}

const cases: readonly (readonly [string, Case])[] = [
  ['LARS', { optimizer: 'lars(rate: 0.1, decay: 1e-4)' }],
  ['LARS by the gradient and the weights', { optimizer: 'lars(rate: 0.1, decay: 1e-4, variant: "separate")' }],
  ['LAMB', { optimizer: 'lamb(rate: 0.1)' }],
  ['LARS and a target', { optimizer: 'lars(rate: 0.1)', follows: true }],
  ['LAMB and a target', { optimizer: 'lamb(rate: 0.1)', follows: true }],
  ['LARS with groups and a schedule', { optimizer: 'lars(rate: 0.1, skip: [bias])', others: 'schedule cosine(); group bias { rate 0.2 }' }],
  ['LARS in mixed precision', { optimizer: 'lars(rate: 0.1)', others: 'precision "f16"' }],
];

describe.each([['CPU', cpu], ['GPU', gpu]] as const)('on a %s', (_, target) => {
  it.each(cases)('%s: norms of pieces, scales of parameters, one update', (__, c) => {
    if (target.target === 'wgsl' && c.others?.includes('f16') === true) return;
    const counted = optimizerOf(step('resnet18', c, target));
    expect(counted).toEqual({ kernels: 3, launches: 3, updates: 1 });
    const { launches, ...rest } = optimizerOf(step('small', c, target));
    expect(rest).toEqual({ kernels: 3, updates: 1 });
    // Norms of few parameters may be taken at the end of the launch they need.
    expect(launches).toBeLessThanOrEqual(3);
  }, 60_000);

  it('numbers of all parameters, and scales made of them: one kernel more', () => {
    const c = { optimizer: 'rowwise_adagrad(rate: 0.1)' };
    const [many, few] = [optimizerOf(step('resnet18', c, target)), optimizerOf(step('small', c, target))];
    expect(many.kernels).toBe(4);
    expect(few.kernels).toBe(4);
    expect(many.launches).toBeLessThanOrEqual(4);
  }, 60_000);

  it.each(['sgd(rate: 0.1, decay: 1e-4)', 'adamw(rate: 0.1)'])('%s and a target: one update', (optimizer) => {
    expect(optimizerOf(step('small', { optimizer, follows: true }, target))).toEqual({ kernels: 1, launches: 1, updates: 1 });
  });
});
