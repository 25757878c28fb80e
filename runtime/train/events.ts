/** What training tells its caller while it runs. The command line turns these into lines; nothing here prints. */
import type { Diagnostic } from '../../grammar/diagnostics/diagnostic.js';
import type { Collapse } from './collapse-guard.js';
import type { EmbeddingFigures } from './watch.js';
import type { StageResult } from './stages.js';

export type TrainEvent =
  | { readonly kind: 'started'; readonly step: number; readonly steps: number; readonly stepsPerEpoch: number; readonly resumedFrom: string | null }
  /** Weights came from a file: those under these names. */
  | { readonly kind: 'adopted'; readonly path: string; readonly names: readonly string[] }
  /** After a step, possibly a few steps late. Steps are counted from 1. */
  | {
      readonly kind: 'step';
      readonly step: number;
      readonly steps: number;
      readonly epoch: number;
      readonly loss: number;
      /** The loss less that of a collapsed encoder; null where that is not known. */
      readonly gap: number | null;
      readonly reports: Readonly<Record<string, number>>;
      /** Training examples a second, over the latest steps. */
      readonly examplesPerSecond: number;
      readonly secondsLeft: number;
      /** The latest measures of the embeddings of a fixed batch. */
      readonly embedding: (EmbeddingFigures & { readonly size: number }) | null;
    }
  | ({ readonly kind: 'embedding'; readonly step: number; readonly size: number } & EmbeddingFigures)
  /** The embeddings have collapsed; `checkpoint` is the last healthy one. The run ends when that was asked for. */
  | ({ readonly kind: 'collapse'; readonly checkpoint: string | null; readonly diagnostic: Diagnostic } & Collapse)
  | { readonly kind: 'knn'; readonly step: number; readonly accuracy: number; readonly protocol: string; readonly seconds: number }
  /** A stage over the training set is done, before the step after `step`. */
  | ({ readonly kind: 'stage' } & StageResult)
  | { readonly kind: 'checkpoint'; readonly step: number; readonly path: string }
  | { readonly kind: 'warning'; readonly diagnostic: Diagnostic | null; readonly message: string }
  /** A report is not a finite number: training stops, the checkpoint before it is kept. */
  | { readonly kind: 'not-finite'; readonly step: number; readonly name: string; readonly value: number; readonly checkpoint: string | null; readonly diagnostic: Diagnostic }
  | { readonly kind: 'device'; readonly event: string; readonly message: string; readonly checkpoint: string | null }
  | { readonly kind: 'interrupted'; readonly step: number; readonly checkpoint: string }
  | { readonly kind: 'finished'; readonly step: number; readonly checkpoint: string; readonly seconds: number };

export interface TrainResult {
  readonly outcome: 'finished' | 'interrupted' | 'not-finite' | 'collapsed';
  readonly step: number;
  readonly checkpoint: string | null;
  /** Seconds spent in this call. */
  readonly seconds: number;
}
