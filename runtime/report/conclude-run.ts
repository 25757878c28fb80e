/** The end of a run: evaluates what was learned, and leaves `evaluation.json` and `report.html` in the run folder. */
import { join } from 'node:path';
import { evaluate, type EvaluateOptions, type Evaluation } from '../evaluate/evaluate.js';
import { atomicWrite } from '../train/atomic-write.js';
import { writeReport, type ReportOptions } from './write-report.js';

export interface ConcludeOptions extends EvaluateOptions, Pick<ReportOptions, 'directory' | 'source' | 'facts'> {}

export async function concludeRun(options: ConcludeOptions): Promise<{ readonly evaluation: Evaluation; readonly report: string }> {
  const { evaluation, features } = await evaluate(options);
  await atomicWrite(join(options.directory, 'evaluation.json'), `${JSON.stringify(evaluation, null, 2)}\n`);
  const { directory, manifest, data, seed, source, facts } = options;
  return { evaluation, report: await writeReport({ directory, manifest, data, seed, source, facts, evaluation, features }) };
}
