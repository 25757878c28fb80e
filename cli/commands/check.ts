/** `sslc check`: everything that can be known of a model without running it. */
import { checkDeclarations } from '../../compiler/check/check-declarations.js';
import { checkCollapse, describeModel, lineFinder, passes, transientBytes } from '../../compiler/pipeline.js';
import type { Program } from '../../compiler/tensor/program.js';
import { functionsOf, sampleInputs } from '../../compiler/check/sample-inputs.js';
import { unusedParts } from '../../compiler/check/unused-parts.js';
import { unusedAllowances } from '../../grammar/diagnostics/allow.js';
import type { Diagnostic } from '../../grammar/diagnostics/diagnostic.js';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import { plainTarget } from '../device.js';
import { usage } from '../failure.js';
import { probe } from '../probe.js';
import { checkJson, checkText } from '../check-report.js';
import { done, type Context, type Outcome } from '../outcome.js';
import { countFor, plannedSteps, prepare, prepareDeclared, type ModelChoice, type Prepared } from '../prepare.js';

export interface CheckOptions extends ModelChoice {
  readonly input: Readonly<Record<string, string>>;
  /** Run a few steps from a nearly collapsed start. */
  readonly probe?: boolean;
}

/** The pass that leaves the program in which every activation is kept. */
const beforeRecompute = passes[passes.findIndex((p) => p.name === 'recompute') - 1].name;

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
  const known = await prepareDeclared(prepared, options.input);
  const { model, settings } = known.spec;
  const assumed = known.info.inputs.length > 0 ? null : sampleInputs(loaded, model, settings);
  const training = assumed === null ? known : { ...known, info: { ...known.info, inputs: assumed } };
  if (training.info.inputs.length === 0) usage(`model ${model} has no data, and the sizes of its inputs cannot be assumed`, 'add a train block with `data`, or give `--input x=u8[28,28,1]`');
  const target = plainTarget('wasm');
  let whole: Program | null = null;
  const counted = countFor(prepared, training, plannedSteps(training.spec, training.info.examples, {}), target, (pass, entry, program) => { if (pass === beforeRecompute && entry === 'step') whole = program; });
  const keptBytes = training.spec.activations === 'recompute' && whole !== null ? transientBytes(whole, target) : null;
  const request = { model: prepared.model, set: prepared.set, data: training.info };
  const collapse = checkCollapse(loaded, request);
  const diagnostics = [...counted.diagnostics, ...collapse.diagnostics, ...unusedParts(loaded, prepared.model), ...checkDeclarations(loaded, functionsOf(loaded, model))];
  refuseErrors(diagnostics);
  diagnostics.push(...unused(prepared, diagnostics));
  const note = known.missing !== null ? `\n  sizes are what the declaration of the data says: ${known.missing}\n` : assumed === null ? '' : '\n  sizes were assumed, since the model has no data: add a train block with `data`, or give `--input x=u8[28,28,1]`\n';
  const spread = options.probe === true ? await probe(prepared, training) : null;
  const report = { counted, spread, keptBytes, verdict: collapse.verdict, description: describeModel(loaded, request, lineFinder(loaded)) };
  return done(`${file}: ok\n\n${checkText(report)}${note}`, { ...checkJson(report), assumedSizes: assumed !== null || known.missing !== null }, diagnostics);
}

/** Comments that allow what does not happen: in the file as it stands, when its only model was looked at. */
function unused({ loaded, set }: Prepared, diagnostics: readonly Diagnostic[]): Diagnostic[] {
  const main = loaded.modules.get(loaded.main);
  return main === undefined || Object.keys(set).length > 0 || main.module.declarations.filter((d) => d.kind === 'model').length > 1 ? [] : unusedAllowances(main.source, diagnostics);
}

function refuseErrors(diagnostics: readonly Diagnostic[]): void {
  if (diagnostics.some((d) => d.severity === 'error')) throw new DiagnosticError(diagnostics);
}

function hasModel({ loaded }: Prepared): boolean {
  return loaded.modules.get(loaded.main)?.module.declarations.some((d) => d.kind === 'model' || d.kind === 'train') === true;
}
