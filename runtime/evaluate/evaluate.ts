/**
 * What was learned, in figures: kNN, linear probe and, for pairs, retrieval on held-out examples, for the trained
 * encoder and beside it for the same encoder untrained and for raw pixels. Every figure names its protocol.
 */
import type { Manifest, ModelInput } from '../../compiler/plan/manifest.js';
import type { DataSet, Split } from '../data/data-set.js';
import type { Session } from '../device/device.js';
import { readState, writeState } from '../train/run-state.js';
import { bindInputs, embedInputs, embedSplit, pixelFeatures } from './embed.js';
import { linearDefaults, linearProbe, linearProtocol, type LinearOptions } from './linear-probe.js';
import { knn, knnDefaults, knnProtocol, type KnnOptions } from './nearest.js';
import { retrieval, type Retrieval } from './retrieval.js';
import { spreadOf, type Features } from './spectrum.js';

export type EncoderName = 'trained' | 'untrained' | 'pixels';

export interface EvaluationRow {
  readonly name: EncoderName;
  /** Numbers in one embedding. */
  readonly size: number;
  /** Shares of right answers on the test split; null without labels. */
  readonly knn: number | null;
  readonly linear: number | null;
  /** From the first input to the second: among held-out concepts, and among all. Null without pairs. */
  readonly retrieval: { readonly heldOut: Retrieval; readonly all: Retrieval } | null;
  readonly std: number;
  readonly rank: number;
}

/** `evaluation.json`. */
export interface Evaluation {
  readonly version: 1;
  readonly model: string;
  readonly data: string;
  readonly step: number | null;
  readonly train: number;
  readonly test: number;
  readonly protocols: Readonly<Record<'knn' | 'linear' | 'retrieval' | 'spread', string>>;
  readonly rows: readonly EvaluationRow[];
}

/** Embeddings of both splits, kept for the report. */
export interface SplitFeatures {
  readonly train: Features;
  readonly test: Features;
  /** The second input of pairs. */
  readonly partner: { readonly train: Features; readonly test: Features } | null;
}

export interface EvaluateOptions {
  /** Holds the trained state; it is as before when the evaluation is done. */
  readonly session: Session;
  readonly manifest: Manifest;
  readonly data: DataSet;
  /** The run's seed: the untrained encoder is the one that training began from. */
  readonly seed: number;
  readonly step?: number | null;
  /** Which rows; all by default. */
  readonly encoders?: readonly EncoderName[];
  readonly knn?: Partial<KnnOptions>;
  readonly linear?: Partial<LinearOptions>;
  /** Most examples of each split that are used. */
  readonly trainLimit?: number;
  readonly testLimit?: number;
  readonly progress?: (event: { readonly encoder: EncoderName; readonly stage: 'embed' | 'knn' | 'linear' | 'retrieval'; readonly done: number; readonly total: number }) => void;
}

/** Evaluates on the held-out split; without one, the training split stands in and the protocol says so. */
export async function evaluate(options: EvaluateOptions): Promise<{ readonly evaluation: Evaluation; readonly features: SplitFeatures | null }> {
  const { manifest, data } = options;
  const knnOptions = { ...knnDefaults, ...options.knn };
  const linearOptions = { ...linearDefaults, ...options.linear };
  const trainCount = Math.min(data.train.examples, options.trainLimit ?? 20_000);
  const test = data.test ?? data.train;
  const testCount = Math.min(test.examples, options.testLimit ?? 10_000);
  const rows: EvaluationRow[] = [];
  let kept: SplitFeatures | null = null;
  for (const encoder of options.encoders ?? ['trained', 'untrained', 'pixels']) {
    const features = await featuresOf(encoder, options, test, trainCount, testCount);
    if (encoder === 'trained') kept = features;
    rows.push(await measure(encoder, features, options, test, knnOptions, linearOptions));
  }
  const where = data.test === null ? 'on the training examples themselves: the data has no held-out split' : `on ${testCount} held-out examples`;
  return {
    features: kept,
    evaluation: {
      version: 1,
      model: manifest.model,
      data: data.description,
      step: options.step ?? null,
      train: trainCount,
      test: testCount,
      protocols: {
        knn: `${knnProtocol(knnOptions)}; ${trainCount} training embeddings without augmentation, ${where}`,
        linear: `${linearProtocol(linearOptions)}; fitted on ${trainCount} training embeddings without augmentation, ${where}`,
        retrieval: 'retrieval: cosine of L2-normalized embeddings, centred with the gallery mean, from the first drawing to the second; held-out concepts among held-out ones, and among all',
        spread: 'std: mean over dimensions of the deviation of L2-normalized embeddings (1/sqrt(D) when spread over the sphere); rank: RankMe, exp of the entropy of the singular values; both on the first 512 held-out embeddings',
      },
      rows,
    },
  };
}

async function featuresOf(encoder: EncoderName, options: EvaluateOptions, test: Split, trainCount: number, testCount: number): Promise<SplitFeatures> {
  const { session, manifest, data, seed, progress } = options;
  const report = (done: number, total: number): void => progress?.({ encoder, stage: 'embed', done, total });
  if (encoder === 'pixels') {
    const both = async (input: ModelInput): Promise<{ train: Features; test: Features }> => ({ train: await pixelFeatures(data.train, input, trainCount), test: await pixelFeatures(test, input, testCount) });
    const binding = bindInputs(manifest, data.info);
    const first = binding.get(embedInputs(session, manifest)[0]?.name ?? '') ?? data.info.inputs[0];
    return { ...(await both(first)), partner: data.paired ? await both(data.info.inputs[1]) : null };
  }
  if (encoder === 'trained') return embedBoth(options, test, trainCount, testCount, report);
  const trained = await readState(session, manifest);
  if ('clock.seed' in session.plan.sources) session.write('clock.seed', Int32Array.of(seed));
  // The draws are keyed by the step too: those of the start, wherever training has come to.
  if ('clock.step' in session.plan.sources) session.write('clock.step', Int32Array.of(0));
  await session.run('init');
  try {
    return await embedBoth(options, test, trainCount, testCount, report);
  } finally {
    writeState(session, manifest, trained, 'the trained state');
  }
}

async function embedBoth({ session, manifest, data }: EvaluateOptions, test: Split, trainCount: number, testCount: number, progress: (done: number, total: number) => void): Promise<SplitFeatures> {
  const binding = bindInputs(manifest, data.info);
  const both = async (bound: ReadonlyMap<string, ModelInput>): Promise<{ train: Features; test: Features }> => ({
    train: await embedSplit({ session, manifest, split: data.train, binding: bound, limit: trainCount, progress }),
    test: await embedSplit({ session, manifest, split: test, binding: bound, limit: testCount, progress }),
  });
  const read = embedInputs(session, manifest);
  const [first, second] = data.info.inputs;
  const canSwap = data.paired && read.length === 1 && second !== undefined && second.shape.join() === first.shape.join();
  return { ...(await both(binding)), partner: canSwap ? await both(new Map([...binding, [read[0].name, second]])) : null };
}

async function measure(encoder: EncoderName, features: SplitFeatures, options: EvaluateOptions, test: Split, knnOptions: KnnOptions, linearOptions: LinearOptions): Promise<EvaluationRow> {
  const { data } = options;
  const labels = data.train.labels?.subarray(0, features.train.rows) ?? null;
  const testLabels = test.labels?.subarray(0, features.test.rows) ?? null;
  const classes = data.info.classes;
  const step = (stage: 'knn' | 'linear' | 'retrieval'): void => options.progress?.({ encoder, stage, done: 0, total: 1 });
  const labelled = labels !== null && testLabels !== null && classes !== null;
  if (labelled) step('knn');
  const near = labelled ? await knn(features.train, labels, features.test, testLabels, classes, knnOptions) : null;
  if (labelled) step('linear');
  const probe = labelled ? await linearProbe(features.train, labels, features.test, testLabels, classes, linearOptions) : null;
  if (features.partner !== null) step('retrieval');
  const sample = Math.min(512, features.test.rows);
  return {
    name: encoder,
    size: features.test.size,
    knn: near,
    linear: probe?.accuracy ?? null,
    retrieval: features.partner === null ? null : await retrievalOf(features.test, features.partner),
    ...spreadOf({ rows: sample, size: features.test.size, values: features.test.values.subarray(0, sample * features.test.size) }),
  };
}

async function retrievalOf(test: Features, partner: { readonly train: Features; readonly test: Features }): Promise<NonNullable<EvaluationRow['retrieval']>> {
  const numbers = Int32Array.from({ length: test.rows }, (_, i) => i);
  const all = { rows: partner.train.rows + partner.test.rows, size: test.size, values: new Float32Array((partner.train.rows + partner.test.rows) * test.size) };
  all.values.set(partner.train.values);
  all.values.set(partner.test.values, partner.train.values.length);
  return {
    heldOut: await retrieval(partner.test, test, numbers, true),
    all: await retrieval(all, test, numbers.map((i) => i + partner.train.rows), true),
  };
}
