/** `sslc evaluate`: measures a run's encoder beside the untrained one and raw pixels, by protocols that options change. */
import { join } from 'node:path';
import { evaluate as measure } from '../../runtime/evaluate/evaluate.js';
import { readBudgets } from '../../runtime/evaluate/low-label.js';
import type { Metric } from '../../runtime/evaluate/nearest.js';
import { atomicWrite } from '../../runtime/train/atomic-write.js';
import { evaluationJson, evaluationTable } from '../evaluation-table.js';
import { writeReport } from '../../runtime/report/write-report.js';
import { usage } from '../failure.js';
import { checkFineTuneFlags, withFineTuning, type FineTuneFlags } from '../fine-tuning.js';
import { withTrained } from '../open-trained.js';
import { done, type Context, type Outcome } from '../outcome.js';

export interface EvaluateOptions extends FineTuneFlags {
  readonly device: string;
  readonly k?: number;
  readonly temperature?: number;
  readonly metric?: Metric;
  /** False under `--no-centre`. */
  readonly centre: boolean;
  readonly split?: 'test' | 'train';
  readonly labels?: string;
  readonly draws?: number;
  readonly episodes?: number;
  readonly checkpoint?: string;
}

/** Episodes a plan is measured on, unless told. */
const usualEpisodes = 64;

/** Evaluates a run's newest checkpoint, or the one that is asked for. */
export async function evaluate(context: Context, shown: string, options: EvaluateOptions): Promise<Outcome> {
  const { device, k, temperature, metric, centre, split, labels, draws, episodes, checkpoint } = options;
  checkFineTuneFlags(options);
  if (temperature !== undefined && !(temperature > 0)) usage('--temperature: expected a positive number');
  const budgets = labels === undefined ? undefined : readBudgets(labels);
  return withTrained(context, shown, device, async (trained) => withFineTuning(context, trained, options, async (fineTuning) => {
    const { run, compiled, data, device: opened, session, step, prepared } = trained;
    const { evaluation, features } = await measure({
      session, manifest: compiled.manifest, data, seed: run.facts.seed, step, chosen: checkpoint !== undefined, fineTuning,
      knn: { centred: centre, ...(k === undefined ? {} : { k }), ...(temperature === undefined ? {} : { temperature }), ...(metric === undefined ? {} : { metric }) },
      lowLabel: { seed: run.facts.seed, ...(budgets === undefined ? {} : { budgets }), ...(draws === undefined ? {} : { draws }) },
      clusters: { seed: run.facts.seed },
      split: split ?? 'test',
    });
    await atomicWrite(join(run.directory, 'evaluation.json'), `${JSON.stringify(evaluation, null, 2)}\n`);
    if (fineTuning !== null) {
      const source = prepared.loaded.modules.get(prepared.loaded.main)?.source ?? null;
      await writeReport({ directory: run.directory, manifest: compiled.manifest, data, seed: run.facts.seed, evaluation, features, source, facts: { device: opened.name, command: `sslc evaluate ${shown} --finetune` } });
    }
    return done(evaluationTable(evaluation), evaluationJson(evaluation), data.warnings);
  }), episodes ?? usualEpisodes, checkpoint);
}
