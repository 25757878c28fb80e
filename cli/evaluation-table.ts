/** What was learned, as tables: the trained encoder beside the untrained one and raw pixels; below them how it was measured. */
import type { Evaluation, EvaluationRow } from '../runtime/evaluate/evaluate.js';
import type { Json } from './outcome.js';
import { table } from './table.js';

const names: Record<EvaluationRow['name'], string> = { trained: 'trained encoder', untrained: 'untrained encoder', pixels: 'raw pixels' };

interface Column {
  readonly title: string;
  readonly value: (row: EvaluationRow) => string | null;
}

const number = (value: number | null | undefined, digits = 3): string | null => (value === null || value === undefined ? null : value.toFixed(digits));

/** The rows, with a column for each figure that some row has, and what planning reached. */
export function evaluationTable({ rows, protocols, data, planning, fineTuning }: Evaluation): string {
  const budgets = rows.find((r) => r.lowLabel !== null)?.lowLabel ?? [];
  const learned: readonly Column[] = [
    { title: 'kNN', value: (r) => number(r.knn) },
    { title: 'linear', value: (r) => number(r.linear) },
    ...budgets.map((b, i): Column => ({ title: b.budget, value: (r) => { const f = r.lowLabel?.[i]; return f === undefined ? null : `${f.mean.toFixed(3)}±${f.deviation.toFixed(3)}`; } })),
    { title: 'NMI', value: (r) => number(r.clusters?.nmi) },
    { title: 'purity', value: (r) => number(r.clusters?.purity) },
    { title: 'R@1 held out', value: (r) => number(r.retrieval?.heldOut.r1) },
    { title: 'R@1 all', value: (r) => number(r.retrieval?.all.r1) },
    { title: 'R@10 all', value: (r) => number(r.retrieval?.all.r10) },
    { title: 'back: R@1 held out', value: (r) => number(r.retrieval?.heldOutBack.r1) },
    { title: 'R@1 all', value: (r) => number(r.retrieval?.allBack.r1) },
  ];
  const quality: readonly Column[] = [
    { title: 'std', value: (r) => number(r.std) },
    { title: 'rank', value: (r) => `${r.rank.toFixed(1)}/${r.size}` },
    { title: 'participation', value: (r) => number(r.participation, 1) },
    { title: 'alpha', value: (r) => number(r.alpha, 2) },
    { title: 'uniformity', value: (r) => number(r.uniformity, 2) },
    { title: 'alignment', value: (r) => number(r.alignment) },
    { title: 'LiDAR', value: (r) => number(r.lidar, 1) },
  ];
  const show = (title: string, columns: readonly Column[]): string => {
    const used = columns.filter((c) => rows.some((r) => c.value(r) !== null));
    return used.length === 0 ? '' : table([[title, ...used.map((c) => c.title)], ...rows.map((r) => [names[r.name], ...used.map((c) => c.value(r) ?? '-')])]);
  };
  const has = (some: (r: EvaluationRow) => unknown): boolean => rows.some((r) => some(r) !== null);
  const notes = [
    protocols.encoder,
    ...(has((r) => r.knn) ? [protocols.knn, protocols.linear, protocols.lowLabel, protocols.clusters] : []),
    ...(has((r) => r.retrieval) ? [protocols.retrieval] : []),
    protocols.spread,
    ...(planning === null ? [] : [planning.protocol]),
    ...(fineTuning === null ? [] : [fineTuning.protocol]),
    ...(has((r) => r.alignment) ? [protocols.views] : ['alignment, LiDAR: not defined, no views of the model fit its encoder']),
  ];
  const first = show(data, learned);
  const plans = planning === null ? '' : `\n${table([
    ['episodes', 'at the goal', 'distance left'],
    ...([['planned', planning.planned], ['at random', planning.random]] as const).map(([name, s]) => [name, s.rate.toFixed(3), s.distance.toFixed(1)]),
  ])}`;
  const tuned = fineTuning === null ? '' : `\n${table([['fine-tuned from', 'accuracy'], ['trained encoder', fineTuning.trained.toFixed(3)], ['untrained encoder', fineTuning.untrained.toFixed(3)]])}`;
  return `${first}${first === '' ? '' : '\n'}${show(first === '' ? data : 'embeddings', quality)}${plans}${tuned}\n${notes.map((note) => `${note}\n`).join('')}`;
}

/** The evaluation as `--json` shows it. */
export function evaluationJson(evaluation: Evaluation): Json {
  return JSON.parse(JSON.stringify(evaluation));
}
