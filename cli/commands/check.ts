/** `sslc check`: everything that can be known of a model without running it. */
import type { CompiledModel } from '../../compiler/api.js';
import { checkDeclarations } from '../../compiler/check/check-declarations.js';
import type { CollapseVerdict } from '../../compiler/check/collapse.js';
import { checkCollapse } from '../../compiler/pipeline.js';
import { functionsOf, sampleInputs } from '../../compiler/check/sample-inputs.js';
import type { Diagnostic } from '../../grammar/diagnostics/diagnostic.js';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import { plainTarget } from '../device.js';
import { usage } from '../failure.js';
import { done, type Context, type Json, type Outcome } from '../outcome.js';
import { compileFor, plannedSteps, prepare, prepareTraining, type ModelChoice, type Prepared } from '../prepare.js';
import { bigCount, byteCount, grouped } from '../table.js';

export interface CheckOptions extends ModelChoice {
  readonly input: Readonly<Record<string, string>>;
}

/** Checks a file. Sizes come from its data or from `--input`; without either they are assumed, and that is said. */
export async function check(context: Context, file: string, options: CheckOptions): Promise<Outcome> {
  const prepared = prepare(context, file, options);
  const { loaded } = prepared;
  if (!hasModel(prepared)) {
    const diagnostics = [...loaded.diagnostics, ...checkDeclarations(loaded)];
    refuseErrors(diagnostics);
    const names = (loaded.modules.get(loaded.main)?.module.declarations ?? []).map((d) => (d.kind === 'train' ? d.model.text : d.name.text));
    return done(`${file}: ok; no model, each declaration was checked by itself (${names.join(', ') || 'none'})\n`, { model: null, declarations: names }, diagnostics);
  }
  const known = await prepareTraining(prepared, options.input);
  const { model, settings } = known.spec;
  const assumed = known.info.inputs.length > 0 ? null : sampleInputs(loaded, model, settings);
  const training = assumed === null ? known : { ...known, info: { ...known.info, inputs: assumed } };
  if (training.info.inputs.length === 0) usage(`model ${model} has no data, and the sizes of its inputs cannot be assumed`, 'add a train block with `data`, or give `--input x=u8[28,28,1]`');
  const compiled = compileFor(prepared, training, plannedSteps(training.spec, training.info.examples, {}), plainTarget('wasm'));
  const collapse = checkCollapse(loaded, { model: prepared.model, set: prepared.set, data: training.info });
  const diagnostics = [...compiled.diagnostics, ...collapse.diagnostics, ...checkDeclarations(loaded, functionsOf(loaded, model))];
  refuseErrors(diagnostics);
  const note = assumed === null ? '' : '\n  sizes were assumed, since the model has no data: add a train block with `data`, or give `--input x=u8[28,28,1]`\n';
  return done(`${file}: ok\n\n${describe(compiled, collapse.verdict)}${note}`, { ...asJson(compiled), collapse: collapseJson(collapse.verdict), assumedSizes: assumed !== null }, diagnostics);
}

function refuseErrors(diagnostics: readonly Diagnostic[]): void {
  if (diagnostics.some((d) => d.severity === 'error')) throw new DiagnosticError(diagnostics);
}

function hasModel({ loaded }: Prepared): boolean {
  return loaded.modules.get(loaded.main)?.module.declarations.some((d) => d.kind === 'model' || d.kind === 'train') === true;
}

interface Costs {
  readonly parameters: number;
  readonly flops: number;
  readonly bytes: number;
  readonly launches: number;
  readonly peakBytes: number;
  readonly persistentBytes: number;
}

function costsOf({ manifest, plan }: CompiledModel): Costs {
  const { launches, peakBytes } = plan.entries['step'];
  const sum = (of: (l: (typeof launches)[number]) => number): number => launches.reduce((total, l) => total + of(l), 0);
  return {
    parameters: manifest.parameters.filter((p) => p.arena === 'parameters').reduce((total, p) => total + p.shape.reduce((a, b) => a * b, 1), 0),
    flops: sum((l) => l.cost.flops),
    bytes: sum((l) => l.cost.bytesRead + l.cost.bytesWritten),
    launches: launches.length,
    peakBytes,
    persistentBytes: plan.arenas.filter((a) => a.persistent).reduce((total, a) => total + a.bytes, 0),
  };
}

function describe(compiled: CompiledModel, collapse: CollapseVerdict | null): string {
  const { manifest } = compiled;
  const costs = costsOf(compiled);
  const settings = Object.entries(manifest.settings).map(([name, value]) => `${name}=${value}`).join(' ');
  const own = manifest.parameters.filter((p) => p.arena === 'parameters');
  const rows = [
    ['model', `${manifest.model}${settings === '' ? '' : ` (${settings})`}`],
    ...manifest.inputs.map((i) => ['input', `${i.name}: ${i.element}[${i.shape.join(', ')}], batch ${manifest.batch}`]),
    ...manifest.targets.map((t) => ['target', `${t.name} follows ${t.of}, ${t.when} each step; running statistics ${buffersIn[t.buffers]}`]),
    ...manifest.objectives.map((o) => [o.role, o.name]),
    ...collapseRows(collapse),
    ['represent', `${manifest.embeddingSize} numbers an example`],
    ['parameters', `${grouped(costs.parameters)} in ${own.length} tensors`],
    ['a step', `${costs.launches} kernels, ${bigCount(costs.flops)}FLOP, ${byteCount(costs.bytes)} moved`],
    ['memory', `${byteCount(costs.persistentBytes)} kept, ${byteCount(costs.peakBytes)} more during a step`],
  ];
  const width = Math.max(...rows.map(([key]) => key.length));
  return rows.map(([key, text]) => `  ${key.padEnd(width)}  ${text}\n`).join('');
}

const buffersIn = { own: 'from its own passes', copy: 'copied', ema: 'averaged' } as const;

/** The verdict, what carries it, and the loss where every embedding is the same. */
function collapseRows(v: CollapseVerdict | null): string[][] {
  if (v === null) return [];
  const value = Number(v.trivial.value.toFixed(4));
  return [
    ['collapse', `prevented: ${v.mechanism} (${v.carriedBy.join(', ')})`],
    ['trivial', `with every embedding equal the loss is ${v.trivial.formula === null ? '' : `${v.trivial.formula} = `}${value === 0 ? 0 : value}`],
  ];
}

function collapseJson(v: CollapseVerdict | null): Json {
  return v === null ? null : { mechanism: v.mechanism, carriedBy: [...v.carriedBy], trivial: { value: v.trivial.value, formula: v.trivial.formula }, dimensional: v.dimensional };
}

function asJson(compiled: CompiledModel): { readonly [key: string]: Json } {
  const { manifest } = compiled;
  return {
    model: manifest.model,
    shapes: true,
    settings: { ...manifest.settings },
    inputs: manifest.inputs.map((i) => ({ ...i })),
    targets: manifest.targets.map((t) => ({ ...t })),
    objectives: manifest.objectives.map((o) => ({ ...o })),
    parameters: manifest.parameters.map((p) => ({ path: p.path, arena: p.arena, shape: p.shape })),
    batch: manifest.batch,
    embeddingSize: manifest.embeddingSize,
    costs: { ...costsOf(compiled) },
  };
}
