/** `sslc train`: trains a model into a run folder, then measures what it learned and writes a report. */
import { statSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import packageJson from '../../package.json' with { type: 'json' };
import type { CompiledModel, TargetOptions } from '../../compiler/api.js';
import { writeSpec } from '../../compiler/spec/document.js';
import { checkCollapse } from '../../compiler/pipeline.js';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import type { Diagnostic } from '../../grammar/diagnostics/diagnostic.js';
import type { Evaluation } from '../../runtime/evaluate/evaluate.js';
import { concludeRun } from '../../runtime/report/conclude-run.js';
import type { TrainResult } from '../../runtime/train/events.js';
import { train as runTraining } from '../../runtime/train/train.js';
import { targetOf, withDevice } from '../device.js';
import { evaluationJson, evaluationTable } from '../evaluation-table.js';
import { exitCodes, usage, type ExitCode } from '../failure.js';
import type { Context, Outcome } from '../outcome.js';
import { compileFor, plannedSteps, prepare, prepareRun, prepareTraining, type ModelChoice, type Prepared } from '../prepare.js';
import { duration, showProgress } from '../progress.js';
import { checkpointOf } from '../open-trained.js';
import { freshRunFolder, openRun, type RunFacts, type RunFolder } from '../run-folder.js';
import { tune, withSchedules } from '../tune.js';
import { specOf } from './spec.js';

export interface TrainOptions extends ModelChoice {
  readonly device: string;
  readonly steps?: number;
  readonly epochs?: number;
  readonly seed?: number;
  readonly out?: string;
  readonly resume?: boolean;
  readonly params?: string;
  readonly dataMemory?: number;
  readonly onCollapse?: 'stop' | 'warn';
  readonly evaluate: boolean;
  readonly tune?: boolean;
}

/** Trains what `file` describes; with `--resume`, goes on with a run. */
export async function train(context: Context, file: string, options: TrainOptions): Promise<Outcome> {
  const { terminal } = context;
  const run = runToResume(context, file, options);
  const isRun = run !== null && isFolder(context, file);
  const prepared = isRun ? prepareRun(context, run, options) : prepare(context, file, options);
  const training = await prepareTraining(prepared, {}, options.dataMemory ?? null);
  const { data } = training;
  if (data === null) return usage(`${file}: no data to train on`, `add \`data fashion_mnist()\` to \`train ${training.spec.model}\``);
  const collapse = checkCollapse(prepared.loaded, { model: prepared.model, set: prepared.set, data: training.info });
  if (collapse.diagnostics.some((d) => d.severity === 'error')) throw new DiagnosticError(collapse.diagnostics);
  const steps = run !== null && options.steps === undefined && options.epochs === undefined ? run.facts.steps : plannedSteps(training.spec, data.info.examples, options);
  const seed = options.seed ?? run?.facts.seed ?? training.spec.seed;
  const shown = run?.shown ?? options.out ?? freshRunFolder(context, training.spec.model);
  const directory = resolve(terminal.directory, shown);
  const progress = showProgress(context);

  return withDevice(options.device, async (device) => {
    const compileWith = (target: TargetOptions): CompiledModel =>
      compileFor(prepared, training, steps, target, undefined, collapse.verdict.mechanism === 'undecided' ? null : collapse.verdict);
    const known = withSchedules(context, device, targetOf(device));
    const compiled = compileWith(options.tune === true ? await tune(context, device, compileWith(known), known) : known);
    const facts: RunFacts = {
      version: 1, sslc: packageJson.version, model: training.spec.model, steps, seed,
      dataRoot: prepared.project.dataRoot, confined: prepared.project.confined, device: device.name,
    };
    progress.say(`${training.spec.model} on ${data.description}`);
    progress.say(`${device.name}; ${steps} steps of ${compiled.manifest.batch}, seed ${seed}; ${shown}`);
    if (compiled.manifest.batch !== training.spec.batch) progress.say(`the data has fewer examples than a batch of ${training.spec.batch}: a batch is all ${compiled.manifest.batch}`);
    const problems: Diagnostic[] = [...data.warnings, ...compiled.diagnostics, ...collapse.diagnostics];
    const stop = new AbortController();
    const ignore = terminal.onInterrupt(() => {
      ignore(); // a second Ctrl-C ends the process at once
      progress.say('finishing this step and writing a checkpoint; press Ctrl-C again to stop at once');
      stop.abort();
    });
    const session = await device.load(compiled.plan);
    try {
      const result = await runTraining({
        compiled, session, data, directory, seed,
        resume: run !== null,
        parameters: options.params === undefined ? null : parametersFile(context, options.params),
        files: { 'spec.json': specText(prepared, isRun), 'run.json': `${JSON.stringify(facts, null, 2)}\n` },
        events: (event) => {
          if (event.kind === 'not-finite' || event.kind === 'collapse') problems.push(event.diagnostic);
          progress.event(event);
        },
        onCollapse: options.onCollapse ?? 'warn',
        signal: stop.signal,
      });
      progress.end();
      ignore();
      if (result.outcome !== 'finished' || !options.evaluate) return ended(shown, result, problems, null, '');
      progress.say('measuring what was learned ...');
      const source = prepared.loaded.modules.get(prepared.loaded.main)?.source ?? null;
      const { evaluation, report } = await concludeRun({
        session, manifest: compiled.manifest, data, seed, step: result.step, directory, source,
        facts: { device: device.name, time: duration(result.seconds), command: `sslc train ${file}` },
      });
      return ended(shown, result, problems, evaluation, relative(terminal.directory, report));
    } finally {
      progress.end();
      ignore();
      await session.close();
    }
  });
}

/** The run to go on with, or null for a new one. */
function runToResume(context: Context, file: string, options: TrainOptions): RunFolder | null {
  const folder = isFolder(context, file);
  if (options.resume !== true) return folder ? usage(`${file} is a folder`, `to go on with a run: \`sslc train ${file} --resume\``) : null;
  if (!folder && options.out === undefined) usage('--resume needs the run', 'give its folder: `sslc train RUN --resume`, or `--out RUN`');
  if (options.params !== undefined) usage('--resume and --params exclude each other');
  return openRun(context, folder ? file : options.out ?? file);
}

/** A file, or the newest checkpoint of a run. */
function parametersFile(context: Context, shown: string): string {
  return isFolder(context, shown) ? checkpointOf(context, openRun(context, shown)) : resolve(context.terminal.directory, shown);
}

function isFolder(context: Context, path: string): boolean {
  return statSync(resolve(context.terminal.directory, path), { throwIfNoEntry: false })?.isDirectory() === true;
}

/** The spec kept in the run folder. Going on with a run leaves it as it is. */
function specText(prepared: Prepared, isRun: boolean): string {
  const document = specOf(prepared);
  return writeSpec(isRun && prepared.project.spec !== null ? { ...document, training: prepared.project.spec.training } : document);
}

function ended(shown: string, result: TrainResult, diagnostics: readonly Diagnostic[], evaluation: Evaluation | null, report: string): Outcome {
  const codes: Record<TrainResult['outcome'], ExitCode> = { finished: exitCodes.ok, interrupted: exitCodes.interrupted, 'not-finite': exitCodes.guard, collapsed: exitCodes.guard };
  const lines: Record<TrainResult['outcome'], string> = {
    finished: `trained ${result.step} steps in ${duration(result.seconds)}: ${shown}\n`,
    interrupted: `stopped after step ${result.step}; checkpoint ${result.checkpoint ?? '(none)'}\ngo on with: sslc train ${shown} --resume\n`,
    'not-finite': '',
    collapsed: '',
  };
  const learned = evaluation === null ? '' : `\n${evaluationTable(evaluation)}\nreport: ${report}\n`;
  return {
    exitCode: codes[result.outcome],
    text: `${lines[result.outcome]}${learned}`,
    result: { run: shown, outcome: result.outcome, step: result.step, checkpoint: result.checkpoint, seconds: result.seconds, report: report === '' ? null : report, evaluation: evaluation === null ? null : evaluationJson(evaluation) },
    diagnostics,
  };
}
