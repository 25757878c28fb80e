/** Opens a finished or interrupted run: compiles its spec, loads its newest checkpoint, hands over the session. */
import type { CompiledModel } from '../compiler/api.js';
import type { DataSet } from '../runtime/data/data-set.js';
import type { Device, Session } from '../runtime/device/device.js';
import { latestCheckpoint, restoreCheckpoint } from '../runtime/train/checkpoint.js';
import { targetOf, withDevice } from './device.js';
import { missing } from './failure.js';
import type { Context } from './outcome.js';
import { compileFor, prepareRun, prepareTraining } from './prepare.js';
import { openRun, type RunFolder } from './run-folder.js';

export interface TrainedRun {
  readonly run: RunFolder;
  readonly compiled: CompiledModel;
  readonly data: DataSet;
  readonly device: Device;
  readonly session: Session;
  /** Of the checkpoint. */
  readonly step: number;
}

/** Opens a run on a device and closes it afterwards. */
export async function withTrained<T>(context: Context, shown: string, device: string, use: (trained: TrainedRun) => Promise<T>, episodes?: number): Promise<T> {
  const run = openRun(context, shown);
  const checkpoint = latestCheckpoint(run.directory) ?? missing(`${shown}: no checkpoint`, 'was the run stopped before its first checkpoint? train it again');
  const prepared = prepareRun(context, run, {});
  const training = await prepareTraining(prepared, {});
  const { data } = training;
  if (data === null) return missing(`${shown}: the run names no data`);
  return withDevice(device, async (opened) => {
    const compiled = compileFor(prepared, training, run.facts.steps, targetOf(opened), undefined, null, data.environment === undefined ? undefined : episodes);
    const session = await opened.load(compiled.plan);
    try {
      const { step } = restoreCheckpoint(checkpoint.path, session, compiled.manifest);
      return await use({ run, compiled, data, device: opened, session, step });
    } finally {
      await session.close();
    }
  });
}
