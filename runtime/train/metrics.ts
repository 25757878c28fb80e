/**
 * `metrics.jsonl`: one JSON object a line, in the order things happened. A resumed run first drops the lines after
 * its checkpoint (and a last line that a crash cut short), so the file reads as if nothing had happened.
 */
import { closeSync, existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { atomicWrite } from './atomic-write.js';
import type { KnnOptions } from '../evaluate/nearest.js';
import type { Collapse } from './collapse-guard.js';
import type { EmbeddingFigures } from './watch.js';
import type { StageResult } from './stages.js';

export type MetricsLine =
  /** After step `step` (counted from 1), what it reported; `gap` is the loss less that of a collapsed encoder, where it is known. */
  | { readonly kind: 'step'; readonly step: number; readonly [report: string]: number | string }
  /** Embeddings of a fixed batch. */
  | ({ readonly kind: 'embedding'; readonly step: number } & EmbeddingFigures)
  | ({ readonly kind: 'collapse' } & Collapse)
  | ({ readonly kind: 'knn'; readonly step: number; readonly accuracy: number } & KnnOptions)
  /** A stage that ran after `step` steps: the SHA-256 of what it assigned and, for tables of whole numbers, entries that changed. */
  | ({ readonly kind: 'stage' } & StageResult)
  | { readonly kind: 'checkpoint'; readonly step: number; readonly path: string };

export interface MetricsLog {
  append(line: MetricsLine): void;
  close(): void;
}

export const metricsPath = (runFolder: string): string => join(runFolder, 'metrics.jsonl');

/** The lines of a run's metrics; a damaged line ends them. */
export function readMetrics(runFolder: string): readonly MetricsLine[] {
  const path = metricsPath(runFolder);
  if (!existsSync(path)) return [];
  const lines: MetricsLine[] = [];
  for (const text of readFileSync(path, 'utf8').split('\n')) {
    if (text === '') continue;
    try {
      lines.push(JSON.parse(text));
    } catch {
      break;
    }
  }
  return lines;
}

/** Opens the log; `from` is the step a run goes on from, 0 for a new one. */
export async function openMetrics(runFolder: string, from: number): Promise<MetricsLog> {
  const kept = from === 0 ? [] : readMetrics(runFolder).filter((l) => (l.kind === 'stage' ? l.step < from : l.step <= from)); // a stage due at `from` runs again
  await atomicWrite(metricsPath(runFolder), kept.map((l) => `${JSON.stringify(l)}\n`).join(''));
  const file = openSync(metricsPath(runFolder), 'a');
  return {
    append: (line) => void writeSync(file, `${JSON.stringify(line)}\n`),
    close: () => closeSync(file),
  };
}
