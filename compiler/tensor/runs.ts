/** Whole numbers in arithmetic runs: tables of where things lie are small in a plan, however long they are in memory. */

/** `count` numbers, the first of them `first`, each `step` more than the one before. */
export interface Run {
  readonly first: number;
  readonly step: number;
  readonly count: number;
}

/** How many numbers there are in all. */
export function lengthOfRuns(runs: readonly Run[]): number {
  return runs.reduce((n, r) => n + r.count, 0);
}

/** The least and the greatest of them. */
export function rangeOfRuns(runs: readonly Run[]): { readonly low: number; readonly high: number } {
  const ends = runs.flatMap(({ first, step, count }) => (count === 0 ? [] : [first, first + (count - 1) * step]));
  return { low: Math.min(...ends), high: Math.max(...ends) };
}

/** The numbers. */
export function expandRuns(runs: readonly Run[]): Int32Array {
  const values = new Int32Array(lengthOfRuns(runs));
  let at = 0;
  for (const { first, step, count } of runs) for (let k = 0; k < count; k++) values[at++] = first + k * step;
  return values;
}
