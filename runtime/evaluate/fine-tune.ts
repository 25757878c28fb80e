/**
 * Fine-tuning: everything that `represent` uses is trained further with labels, under a linear classifier, and the held-out accuracy
 * after the last epoch counts. The same is done from the untrained encoder at the same budget: what training without labels was worth.
 */
import type { Manifest, ModelInput } from '../../compiler/plan/manifest.js';
import type { HostArray, Session } from '../device/device.js';
import { allocateInput, type DataSet, type Split } from '../data/data-set.js';
import { fail } from '../data/problem.js';
import { epochOrder } from '../train/data-order.js';
import { bindInputs, embedSplit } from './embed.js';
import { drawLabels, showBudget, type LabelBudget } from './low-label.js';

/** `evaluation.json`. */
export interface FineTuning {
  /** Shares of right answers on held-out examples, from either start. */
  readonly trained: number;
  readonly untrained: number;
  readonly labels: number;
  readonly epochs: number;
  readonly protocol: string;
}

/** What is trained on which examples. The session holds the plan of the fine-tuning, not the model's own. */
export interface FineTuneOptions {
  readonly session: Session;
  readonly manifest: Manifest;
  /** Numbers of the labelled training examples. */
  readonly rows: Int32Array;
  readonly budget: LabelBudget;
  readonly epochs: number;
  readonly seed: number;
  /** Optimizer and schedule as they are written. */
  readonly recipe: string;
}

/** Most held-out examples that are asked about. */
const mostHeldOut = 10_000;

/** The training examples whose labels are used: `budget` of each class. */
export function labelledRows(data: DataSet, budget: LabelBudget, seed: number): Int32Array {
  const { classes } = data.info;
  if (data.train.labels === null || classes === null) return fail('SSL5031', { what: 'fine-tuning', why: 'the data has no labels' });
  if (data.test === null || data.test.labels === null) return fail('SSL5031', { what: 'fine-tuning', why: 'the data has no held-out examples with labels' });
  return drawLabels(data.train.labels, classes, budget, seed * 1000 + 1);
}

/** One line for people and reports. */
export function fineTuningProtocol({ rows, budget, epochs, manifest, recipe, seed }: Omit<FineTuneOptions, 'session'>, heldOut: number): string {
  const share = budget.kind === 'share' && budget.share === 1 ? `all ${rows.length} labels` : `${rows.length} labels (${showBudget(budget)}, drawn by seed ${seed})`;
  return `fine-tuning: all weights that the representation uses and a linear classifier on it, cross-entropy with ${share} of the training split without augmentation, ${epochs} epochs of batches of ${manifest.batch} (the last, incomplete one left out), ${recipe}, batch norm in training mode, fresh optimizer state; accuracy after the last epoch on ${heldOut} held-out examples; the untrained encoder at the same budget, seed ${seed}`;
}

/** The values a model's session holds for what is trained further: weights by path, states by name. */
export async function startOf(model: Session, manifest: Manifest, tuned: Pick<FineTuneOptions, 'session' | 'manifest'>): Promise<ReadonlyMap<string, HostArray>> {
  const found = new Map<string, HostArray>();
  const arenas = new Map<string, HostArray>();
  for (const { path, shape } of tuned.manifest.parameters) {
    const from = manifest.parameters.find((p) => p.path === path);
    if (from === undefined) continue; // the classifier's own
    const arena = arenas.get(from.arena) ?? (await model.readSource(from.arena)).slice();
    arenas.set(from.arena, arena);
    found.set(path, arena.slice(from.offset, from.offset + shape.reduce((a, b) => a * b, 1)));
  }
  for (const [name, source] of Object.entries(tuned.session.plan.sources)) {
    if (source.role === 'state' && name in model.plan.sources && !name.startsWith('state.optimizer.')) found.set(name, (await model.readSource(name)).slice());
  }
  return found;
}

/** Trains from these values and gives the held-out accuracy. */
export async function fineTune({ session, manifest, rows, epochs, seed }: FineTuneOptions, data: DataSet, start: ReadonlyMap<string, HostArray>, progress: (done: number, total: number) => void = () => undefined): Promise<number> {
  const has = (name: string): boolean => name in session.plan.sources;
  const write = (name: string, values: HostArray): void => { if (has(name)) session.write(name, values); };
  write('clock.seed', Int32Array.of(seed));
  write('clock.step', Int32Array.of(0));
  await session.run('init');
  const arena = Float32Array.from(await session.readSource('parameters'));
  for (const { path, offset } of manifest.parameters) arena.set(start.get(path) ?? [], offset);
  session.write('parameters', arena);
  for (const [name, values] of start) write(name, values);

  const binding = bindInputs(manifest, data.info);
  const labels = data.train.labels ?? new Int32Array(0);
  const perEpoch = Math.floor(rows.length / manifest.batch);
  for (let step = 0; step < epochs * perEpoch; step++) {
    const order = epochOrder(rows.length, seed, Math.floor(step / perEpoch));
    const from = (step % perEpoch) * manifest.batch;
    const chosen = Int32Array.from(order.subarray(from, from + manifest.batch), (k) => rows[k]);
    await writeRows(session, binding, data.train, chosen);
    write('batch.example', chosen);
    write('batch.label', chosen.map((row) => labels[row]));
    write('clock.step', Int32Array.of(step));
    await session.run('step');
    progress(step + 1, epochs * perEpoch);
  }
  const [loss] = await session.readOutput('step', 'reports');
  if (!Number.isFinite(loss)) return fail('SSL5031', { what: 'fine-tuning', why: `its loss is ${loss}; a lower \`--finetune-rate\` often helps` });
  return accuracy(session, manifest, data, binding);
}

async function writeRows(session: Session, binding: ReadonlyMap<string, ModelInput>, split: Split, chosen: Int32Array): Promise<void> {
  for (const [model, input] of binding) {
    if (!(`batch.${model}` in session.plan.sources)) continue;
    const values = allocateInput(input, chosen.length);
    await split.rows(chosen, { [input.name]: values });
    session.write(`batch.${model}`, values);
  }
}

/** How many held-out examples are asked about. */
export const heldOutExamples = (data: DataSet): number => Math.min(mostHeldOut, data.test?.examples ?? 0);

async function accuracy(session: Session, manifest: Manifest, data: DataSet, binding: ReadonlyMap<string, ModelInput>): Promise<number> {
  const { test } = data;
  if (test === null || test.labels === null) return NaN;
  const scores = await embedSplit({ session, manifest, split: test, binding, limit: heldOutExamples(data) });
  let right = 0;
  for (let i = 0; i < scores.rows; i++) {
    const row = scores.values.subarray(i * scores.size, (i + 1) * scores.size);
    if (row.reduce((best, v, k) => (v > row[best] ? k : best), 0) === test.labels[i]) right++;
  }
  return right / scores.rows;
}
