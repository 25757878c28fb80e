/** What a compiled model is made of, in words the runtime, the report and checkpoints need. Plain data. */

/** A named weight inside a flat arena. */
export interface ParameterEntry {
  /** `f.conv1.w`: net or parameter name, then layers numbered as they are applied. */
  readonly path: string;
  /** Name of the flat source that holds it: `parameters`, or `target.NAME` for an EMA copy. */
  readonly arena: string;
  /** In elements. */
  readonly offset: number;
  readonly shape: readonly number[];
}

/** A tensor of the run's state with a source of its own: running statistics, queues, optimizer moments. */
export interface StateEntry {
  readonly name: string;
  readonly shape: readonly number[];
}

/** A slow copy of a network: when it moves, and what its layers' states do. */
export interface TargetEntry {
  readonly name: string;
  readonly of: string;
  readonly when: 'before' | 'after';
  readonly buffers: 'own' | 'copy' | 'ema';
}

export interface ModelInput {
  readonly name: string;
  readonly element: 'f32' | 'i32' | 'u8' | 'bool';
  /** Of one example. */
  readonly shape: readonly number[];
}

/** `minimize NAME: ...` and `regularize NAME: ...`, in order. */
export interface ObjectiveEntry {
  readonly name: string;
  readonly role: 'minimize' | 'regularize';
}

/** A stage: what the runtime does before the first step and, with a period, at the start of each. */
export interface StageEntry {
  readonly name: string;
  /** Null: once, before the first step. */
  readonly period: { readonly count: number; readonly unit: 'epochs' | 'steps' } | null;
  /** Passes over the training set, in order: names of an entry with output `rows` and of the source that takes all its rows. */
  readonly passes: readonly string[];
  /** The entry that computes what is assigned and reset, once the passes are done. */
  readonly entry: string;
  /** What it assigns, and the source that holds it; for a `param` of that name the arena it lies in. */
  readonly writes: readonly { readonly name: string; readonly source: string }[];
  readonly resets: readonly string[];
}

/** What a model's `plan` is given, and what it gives: actions for the next steps, for several episodes beside each other. */
export interface PlanEntry {
  /** What is seen, what is wanted and, when there is a third, the plan of the step before. */
  readonly inputs: readonly ModelInput[];
  readonly steps: number;
  readonly actionSize: number;
  readonly episodes: number;
}

/** The loss of a collapsed encoder at the batch of the training, as the collapse check finds it. */
export interface TrivialLoss {
  readonly value: number;
  /** `ln(2B - 1)`, where a formula fits. */
  readonly formula: string | null;
}

/**
 * Conventions between a compiled model and the runtime.
 * Sources: `clock.seed`, `clock.step` (i32 scalars); `data.INPUT` (u8 or other, [examples, ...shape], resident data);
 * `batch.order` (i32[batch], rows of the resident data), `batch.example` (i32[batch], example numbers that key the draws),
 * `batch.INPUT` when inputs are streamed; `parameters`, `target.NAME`, `state.PATH`, `memory.NAME`, `table.NAME`, `optimizer.NAME`;
 * `embed.INPUT` ([embedBatch, ...shape]) feeds entry `embed`; entry `views` also `embed.example` (keys its draws) and `views.which` (i32 scalar).
 * With `chunk` below `batch`, a step is `encode` for every chunk (source `clock.chunk` is its number), `step` once, `backward` for
 * every chunk, `update` once; sources `boundary.N`, `gradient.N` and `gradient.parameters` carry values between them. Streamed inputs are
 * then in `chunk.INPUT`, [chunk, ...shape], and in `batch.INPUT` only where what compares examples reads the inputs themselves.
 * Entries: `init` (draws parameters, fills states; reads `clock.seed`), `step` (one training step; output `reports`, f32[n]
 * in the order of `reports`), `embed` (output `embedding`, f32[embedBatch, size], running statistics, no draws),
 * `views` (the same output, of view number `views.which` of each example; drawn anew for every `clock.step`); those of `stages`, whose passes read
 * `embed.INPUT` and `embed.example`; `plan`, when it was asked for (reads `plan.INPUT`, [episodes, ...shape], and `plan.example`; output
 * `actions`, f32[episodes, steps, actionSize]).
 */
export interface Manifest {
  readonly model: string;
  readonly settings: Readonly<Record<string, number | boolean | string>>;
  readonly inputs: readonly ModelInput[];
  readonly parameters: readonly ParameterEntry[];
  readonly targets: readonly TargetEntry[];
  readonly states: readonly StateEntry[];
  readonly objectives: readonly ObjectiveEntry[];
  /** `monitor NAME: ...`, in order. */
  readonly monitors: readonly string[];
  /** Monitors that say how many codes (prototypes, clusters) a batch uses, 1 to `size`. */
  readonly codes: readonly { readonly report: string; readonly size: number }[];
  /** In the order they run. */
  readonly stages: readonly StageEntry[];
  /** Names of the scalars a step reports: `loss`, then each objective, each monitor, those of `compared`, then `rate` and other schedules. */
  readonly reports: readonly string[];
  /** Networks whose outputs the loss compares: the report that says how far apart they lie (1 / sqrt(size) when spread, 0 when collapsed). */
  readonly compared: readonly { readonly net: string; readonly report: string; readonly size: number }[];
  readonly batch: number;
  /** Examples in memory at a time: fewer than a batch under a virtual batch. */
  readonly chunk: number;
  readonly embedBatch: number;
  /** Size of one embedding, flattened. */
  readonly embeddingSize: number;
  /** Entry `plan`, when the model has one and it was asked for. */
  readonly plan?: PlanEntry;
  /** Steps the schedules were made for. */
  readonly steps: number;
  /** Views that entry `views` represents instead of the input, one or two; none: the entry is not there. */
  readonly views: readonly string[];
  readonly trivial: TrivialLoss | null;
}
