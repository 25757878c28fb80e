/** `sslc evaluate`: measures a run's encoder beside the untrained one and raw pixels. */
import { join } from 'node:path';
import { evaluate as measure } from '../../runtime/evaluate/evaluate.js';
import { atomicWrite } from '../../runtime/train/atomic-write.js';
import { evaluationJson, evaluationTable } from '../evaluation-table.js';
import { usage } from '../failure.js';
import { withTrained } from '../open-trained.js';
import { done, type Context, type Outcome } from '../outcome.js';

export interface EvaluateOptions {
  readonly device: string;
  readonly k?: number;
  readonly temperature?: number;
}

/** Evaluates a run's newest checkpoint. */
export async function evaluate(context: Context, shown: string, { device, k, temperature }: EvaluateOptions): Promise<Outcome> {
  if (temperature !== undefined && !(temperature > 0)) usage('--temperature: expected a positive number');
  return withTrained(context, shown, device, async ({ run, compiled, data, session, step }) => {
    const { evaluation } = await measure({
      session, manifest: compiled.manifest, data, seed: run.facts.seed, step,
      knn: { ...(k === undefined ? {} : { k }), ...(temperature === undefined ? {} : { temperature }) },
    });
    await atomicWrite(join(run.directory, 'evaluation.json'), `${JSON.stringify(evaluation, null, 2)}\n`);
    return done(evaluationTable(evaluation), evaluationJson(evaluation), data.warnings);
  });
}
