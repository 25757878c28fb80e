/**
 * `// ssl-allow CODE: reason` silences a warning: at the end of the line it points at, or alone on a line above it. Errors are never
 * silenced. A comment without a reason, or with a code that no warning has, does nothing but warn; one that silences nothing is
 * reported by whoever knows all warnings of a file.
 */
import type { SourceFile, Span } from '../span.js';
import { lexer } from '../tokens.js';
import { catalog } from './catalog.js';
import type { Diagnostic } from './diagnostic.js';
import { diagnostic } from './report.js';

export interface Allowance {
  readonly code: string;
  readonly reason: string;
  readonly span: Span;
  /** Offsets of the line it speaks of: where that line starts, and where it ends. */
  readonly from: number;
  readonly to: number;
}

const pattern = /^\/\/\s*ssl-allow\b\s*([^\s:]*)\s*:?\s*(.*)$/;

/** The allowances of a file, in order. */
export function allowancesIn(source: SourceFile): Allowance[] {
  const { text } = source;
  if (!text.includes('ssl-allow')) return [];
  return (lexer.tokenize(text).groups['comments'] ?? []).flatMap((token) => {
    const match = pattern.exec(token.image);
    if (match === null) return [];
    const start = token.startOffset;
    const own = text.lastIndexOf('\n', start - 1) + 1;
    const from = text.slice(own, start).trim() === '' ? nextCode(text, lineEnd(text, start) + 1) : own;
    return [{ code: match[1], reason: match[2].trim(), span: { file: source.name, start, end: start + token.image.length }, from, to: lineEnd(text, from) }];
  });
}

const lineEnd = (text: string, at: number): number => { const end = text.indexOf('\n', at); return end < 0 ? text.length : end; };

/** The start of the first line from `at` that is neither empty nor a comment alone. */
function nextCode(text: string, at: number): number {
  let line = Math.min(at, text.length);
  while (line < text.length && /^\s*(\/\/.*)?$/.test(text.slice(line, lineEnd(text, line)).replace(/\r$/, ''))) line = Math.min(text.length, lineEnd(text, line) + 1);
  return line;
}

const isWarning = (code: string): boolean => Object.entries(catalog).some(([known, entry]) => known === code && entry.severity === 'warning');
const isEffective = (a: Allowance): boolean => isWarning(a.code) && a.reason !== '';
const covers = (a: Allowance, d: Diagnostic): boolean => d.severity === 'warning' && d.code === a.code && d.span.file === a.span.file && d.span.start >= a.from && d.span.start <= a.to;

/** The diagnostics without the warnings that a comment allows. `sourceOf` gives the text of a file, where it is at hand. */
export function withoutAllowed(diagnostics: readonly Diagnostic[], sourceOf: (file: string) => string | null): Diagnostic[] {
  const known = new Map<string, readonly Allowance[]>();
  return diagnostics.filter((d) => {
    if (d.severity !== 'warning') return true;
    const text = known.has(d.span.file) ? null : sourceOf(d.span.file);
    if (text !== null) known.set(d.span.file, allowancesIn({ name: d.span.file, text }).filter(isEffective));
    return known.get(d.span.file)?.some((a) => covers(a, d)) !== true;
  });
}

/** Warnings about comments that can silence nothing: no reason, a code that does not exist, the code of an error. */
export function faultyAllowances(source: SourceFile): Diagnostic[] {
  return allowancesIn(source).filter((a) => !isEffective(a)).map((a) => {
    const problem = !Object.hasOwn(catalog, a.code) ? 'unknown' : isWarning(a.code) ? 'reason' : 'error';
    return diagnostic('SSL3012', a.span, { code: a.code, problem });
  });
}

/** Warnings about comments that silenced none of these diagnostics: all that the file gives. */
export function unusedAllowances(source: SourceFile, diagnostics: readonly Diagnostic[]): Diagnostic[] {
  return allowancesIn(source).filter((a) => isEffective(a) && !diagnostics.some((d) => covers(a, d)))
    .map((a) => diagnostic('SSL3012', a.span, { code: a.code, problem: 'unused' }));
}
