/**
 * Stages: what a model does with the whole training set before the first step and at the start of each period. Every pass embeds
 * the examples in order; its rows go into a source; the stage's entry then computes what it assigns and resets. Stages run between
 * two steps, after any checkpoint of the step before, so a resumed run does them again and gets the same.
 */
import { createHash } from 'node:crypto';
import type { Manifest, ModelInput, StageEntry } from '../../compiler/plan/manifest.js';
import type { Split } from '../data/data-set.js';
import type { HostArray, Session } from '../device/device.js';
import { forEachEmbedBatch } from '../evaluate/embed.js';
import { inSteps } from './actions.js';

/** Something a stage wrote. */
export interface Artifact {
  readonly name: string;
  /** SHA-256 of its values, little-endian. */
  readonly sha256: string;
  /** Entries that differ from before, for whole numbers such as assignments; null for others. */
  readonly changed: number | null;
  readonly entries: number;
}

/** What a stage did. */
export interface StageResult {
  readonly name: string;
  /** Steps done before it. */
  readonly step: number;
  readonly seconds: number;
  readonly artifacts: readonly Artifact[];
}

/** The stages that are due before step `step` (counted from 0), in order. */
export function dueStages(stages: readonly StageEntry[], step: number, stepsPerEpoch: number): readonly StageEntry[] {
  return stages.filter((s) => (s.period === null ? step === 0 : step % inSteps(s.period, stepsPerEpoch) === 0));
}

export interface StageOptions {
  readonly session: Session;
  readonly manifest: Manifest;
  readonly split: Split;
  /** By name of the model's input, the data's. */
  readonly binding: ReadonlyMap<string, ModelInput>;
}

/** Runs a stage before step `step`. */
export async function runStage({ session, manifest, split, binding }: StageOptions, stage: StageEntry, step: number): Promise<StageResult> {
  const started = Date.now();
  const { sources } = session.plan;
  if ('clock.step' in sources) session.write('clock.step', Int32Array.of(step));
  const before = await readWrites(session, manifest, stage);
  for (const pass of stage.passes) {
    // What nothing needs has no place in the plan.
    if (!(pass in sources)) continue;
    const size = sources[pass].shape.slice(1).reduce((a, b) => a * b, 1);
    await forEachEmbedBatch({ session, manifest, split, binding }, pass, async (from, count) => {
      const rows = await session.readOutput(pass, 'rows');
      session.write(pass, rows.subarray(0, count * size), from * size);
    });
  }
  await session.run(stage.entry);
  const after = await readWrites(session, manifest, stage);
  return {
    name: stage.name, step, seconds: (Date.now() - started) / 1000,
    artifacts: stage.writes.map((w, k) => artifactOf(w.name, before[k], after[k])),
  };
}

async function readWrites(session: Session, manifest: Manifest, stage: StageEntry): Promise<readonly HostArray[]> {
  const values: HostArray[] = [];
  for (const { name, source } of stage.writes) {
    const whole = await session.readSource(source);
    const parameter = source === 'parameters' ? manifest.parameters.find((p) => p.arena === source && p.path === name) : undefined;
    values.push(parameter === undefined ? whole.slice() : whole.slice(parameter.offset, parameter.offset + parameter.shape.reduce((a, b) => a * b, 1)));
  }
  return values;
}

function artifactOf(name: string, before: HostArray, after: HostArray): Artifact {
  const sha256 = createHash('sha256').update(new Uint8Array(after.buffer, after.byteOffset, after.byteLength)).digest('hex');
  let changed: number | null = null;
  if (after instanceof Int32Array) {
    changed = 0;
    for (let i = 0; i < after.length; i++) if (after[i] !== before[i]) changed++;
  }
  return { name, sha256, changed, entries: after.length };
}
