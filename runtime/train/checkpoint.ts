/**
 * Checkpoints: `checkpoints/step-N.safetensors`, whole state and the facts a resumed run must agree on, written
 * atomically. The newest few are kept, and the best.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Manifest } from '../../compiler/plan/manifest.js';
import type { Session } from '../device/device.js';
import { fail } from '../data/problem.js';
import { atomicWrite } from './atomic-write.js';
import { readState, writeState } from './run-state.js';
import { decodeSafetensors, encodeSafetensors, safetensorsMetadata } from './safetensors.js';

export interface CheckpointFile {
  readonly path: string;
  readonly step: number;
}

/** Facts stored with a checkpoint. `score` is the latest kNN accuracy, by which the best is kept. */
export interface CheckpointFacts {
  readonly step: number;
  readonly seed: number;
  readonly steps: number;
  readonly batch: number;
  readonly examples: number;
  readonly model: string;
  readonly settings: string;
  readonly score: number | null;
  /** The latest run of each stage, and the SHA-256 of what it wrote; null when none ran. */
  readonly stages: string | null;
}

/** What a checkpoint says it is. */
export const checkpointFormat = 'sslc-checkpoint-1';

const pattern = /^step-(\d+)\.safetensors$/;

/** The checkpoints of a run, oldest first. */
export function listCheckpoints(runFolder: string): readonly CheckpointFile[] {
  const folder = join(runFolder, 'checkpoints');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .flatMap((name) => { const m = pattern.exec(name); return m === null ? [] : [{ path: join(folder, name), step: Number(m[1]) }]; })
    .sort((a, b) => a.step - b.step);
}

/** The newest checkpoint, or null. */
export function latestCheckpoint(runFolder: string): CheckpointFile | null {
  return listCheckpoints(runFolder).at(-1) ?? null;
}

/** Saves the state, then removes all checkpoints but the newest `keep`, the best, and `kept`. */
export async function saveCheckpoint(runFolder: string, session: Session, manifest: Manifest, facts: CheckpointFacts, keep: number, kept: string | null = null): Promise<CheckpointFile> {
  const folder = join(runFolder, 'checkpoints');
  await mkdir(folder, { recursive: true });
  // What a killed run was in the middle of writing.
  for (const name of readdirSync(folder)) if (name.endsWith('.tmp')) await rm(join(folder, name), { force: true });
  const path = join(folder, `step-${facts.step}.safetensors`);
  const metadata: Record<string, string> = { format: checkpointFormat };
  for (const [key, value] of Object.entries(facts)) if (value !== null) metadata[key] = String(value);
  await atomicWrite(path, encodeSafetensors(await readState(session, manifest), metadata));
  await prune(runFolder, keep, kept);
  return { path, step: facts.step };
}

/** The facts of a checkpoint, from its header alone. */
export async function readFacts(path: string): Promise<CheckpointFacts> {
  const file = await open(path, 'r');
  try {
    const length = Buffer.alloc(8);
    await file.read(length, 0, 8, 0);
    const size = Math.min(8 + Number(length.readBigUInt64LE()), (await file.stat()).size);
    const head = Buffer.alloc(size);
    await file.read(head, 0, size, 0);
    return factsOf(safetensorsMetadata(head, path));
  } finally {
    await file.close();
  }
}

function factsOf(metadata: Readonly<Record<string, string>>): CheckpointFacts {
  const number = (name: string): number => Number(metadata[name] ?? NaN);
  return {
    step: number('step'), seed: number('seed'), steps: number('steps'), batch: number('batch'), examples: number('examples'),
    model: metadata['model'] ?? '', settings: metadata['settings'] ?? '', score: metadata['score'] === undefined ? null : number('score'), stages: metadata['stages'] ?? null,
  };
}

/** Loads a checkpoint's state onto the device. */
export function restoreCheckpoint(path: string, session: Session, manifest: Manifest): CheckpointFacts {
  const file = decodeSafetensors(readFileSync(path), path);
  if (file.metadata['format'] !== checkpointFormat) fail('SSL5023', { path, problem: 'it is not a checkpoint of a run' });
  writeState(session, manifest, file.tensors, path);
  return factsOf(file.metadata);
}

/** A run goes on only with what it was started with; the number of steps may change. */
export function checkFacts(before: CheckpointFacts, now: CheckpointFacts): void {
  for (const what of ['model', 'settings', 'seed', 'batch', 'examples'] as const) {
    if (String(before[what]) !== String(now[what])) fail('SSL5024', { what, before: String(before[what]), now: String(now[what]) });
  }
}

async function prune(runFolder: string, keep: number, kept: string | null): Promise<void> {
  const files = listCheckpoints(runFolder);
  if (files.length <= keep) return;
  const scored = await Promise.all(files.map(async (f) => ({ ...f, score: (await readFacts(f.path)).score })));
  const best = scored.reduce<(typeof scored)[number] | null>((a, b) => (b.score !== null && (a === null || a.score === null || b.score > a.score) ? b : a), null);
  for (const file of scored.slice(0, -keep)) {
    if (file.path !== best?.path && file.path !== kept) await rm(file.path, { force: true });
  }
}
