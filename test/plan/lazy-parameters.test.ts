/** A step with large embedding tables of which it reads few rows, counted: it costs what the rows cost. */
import { describe, expect, it } from 'vitest';
import type { TargetOptions } from '../../compiler/api.js';
import { fuse } from '../../compiler/fuse/fuse.js';
import { buildTraining } from '../../compiler/lower/training-programs.js';
import { runPasses } from '../../compiler/pipeline.js';
import { costLaunches, totalCost } from '../../compiler/plan/cost.js';
import { planMemory } from '../../compiler/plan/plan-memory.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import { skipgram, training } from '../lower/skipgram.js';
import { exactOptions } from '../wasm/harness.js';
import { gpuOptions } from '../wgsl/harness.js';

const width = 100;
const items = 4096;
/** Rows that are read: of each item the word, though it is in two terms, its context and one word of noise. */
const reads = 3 * items;

function counted(target: TargetOptions, optimizer: string, vocabulary: number, lazy = true) {
  const { loaded, options } = training(skipgram(`optimizer ${optimizer}()${lazy ? '\ngroup inside, outside { lazy true }' : ''}`, optimizer), target,
    { vocabulary: `${vocabulary}`, width: `${width}`, negatives: '1', batch: `${items}` }, 2 * items);
  const { programs } = buildTraining(loaded, options);
  const step = fuse(runPasses(programs['step'], target), { ...target, manyCores: target.target === 'wgsl' });
  const { bytesRead, bytesWritten } = totalCost(costLaunches(step, step.launches, target));
  const [{ peakBytes }] = planMemory([step], { alignment: 256, arenaLimit: null }).entries;
  return { step, bytes: bytesRead + bytesWritten, peakBytes };
}

describe.each([['CPU', exactOptions], ['GPU', gpuOptions]] as const)('on a %s', (_, target) => {
  it.each(['sgd', 'adagrad', 'rowwise_adagrad', 'adam'])('%s moves the bytes of the rows that are read, whatever the vocabulary', (optimizer) => {
    const [small, large] = [100_000, 1_000_000].map((v) => counted(target, optimizer, v));
    expect(large.bytes).toBe(small.bytes);
    expect(large.peakBytes).toBe(small.peakBytes);
    const row = 4 * width;
    // Rows, their gradients twice (as they arise, and summed), the sums' square, and each row of weights and moments read and written.
    expect(large.bytes).toBeLessThan(16 * reads * row);
    // Rows read several times are as many gradients, and as many sums: nothing else of that size is alive.
    expect(large.peakBytes).toBeLessThan(2.2 * reads * row);
    const { program, kernels } = large.step;
    const tables = new Set(program.tensors.filter((t) => t.kind === 'source' && t.shape[0] === 1_000_000).map((t) => t.id));
    // No tensor but weights and moments has the size of a table, and what writes to these writes rows, each kernel all it knows of them.
    for (const t of program.tensors) if (t.kind !== 'source') expect(sizeOf(t.shape), t.origin.name).toBeLessThan(1_000_000);
    const writers = kernels.filter((k) => k.stores.some((s) => tables.has(s.tensor)));
    for (const k of writers) for (const s of k.stores) expect(s.row, k.name).toBeDefined();
    expect(writers).toHaveLength(optimizer === 'rowwise_adagrad' ? 4 : 2);
    expect(kernels.filter((k) => k.kind === 'scatter').map((k) => k.sorted)).toEqual([true, true]);
  });

  it('dense tables: gradients are made once, row by row, and read once', () => {
    const vocabulary = 200_000;
    const { step, bytes } = counted(target, 'adagrad', vocabulary, false);
    const table = 4 * width * vocabulary;
    // What makes the gradients writes them, and reads what reaches the rows.
    const making = costLaunches(step, step.launches.filter((l) => l.some((k) => step.kernels[k].kind === 'scatter')), target);
    expect(totalCost(making).bytesRead + totalCost(making).bytesWritten).toBeLessThan(1.1 * 2 * table);
    // Besides, weights and squares are read and written, and gradients read, on the CPU at once for their norm and the update.
    if (target.target === 'wasm') expect(bytes).toBeLessThan(1.03 * 6 * 2 * table);
    expect(step.kernels.filter((k) => k.kind === 'scatter').map((k) => k.sorted)).toEqual([true, true]);
    expect(step.kernels.flatMap((k) => (k.kind === 'routine' ? [sizeOf(k.extents)] : [])).sort((a, b) => a - b)).toEqual([items, 2 * items]);
  });
});
