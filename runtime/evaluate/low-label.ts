/** Linear probes fitted on few labels: a share of them, or so many of each class, drawn several times. */
import { fail } from '../data/problem.js';
import { splitMix } from '../train/data-order.js';
import { linearProbe, type LinearOptions } from './linear-probe.js';
import type { Features } from './spectrum.js';

export type LabelBudget = { readonly kind: 'share'; readonly share: number } | { readonly kind: 'each'; readonly count: number };

export interface LowLabelOptions {
  readonly budgets: readonly LabelBudget[];
  readonly draws: number;
  readonly seed: number;
}

export const lowLabelDefaults: LowLabelOptions = { budgets: [{ kind: 'share', share: 0.01 }, { kind: 'share', share: 0.1 }], draws: 3, seed: 0 };

export interface LowLabelFigure {
  /** `1 %`, `5 a class`. */
  readonly budget: string;
  /** Labels used in a draw. */
  readonly labels: number;
  readonly mean: number;
  /** Of the draws, unbiased; 0 for one draw. */
  readonly deviation: number;
}

export const showBudget = (b: LabelBudget): string => (b.kind === 'share' ? `${Number((100 * b.share).toPrecision(6))} %` : `${b.count} a class`);

/** `1%,10%,5`: shares, and numbers of labels a class. */
export function readBudgets(text: string): readonly LabelBudget[] {
  return text.split(',').map((part): LabelBudget => {
    const match = /^\s*(\d+(?:\.\d+)?)\s*(%?)\s*$/.exec(part);
    const value = Number(match?.[1]);
    const good = match !== null && value > 0 && (match[2] === '%' ? value <= 100 : Number.isInteger(value));
    if (!good) return fail('SSL5001', { path: `--labels ${text}`, problem: `expected shares or numbers of labels a class, found \`${part}\``, help: 'for instance `--labels 1%,10%,5`' });
    return match[2] === '%' ? { kind: 'share', share: value / 100 } : { kind: 'each', count: value };
  });
}

/** One line for people and reports. */
export function lowLabelProtocol({ budgets, draws, seed }: LowLabelOptions): string {
  return `few labels (${budgets.map(showBudget).join(', ')}): the same linear probe fitted on a draw of the labels, each class in its share and at least once; mean and deviation of ${draws} draws, seed ${seed}`;
}

/** Rows of a draw: of each class its share, at least one. */
export function drawLabels(labels: Int32Array, classes: number, budget: LabelBudget, seed: number): Int32Array {
  const next = splitMix(seed);
  const byClass = Array.from({ length: classes }, (): { readonly row: number; readonly key: number }[] => []);
  labels.forEach((c, row) => byClass[c].push({ row, key: next() }));
  return Int32Array.from(byClass.flatMap((rows) => {
    const wanted = budget.kind === 'each' ? budget.count : Math.max(1, Math.round(budget.share * rows.length));
    return rows.sort((a, b) => a.key - b.key).slice(0, wanted).map((r) => r.row);
  })).sort();
}

/** Accuracies on `test`, for each budget. */
export async function lowLabelProbes(train: Features, labels: Int32Array, test: Features, testLabels: Int32Array, classes: number, options: LowLabelOptions, linear: LinearOptions): Promise<readonly LowLabelFigure[]> {
  const figures: LowLabelFigure[] = [];
  for (const budget of options.budgets) {
    const found: number[] = [];
    let used = 0;
    for (let draw = 0; draw < options.draws; draw++) {
      const rows = drawLabels(labels, classes, budget, options.seed * 1000 + draw + 1);
      used = rows.length;
      const part = { rows: used, size: train.size, values: new Float32Array(used * train.size) };
      rows.forEach((row, i) => part.values.set(train.values.subarray(row * train.size, (row + 1) * train.size), i * train.size));
      found.push((await linearProbe(part, Int32Array.from(rows, (row) => labels[row]), test, testLabels, classes, linear)).accuracy);
    }
    const mean = found.reduce((a, b) => a + b, 0) / found.length;
    const square = found.reduce((a, b) => a + (b - mean) ** 2, 0);
    figures.push({ budget: showBudget(budget), labels: used, mean, deviation: found.length < 2 ? 0 : Math.sqrt(square / (found.length - 1)) });
  }
  return figures;
}
