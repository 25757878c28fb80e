/**
 * `report.html`: one file, nothing loaded from elsewhere. Curves from `metrics.jsonl`, figures from the evaluation,
 * pictures from the data, and the model's own source.
 */
import { join } from 'node:path';
import type { Manifest } from '../../compiler/plan/manifest.js';
import type { DataSet } from '../data/data-set.js';
import type { Evaluation, EvaluationRow, SplitFeatures } from '../evaluate/evaluate.js';
import { atomicWrite } from '../train/atomic-write.js';
import { readMetrics, type MetricsLine } from '../train/metrics.js';
import { escapeHtml, formatNumber, lineChart } from './chart.js';
import { page } from './page.js';
import { embeddingMap, neighbourRows } from './pictures.js';

export interface ReportOptions {
  /** The run folder; its metrics are read, and `report.html` is written there. */
  readonly directory: string;
  readonly manifest: Manifest;
  readonly data: DataSet;
  readonly seed: number;
  readonly evaluation: Evaluation | null;
  readonly features: SplitFeatures | null;
  /** The model as written, shown at the end. */
  readonly source: { readonly name: string; readonly text: string } | null;
  /** Further facts for the table of settings, such as device, duration and command. */
  readonly facts: Readonly<Record<string, string>>;
}

/** Writes the report and returns its path. */
export async function writeReport(options: ReportOptions): Promise<string> {
  const path = join(options.directory, 'report.html');
  await atomicWrite(path, await renderReport(options, readMetrics(options.directory)));
  return path;
}

/** The report as a text. */
export async function renderReport(options: ReportOptions, metrics: readonly MetricsLine[]): Promise<string> {
  const { manifest, data, evaluation, features, source } = options;
  const done = metrics.reduce((n, l) => Math.max(n, l.step), 0);
  const head = `<h1>${escapeHtml(manifest.model)}</h1><p class="lead">${formatNumber(done)} of ${formatNumber(manifest.steps)} steps at batch ${manifest.batch} on ${escapeHtml(data.description)}.</p>`;
  const body = [
    head,
    evaluation === null ? '' : tiles(evaluation, metrics),
    evaluation === null ? '' : accuracyTable(evaluation),
    curves(metrics, manifest, done),
    features === null ? '' : await neighbourRows(data, features, options.seed),
    features === null ? '' : await embeddingMap(data, features),
    settingsTable(options),
    source === null ? '' : `<h2>The model</h2><div class="card"><p class="note" style="margin-bottom:10px">${escapeHtml(source.name)}</p><pre>${escapeHtml(source.text)}</pre></div>`,
  ];
  return page(`${escapeHtml(manifest.model)} · sslc`, body.join('\n'));
}

const rowNames: Readonly<Record<EvaluationRow['name'], string>> = { trained: 'trained encoder', untrained: 'same encoder, untrained', pixels: 'raw pixels' };
const share = (v: number): string => `${(100 * v).toFixed(1)} %`;

interface Column {
  readonly title: string;
  readonly value: (row: EvaluationRow) => number | null;
}

const columns: readonly Column[] = [
  { title: 'kNN accuracy', value: (r) => r.knn },
  { title: 'linear probe', value: (r) => r.linear },
  { title: 'R@1, held-out', value: (r) => r.retrieval?.heldOut.r1 ?? null },
  { title: 'R@5, held-out', value: (r) => r.retrieval?.heldOut.r5 ?? null },
  { title: 'R@1, all concepts', value: (r) => r.retrieval?.all.r1 ?? null },
];

function tiles(evaluation: Evaluation, metrics: readonly MetricsLine[]): string {
  const trained = evaluation.rows.find((r) => r.name === 'trained');
  if (trained === undefined) return '';
  const others = evaluation.rows.filter((r) => r.name !== 'trained');
  const measured = columns.flatMap((c) => {
    const value = c.value(trained);
    if (value === null) return [];
    const beside = others.flatMap((o) => { const v = c.value(o); return v === null ? [] : [`${o.name} ${share(v)}`]; });
    return [`<div class="tile"><span>${c.title}</span><b>${share(value)}</b><small>${beside.join(' · ')}</small></div>`];
  });
  const last = metrics.filter((l) => l.kind === 'step').at(-1);
  const loss = last !== undefined && last.kind === 'step' && typeof last['loss'] === 'number' ? `<div class="tile"><span>loss</span><b>${formatNumber(last['loss'])}</b><small>at step ${formatNumber(last.step)}</small></div>` : '';
  return `<div class="tiles">${measured.join('')}<div class="tile"><span>effective rank</span><b>${formatNumber(Number(trained.rank.toPrecision(3)))}</b><small>of ${trained.size} dimensions</small></div>${loss}</div>`;
}

function accuracyTable(evaluation: Evaluation): string {
  const used = columns.filter((c) => evaluation.rows.some((r) => c.value(r) !== null));
  const cell = (v: number | null): string => (v === null ? '<td>–</td>' : `<td><div class="cell"><span>${share(v)}</span><i style="width:${(70 * v).toFixed(1)}px"></i></div></td>`);
  const rows = evaluation.rows.map((r) => `<tr class="${r.name === 'trained' ? 'ours' : ''}"><td>${rowNames[r.name]}</td>${used.map((c) => cell(c.value(r))).join('')}<td>${r.size}</td><td>${formatNumber(r.std)}</td><td>${formatNumber(Number(r.rank.toPrecision(3)))}</td></tr>`).join('');
  const protocols = [
    ...(used.some((c) => c.title.includes('kNN')) ? [evaluation.protocols.knn, evaluation.protocols.linear] : []),
    ...(used.some((c) => c.title.startsWith('R@')) ? [evaluation.protocols.retrieval] : []),
    evaluation.protocols.spread,
  ];
  return `<h2>What was learned</h2><div class="card"><div class="scroll"><table><thead><tr><th>features</th>${used.map((c) => `<th>${c.title}</th>`).join('')}<th>size</th><th>std</th><th>rank</th></tr></thead><tbody>${rows}</tbody></table></div>
<details style="margin-top:12px"><summary>How these are measured</summary>${protocols.map((p) => `<p class="note" style="margin-top:6px">${escapeHtml(p)}.</p>`).join('')}</details></div>`;
}

function curves(metrics: readonly MetricsLine[], manifest: Manifest, done: number): string {
  const steps = metrics.filter((l) => l.kind === 'step');
  const values = (name: string): { step: number; value: number }[] => steps.flatMap((l) => { const v = l.kind === 'step' ? l[name] : undefined; return typeof v === 'number' ? [{ step: l.step, value: v }] : []; });
  const embedding = metrics.flatMap((l) => (l.kind === 'embedding' ? [l] : []));
  const knn = metrics.flatMap((l) => (l.kind === 'knn' ? [{ step: l.step, value: l.accuracy }] : []));
  const objectives = manifest.objectives.map((o) => o.name).filter((n) => manifest.reports.includes(n));
  const others = manifest.reports.filter((n) => n !== 'loss' && !objectives.includes(n));
  const target = 1 / Math.sqrt(Math.max(1, manifest.embeddingSize));
  const charts = [
    lineChart({ title: 'Loss', note: 'each step, and its running mean', steps: done, series: [{ name: '', colour: 1, points: values('loss'), smooth: true }] }),
    objectives.length < 2 ? '' : lineChart({ title: 'Objectives', note: 'the terms the loss is the sum of, running means', steps: done, series: objectives.slice(0, 6).map((name, i) => ({ name, colour: i + 1, points: values(name), smooth: true })) }),
    lineChart({
      title: 'Spread of the embeddings', note: 'mean deviation of unit embeddings; falls to 0 when they collapse', steps: done, fromZero: true,
      series: [{ name: '', colour: 3, points: embedding.map((l) => ({ step: l.step, value: l.std })), smooth: false }],
      reference: { value: target, name: `1/√${manifest.embeddingSize}: spread over the sphere` },
    }),
    lineChart({ title: 'Effective rank', note: `RankMe, of at most ${manifest.embeddingSize}; falls to 1 when only one direction is used`, steps: done, fromZero: true, series: [{ name: '', colour: 4, points: embedding.map((l) => ({ step: l.step, value: l.rank })), smooth: false }] }),
    knn.length < 2 ? '' : lineChart({ title: 'kNN accuracy', note: 'on held-out examples, while training', steps: done, series: [{ name: '', colour: 2, points: knn, smooth: false }] }),
    ...others.slice(0, 4).map((name) => { const points = values(name); return points.every((p) => p.value === points[0].value) ? '' : lineChart({ title: name, note: 'as scheduled', steps: done, fromZero: true, series: [{ name: '', colour: 5, points, smooth: false }] }); }),
  ].filter((c) => c !== '');
  return charts.length === 0 ? '' : `<h2>Training</h2><div class="grid2">${charts.join('\n')}</div>`;
}

function settingsTable({ manifest, data, seed, facts }: ReportOptions): string {
  const parameters = manifest.parameters.filter((p) => p.arena === 'parameters').reduce((n, p) => n + p.shape.reduce((a, b) => a * b, 1), 0);
  const entries: [string, string][] = [
    ...Object.entries(manifest.settings).map(([k, v]): [string, string] => [k, String(v)]),
    ['batch', String(manifest.batch)], ['steps', formatNumber(manifest.steps)], ['seed', String(seed)],
    ['parameters', formatNumber(parameters)], ['embedding', `${manifest.embeddingSize} numbers`], ['data', data.description],
    ...(data.skipped.count > 0 ? [['left out', `${data.skipped.count} files: ${data.skipped.names.join('; ')}`] as [string, string]] : []),
    ...Object.entries(facts),
  ];
  return `<h2>Settings</h2><div class="card"><dl>${entries.map(([k, v]) => `<dt>${escapeHtml(k)}</dt><dd>${escapeHtml(v)}</dd>`).join('')}</dl></div>`;
}
