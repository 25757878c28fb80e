/**
 * Measures the schedules of kernels on a device. The candidates of one kernel take turns, so that what slows the machine
 * for a while slows all of them; the fastest turn of each counts. A kernel with a schedule that the device refuses is left out.
 */
import type { Tunable } from '../../compiler/plan/tuning.js';
import type { Device, Session } from '../device/device.js';
import { DeviceError } from '../device/device.js';

export interface TuneOptions {
  readonly rounds: number;
  /** Milliseconds that `runs` runs of an entry take, until the device is done. */
  readonly measure: (session: Session, entry: string, runs: number) => Promise<number>;
  readonly signal: AbortSignal;
  /** Told of each winner before the next kernel is measured. */
  readonly found: (result: Tuned, position: number) => Promise<void>;
}

/** What was found for one shape. */
export interface Tuned {
  readonly tunable: Tunable;
  readonly winner: string;
  /** How much faster the winner is than the cost model's schedule. */
  readonly gain: number;
}

/** A turn takes about so long, milliseconds, in as many runs as that needs. */
const turn = 4;
/** A schedule must be this much faster than the cost model's to be taken. */
const margin = 1.03;

/** Winners so far, in order; ends early when `signal` says so. */
export async function tuneKernels(device: Pick<Device, 'load'>, all: readonly Tunable[], options: TuneOptions): Promise<readonly Tuned[]> {
  const results: Tuned[] = [];
  for (const [position, tunable] of all.entries()) {
    if (options.signal.aborted) break;
    const result = await tuneKernel(device, tunable, options);
    if (result === null) continue;
    results.push(result);
    await options.found(result, position);
  }
  return results;
}

async function tuneKernel(device: Pick<Device, 'load'>, tunable: Tunable, options: TuneOptions): Promise<Tuned | null> {
  let session: Session;
  try {
    session = await device.load(tunable.plan);
  } catch (error) {
    if (error instanceof DeviceError && error.event === 'validation') return null;
    throw error;
  }
  try {
    const candidates = Object.entries(tunable.entries).map(([label, entry]) => ({ label, entry, runs: 1, best: Infinity }));
    for (const c of candidates) {
      if (options.signal.aborted) return null;
      // The first run compiles; the second says how many make a turn.
      await options.measure(session, c.entry, 1);
      c.runs = Math.max(1, Math.min(100, Math.round(turn / Math.max(0.01, await options.measure(session, c.entry, 1)))));
    }
    for (let round = 0; round < options.rounds; round++) {
      for (const c of candidates) {
        if (options.signal.aborted) return null;
        c.best = Math.min(c.best, (await options.measure(session, c.entry, c.runs)) / c.runs);
      }
    }
    const [own] = candidates;
    const fastest = candidates.reduce((a, b) => (b.best < a.best ? b : a));
    const winner = own.best > margin * fastest.best ? fastest : own;
    return { tunable, winner: winner.label, gain: own.best / winner.best };
  } finally {
    await session.close();
  }
}

/** By the clock, from the first run's start to the device being done. */
export async function measureByClock(session: Session, entry: string, runs: number): Promise<number> {
  const started = performance.now();
  for (let k = 0; k < runs; k++) await session.run(entry);
  await session.finish();
  return performance.now() - started;
}
