/** `--tune`: measures the schedules of a model's kernels on the device and remembers the winners for later compiles. */
import packageJson from '../package.json' with { type: 'json' };
import type { CompiledModel, TargetOptions } from '../compiler/api.js';
import { tunables } from '../compiler/plan/tuning.js';
import type { Device } from '../runtime/device/device.js';
import { readSchedules, scheduleCache, writeSchedules } from '../runtime/tune/schedule-cache.js';
import { measureByClock, tuneKernels } from '../runtime/tune/tune-kernels.js';
import { exitCodes, Failure } from './failure.js';
import type { Context } from './outcome.js';

const rounds = 5;

/** The target, with what was measured on this device before. */
export function withSchedules(context: Context, device: Device, target: TargetOptions): TargetOptions {
  const cache = scheduleCache(context.terminal.environment, packageJson.version);
  return { ...target, schedules: readSchedules(cache, device.name, (problem) => context.terminal.stderr(`warning: ${problem}\n`)) };
}

/** Measures what a compiled model has to choose from. What was measured before Ctrl-C is kept, and the command ends. */
export async function tune(context: Context, device: Device, { kernels }: Pick<CompiledModel, 'kernels'>, target: TargetOptions): Promise<TargetOptions> {
  const say = (line: string): void => { if (!context.json) context.terminal.stderr(`${line}\n`); };
  const all = tunables(kernels, target);
  if (all.length === 0) {
    say(`--tune: the kernels of ${device.name} have one schedule each; nothing to measure`);
    return target;
  }
  const stop = new AbortController();
  const ignore = context.terminal.onInterrupt(() => {
    ignore();
    stop.abort();
  });
  const cache = scheduleCache(context.terminal.environment, packageJson.version);
  try {
    say(`measuring the schedules of ${all.length} kernels on ${device.name}; Ctrl-C keeps what is done`);
    const found = await tuneKernels(device, all, {
      rounds, measure: measureByClock, signal: stop.signal,
      found: async ({ tunable, winner, gain }, position) => {
        await writeSchedules(cache, device.name, { [tunable.key]: winner });
        say(`${position + 1}/${all.length}  ${tunable.title}  ${gain > 1 ? `${gain.toFixed(2)}x as fast` : 'as chosen'}`);
      },
    });
    const winners = Object.fromEntries(found.map((r) => [r.tunable.key, r.winner]));
    say(`${found.length} schedules kept in ${cache.path}`);
    if (stop.signal.aborted) throw new Failure(exitCodes.interrupted, 'stopped while measuring schedules', 'run again with `--tune` to measure the others, or without it to use what is there');
    return { ...target, schedules: { ...target.schedules, ...winners } };
  } finally {
    ignore();
  }
}
