/** No matrix of similarities is ever in memory where it would be large: every stored tensor of the bundled models that have one is looked at. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CompiledModel, TargetOptions } from '../../compiler/api.js';
import { compileTraining, loadProgram } from '../../compiler/pipeline.js';
import { describePlan } from '../../compiler/plan/report.js';
import type { ReportedEntry } from '../../compiler/plan/report.js';
import { isComputed, sizeOf } from '../../compiler/tensor/program.js';
import { memoryReader } from '../lower/harness.js';

const target: TargetOptions = {
  target: 'wasm', maxBindingBytes: 2 ** 32, maxBindings: 1000, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 32768,
  subgroups: false, software: false, threads: 2, relaxedSimd: false, disabled: [],
};
const examples = 10_000;

function compile(model: string, set: Readonly<Record<string, string>>): CompiledModel {
  const loaded = loadProgram(join(import.meta.dirname, '..', '..', 'models', 'vision', `${model}.ssl`), memoryReader({}));
  return compileTraining(loaded, {
    model: null, set, steps: 100, resident: true, embedBatch: 256, target,
    data: { examples, classes: 10, inputs: [{ name: 'x', element: 'u8', shape: [28, 28, 1] }] },
  });
}

/** Shapes of everything that an entry computes and keeps in memory. */
const storedIn = ({ kernels }: CompiledModel, entry: string): readonly (readonly number[])[] =>
  kernels[entry].materialized.flatMap((id) => { const t = kernels[entry].program.tensors[id]; return isComputed(t) ? [t.shape] : []; });

/** Those with an axis, or several that follow one another, of `rows` or `rows` of every view, and one of `columns`. */
const matrices = (shapes: readonly (readonly number[])[], rows: readonly number[], columns: number): readonly (readonly number[])[] =>
  shapes.filter((shape) => shape.includes(columns) && rows.some((r) => shape.includes(r) && (r !== columns || shape.filter((n) => n === r).length > 1)));

const reported = (c: CompiledModel, entry: string): ReportedEntry => {
  const found = describePlan(c).json.entries.find((e) => e.name === entry);
  if (found === undefined) throw new Error(`no entry ${entry}`);
  return found;
};

describe('similarity matrices', () => {
  it('of SimCLR: 512 x 512 views are compared, and no such matrix is stored', () => {
    const c = compile('simclr', {});
    expect(matrices(storedIn(c, 'step'), [512], 512)).toEqual([]);
    expect(reported(c, 'step').similarities).toMatchObject({ streamed: [{ rows: 512, columns: 512 }], stored: [] });
    expect(describePlan(c).text).toContain('similarity matrices that are never stored, used as they are computed: 512 x 512 in 2 kernels (1.00 MiB each if stored)\n  scores in memory: none\n');
  });

  it('of MoCo with 65,536 keys: nothing of a batch against keys is stored, nor anything as large', () => {
    const c = compile('moco_v2', { keys: '65536', width: '64' });
    const stored = storedIn(c, 'step');
    expect(matrices(stored, [c.manifest.batch], 65_536)).toEqual([]);
    expect(Math.max(...stored.filter((s) => s.join() !== '65536,64').map(sizeOf))).toBeLessThan(c.manifest.batch * 65_536);
    // All rows go through the keys in two parts, each of which stays in a cache.
    expect(reported(c, 'step').similarities).toMatchObject({ streamed: [{ batch: 2, rows: c.manifest.batch, columns: 32_768 }], stored: [] });
  });

  it('of SwAV with two and six crops: scores of the batch, its queue and the crops against 300 prototypes are not stored, through all rounds of Sinkhorn', () => {
    const c = compile('swav', { parts: '6' });
    const { batch } = c.manifest;
    expect(matrices(storedIn(c, 'step'), [batch, batch + 512, 2 * batch, 6 * batch, 8 * batch], 300)).toEqual([]);
    const { streamed, stored } = reported(c, 'step').similarities;
    expect(stored).toEqual([]);
    // Two whole crops with their queues, three rounds: prototypes and rows each normalised in turn.
    expect(streamed).toEqual(expect.arrayContaining([expect.objectContaining({ rows: 300, columns: batch + 512 }), expect.objectContaining({ rows: batch + 512, columns: 300 })]));
  });

  it('of DeeperCluster with 1,000 clusters: no stage stores examples against clusters, and a step only the scores within a group', () => {
    const c = compile('deeper_cluster', { k: '1000' });
    for (const entry of c.manifest.stages.map((s) => s.entry)) {
      expect(matrices(storedIn(c, entry), [examples], 1000)).toEqual([]);
      expect(Math.max(...storedIn(c, entry).map(sizeOf))).toBeLessThan(examples * 250);
      expect(reported(c, entry).similarities).toMatchObject({ streamed: [{ rows: examples }], stored: [] });
    }
    const step = storedIn(c, 'step');
    expect(matrices(step, [c.manifest.batch], 1000)).toEqual([]);
    // Logits of two classifiers: which of 16 groups, and which of the 250 clusters of the example's own group.
    const stored = reported(c, 'step').similarities.stored.map((s) => s.shape);
    expect([...stored].sort((a, b) => a[1] - b[1])).toEqual([[c.manifest.batch, 16], [c.manifest.batch, 250]]);
  });
});
