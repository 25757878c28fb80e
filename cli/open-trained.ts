/** Opens a finished or interrupted run: compiles its spec, loads its newest checkpoint or the one that is asked for, hands over the session. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { CompiledModel } from '../compiler/api.js';
import type { DataSet } from '../runtime/data/data-set.js';
import type { Device, Session } from '../runtime/device/device.js';
import { latestCheckpoint, listCheckpoints, restoreCheckpoint } from '../runtime/train/checkpoint.js';
import { targetOf, withDevice } from './device.js';
import { withSchedules } from './tune.js';
import { missing } from './failure.js';
import type { Context } from './outcome.js';
import { compileFor, prepareRun, prepareTraining, type Prepared } from './prepare.js';
import { openRun, type RunFolder } from './run-folder.js';

export interface TrainedRun {
  readonly run: RunFolder;
  readonly prepared: Prepared;
  readonly compiled: CompiledModel;
  readonly data: DataSet;
  readonly device: Device;
  readonly session: Session;
  /** Of the checkpoint. */
  readonly step: number;
}

/** Opens a run on a device and closes it afterwards. */
export async function withTrained<T>(context: Context, shown: string, device: string, use: (trained: TrainedRun) => Promise<T>, episodes?: number, wanted?: string): Promise<T> {
  const run = openRun(context, shown);
  const checkpoint = checkpointOf(context, run, wanted);
  const prepared = prepareRun(context, run, {});
  const training = await prepareTraining(prepared, {});
  const { data } = training;
  if (data === null) return missing(`${shown}: the run names no data`);
  return withDevice(device, async (opened) => {
    const compiled = compileFor(prepared, training, run.facts.steps, withSchedules(context, opened, targetOf(opened)), undefined, null, data.environment === undefined ? undefined : episodes);
    const session = await opened.load(compiled.plan);
    try {
      const { step } = restoreCheckpoint(checkpoint, session, compiled.manifest);
      return await use({ run, prepared, compiled, data, device: opened, session, step });
    } finally {
      await session.close();
    }
  });
}

/** The newest checkpoint, or that of a step, or a file. */
export function checkpointOf(context: Context, { shown, directory }: RunFolder, wanted?: string): string {
  const known = listCheckpoints(directory);
  if (wanted === undefined) return latestCheckpoint(directory)?.path ?? missing(`${shown}: no checkpoint`, 'was the run stopped before its first checkpoint? train it again');
  if (/^\d+$/.test(wanted)) return known.find((c) => c.step === Number(wanted))?.path ?? missing(`${shown}: no checkpoint of step ${wanted}`, known.length === 0 ? null : `there are those of steps ${known.map((c) => c.step).join(', ')}`);
  const path = resolve(context.terminal.directory, wanted);
  return existsSync(path) ? path : missing(`${wanted}: no such checkpoint`, 'give a step or the path of a file');
}
