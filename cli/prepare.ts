/** From a file on the command line to a loaded program, its data and its compiled form: the steps that commands share. */
import type { CompiledModel, CompileTrainingOptions, CountedModel, DataInfo, LoadedProgram, TargetOptions, TrainingSpec } from '../compiler/api.js';
import type { CollapseVerdict } from '../compiler/check/collapse.js';
import { compileTraining, countTraining, loadProgram, readTraining, type Observe } from '../compiler/pipeline.js';
import { recordReader, type Recording } from '../compiler/spec/reader.js';
import type { ModelInput } from '../compiler/plan/manifest.js';
import { DiagnosticError } from '../grammar/diagnostics/report.js';
import type { DataSet } from '../runtime/data/data-set.js';
import { declaredInfo, describeData, openData } from '../runtime/data/open-data.js';
import { usage } from './failure.js';
import type { Context } from './outcome.js';
import { openProject, type Project } from './reader.js';
import type { RunFolder } from './run-folder.js';

export interface ModelChoice {
  readonly model?: string;
  readonly set?: Readonly<Record<string, string>>;
}

export interface Prepared {
  readonly project: Project;
  readonly loaded: LoadedProgram;
  /** What was read, to make a spec of it. */
  readonly recording: Recording;
  readonly model: string | null;
  /** A spec's own overrides under those of the command line. */
  readonly set: Readonly<Record<string, string>>;
}

/** Reads a file and its imports. Throws a `DiagnosticError` when there are errors. */
export function prepare(context: Context, file: string, choice: ModelChoice): Prepared {
  const project = openProject(file, context);
  const recording = recordReader(project.reader);
  const loaded = loadProgram(project.main, recording.reader);
  project.trees?.save();
  for (const [path, { source }] of loaded.modules) {
    context.sources.set(path, source.text);
    context.sources.set(source.name, source.text);
  }
  if (loaded.diagnostics.some((d) => d.severity === 'error')) throw new DiagnosticError(loaded.diagnostics);
  return { project, loaded, recording, model: choice.model ?? project.spec?.model ?? null, set: { ...project.spec?.set, ...choice.set } };
}

/** A run's model as it was trained. Its data is looked for where training found it. */
export function prepareRun(context: Context, { spec, facts }: RunFolder, choice: ModelChoice): Prepared {
  const prepared = prepare(context, spec, choice);
  return { ...prepared, project: { ...prepared.project, dataRoot: facts.dataRoot, confined: facts.confined } };
}

/** The train block, and the data it names; `data` is null when there is none, `inputs` stand in for it, or it was not opened. */
export interface Training {
  readonly spec: TrainingSpec;
  readonly data: DataSet | null;
  readonly info: DataInfo;
}

/** Opens the data of the train block, or takes the inputs given on the command line. `dataMemory`: MiB of pictures to hold. */
export async function prepareTraining(prepared: Prepared, inputs: Readonly<Record<string, string>>, dataMemory: number | null = null): Promise<Training> {
  const spec = readTraining(prepared.loaded, { model: prepared.model, set: prepared.set });
  const given = Object.entries(inputs).map(([name, type]) => readInputType(name, type));
  if (given.length > 0) return { spec, data: null, info: { examples: 10_000, inputs: given, classes: null } };
  if (spec.data === null) return { spec, data: null, info: { examples: 10_000, inputs: [], classes: null } };
  const data = await openData(spec.data, { root: prepared.project.dataRoot, confined: prepared.project.confined, ...(dataMemory === null ? {} : { residentBytes: dataMemory * 2 ** 20 }) });
  return { spec, data, info: data.info };
}

/** As `prepareTraining`, where only what is known of the data matters: it is opened when that takes it. */
export async function prepareShapes(prepared: Prepared, inputs: Readonly<Record<string, string>>): Promise<Training> {
  const spec = readTraining(prepared.loaded, { model: prepared.model, set: prepared.set });
  const info = spec.data === null || Object.keys(inputs).length > 0 ? null : await describeData(spec.data, { root: prepared.project.dataRoot, confined: prepared.project.confined });
  return info === null ? prepareTraining(prepared, inputs) : { spec, data: null, info };
}

/** As `prepareTraining`; where the data is not on this machine, what its declaration says of the sizes has to do. */
export async function prepareDeclared(prepared: Prepared, inputs: Readonly<Record<string, string>>): Promise<Training & { readonly missing: string | null }> {
  try {
    return { ...await prepareTraining(prepared, inputs), missing: null };
  } catch (error) {
    const missing = error instanceof DiagnosticError && error.diagnostics.every((d) => d.code === 'SSL5005') ? error.diagnostics[0].title : null;
    if (missing === null) throw error;
    const spec = readTraining(prepared.loaded, { model: prepared.model, set: prepared.set });
    const info = spec.data === null ? null : declaredInfo(spec.data);
    if (info === null) throw error;
    return { spec, data: null, info, missing };
  }
}

/** How many steps a training takes: `--steps`, else `--epochs`, else what the train block says. */
export function plannedSteps(spec: TrainingSpec, examples: number, asked: { readonly steps?: number; readonly epochs?: number }): number {
  if (asked.steps !== undefined && asked.epochs !== undefined) usage('--steps and --epochs exclude each other');
  const perEpoch = Math.max(1, Math.floor(examples / spec.batch));
  if (asked.steps !== undefined) return asked.steps;
  if (asked.epochs !== undefined) return asked.epochs * perEpoch;
  return spec.steps ?? Math.max(1, Math.round((spec.epochs ?? 1) * perEpoch));
}

/** What is compiled for a training: init, step and embed for a target. */
function trainingOptions(prepared: Prepared, training: Training, steps: number, target: TargetOptions): CompileTrainingOptions {
  return {
    model: prepared.model,
    set: prepared.set,
    data: training.info,
    steps,
    resident: (training.data === null || training.data.train.resident) && training.info.inputs.every((i) => fits(i, training.info.examples, target)),
    embedBatch: Math.min(256, Math.max(1, training.info.examples)),
    target,
  };
}

/** Compiles init, step and embed for a target. */
export function compileFor(prepared: Prepared, training: Training, steps: number, target: TargetOptions, observe?: Observe, verdict: CollapseVerdict | null = null, episodes?: number): CompiledModel {
  return compileTraining(prepared.loaded, {
    ...trainingOptions(prepared, training, steps, target),
    ...(episodes === undefined ? {} : { episodes }),
    trivial: verdict?.trivial.exact === true ? { value: verdict.trivial.value, formula: verdict.trivial.formula } : null,
  }, observe);
}

/** Counts what init, step and embed would cost on a target. */
export function countFor(prepared: Prepared, training: Training, steps: number, target: TargetOptions, observe: Observe): CountedModel {
  return countTraining(prepared.loaded, trainingOptions(prepared, training, steps, target), observe);
}

/** Whether all examples of an input fit in one buffer of the device; else they are sent batch by batch. */
function fits({ element, shape }: ModelInput, examples: number, target: TargetOptions): boolean {
  return shape.reduce((a, b) => a * b, examples * (element === 'u8' ? 1 : 4)) <= target.maxBindingBytes;
}

/** `x=u8[28, 28, 1]`: an input of that element and shape. */
function readInputType(name: string, text: string): ModelInput {
  const match = /^(f32|float|u8|int|i32|bool)?\[\s*(\d+(?:\s*,\s*\d+)*)?\s*\]$/.exec(text);
  if (match === null) usage(`--input ${name}=${text}: expected an element and a shape`, 'for instance `--input x=u8[28,28,1]`');
  const element = match[1] ?? 'f32';
  return {
    name,
    element: element === 'int' || element === 'i32' ? 'i32' : element === 'u8' || element === 'bool' ? element : 'f32',
    shape: (match[2] ?? '').split(',').filter((size) => size.trim() !== '').map(Number),
  };
}
