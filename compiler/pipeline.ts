/**
 * The compiler's passes, in order. Text is parsed and its names resolved (`loadProgram`), a model is elaborated into tensor
 * programs, and each program goes through the passes below. Everything is a pure function of its arguments.
 */
import { buildCall } from './lower/call-programs.js';
import { buildFineTuning } from './lower/fine-tuning-programs.js';
import { buildTraining } from './lower/training-programs.js';
import { readTraining } from './lower/training-spec.js';
import type { CompileCallOptions, CompiledCall, CompiledModel, CompileFineTuningOptions, CompileTrainingOptions, CountedModel, LoadedProgram, TargetOptions, TrainingSpec } from './api.js';
import { emitWasm } from './emit/wasm/emit-wasm.js';
import { emitWgsl } from './emit/wgsl/emit-wgsl.js';
import { fuse } from './fuse/fuse.js';
import type { FuseOptions } from './fuse/fuse.js';
import type { KernelProgram } from './fuse/kernel.js';
import { classesOf, costLaunches } from './plan/cost.js';
import { mergeOrigins } from './fuse/draft.js';
import { planMemory } from './plan/plan-memory.js';
import type { MemoryPlan } from './plan/plan-memory.js';
import type { Code, Entry, Launch, LaunchCost, Plan } from './plan/plan.js';
import { joinMoments } from './tensor/join-moments.js';
import { sharePartialSums } from './tensor/share-partial-sums.js';
import { simplify, simplifyPasses } from './tensor/simplify.js';
import { recomputeActivations } from './tensor/recompute.js';
import { splitStridePhases } from './tensor/split-stride-phases.js';
import { verify } from './tensor/verify.js';
import type { Program } from './tensor/program.js';
import { diagnostic, DiagnosticError } from '../grammar/diagnostics/report.js';
import type { Span } from '../grammar/span.js';

export { checkCollapse, describeModel } from './check/describe-model.js';
export { costEmbedding } from './check/network-costs.js';
export { loadProgram } from './check/load-program.js';
export { readTraining };

/** One pass over a tensor program. `reason` says why it stands where it does. */
export interface Pass {
  readonly name: string;
  readonly description: string;
  readonly reason: string;
  readonly run: (program: Program, options: TargetOptions) => Program;
}

/** The passes over tensor programs; fusion, memory planning and emission follow in `planPrograms`. */
export const passes: readonly Pass[] = [
  {
    name: 'simplify', description: 'folds constants, shares equal tensors, drops what nobody needs',
    reason: 'first: elaboration writes everything down once for every use, and fusion should see only what is left',
    run: (program, options) => simplify(program, { disabled: simplifyPasses.filter((p) => options.disabled.includes(p)) }),
  },
  {
    name: 'phases', description: 'splits sums that only every s-th term enters, such as input gradients of strided convolutions, into s dense sums',
    reason: 'after simplify, which folds the divisibility conditions into the form looked for; before fusion, which then sees plain convolutions',
    // The interleaving map binds its phases and its result.
    run: (program, options) => splitStridePhases(program, options.maxBindings - 1),
  },
  {
    name: 'moments', description: 'the squared deviations from a mean are summed in the pass that sums what it is the mean of',
    reason: 'after simplify, which shares what both sum over; after differentiation, which is better off with the definition',
    run: joinMoments,
  },
  {
    name: 'partial sums', description: 'a sum over all twins is the sum of sums over each, where those are taken of the same data',
    reason: 'after moments, which looks for sums over everything; before fusion, which takes sums of the same shape in one pass',
    run: sharePartialSums,
  },
  {
    name: 'recompute', description: 'where asked for, activations are computed again in the backward pass instead of kept',
    reason: 'last: the passes before share equal tensors, which would undo it',
    run: (program, options) => (options.recompute === true ? recomputeActivations(program) : program),
  },
];

/** Sees the program of an entry after a pass; `lower` is what elaboration gave, before any. */
export type Observe = (pass: string, entry: string, program: Program) => void;

/** Runs the passes, verifying the program after each (with `verifyOnce`, after the last). `observe` sees the program after every pass (`--dump-after`). */
export function runPasses(program: Program, options: TargetOptions, observe: (pass: string, program: Program) => void = () => undefined): Program {
  const result = passes.reduce((p, pass) => {
    if (options.disabled.includes(pass.name)) return p;
    const next = pass.run(p, options);
    if (options.verifyOnce !== true) verify(next);
    observe(pass.name, next);
    return next;
  }, program);
  if (options.verifyOnce === true) verify(result);
  return result;
}

/** Programs that `precision` is about: what is asked of a trained model stays f32. */
const trainingSteps: readonly string[] = ['step', 'encode', 'backward', 'update'];

const noHalf = { feature: '`precision "f16"` on this device, which keeps no 16-bit floats,', help: 'use the CPU, a GPU with the feature `shader-f16` (`sslc doctor` lists it), or `precision "f32"`' };

/** The target with what the train block asks of the compiler. */
const trainingTarget = (target: TargetOptions, { activations, precision }: TrainingSpec): TargetOptions => ({ ...target, recompute: activations === 'recompute', precision });

/** Compiles the training of a model: entries `init`, `step` and `embed`. Throws a `DiagnosticError` for what is wrong in the source. */
export function compileTraining(loaded: LoadedProgram, options: CompileTrainingOptions, observe: Observe = () => undefined): CompiledModel {
  const training = readTraining(loaded, options);
  if (training.precision === 'f16' && options.target.half !== true) throw new DiagnosticError([diagnostic('SSL4001', { file: loaded.main, start: 0, end: 0 }, noHalf)]);
  const built = buildTraining(loaded, options);
  const planned = planPrograms(loaded, built.programs, trainingTarget(options.target, training), observe);
  return { training, manifest: built.manifest, ...planned, diagnostics: loaded.diagnostics };
}

/** Everything about the training of a model but code: what runs and what it costs. Throws as `compileTraining` does. */
export function countTraining(loaded: LoadedProgram, options: CompileTrainingOptions, observe: Observe = () => undefined): CountedModel {
  const training = readTraining(loaded, options);
  const built = buildTraining(loaded, options);
  const target = trainingTarget(options.target, training);
  const { programs, kernels, memory } = fusePrograms(built.programs, target, observe);
  const names = Object.keys(built.programs);
  const entries = Object.fromEntries(names.map((name, i) => {
    const { peakBytes, liveBytes } = memory.entries[i];
    const launches = costLaunches(kernels[i], kernels[i].launches, target).map((cost) => ({ cost }));
    return [name, { name, peakBytes, liveBytes, launches }];
  }));
  return { training, manifest: built.manifest, programs: Object.fromEntries(names.map((n, i) => [n, programs[i]])), plan: { arenas: memory.arenas, entries }, diagnostics: loaded.diagnostics };
}

/** Compiles the training of a classifier, the model of `tuning`, on what a model represents: entries `init`, `step` and `embed`. */
export function compileFineTuning(loaded: LoadedProgram, tuning: LoadedProgram, options: CompileFineTuningOptions): Pick<CompiledModel, 'manifest' | 'programs' | 'kernels' | 'plan'> & { readonly recipe: string } {
  const built = buildFineTuning(loaded, tuning, options);
  return { manifest: built.manifest, recipe: built.recipe, ...planPrograms(loaded, built.programs, options.target) };
}

/** Compiles one function or model for given tensors: entries `init` and `call`. */
export function compileCall(loaded: LoadedProgram, options: CompileCallOptions): CompiledCall {
  const built = buildCall(loaded, options);
  const planned = planPrograms(loaded, built.programs, options.target);
  return { ...planned, parameters: built.parameters, outputs: built.outputs, diagnostics: loaded.diagnostics };
}

/** Bytes that a program needs while it runs, beside what outlives it; `passes` have been over it. */
export function transientBytes(program: Program, target: TargetOptions): number {
  const kernels = fuse(program, fusing(program, target));
  return planMemory([kernels], { alignment: 256, arenaLimit: null }).entries[0].peakBytes;
}

const fusing = ({ name }: Program, target: TargetOptions): FuseOptions => ({
  disabled: target.disabled, maxBindings: target.maxBindings, target: target.target, half: target.precision === 'f16' && trainingSteps.includes(name),
  manyCores: target.target === 'wgsl' && !target.software,
  workgroup: { bytes: target.maxWorkgroupStorageBytes, threads: target.maxWorkgroupInvocations, matrices: target.matrixUnits?.shapes.some((s) => s.element === 'f32') ?? false },
});

interface Planned {
  readonly programs: Readonly<Record<string, Program>>;
  readonly kernels: Readonly<Record<string, KernelProgram>>;
  readonly plan: Plan;
}

/** Simplifies, fuses and plans memory for the programs of one plan, in their order. */
function fusePrograms(programs: Readonly<Record<string, Program>>, target: TargetOptions, observe: Observe): { readonly programs: readonly Program[]; readonly kernels: readonly KernelProgram[]; readonly memory: MemoryPlan } {
  const simplified = Object.entries(programs).map(([name, built]) => {
    observe('lower', name, built);
    return runPasses(built, target, (pass, program) => observe(pass, name, program));
  });
  const kernels = simplified.map((p) => fuse(p, fusing(p, target)));
  return { programs: simplified, kernels, memory: planMemory(kernels, { alignment: 256, arenaLimit: target.target === 'wgsl' ? target.maxBindingBytes : null }) };
}

/** Simplifies, fuses, plans memory and emits code for the programs of one plan, which share their sources by name. */
export function planPrograms(loaded: LoadedProgram, programs: Readonly<Record<string, Program>>, target: TargetOptions, observe: Observe = () => undefined): Planned {
  const names = Object.keys(programs);
  const { programs: simplified, kernels, memory } = fusePrograms(programs, target, observe);
  const emitted = kernels.map((k, i) => ({ kernels: k, placements: memory.entries[i].placements }));
  const lineOf = lineFinder(loaded);
  const { code, launches } = emit(emitted, memory.arenas, target, lineOf);
  const entries: Record<string, Entry> = {};
  kernels.forEach((k, i) => {
    const partsOf = launches[i].map((l) => l.parts);
    const classes = classesOf(k, partsOf);
    // Counting takes a good part of the time that compiling does, and few ask for it.
    let counted: readonly LaunchCost[] | null = null;
    const costOf = (launch: number): LaunchCost => (counted ??= costLaunches(k, partsOf, target))[launch];
    const outputs: Record<string, Entry['outputs'][string]> = {};
    for (const o of k.program.outputs) {
      const slot = memory.entries[i].placements.get(o.tensor);
      if (slot !== undefined) outputs[o.name] = slot;
    }
    entries[names[i]] = {
      name: names[i], outputs, peakBytes: memory.entries[i].peakBytes, liveBytes: memory.entries[i].liveBytes,
      launches: launches[i].map(({ parts, ...code }, j): Launch => ({
        ...code, class: classes[j], get cost() { return costOf(j); },
        origin: mergeOrigins(...parts.map((p) => k.kernels[p].origins)).map((o) => (o.span === null ? o.name : `${lineOf(o.span)} ${o.name}`)).join('; '),
      })),
    };
  });
  const byName = <T>(values: readonly T[]): Record<string, T> => Object.fromEntries(names.map((n, i) => [n, values[i]]));
  return { programs: byName(simplified), kernels: byName(kernels), plan: { version: 1, arenas: memory.arenas, sources: memory.sources, entries, code } };
}

/** What a target says of a launch, and which kernels run in it. */
type LaunchCode = Pick<Launch, 'kernel' | 'workgroups' | 'bindings'> & { readonly parts: readonly number[] };

function emit(entries: Parameters<typeof emitWasm>[0], arenas: Plan['arenas'], target: TargetOptions, lineOf: (span: Span) => string): { code: Code; launches: readonly (readonly LaunchCode[])[] } {
  if (target.target === 'wgsl') return emitWgsl(entries, { ...target, lineOf });
  const module = emitWasm(entries, arenas, target);
  return {
    code: module.code,
    launches: module.tasks.map((tasks, i) => tasks.map((count, j) => ({ kernel: module.functions[i][j], workgroups: [count, 1, 1] as const, bindings: [], parts: entries[i].kernels.launches[j] }))),
  };
}

/** `model.ssl:12` for a span of a loaded file. */
export function lineFinder(loaded: LoadedProgram): (span: Span) => string {
  const starts = new Map<string, number[]>();
  return (span) => {
    let lines = starts.get(span.file);
    if (lines === undefined) {
      const text = loaded.modules.get(span.file)?.source.text ?? '';
      lines = [0];
      for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines.push(at + 1);
      starts.set(span.file, lines);
    }
    let low = 0;
    let high = lines.length;
    while (high - low > 1) { const middle = (low + high) >> 1; if (lines[middle] <= span.start) low = middle; else high = middle; }
    return `${span.file.split('/').pop() ?? span.file}:${low + 1}`;
  };
}
