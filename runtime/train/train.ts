/**
 * The training loop. A step is a pure function of (state, seed, step), the order of examples of (seed, epoch), so a run
 * that stops and resumes gives the same losses as one that never stopped. What a step reports is read a few steps late
 * on a GPU, so that the device never waits; nothing is saved before all earlier reports were seen to be finite.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CompiledModel } from '../../compiler/api.js';
import { DeviceError, type Session } from '../device/device.js';
import type { DataSet } from '../data/data-set.js';
import { fail, runProblem } from '../data/problem.js';
import { bindInputs, embedSplit } from '../evaluate/embed.js';
import { knn, knnProtocol, type KnnOptions } from '../evaluate/nearest.js';
import { scheduleActions } from './actions.js';
import { atomicWrite } from './atomic-write.js';
import { createCollapseGuard, type Collapse } from './collapse-guard.js';
import { checkFacts, checkpointFormat, latestCheckpoint, listCheckpoints, restoreCheckpoint, saveCheckpoint, type CheckpointFacts } from './checkpoint.js';
import { stepsPerEpoch } from './data-order.js';
import type { TrainEvent, TrainResult } from './events.js';
import { createFeed } from './feed.js';
import { openMetrics, readMetrics } from './metrics.js';
import { adoptCheckpoint, writeParameters } from './run-state.js';
import { runStep, stepReports } from './run-step.js';
import { dueStages, runStage, type StageResult } from './stages.js';
import { decodeSafetensors } from './safetensors.js';
import { measureEmbeddings, type EmbeddingFigures } from './watch.js';

export interface TrainOptions {
  readonly compiled: Pick<CompiledModel, 'training' | 'manifest'>;
  /** The compiled model's plan, loaded. */
  readonly session: Session;
  readonly data: DataSet;
  /** The run folder; made when it is not there. */
  readonly directory: string;
  readonly seed: number;
  /** Go on from the newest checkpoint in the folder. */
  readonly resume: boolean;
  /** Initial weights instead of drawn ones: a safetensors file. */
  readonly parameters?: string | null;
  /** Texts written into the run folder, by file name: `spec.json`, `model.ssl`. */
  readonly files?: Readonly<Record<string, string>>;
  readonly events: (event: TrainEvent) => void;
  readonly signal?: AbortSignal | null;
  /** Steps between measures of the embeddings; by default about 50 a run, at least 20 steps apart. 0: never. */
  readonly embeddingEvery?: number;
  /** Checkpoints kept besides the best. */
  readonly keep?: number;
  /** Seconds between checkpoints when the train block asks for none. */
  readonly checkpointSeconds?: number;
  /** What a collapse of the embeddings does: end the run, or only be told (the default). */
  readonly onCollapse?: 'stop' | 'warn';
  /** How many steps late reports are read. */
  readonly reportDelay?: number;
}

/** Most examples in a kNN while training. */
const knnExamples = 10_000;

/** Trains until the plan's steps are done, the signal is given, a report is not finite or, when asked, the embeddings collapse. */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { compiled, session, data, directory, seed, events } = options;
  const { manifest } = compiled;
  const began = Date.now();
  const perEpoch = stepsPerEpoch(data.train.examples, manifest.batch);
  if (perEpoch === 0) fail('SSL5020', { batch: manifest.batch, examples: data.train.examples });
  const binding = bindInputs(manifest, data.info);
  const schedule = scheduleActions(compiled.training.every, perEpoch);
  const ran = new Map<string, string>();
  const facts = (step: number, score: number | null): CheckpointFacts => ({
    step, seed, score, steps: manifest.steps, batch: manifest.batch, examples: data.train.examples, model: manifest.model, settings: JSON.stringify(manifest.settings), stages: ran.size === 0 ? null : [...ran.values()].join('; '),
  });

  let step = 0;
  let saved: string | null = null;
  let score: number | null = null;
  if (options.resume) {
    const from = latestCheckpoint(directory) ?? fail('SSL5021', { path: directory });
    const before = restoreCheckpoint(from.path, session, manifest);
    checkFacts(before, facts(from.step, null));
    if (before.steps !== manifest.steps) events({ kind: 'warning', diagnostic: null, message: `the run was planned for ${before.steps} steps and now for ${manifest.steps}: schedules differ from an uninterrupted run` });
    step = before.step;
    saved = from.path;
    score = before.score;
    for (const fact of before.stages?.split('; ') ?? []) ran.set(fact.slice(0, fact.indexOf('@')), fact);
  } else {
    // A folder without a checkpoint holds nothing to lose: its run ended before the first was written.
    if (latestCheckpoint(directory) !== null) fail('SSL5025', { directory });
    await mkdir(directory, { recursive: true });
    if ('clock.seed' in session.plan.sources) session.write('clock.seed', Int32Array.of(seed));
    if ('clock.step' in session.plan.sources) session.write('clock.step', Int32Array.of(0));
    await session.run('init');
    if (options.parameters) events({ kind: 'adopted', path: options.parameters, names: await takeParameters(session, manifest, options.parameters) });
  }
  for (const [name, text] of Object.entries(options.files ?? {})) await atomicWrite(join(directory, name), text);

  const feed = createFeed(session, manifest, data, binding, seed);
  const log = await openMetrics(directory, step);
  const meter = speedometer(manifest.batch);
  const delay = options.reportDelay ?? (session.plan.code.target === 'wgsl' ? 4 : 0);
  const embeddingEvery = options.embeddingEvery ?? Math.max(20, Math.round(manifest.steps / 50));
  let embedding: (EmbeddingFigures & { readonly size: number }) | null = null;
  let collapsed: Collapse | null = null;
  const guard = createCollapseGuard(manifest.embeddingSize, manifest.trivial, manifest.compared, manifest.codes);
  for (const l of step > 0 ? readMetrics(directory) : []) {
    if (l.kind === 'step' && l.step <= step) guard.step(l.step, l);
    if (l.kind === 'embedding' && l.step <= step) guard.embedding(l.step, l);
  }
  /** The newest checkpoint that is as old as the latest healthy measure. */
  const lastHealthy = (): string | null => listCheckpoints(directory).filter((c) => c.step <= (guard.healthy() ?? -1)).at(-1)?.path ?? null;
  let late: { readonly step: number; readonly values: Promise<ArrayLike<number>> }[] = [];
  let notFinite: { readonly step: number; readonly name: string; readonly value: number } | null = null;
  let lastSave = Date.now();

  const tell = (found: Collapse | null): void => {
    if (found === null) return;
    const checkpoint = lastHealthy();
    const stop = options.onCollapse === 'stop';
    if (stop) collapsed = found;
    log.append({ kind: 'collapse', ...found });
    events({ kind: 'collapse', ...found, checkpoint, diagnostic: runProblem(stop ? 'SSL5032' : 'SSL5033', { step: found.step, message: found.message, checkpoint }) });
  };
  /** Reads reports until at most `leave` are outstanding. */
  const settle = async (leave: number): Promise<void> => {
    while (late.length > leave && notFinite === null) {
      const [first, ...rest] = late;
      late = rest;
      const values = await first.values;
      const reports: Record<string, number> = {};
      manifest.reports.forEach((name, i) => { reports[name] = values[i]; });
      const wrong = manifest.reports.find((name) => !Number.isFinite(reports[name]) && !wasSkipped(name, reports));
      const loss = reports['loss'] ?? NaN;
      const gap = manifest.trivial === null || !Number.isFinite(loss) ? null : loss - manifest.trivial.value;
      log.append({ kind: 'step', step: first.step, ...(gap === null ? {} : { gap }), ...Object.fromEntries(Object.entries(reports).map(([k, v]) => [k, Number.isFinite(v) ? v : String(v)])) });
      if (wrong !== undefined) notFinite = { step: first.step, name: wrong, value: reports[wrong] };
      const speed = meter.rate();
      events({
        kind: 'step', step: first.step, steps: manifest.steps, epoch: first.step / perEpoch, loss, gap, reports,
        examplesPerSecond: speed, secondsLeft: speed > 0 ? ((manifest.steps - first.step) * manifest.batch) / speed : Infinity, embedding,
      });
      tell(guard.step(first.step, reports));
    }
  };
  const save = async (): Promise<string | null> => {
    await settle(0);
    if (notFinite !== null) return null;
    const file = await saveCheckpoint(directory, session, manifest, facts(step, score), options.keep ?? 3, lastHealthy());
    saved = file.path;
    lastSave = Date.now();
    log.append({ kind: 'checkpoint', step, path: `checkpoints/step-${step}.safetensors` });
    events({ kind: 'checkpoint', step, path: file.path });
    return file.path;
  };
  const watch = async (): Promise<void> => {
    const figures = await measureEmbeddings(session, manifest, data, binding, seed);
    embedding = { ...figures, size: manifest.embeddingSize };
    log.append({ kind: 'embedding', step, ...figures });
    events({ kind: 'embedding', step, ...embedding });
    tell(guard.embedding(step, figures));
  };
  const evaluateKnn = async (wanted: KnnOptions): Promise<void> => {
    const started = Date.now();
    const accuracy = await knnOnData(options, binding, wanted);
    if (accuracy === null) {
      events({ kind: 'warning', diagnostic: null, message: 'knn needs labels and held-out examples; this data has none, so it is left out' });
      return;
    }
    score = accuracy;
    log.append({ kind: 'knn', step, accuracy, ...wanted });
    events({ kind: 'knn', step, accuracy, protocol: knnProtocol(wanted), seconds: (Date.now() - started) / 1000 });
  };
  /** Whatever stages are due before the next step; the checkpoint of this step is before them. */
  const stages = async (): Promise<void> => {
    for (const stage of dueStages(manifest.stages, step, perEpoch)) {
      await settle(0);
      if (notFinite !== null) return;
      const result = await runStage({ session, manifest, split: data.train, binding }, stage, step);
      ran.set(stage.name, stageFact(result));
      log.append({ kind: 'stage', ...result });
      events({ kind: 'stage', ...result });
    }
  };
  const seconds = (): number => (Date.now() - began) / 1000;

  try {
    events({ kind: 'started', step, steps: manifest.steps, stepsPerEpoch: perEpoch, resumedFrom: saved });
    if (step === 0) {
      if (embeddingEvery > 0) await watch();
      await save();
    }
    while (step < manifest.steps && notFinite === null && collapsed === null && options.signal?.aborted !== true) {
      await stages();
      meter.begin();
      await feed.write(step);
      await runStep(session, manifest, feed.send);
      const values = session.readOutput(stepReports(manifest), 'reports');
      values.catch(() => undefined); // awaited, and reported, by `settle`
      step++;
      late.push({ step, values });
      await settle(delay);
      meter.end();
      if (notFinite !== null) break;
      if (embeddingEvery > 0 && (step % embeddingEvery === 0 || step === manifest.steps)) await watch();
      if (collapsed !== null) break;
      const due = schedule.due(step);
      for (const action of due) if (action.kind === 'knn') await evaluateKnn(action.options);
      const wanted = due.some((a) => a.kind === 'checkpoint') || (!schedule.checkpoints && Date.now() - lastSave > (options.checkpointSeconds ?? 60) * 1000);
      if (wanted && step < manifest.steps) await save();
      await new Promise((resolve) => setImmediate(resolve)); // lets signals in
    }
    await settle(0);
    const bad = notFinite as { readonly step: number; readonly name: string; readonly value: number } | null;
    if (bad !== null) {
      const problem = runProblem('SSL5030', { ...bad, value: String(bad.value), checkpoint: saved });
      events({ kind: 'not-finite', ...bad, checkpoint: saved, diagnostic: problem });
      return { outcome: 'not-finite', step: bad.step, checkpoint: saved, seconds: seconds() };
    }
    if (collapsed !== null) return { outcome: 'collapsed', step, checkpoint: lastHealthy(), seconds: seconds() };
    const already = saved !== null && latestCheckpoint(directory)?.step === step;
    const path = (already ? saved : await save()) ?? '';
    if (step < manifest.steps) {
      events({ kind: 'interrupted', step, checkpoint: path });
      return { outcome: 'interrupted', step, checkpoint: path, seconds: seconds() };
    }
    events({ kind: 'finished', step, checkpoint: path, seconds: seconds() });
    return { outcome: 'finished', step, checkpoint: path, seconds: seconds() };
  } catch (error) {
    if (error instanceof DeviceError) events({ kind: 'device', event: error.event, message: error.message, checkpoint: saved });
    throw error;
  } finally {
    log.close();
  }
}

/** Whether this is the gradient of a step that was skipped because its loss scale was too large; there is no smaller one than 1. */
const wasSkipped = (name: string, reports: Readonly<Record<string, number>>): boolean => name === 'gradient_norm' && reports['loss_scale'] > 1;

/** Weights from a file: another run's checkpoint, or parameters by name. Gives the names of networks and parameters that were there. */
async function takeParameters(session: Session, manifest: CompiledModel['manifest'], path: string): Promise<readonly string[]> {
  const { tensors, metadata } = decodeSafetensors(await readFile(path), path);
  const take = metadata['format'] === checkpointFormat ? adoptCheckpoint : writeParameters;
  return take(session, manifest, tensors, path);
}

/** `cluster@195 assignment 3f5a...`: when a stage ran last, and what it wrote. */
function stageFact(r: StageResult): string {
  return [`${r.name}@${r.step}`, ...r.artifacts.map((a) => `${a.name} ${a.sha256}`)].join(' ');
}

async function knnOnData({ compiled, session, data }: TrainOptions, binding: ReturnType<typeof bindInputs>, wanted: KnnOptions): Promise<number | null> {
  const { train: bank, test } = data;
  if (test === null || bank.labels === null || test.labels === null || data.info.classes === null) return null;
  const { manifest } = compiled;
  const keys = await embedSplit({ session, manifest, split: bank, binding, limit: knnExamples });
  const queries = await embedSplit({ session, manifest, split: test, binding, limit: knnExamples });
  return knn(keys, bank.labels, queries, test.labels, data.info.classes, wanted);
}

/** Examples a second over the last steps, leaving out what happens between them. */
function speedometer(batch: number): { begin(): void; end(): void; rate(): number } {
  let started = 0;
  let smoothed = 0;
  return {
    begin: () => { started = performance.now(); },
    end: () => {
      const rate = batch / Math.max((performance.now() - started) / 1000, 1e-6);
      smoothed = smoothed === 0 ? rate : 0.9 * smoothed + 0.1 * rate;
    },
    rate: () => smoothed,
  };
}
