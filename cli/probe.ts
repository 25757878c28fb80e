/** `sslc check --probe`: a few steps from a nearly collapsed start, on the CPU. */
import { nearlyCollapsed } from '../compiler/check/nearly-collapsed.js';
import { compileTraining } from '../compiler/pipeline.js';
import { openCpuDevice } from '../runtime/device/cpu/open-cpu-device.js';
import { fewExamples, probeSpread, type ProbeResult, type Spreading } from '../runtime/train/probe-spread.js';
import { targetOf } from './device.js';
import type { Json } from './outcome.js';
import type { Prepared, Training } from './prepare.js';

/** Why nothing was run. */
export interface NotProbed {
  readonly reason: string;
}

/** Few and small enough for a few seconds with the bundled models. */
const examples = 512;
const batch = 64;
const steps = 80;
const seconds = 30;

/** Operations a step may take: a second or two. */
const mostFlops = 1e11;

/** Runs the probe; `training` may have sizes that were assumed. */
export async function probe(prepared: Pick<Prepared, 'model' | 'set' | 'loaded'>, training: Training): Promise<ProbeResult | NotProbed> {
  const { model, set, loaded } = prepared;
  const data = await fewExamples(training.data, training.info, examples);
  const size = Math.min(batch, data.info.examples, training.spec.batch);
  const start = nearlyCollapsed(loaded, { model, set, data: data.info }, size);
  if (start === null) return { reason: 'the objective compares no network\'s outputs' };
  const device = await openCpuDevice();
  try {
    const compiled = compileTraining(start.loaded, {
      model: training.spec.model, set: start.set, data: data.info, steps, resident: true, embedBatch: size, target: targetOf(device),
    });
    const flops = compiled.plan.entries['step'].launches.reduce((n, l) => n + l.cost.flops, 0);
    if (flops > mostFlops) return { reason: `a step takes ${(flops / 1e9).toFixed(0)} GFLOP even with ${size} examples: make the model smaller with --set` };
    const session = await device.load(compiled.plan);
    try {
      return await probeSpread({ session, manifest: compiled.manifest, data, networks: start.networks, seed: 0, seconds });
    } finally {
      await session.close();
    }
  } finally {
    await device.close();
  }
}

const meaning: Record<Spreading, string> = {
  grows: 'leaves the collapsed point',
  shrinks: 'falls back to the collapsed point',
  stays: 'neither leaves nor falls back in so few steps',
};

/** A row for each network that was made to start nearly collapsed. */
export function probeRows(result: ProbeResult | NotProbed): string[][] {
  if ('reason' in result) return [['probe', `not run: ${result.reason}`]];
  const said = (n: ProbeResult['networks'][number]): string => `${n.network} ${meaning[n.spreading]}: its spread ${n.spreading}, ${figure(n.from)} to ${figure(n.to)}`;
  return result.networks.map((n, k) => [k === 0 ? 'probe' : '', `${said(n)}${k === 0 ? ` (${result.steps} steps of ${result.batch})` : ''}`]);
}

const figure = (x: number): string => Number(x.toPrecision(2)).toString();

/** For programs (docs/json.md). */
export function probeJson(result: ProbeResult | NotProbed): Json {
  return 'reason' in result ? { reason: result.reason } : { steps: result.steps, batch: result.batch, networks: result.networks.map((n) => ({ ...n })) };
}
