/** Runs a few steps of a model that starts nearly collapsed and says what becomes of the spread of its embeddings. */
import type { DataInfo } from '../../compiler/api.js';
import type { Manifest } from '../../compiler/plan/manifest.js';
import { allocateInput, memorySplit, type DataSet } from '../data/data-set.js';
import type { HostArray, Session } from '../device/device.js';
import { bindInputs } from '../evaluate/embed.js';
import { splitMix, stepsPerEpoch } from './data-order.js';
import { createFeed } from './feed.js';
import { runStep } from './run-step.js';
import { dueStages, runStage } from './stages.js';

/** What the embeddings of a network do: leave the collapsed point, fall back to it, or stay as they are. */
export type Spreading = 'grows' | 'shrinks' | 'stays';

export interface SpreadFigures {
  readonly network: string;
  readonly spreading: Spreading;
  /** Standard deviation of the embeddings' directions, 0 where all are the same, 1 where they have no mean: at first and at last. */
  readonly from: number;
  readonly to: number;
}

export interface ProbeResult {
  readonly steps: number;
  readonly batch: number;
  readonly networks: readonly SpreadFigures[];
}

export interface ProbeOptions {
  readonly session: Session;
  readonly manifest: Manifest;
  readonly data: DataSet;
  /** The networks, and the state in which each leaves its spread. */
  readonly networks: readonly { readonly name: string; readonly state: string }[];
  readonly seed: number;
  /** No further step begins after so many seconds. */
  readonly seconds: number;
}

/** Spread that changes by less than this factor stays as it is. */
const noticeable = 1.3;

/** Last steps whose spread is averaged. */
const averaged = 5;

/** Trains for the steps that the plan was made for, stages included. */
export async function probeSpread({ session, manifest, data, networks, seed, seconds }: ProbeOptions): Promise<ProbeResult> {
  const began = Date.now();
  const { sources } = session.plan;
  if ('clock.seed' in sources) session.write('clock.seed', Int32Array.of(seed));
  if ('clock.step' in sources) session.write('clock.step', Int32Array.of(0));
  await session.run('init');
  const binding = bindInputs(manifest, data.info);
  const feed = createFeed(session, manifest, data, binding, seed);
  const perEpoch = stepsPerEpoch(data.train.examples, manifest.batch);
  const seen: number[][] = networks.map(() => []);
  let step = 0;
  while (step < manifest.steps && (step < 2 || Date.now() - began < seconds * 1000)) {
    for (const stage of dueStages(manifest.stages, step, perEpoch)) await runStage({ session, manifest, split: data.train, binding }, stage, step);
    await feed.write(step);
    await runStep(session, manifest, feed.send);
    for (const [k, { state }] of networks.entries()) seen[k].push((await session.readSource(state))[0]);
    step++;
  }
  return { steps: step, batch: manifest.batch, networks: networks.map(({ name }, k) => figuresOf(name, seen[k])) };
}

function figuresOf(network: string, seen: readonly number[]): SpreadFigures {
  const from = seen[0];
  const last = seen.slice(-averaged);
  const to = last.reduce((a, b) => a + b, 0) / last.length;
  return { network, from, to, spreading: to > from * noticeable ? 'grows' : to * noticeable < from ? 'shrinks' : 'stays' };
}

/** The first examples of a data set, without labels; noise of the inputs' shapes where there is no data. */
export async function fewExamples(data: DataSet | null, info: DataInfo, most: number): Promise<DataSet> {
  const examples = data === null ? most : Math.min(most, data.train.examples);
  const inputs: Record<string, HostArray> = {};
  for (const [k, input] of info.inputs.entries()) {
    inputs[input.name] = allocateInput(input, examples);
    if (data !== null) continue;
    const high = input.element === 'u8' ? 256 : 2;
    const values = inputs[input.name];
    const next = splitMix(k);
    for (let i = 0; i < values.length; i++) {
      const u = next() / 2 ** 32;
      values[i] = input.element === 'f32' ? 2 * u - 1 : Math.floor(high * u);
    }
  }
  if (data !== null) await data.train.rows(Int32Array.from({ length: examples }, (_, i) => i), inputs);
  return {
    info: { ...info, examples }, train: memorySplit(examples, inputs, null), test: null, classNames: null, paired: false,
    skipped: { count: 0, names: [] }, warnings: [], description: data?.description ?? 'noise',
  };
}
