/** What was learned, as a table: the trained encoder beside the untrained one and raw pixels. */
import type { Evaluation, EvaluationRow } from '../runtime/evaluate/evaluate.js';
import type { Json } from './outcome.js';
import { table } from './table.js';

const names: Record<EvaluationRow['name'], string> = { trained: 'trained encoder', untrained: 'untrained encoder', pixels: 'raw pixels' };

/** The rows and, below them, how each figure was measured. */
export function evaluationTable({ rows, protocols, data }: Evaluation): string {
  const has = { knn: rows.some((r) => r.knn !== null), linear: rows.some((r) => r.linear !== null), retrieval: rows.some((r) => r.retrieval !== null) };
  const share = (value: number | null): string => (value === null ? '-' : value.toFixed(3));
  const head = [data, ...(has.knn ? ['kNN'] : []), ...(has.linear ? ['linear'] : []), ...(has.retrieval ? ['R@1 held out', 'R@1 all'] : []), 'std', 'rank'];
  const cells = rows.map((r) => [
    names[r.name],
    ...(has.knn ? [share(r.knn)] : []),
    ...(has.linear ? [share(r.linear)] : []),
    ...(has.retrieval ? [share(r.retrieval?.heldOut.r1 ?? null), share(r.retrieval?.all.r1 ?? null)] : []),
    r.std.toFixed(3),
    `${r.rank.toFixed(1)}/${r.size}`,
  ]);
  const notes = [...(has.knn ? [protocols.knn] : []), ...(has.linear ? [protocols.linear] : []), ...(has.retrieval ? [protocols.retrieval] : [])];
  return `${table([head, ...cells])}${notes.map((note) => `${note}\n`).join('')}`;
}

/** The evaluation as `--json` shows it. */
export function evaluationJson(evaluation: Evaluation): Json {
  return JSON.parse(JSON.stringify(evaluation));
}
