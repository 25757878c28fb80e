/** `sslc compile`: what a model becomes on its way to the device, and what that costs. */
import type { CompiledModel } from '../../compiler/api.js';
import { printKernels } from '../../compiler/fuse/print.js';
import { describePlan } from '../../compiler/plan/report.js';
import { printProgram } from '../../compiler/tensor/print.js';
import { plainTarget, targetOf, withDevice } from '../device.js';
import type { Emission, PassName } from '../emissions.js';
import { usage } from '../failure.js';
import { done, type Context, type Json, type Outcome } from '../outcome.js';
import { tune, withSchedules } from '../tune.js';
import { compileFor, plannedSteps, prepare, prepareShapes, type ModelChoice } from '../prepare.js';

export interface CompileOptions extends ModelChoice {
  readonly device: string;
  readonly emit?: Emission;
  readonly dumpAfter?: PassName;
  readonly entry?: string;
  readonly report?: boolean;
  readonly tune?: boolean;
  readonly input: Readonly<Record<string, string>>;
}

/** Compiles a file and shows one of its forms. */
export async function compile(context: Context, file: string, options: CompileOptions): Promise<Outcome> {
  if (options.emit !== undefined && options.dumpAfter !== undefined) usage('--emit and --dump-after exclude each other');
  const emit = options.emit ?? (options.report === true || options.dumpAfter !== undefined ? null : 'tensor');
  if (options.tune === true && options.device === 'auto') usage('--tune needs a device to measure on', 'add `--device gpu`, or a part of an adapter\'s name');
  const prepared = prepare(context, file, options);
  if (emit === 'ast') {
    const { module } = prepared.loaded.modules.get(prepared.loaded.main) ?? usage(`${file}: nothing to show`);
    return done(`${JSON.stringify(module, null, 2)}\n`, JSON.parse(JSON.stringify(module)), prepared.loaded.diagnostics);
  }
  const training = await prepareShapes(prepared, options.input);
  if (training.info.inputs.length === 0) usage(`model ${training.spec.model} has no data, so its shapes are not known`, 'give `--input x=u8[28,28,1]`');
  const steps = plannedSteps(training.spec, training.info.examples, {});
  // The device decides limits only when one was asked for: otherwise the same file gives the same output anywhere.
  const target = options.device === 'auto'
    ? plainTarget(emit === 'wgsl' ? 'wgsl' : 'wasm')
    : await withDevice(options.device, async (device) => {
      const known = withSchedules(context, device, targetOf(device));
      return options.tune === true ? tune(context, device, compileFor(prepared, training, steps, known), known) : known;
    });
  const dumped = new Map<string, string>();
  const compiled = compileFor(prepared, training, steps, target, (pass, entry, program) => {
    if (pass === options.dumpAfter) dumped.set(entry, printProgram(program));
  });
  const entries = chosenEntries(compiled, options.entry);
  const shown = emit === null ? texts(entries.flatMap((e) => dumped.get(e) ?? [])) : show(compiled, emit, entries);
  const report = options.report === true ? reportOf(compiled, entries) : { text: '', json: null };
  return done(`${shown.text}${report.text}`, options.report === true ? report.json : shown.json, compiled.diagnostics);
}

interface Shown {
  readonly text: string;
  readonly json: Json;
}

function chosenEntries({ plan }: CompiledModel, entry: string | undefined): readonly string[] {
  const known = Object.keys(plan.entries);
  if (entry !== undefined && !known.includes(entry)) usage(`--entry ${entry}: expected one of ${known.join(', ')}`);
  return entry === undefined ? known : [entry];
}

function show(compiled: CompiledModel, emit: Exclude<Emission, 'ast'>, entries: readonly string[]): Shown {
  const { programs, kernels, plan, manifest } = compiled;
  switch (emit) {
    case 'types': return typesOf(compiled);
    case 'tensor': return texts(entries.map((e) => printProgram(programs[e])));
    case 'kernels': return texts(entries.map((e) => printKernels(kernels[e])));
    case 'wgsl': {
      if (plan.code.target !== 'wgsl') return usage('--emit wgsl needs a GPU target', 'leave out `--device`, or name a GPU');
      const { modules } = plan.code;
      const used = [...new Set(entries.flatMap((e) => plan.entries[e].launches.map((l) => l.kernel)))];
      return { text: used.map((name) => `// ---- ${name}\n${modules[name].trimEnd()}\n`).join('\n'), json: { modules: Object.fromEntries(used.map((name) => [name, modules[name]])) } };
    }
    case 'plan': {
      const json: Json = JSON.parse(JSON.stringify({ manifest, plan }));
      return { text: `${JSON.stringify(json, null, 2)}\n`, json };
    }
  }
}

function texts(parts: readonly string[]): Shown {
  return { text: parts.map((part) => `${part.trimEnd()}\n`).join('\n'), json: parts };
}

/** What names came to mean: inputs, parameters and state with their shapes. */
function typesOf({ manifest }: CompiledModel): Shown {
  const shape = (sizes: readonly number[]): string => `[${sizes.join(', ')}]`;
  const lines = [
    `model ${manifest.model}`,
    ...Object.entries(manifest.settings).map(([name, value]) => `setting ${name} = ${value}`),
    ...manifest.inputs.map((i) => `input ${i.name}: ${i.element}${shape(i.shape)}`),
    ...manifest.parameters.map((p) => `${p.arena.startsWith('target.') ? p.arena : 'param'} ${p.path}: ${shape(p.shape)}`),
    ...manifest.states.map((s) => `state ${s.name}: ${shape(s.shape)}`),
    ...manifest.objectives.map((o) => `${o.role} ${o.name}: []`),
    `represent: [${manifest.embeddingSize}]`,
  ];
  return { text: `${lines.join('\n')}\n`, json: JSON.parse(JSON.stringify(manifest)) };
}

function reportOf(compiled: CompiledModel, entries: readonly string[]): Shown {
  const { plan, kernels } = compiled;
  const { text, json } = describePlan({ plan: { ...plan, entries: Object.fromEntries(entries.map((e) => [e, plan.entries[e]])) }, kernels });
  return { text: text.endsWith('\n') ? text : `${text}\n`, json: JSON.parse(JSON.stringify(json)) };
}
