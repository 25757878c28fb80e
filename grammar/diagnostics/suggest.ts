/** The one word a user most likely meant, if any is near enough. */

/** Edits (insert, delete, replace, swap of neighbours) from `a` to `b`; `limit + 1` when there are more than `limit`. */
export function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let best = Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, (before[j - 2] ?? 0) + 1);
      row.push(best);
    }
    if (Math.min(...row) > limit) return limit + 1;
    before = previous;
    previous = row;
  }
  return previous[b.length] ?? 0;
}

/** The candidate nearest to `word`, within edits of a third of its length (at least one); null when none is. Ties go to the first. */
export function suggest(word: string, candidates: Iterable<string>): string | null {
  if (word.length > 100) return null;
  let best: string | null = null;
  let limit = Math.max(1, Math.floor(word.length / 3));
  for (const candidate of candidates) {
    if (candidate === word) continue;
    // A single letter is one edit from every other: only a difference of case counts there.
    const near = candidate.toLowerCase() === word.toLowerCase() ? 0 : word.length < 3 ? limit + 1 : editDistance(word, candidate, limit);
    if (near <= limit && (best === null || near < limit)) {
      best = candidate;
      limit = near;
    }
  }
  return best;
}
