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
import { escapeHtml, formatNumber } from './chart.js';
import { trainingCurves } from './curves.js';
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
    collapseNote(metrics),
    trainingCurves(metrics, manifest, done),
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

const firstColumns: readonly Column[] = [
  { title: 'kNN accuracy', value: (r) => r.knn },
  { title: 'linear probe', value: (r) => r.linear },
];
const lastColumns: readonly Column[] = [
  { title: 'NMI of clusters', value: (r) => r.clusters?.nmi ?? null },
  { title: 'purity', value: (r) => r.clusters?.purity ?? null },
  { title: 'R@1, held-out', value: (r) => r.retrieval?.heldOut.r1 ?? null },
  { title: 'R@5', value: (r) => r.retrieval?.heldOut.r5 ?? null },
  { title: 'R@10', value: (r) => r.retrieval?.heldOut.r10 ?? null },
  { title: 'R@1, all concepts', value: (r) => r.retrieval?.all.r1 ?? null },
  { title: 'back: R@1, held-out', value: (r) => r.retrieval?.heldOutBack.r1 ?? null },
  { title: 'back: R@1, all', value: (r) => r.retrieval?.allBack.r1 ?? null },
];

/** Shares between 0 and 1, with those of few labels in between. */
function columnsOf(evaluation: Evaluation): readonly Column[] {
  const budgets = evaluation.rows.find((r) => r.lowLabel !== null)?.lowLabel ?? [];
  return [...firstColumns, ...budgets.map((b, i): Column => ({ title: `${b.budget} of labels`, value: (r) => r.lowLabel?.[i]?.mean ?? null })), ...lastColumns]
    .filter((c) => evaluation.rows.some((r) => c.value(r) !== null));
}

/** What is known of embeddings without labels. */
const qualityColumns: readonly { readonly title: string; readonly value: (row: EvaluationRow) => number | null }[] = [
  { title: 'size', value: (r) => r.size }, { title: 'std', value: (r) => r.std }, { title: 'rank', value: (r) => r.rank }, { title: 'participation', value: (r) => r.participation },
  { title: 'alpha', value: (r) => r.alpha }, { title: 'uniformity', value: (r) => r.uniformity }, { title: 'alignment', value: (r) => r.alignment }, { title: 'LiDAR', value: (r) => r.lidar },
];

function tiles(evaluation: Evaluation, metrics: readonly MetricsLine[]): string {
  const trained = evaluation.rows.find((r) => r.name === 'trained');
  if (trained === undefined) return '';
  const others = evaluation.rows.filter((r) => r.name !== 'trained');
  const shown = [...firstColumns, ...lastColumns.filter((c) => c.title.startsWith('R@1'))];
  const measured = shown.flatMap((c) => {
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
  const used = columnsOf(evaluation);
  const cell = (v: number | null): string => (v === null ? '<td>–</td>' : `<td><div class="cell"><span>${share(v)}</span><i style="width:${(70 * v).toFixed(1)}px"></i></div></td>`);
  const table = (titles: readonly string[], cells: (r: EvaluationRow) => string): string =>
    `<div class="scroll"><table><thead><tr><th>features</th>${titles.map((t) => `<th>${t}</th>`).join('')}</tr></thead><tbody>${evaluation.rows.map((r) => `<tr class="${r.name === 'trained' ? 'ours' : ''}"><td>${rowNames[r.name]}</td>${cells(r)}</tr>`).join('')}</tbody></table></div>`;
  const plain = (v: number | null): string => `<td>${v === null ? '–' : formatNumber(Number(v.toPrecision(3)))}</td>`;
  const { protocols, fineTuning } = evaluation;
  const notes = [
    protocols.encoder,
    ...(used.some((c) => c.title.includes('kNN')) ? [protocols.knn, protocols.linear, protocols.lowLabel, protocols.clusters] : []),
    ...(used.some((c) => c.title.startsWith('R@')) ? [protocols.retrieval] : []),
    protocols.spread,
    protocols.views,
    ...(fineTuning === null ? [] : [fineTuning.protocol]),
  ];
  const tuned = fineTuning === null ? '' : `<div class="scroll"><table><thead><tr><th>fine-tuned from</th><th>accuracy</th></tr></thead><tbody><tr class="ours"><td>${rowNames.trained}</td>${cell(fineTuning.trained)}</tr><tr><td>${rowNames.untrained}</td>${cell(fineTuning.untrained)}</tr></tbody></table></div>`;
  return `<h2>What was learned</h2><div class="card">${used.length === 0 ? '' : table(used.map((c) => c.title), (r) => used.map((c) => cell(c.value(r))).join(''))}
${table(qualityColumns.map((c) => c.title), (r) => qualityColumns.map((c) => plain(c.value(r))).join(''))}${tuned}
<details style="margin-top:12px"><summary>How these are measured</summary>${notes.map((p) => `<p class="note" style="margin-top:6px">${escapeHtml(p)}.</p>`).join('')}</details></div>`;
}

/** What the guard said while training, in words. */
function collapseNote(metrics: readonly MetricsLine[]): string {
  return metrics.flatMap((l) => (l.kind === 'collapse' ? [`<div class="card"><b>Step ${formatNumber(l.step)}:</b> ${escapeHtml(l.message)}.</div>`] : [])).join('');
}

function settingsTable({ manifest, data, seed, facts }: ReportOptions): string {
  const parameters = manifest.parameters.filter((p) => !p.arena.startsWith('target.')).reduce((n, p) => n + p.shape.reduce((a, b) => a * b, 1), 0);
  const entries: [string, string][] = [
    ...Object.entries(manifest.settings).map(([k, v]): [string, string] => [k, String(v)]),
    ['batch', String(manifest.batch)], ['steps', formatNumber(manifest.steps)], ['seed', String(seed)],
    ['parameters', formatNumber(parameters)], ['embedding', `${manifest.embeddingSize} numbers`], ['data', data.description],
    ...(data.skipped.count > 0 ? [['left out', `${data.skipped.count} files: ${data.skipped.names.join('; ')}`] as [string, string]] : []),
    ...Object.entries(facts),
  ];
  return `<h2>Settings</h2><div class="card"><dl>${entries.map(([k, v]) => `<dt>${escapeHtml(k)}</dt><dd>${escapeHtml(v)}</dd>`).join('')}</dl></div>`;
}
