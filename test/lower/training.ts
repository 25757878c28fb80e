/** Runs training steps of small `.ssl` texts with the float64 interpreter, on rows of numbers given in the test. */
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import { buildTraining } from '../../compiler/lower/training-programs.js';
import type { TrainingPrograms } from '../../compiler/lower/training-programs.js';
import type { Manifest } from '../../compiler/plan/manifest.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import type { Program } from '../../compiler/tensor/program.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import { verify } from '../../compiler/tensor/verify.js';
import { exactOptions } from '../wasm/harness.js';
import { load } from './harness.js';

export type Values = Record<string, ArrayLike<number>>;

export interface Rows {
  /** Rows of input `x`. */
  readonly x: readonly (readonly number[])[];
  readonly steps?: number;
  readonly set?: Readonly<Record<string, string>>;
}

export interface Trained {
  readonly built: TrainingPrograms;
  /** State before the first step, then after each; sources by name. */
  readonly states: readonly Values[];
  /** What each step reported, by name. */
  readonly reports: readonly Readonly<Record<string, number>>[];
  /** A parameter by path, after `step` steps. */
  readonly parameter: (path: string, step: number) => number[];
}

export function build(text: string, rows: Rows): TrainingPrograms {
  const loaded = load(text);
  if (loaded.diagnostics.length > 0) throw new DiagnosticError(loaded.diagnostics);
  return buildTraining(loaded, {
    model: null, set: rows.set ?? {}, steps: rows.steps ?? 4, resident: true, embedBatch: 1, target: exactOptions,
    data: { examples: rows.x.length, classes: null, inputs: [{ name: 'x', element: 'f32', shape: [rows.x[0].length] }] },
  });
}

export function run(program: Program, given: Values): { outputs: ReadonlyMap<string, Float64Array>; sources: Values } {
  verify(program);
  const inputs: Record<string, Float64Array> = {};
  for (const t of program.tensors) if (t.kind === 'source') inputs[t.name] = t.name in given ? Float64Array.from(given[t.name]) : new Float64Array(sizeOf(t.shape));
  const result = interpret(program, inputs);
  return { outputs: result.outputs, sources: { ...given, ...Object.fromEntries(result.sources) } };
}

/** One step: its reports in order, and all values after it. */
export function stepOf(programs: TrainingPrograms['programs'] | Readonly<Record<string, Program>>, manifest: Pick<Manifest, 'batch' | 'chunk'>, before: Values): { reports: Float64Array; next: Values } {
  let values = before;
  let reports = new Float64Array();
  const entry = (name: string): void => {
    const { outputs, sources } = run(programs[name], values);
    reports = Float64Array.from(outputs.get('reports') ?? reports);
    values = sources;
  };
  const chunks = manifest.batch / manifest.chunk;
  if (chunks === 1) entry('step');
  else {
    const each = (name: string): void => { for (let chunk = 0; chunk < chunks; chunk++) { values = { ...values, 'clock.chunk': [chunk] }; entry(name); } };
    each('encode');
    entry('step');
    each('backward');
    entry('update');
  }
  return { reports, next: values };
}

/** Trains on the rows in order; `prepare` may change the drawn state. */
export function train(text: string, rows: Rows, prepare: (values: Values) => Values = (v) => v): Trained {
  const built = build(text, rows);
  const { manifest, programs } = built;
  let values: Values = { 'clock.seed': [3], 'data.x': rows.x.flat() };
  values = prepare(run(programs.init, values).sources);
  const states = [values];
  const reports: Record<string, number>[] = [];
  for (let step = 0; step < manifest.steps; step++) {
    const order = Array.from({ length: manifest.batch }, (_, i) => (step * manifest.batch + i) % rows.x.length);
    const { reports: found, next } = stepOf(programs, manifest, { ...values, 'clock.step': [step], 'batch.order': order, 'batch.example': order });
    values = next;
    states.push(values);
    reports.push(Object.fromEntries(manifest.reports.map((name, k) => [name, found[k]])));
  }
  const parameter = (path: string, step: number): number[] => {
    const p = manifest.parameters.find((x) => x.path === path);
    if (p === undefined) throw new Error(`no parameter ${path}`);
    return Array.from(states[step][p.arena]).slice(p.offset, p.offset + sizeOf(p.shape));
  };
  return { built, states, reports, parameter };
}
