/**
 * What the command line and the runtime ask of the compiler. Types only; `pipeline.ts` implements the functions.
 * Everything is a pure function of these arguments: files come through the `Reader`, data sets as `DataInfo`.
 *
 *   loadProgram(path, reader)                     parses the file and its imports, resolves names
 *   readTraining(loaded, { model, set })          the `train` block as data, before any data set is opened
 *   compileTraining(loaded, options)              programs init, step and embed, fused, planned and emitted
 *   compileFineTuning(loaded, tuning, options)     what the model represents under a classifier, trained with labels
 *   compileCall(loaded, options)                  one function, model, layer ... on given tensors (`sslc call`)
 */
import type { Diagnostic } from '../grammar/diagnostics/diagnostic.js';
import type { Module, Use } from '../grammar/ast.js';
import type { parse } from '../grammar/parse.js';
import type { SourceFile } from '../grammar/span.js';
import type { KernelProgram } from './fuse/kernel.js';
import type { Manifest, ModelInput, TrivialLoss } from './plan/manifest.js';
import type { Entry, Launch, Plan } from './plan/plan.js';
import type { Program } from './tensor/program.js';

/** The compiler's only window to files. Paths are opaque to the compiler. */
export interface Reader {
  /** The text of a file, or null when there is none. Throws a `DiagnosticError` for what may not be read. */
  read(path: string): string | null;
  /** `use "./x.ssl"` or `use "@scope/pkg"` seen from file `from`: the path to read, or null when nothing is there. */
  resolve(from: string, request: string): string | null;
  /** The file of a library module: `std.vision`. */
  library(name: string): string | null;
  /** The tree of a file, where it may be known from before; it is what `parse` gives. */
  readonly parse?: typeof parse;
}

export interface LoadedProgram {
  readonly main: string;
  /** By path. `imports` maps each `use` to the path of the module it names. */
  readonly modules: ReadonlyMap<string, { readonly source: SourceFile; readonly module: Module; readonly imports: ReadonlyMap<Use, string> }>;
  /** Path of the library module whose names are in scope everywhere. */
  readonly prelude: string | null;
  /** Errors and warnings so far. With an error among them nothing can be compiled. */
  readonly diagnostics: readonly Diagnostic[];
}

/** `data idx(images: "...", labels: "...")`, evaluated: which loader, with which arguments. */
export interface DataDescription {
  readonly kind: string;
  readonly arguments: Readonly<Record<string, string | number | boolean>>;
}

/** What the compiler needs to know of a data set. Inputs bind to a model's by name, else by position. */
export interface DataInfo {
  readonly examples: number;
  readonly inputs: readonly ModelInput[];
  readonly classes: number | null;
}

/** A period: `every 5 epochs`, `every 100 steps`. */
export interface Period {
  readonly count: number;
  readonly unit: 'epochs' | 'steps';
}

/** A `train` block, evaluated, with overrides applied. */
export interface TrainingSpec {
  readonly model: string;
  readonly settings: Readonly<Record<string, number | boolean | string>>;
  readonly data: DataDescription | null;
  /** Examples a step learns from, and how many of them are in memory at a time: fewer under a virtual batch. */
  readonly batch: number;
  readonly chunk: number;
  /** What layers that mix the examples of a batch do under a virtual batch; null when it is not said. */
  readonly batchNorm: 'chunk' | null;
  readonly epochs: number | null;
  readonly steps: number | null;
  readonly seed: number;
  /** Whether what the forward pass computed is kept for the backward pass, or computed again there to save memory. */
  readonly activations: 'keep' | 'recompute';
  /** How activations and their gradients are kept between kernels; arithmetic is f32 with either, and so are parameters and states. */
  readonly precision: 'f32' | 'f16';
  /** `every 5 epochs { knn(k: 200); checkpoint }`. */
  readonly every: readonly { readonly period: Period; readonly actions: readonly { readonly name: string; readonly arguments: Readonly<Record<string, number | string | boolean>> }[] }[];
}

/** A product of small matrices by a subgroup: rows x depth times depth x columns, multiplied as `element`, summed in f32. */
export interface MatrixUnit {
  readonly element: 'f16' | 'f32';
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
}

/** `lanes`: of the largest subgroup. */
export interface MatrixUnits {
  readonly lanes: number;
  readonly shapes: readonly MatrixUnit[];
}

/** Limits a plan must respect, from the device. */
export interface TargetOptions {
  readonly target: 'wasm' | 'wgsl';
  /** Largest range one binding may cover, bytes. */
  readonly maxBindingBytes: number;
  /** Storage buffers one kernel may bind. */
  readonly maxBindings: number;
  readonly maxWorkgroupInvocations: number;
  readonly maxWorkgroupStorageBytes: number;
  readonly subgroups: boolean;
  /** Lanes of every subgroup, where the adapter has but one size. */
  readonly subgroupSize?: number;
  /** Units that multiply small matrices, where the adapter has them. */
  readonly matrixUnits?: MatrixUnits;
  /** Whether it can keep 16-bit floats in memory; not where it is not said. */
  readonly half?: boolean;
  /** A software adapter: schedules for it use register tiles and no workgroup memory. */
  readonly software: boolean;
  /** CPU: worker threads, main thread included, and whether relaxed SIMD may be used. */
  readonly threads: number;
  readonly relaxedSimd: boolean;
  /** Schedules measured on the device, by kernel shape; others come from the cost model. */
  readonly schedules?: Readonly<Record<string, string>>;
  /** Compute activations again in the backward pass instead of keeping them. */
  readonly recompute?: boolean;
  /** Verify a program once, after all passes over tensors, and not after each. */
  readonly verifyOnce?: boolean;
  /** Of training steps: `f16` keeps large tensors between kernels in 16 bits. */
  readonly precision?: 'f32' | 'f16';
  /** Optimizations to leave out, by pass name: tests compare on with off. */
  readonly disabled: readonly string[];
}

export interface CompiledModel {
  readonly training: TrainingSpec;
  readonly manifest: Manifest;
  /** By entry: init, step, embed. Before fusion. */
  readonly programs: Readonly<Record<string, Program>>;
  readonly kernels: Readonly<Record<string, KernelProgram>>;
  readonly plan: Plan;
  readonly diagnostics: readonly Diagnostic[];
}

/** A training that was counted and not compiled. */
export interface CountedModel extends Omit<CompiledModel, 'kernels' | 'plan'> {
  readonly plan: Pick<Plan, 'arenas'> & {
    readonly entries: Readonly<Record<string, Pick<Entry, 'name' | 'peakBytes' | 'liveBytes'> & { readonly launches: readonly Pick<Launch, 'cost'>[] }>>;
  };
}

export interface CompileTrainingOptions {
  /** Which model or train block, when the file has several. */
  readonly model: string | null;
  /** `--set name=value`: model settings, train entries, or `optimizer.rate`-like paths; unknown names are errors. */
  readonly set: Readonly<Record<string, string>>;
  readonly data: DataInfo;
  /** Total steps, from --steps or epochs. */
  readonly steps: number;
  /** The data set lies on the device; else inputs are written before each step. */
  readonly resident: boolean;
  readonly embedBatch: number;
  /** Episodes beside each other for which the model's `plan` is compiled; without it, it is only checked. */
  readonly episodes?: number;
  readonly target: TargetOptions;
  /** What the collapse check found, to be kept with the model. */
  readonly trivial?: TrivialLoss | null;
}

export interface CompileFineTuningOptions extends Pick<CompileTrainingOptions, 'model' | 'set' | 'data' | 'embedBatch' | 'target'> {
  /** Of the classifier's training. */
  readonly batch: number;
  readonly steps: number;
  readonly epochSteps: number;
  /** Instead of the rate that the classifier's train block names. */
  readonly rate: number | null;
}

/** A tensor given to `sslc call`. */
export interface CallInput {
  readonly element: 'f32' | 'i32' | 'u8' | 'bool';
  readonly shape: readonly number[];
}

export interface CompileCallOptions {
  /** A function, layer, energy, view, ... or model of the file or its imports. */
  readonly name: string;
  readonly set: Readonly<Record<string, string>>;
  readonly inputs: Readonly<Record<string, CallInput>>;
  readonly gradients: boolean;
  /** What `training` means inside: batch norm uses the batch, dropout drops. Default in the command: true. */
  readonly training: boolean;
  readonly target: TargetOptions;
}

/**
 * Entries `init` (draws parameters, fills states) and `call`. Inputs are sources `input.NAME`, parameters `parameters`; outputs go by
 * name, `grad.NAME` and `grad.param.PATH`.
 */
export interface CompiledCall {
  readonly programs: Readonly<Record<string, Program>>;
  readonly kernels: Readonly<Record<string, KernelProgram>>;
  readonly plan: Plan;
  readonly parameters: Manifest['parameters'];
  readonly outputs: readonly string[];
  readonly diagnostics: readonly Diagnostic[];
}
