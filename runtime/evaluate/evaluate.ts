/**
 * What was learned, in figures: kNN, linear probes with all and with few labels, clusters and, for pairs, retrieval on held-out
 * examples, and figures of the embeddings that need no labels; for the trained encoder and beside it for the same encoder untrained
 * and for raw pixels. Every figure names its protocol.
 */
import type { Manifest, ModelInput } from '../../compiler/plan/manifest.js';
import type { DataSet, Split } from '../data/data-set.js';
import type { Session } from '../device/device.js';
import { readState, writeState } from '../train/run-state.js';
import { clusterDefaults, clusterFigures, type ClusterFigures, type ClusterOptions } from './clusters.js';
import { bindInputs, embedInputs, embedSplit, pixelFeatures } from './embed.js';
import { playEpisodes, type Episodes } from './episodes.js';
import { fineTune, fineTuningProtocol, heldOutExamples, startOf, type FineTuneOptions, type FineTuning } from './fine-tune.js';
import { linearDefaults, linearProbe, type LinearOptions } from './linear-probe.js';
import { lowLabelDefaults, lowLabelProbes, type LowLabelFigure, type LowLabelOptions } from './low-label.js';
import { knn, knnDefaults, type KnnOptions } from './nearest.js';
import { protocolsOf, sample, type ProtocolName } from './protocols.js';
import { alignment, alphaReq, covarianceSpectrum, lidar, participationRatio, uniformity } from './quality.js';
import { retrieval, type Retrieval } from './retrieval.js';
import { spreadOf, type Features } from './spectrum.js';
import { embedViews, partnerBinding } from './views.js';

export type EncoderName = 'trained' | 'untrained' | 'pixels';

export interface EvaluationRow {
  readonly name: EncoderName;
  /** Numbers in one embedding. */
  readonly size: number;
  /** Shares of right answers on the test split; null without labels. */
  readonly knn: number | null;
  readonly linear: number | null;
  /** With few labels; null without labels. */
  readonly lowLabel: readonly LowLabelFigure[] | null;
  /** k-means against the classes; null without labels. */
  readonly clusters: ClusterFigures | null;
  /** From the first input to the second, among held-out concepts and among all; and back. Null without pairs. */
  readonly retrieval: { readonly heldOut: Retrieval; readonly all: Retrieval; readonly heldOutBack: Retrieval; readonly allBack: Retrieval } | null;
  readonly std: number;
  readonly rank: number;
  readonly participation: number;
  /** alpha-ReQ; null where fewer than three directions vary. */
  readonly alpha: number | null;
  readonly uniformity: number;
  /** Null where the model has no views that fit its encoder, and for pixels. */
  readonly alignment: number | null;
  readonly lidar: number | null;
}

/** `evaluation.json`. */
export interface Evaluation {
  readonly version: 1;
  readonly model: string;
  readonly data: string;
  readonly step: number | null;
  readonly train: number;
  readonly test: number;
  readonly protocols: Readonly<Record<ProtocolName, string>>;
  readonly rows: readonly EvaluationRow[];
  /** What the trained model's plan reaches; null without a plan or a world to act in. */
  readonly planning: Episodes | null;
  /** With labels, from the trained and the untrained encoder; null unless it was asked for. */
  readonly fineTuning: FineTuning | null;
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
  /** The step was asked for; it need not be the last. */
  readonly chosen?: boolean;
  /** Fine-tunes too. */
  readonly fineTuning?: FineTuneOptions | null;
  /** Which rows; all by default. */
  readonly encoders?: readonly EncoderName[];
  readonly knn?: Partial<KnnOptions>;
  readonly linear?: Partial<LinearOptions>;
  readonly lowLabel?: Partial<LowLabelOptions>;
  readonly clusters?: Partial<ClusterOptions>;
  /** Which examples are asked about; without a held-out split, those of training stand in. */
  readonly split?: 'test' | 'train';
  /** Most examples of each split that are used. */
  readonly trainLimit?: number;
  readonly testLimit?: number;
  readonly progress?: (event: { readonly encoder: EncoderName; readonly stage: 'embed' | 'knn' | 'linear' | 'few labels' | 'clusters' | 'retrieval' | 'views' | 'plan' | 'fine-tuning'; readonly done: number; readonly total: number }) => void;
}

/** Evaluates on the held-out split; without one, the training split stands in and the protocol says so. */
export async function evaluate(options: EvaluateOptions): Promise<{ readonly evaluation: Evaluation; readonly features: SplitFeatures | null }> {
  const { manifest, data } = options;
  const knnOptions = { ...knnDefaults, ...options.knn };
  const linearOptions = { ...linearDefaults, ...options.linear };
  const lowLabel = { ...lowLabelDefaults, ...options.lowLabel };
  const clusters = { ...clusterDefaults, ...options.clusters };
  const trainCount = Math.min(data.train.examples, options.trainLimit ?? 20_000);
  const test = (options.split === 'train' ? null : data.test) ?? data.train;
  const testCount = Math.min(test.examples, options.testLimit ?? 10_000);
  const rows: EvaluationRow[] = [];
  let kept: SplitFeatures | null = null;
  for (const encoder of options.encoders ?? ['trained', 'untrained', 'pixels']) {
    const { features, views } = await featuresOf(encoder, options, test, trainCount, testCount);
    if (encoder === 'trained' && (test !== data.train || data.test === null)) kept = features;
    rows.push(await measure(encoder, features, views, options, test, { knn: knnOptions, linear: linearOptions, lowLabel, clusters }));
  }
  const planning = manifest.plan === undefined || data.environment === undefined ? null : await playEpisodes({
    session: options.session, plan: manifest.plan, environment: data.environment,
    progress: (done, total) => options.progress?.({ encoder: 'trained', stage: 'plan', done, total }),
  });
  const where = test !== data.train ? `on ${testCount} held-out examples` : `on ${testCount} training examples themselves${data.test === null ? ': the data has no held-out split' : ''}`;
  return {
    features: kept,
    evaluation: {
      version: 1,
      model: manifest.model,
      data: data.description,
      step: options.step ?? null,
      train: trainCount,
      test: testCount,
      protocols: protocolsOf({ step: options.step ?? null, chosen: options.chosen ?? false, train: trainCount, where, itself: test === data.train, knn: knnOptions, linear: linearOptions, lowLabel, clusters }),
      rows,
      planning,
      fineTuning: options.fineTuning ? await fineTuneBoth(options, options.fineTuning) : null,
    },
  };
}

interface EncoderFeatures {
  readonly features: SplitFeatures;
  /** Several views of the first examples; null where there are none. */
  readonly views: readonly Features[] | null;
}

async function featuresOf(encoder: EncoderName, options: EvaluateOptions, test: Split, trainCount: number, testCount: number): Promise<EncoderFeatures> {
  const { session, manifest, data, seed, progress } = options;
  const report = (done: number, total: number): void => progress?.({ encoder, stage: 'embed', done, total });
  const binding = bindInputs(manifest, data.info);
  if (encoder === 'pixels') {
    const both = async (input: ModelInput): Promise<{ train: Features; test: Features }> => ({ train: await pixelFeatures(data.train, input, trainCount), test: await pixelFeatures(test, input, testCount) });
    const first = binding.get(embedInputs(session, manifest)[0]?.name ?? '') ?? data.info.inputs[0];
    return { features: { ...(await both(first)), partner: data.paired ? await both(data.info.inputs[1]) : null }, views: null };
  }
  const drawn = async (): Promise<EncoderFeatures> => {
    const features = await embedBoth(options, test, trainCount, testCount, report);
    progress?.({ encoder, stage: 'views', done: 0, total: 1 });
    return { features, views: await embedViews({ session, manifest, split: test, binding, limit: sample.examples, seed }, sample.draws) };
  };
  return encoder === 'trained' ? drawn() : untrained(options, drawn);
}

/** Does something with the encoder that training began from, and puts the trained state back. */
async function untrained<T>({ session, manifest, seed }: EvaluateOptions, work: () => Promise<T>): Promise<T> {
  const trained = await readState(session, manifest);
  if ('clock.seed' in session.plan.sources) session.write('clock.seed', Int32Array.of(seed));
  // The draws are keyed by the step too: those of the start, wherever training has come to.
  if ('clock.step' in session.plan.sources) session.write('clock.step', Int32Array.of(0));
  await session.run('init');
  try {
    return await work();
  } finally {
    writeState(session, manifest, trained, 'the trained state');
  }
}

async function fineTuneBoth(options: EvaluateOptions, tuning: FineTuneOptions): Promise<FineTuning> {
  const { session, manifest, data, progress } = options;
  const from = (encoder: EncoderName) => async (): Promise<number> =>
    fineTune(tuning, data, await startOf(session, manifest, tuning), (done, total) => progress?.({ encoder, stage: 'fine-tuning', done, total }));
  const trained = await from('trained')();
  return { trained, untrained: await untrained(options, from('untrained')), labels: tuning.rows.length, epochs: tuning.epochs, protocol: fineTuningProtocol(tuning, heldOutExamples(data)) };
}

async function embedBoth({ session, manifest, data }: EvaluateOptions, test: Split, trainCount: number, testCount: number, progress: (done: number, total: number) => void): Promise<SplitFeatures> {
  const binding = bindInputs(manifest, data.info);
  const both = async (bound: ReadonlyMap<string, ModelInput>): Promise<{ train: Features; test: Features }> => ({
    train: await embedSplit({ session, manifest, split: data.train, binding: bound, limit: trainCount, progress }),
    test: await embedSplit({ session, manifest, split: test, binding: bound, limit: testCount, progress }),
  });
  const partner = partnerBinding(session, manifest, data);
  return { ...(await both(binding)), partner: partner === null ? null : await both(partner) };
}

interface Measures {
  readonly knn: KnnOptions;
  readonly linear: LinearOptions;
  readonly lowLabel: LowLabelOptions;
  readonly clusters: ClusterOptions;
}

/** LiDAR solves systems of the size of an embedding: beyond this it is left out. */
const largestLidar = 2048;

async function measure(encoder: EncoderName, features: SplitFeatures, views: readonly Features[] | null, options: EvaluateOptions, test: Split, m: Measures): Promise<EvaluationRow> {
  const { data } = options;
  const labels = data.train.labels?.subarray(0, features.train.rows) ?? null;
  const testLabels = test.labels?.subarray(0, features.test.rows) ?? null;
  const classes = data.info.classes;
  const step = (stage: 'knn' | 'linear' | 'few labels' | 'clusters' | 'retrieval'): void => options.progress?.({ encoder, stage, done: 0, total: 1 });
  const labelled = labels !== null && testLabels !== null && classes !== null;
  const itself = test === data.train ? Int32Array.from({ length: features.test.rows }, (_, i) => (i < features.train.rows ? i : -1)) : null;
  if (labelled) step('knn');
  const near = labelled ? await knn(features.train, labels, features.test, testLabels, classes, m.knn, itself) : null;
  if (labelled) step('linear');
  const probe = labelled ? await linearProbe(features.train, labels, features.test, testLabels, classes, m.linear) : null;
  if (labelled) step('few labels');
  const few = labelled ? await lowLabelProbes(features.train, labels, features.test, testLabels, classes, m.lowLabel, m.linear) : null;
  if (labelled) step('clusters');
  const clusters = labelled ? clusterFigures(features.test, testLabels, classes, m.clusters) : null;
  if (features.partner !== null) step('retrieval');
  const { size } = features.test;
  const count = Math.min(sample.examples, features.test.rows);
  const first = { rows: count, size, values: features.test.values.subarray(0, count * size) };
  const spectrum = covarianceSpectrum(first);
  return {
    name: encoder,
    size,
    knn: near,
    linear: probe?.accuracy ?? null,
    lowLabel: few,
    clusters,
    retrieval: features.partner === null ? null : await retrievalOf(features.train, features.test, features.partner),
    ...spreadOf(first),
    participation: participationRatio(spectrum),
    alpha: alphaReq(spectrum),
    uniformity: count < 2 ? 0 : uniformity(first),
    alignment: views === null ? null : alignment(views[0], views[1]),
    lidar: views === null || size > largestLidar ? null : lidar(views),
  };
}

async function retrievalOf(train: Features, test: Features, partner: { readonly train: Features; readonly test: Features }): Promise<NonNullable<EvaluationRow['retrieval']>> {
  const numbers = Int32Array.from({ length: test.rows }, (_, i) => i);
  const shifted = numbers.map((i) => i + train.rows);
  return {
    heldOut: await retrieval(partner.test, test, numbers, true),
    all: await retrieval(stacked(partner.train, partner.test), test, shifted, true),
    heldOutBack: await retrieval(test, partner.test, numbers, true),
    allBack: await retrieval(stacked(train, test), partner.test, shifted, true),
  };
}

function stacked(a: Features, b: Features): Features {
  const values = new Float32Array(a.values.length + b.values.length);
  values.set(a.values);
  values.set(b.values, a.values.length);
  return { rows: a.rows + b.rows, size: a.size, values };
}
