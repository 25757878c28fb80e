/**
 * Diagnostics of the data and running stages (SSL5). They have no place in a `.ssl` of their own, so their span is
 * the `data` line that was opened, when the caller knows it.
 */
import type { ArgumentsOf, Code, Diagnostic } from '../../grammar/diagnostics/diagnostic.js';
import { diagnostic, DiagnosticError } from '../../grammar/diagnostics/report.js';
import type { Span } from '../../grammar/span.js';

/** Stands in for a place in a source file where there is none. */
export const nowhere: Span = { file: '<run>', start: 0, end: 0 };

/** A diagnostic of the running stage. */
export function runProblem<C extends Code>(code: C, args: ArgumentsOf<C>, span: Span = nowhere): Diagnostic {
  return diagnostic(code, span, args);
}

/** Throws a diagnostic of the running stage. */
export function fail<C extends Code>(code: C, args: ArgumentsOf<C>, span: Span = nowhere): never {
  throw new DiagnosticError([runProblem(code, args, span)]);
}

/** The closest known word, when it is within a third of the word's length in edits. */
export function closest(word: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let least = Math.floor(Math.max(word.length, 3) / 3) + 1;
  for (const candidate of known) {
    const distance = editDistance(word, candidate);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length];
}
