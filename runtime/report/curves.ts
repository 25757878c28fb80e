/** The report's curves: what `metrics.jsonl` says of each step and of the embeddings watched meanwhile. */
import type { Manifest } from '../../compiler/plan/manifest.js';
import type { MetricsLine } from '../train/metrics.js';
import type { EmbeddingFigures } from '../train/watch.js';
import { lineChart } from './chart.js';

interface Point {
  readonly step: number;
  readonly value: number;
}

/** Draws them; `done` is the last step there is. */
export function trainingCurves(metrics: readonly MetricsLine[], manifest: Manifest, done: number): string {
  const steps = metrics.filter((l) => l.kind === 'step');
  const values = (name: string): Point[] => steps.flatMap((l) => { const v = l.kind === 'step' ? l[name] : undefined; return typeof v === 'number' ? [{ step: l.step, value: v }] : []; });
  const embedding = (of: (f: EmbeddingFigures) => number | null): Point[] => metrics.flatMap((l) => { const v = l.kind === 'embedding' ? of(l) : null; return typeof v === 'number' ? [{ step: l.step, value: v }] : []; });
  const knn = metrics.flatMap((l) => (l.kind === 'knn' ? [{ step: l.step, value: l.accuracy }] : []));
  const objectives = manifest.objectives.map((o) => o.name).filter((n) => manifest.reports.includes(n));
  const known = ['loss', 'gradient_norm', 'loss_scale', 'skipped_steps', ...objectives, ...manifest.monitors, ...manifest.compared.map((o) => o.report)];
  const schedules = manifest.reports.filter((n) => !known.includes(n));
  const target = 1 / Math.sqrt(Math.max(1, manifest.embeddingSize));
  const { trivial } = manifest;
  const plain = (title: string, note: string, colour: number, points: readonly Point[], fromZero = true): string =>
    points.length === 0 ? '' : lineChart({ title, note, steps: done, fromZero, series: [{ name: '', colour, points, smooth: false }] });
  const charts = [
    lineChart({
      title: 'Loss', note: 'each step, and its running mean', steps: done, series: [{ name: '', colour: 1, points: values('loss'), smooth: true }],
      ...(trivial === null ? {} : { reference: { value: trivial.value, name: `${trivial.formula ?? Number(trivial.value.toPrecision(4))}: a collapsed encoder` } }),
    }),
    objectives.length < 2 ? '' : lineChart({ title: 'Objectives', note: 'the terms the loss is the sum of, running means', steps: done, series: objectives.slice(0, 6).map((name, i) => ({ name, colour: i + 1, points: values(name), smooth: true })) }),
    ...manifest.monitors.slice(0, 6).map((name) => plain(name, 'monitored', 6, values(name), false)),
    lineChart({
      title: 'Spread of the embeddings', note: 'mean deviation of unit embeddings; falls to 0 when they collapse', steps: done, fromZero: true,
      series: [{ name: '', colour: 3, points: embedding((f) => f.std), smooth: false }],
      reference: { value: target, name: `1/√${manifest.embeddingSize}: spread over the sphere` },
    }),
    manifest.compared.length === 0 ? '' : lineChart({
      title: 'Spread of what the loss compares', note: 'deviation of the networks\' unit outputs as a share of what spread ones have; falls to 0 when they lie on one line', steps: done, fromZero: true,
      series: manifest.compared.slice(0, 6).map(({ net, report, size }, i) => ({ name: net, colour: i + 1, points: values(report).map((p) => ({ step: p.step, value: p.value * Math.sqrt(size) })), smooth: true })),
    }),
    lineChart({
      title: 'Effective rank', note: `of at most ${manifest.embeddingSize}; falls to 1 when only one direction is used`, steps: done, fromZero: true,
      series: [{ name: 'RankMe', colour: 4, points: embedding((f) => f.rank), smooth: false }, { name: 'participation', colour: 5, points: embedding((f) => f.participation), smooth: false }].filter((s) => s.points.length > 0),
    }),
    plain('Alignment', 'mean squared distance of unit embeddings of two views: low when views agree', 2, embedding((f) => f.alignment)),
    plain('Uniformity', 'ln of the mean of exp(-2 d²) over pairs of examples: 0 when collapsed, low when spread', 3, embedding((f) => f.uniformity), false),
    plain('Length of the gradient', 'each step', 1, values('gradient_norm')),
    manifest.reports.includes('loss_scale') ? plain('Loss scale', 'halves where a gradient is not finite, doubles after 2,000 steps', 5, values('loss_scale')) : '',
    knn.length < 2 ? '' : plain('kNN accuracy', 'on held-out examples, while training', 2, knn, false),
    ...schedules.slice(0, 4).map((name) => { const points = values(name); return points.every((p) => p.value === points[0].value) ? '' : plain(name, 'as scheduled', 5, points); }),
  ].filter((c) => c !== '');
  return charts.length === 0 ? '' : `<h2>Training</h2><div class="grid2">${charts.join('\n')}</div>`;
}
