/** What `sslc evaluate --finetune` needs: the library's classifier on the run's encoder, compiled and loaded beside the model. */
import { compileFineTuning } from '../compiler/pipeline.js';
import { labelledRows, type FineTuneOptions } from '../runtime/evaluate/fine-tune.js';
import { readBudgets, type LabelBudget } from '../runtime/evaluate/low-label.js';
import { fail } from '../runtime/data/problem.js';
import { targetOf } from './device.js';
import { usage } from './failure.js';
import type { TrainedRun } from './open-trained.js';
import type { Context } from './outcome.js';
import { loadLibrary } from './reader.js';
import { withSchedules } from './tune.js';

export interface FineTuneFlags {
  readonly finetune?: boolean;
  readonly finetuneEpochs?: number;
  readonly finetuneRate?: number;
  readonly finetuneLabels?: string;
}

const usualEpochs = 5;
const largestBatch = 128;

/** Wrong or useless flags are usage errors, before anything is opened. */
export function checkFineTuneFlags({ finetune, finetuneEpochs, finetuneRate, finetuneLabels }: FineTuneFlags): void {
  const given = [['--finetune-epochs', finetuneEpochs], ['--finetune-rate', finetuneRate], ['--finetune-labels', finetuneLabels]] as const;
  const stray = given.find(([, value]) => value !== undefined);
  if (finetune !== true && stray !== undefined) usage(`${stray[0]} says how to fine-tune, and nothing asks for it`, 'add `--finetune`');
  if (finetuneRate !== undefined && !(finetuneRate > 0)) usage('--finetune-rate: expected a positive number');
  if (finetuneLabels !== undefined) budgetOf(finetuneLabels);
}

function budgetOf(text: string): LabelBudget {
  if (text === 'all') return { kind: 'share', share: 1 };
  const budgets = readBudgets(text);
  return budgets.length === 1 ? budgets[0] : fail('SSL5001', { path: `--finetune-labels ${text}`, problem: 'expected one share, one number of labels a class, or `all`', help: 'for instance `--finetune-labels 1%`' });
}

/** Compiles and loads; hands over, and closes. Without `--finetune` there is nothing. */
export async function withFineTuning<T>(context: Context, { run, prepared, data, device, compiled }: TrainedRun, flags: FineTuneFlags, use: (tuning: FineTuneOptions | null) => Promise<T>): Promise<T> {
  if (flags.finetune !== true) return use(null);
  const { seed } = run.facts;
  const budget = budgetOf(flags.finetuneLabels ?? 'all');
  const epochs = flags.finetuneEpochs ?? usualEpochs;
  const rows = labelledRows(data, budget, seed);
  const batch = Math.min(largestBatch, rows.length);
  const epochSteps = Math.floor(rows.length / batch);
  const { manifest, plan, recipe } = compileFineTuning(prepared.loaded, loadLibrary(context, 'std.fine_tuning'), {
    model: prepared.model, set: prepared.set, data: data.info, embedBatch: compiled.manifest.embedBatch, target: withSchedules(context, device, targetOf(device)), batch, epochSteps, steps: epochs * epochSteps, rate: flags.finetuneRate ?? null,
  });
  const session = await device.load(plan);
  try {
    return await use({ session, manifest, rows, budget, epochs, seed, recipe });
  } finally {
    await session.close();
  }
}
