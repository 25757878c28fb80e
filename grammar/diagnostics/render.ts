/** Diagnostics for people (a source line with a caret) and for programs (a versioned plain object). */
import type { Span } from '../span.js';
import type { Code, Diagnostic, Severity } from './diagnostic.js';

/** A file's text by name, or null when it is not at hand. */
export type SourceOf = (file: string) => string | null;

export interface Position {
  /** Both count from 1; columns count UTF-16 units. */
  readonly line: number;
  readonly column: number;
}

/** The position of an offset in a text. Lines end at `\n`, `\r\n` or `\r`. */
export function positionOf(text: string, offset: number): Position {
  const end = Math.min(offset, text.length);
  let line = 1;
  let start = 0;
  for (let i = 0; i < end; i++) {
    const c = text.charCodeAt(i);
    if (c === 10 || (c === 13 && text.charCodeAt(i + 1) !== 10)) {
      line++;
      start = i + 1;
    }
  }
  return { line, column: end - start + 1 };
}

const escape = '\u001b[';
type Paint = (style: 'error' | 'warning' | 'note' | 'bold' | 'frame', text: string) => string;
const styles = { error: '1;31', warning: '1;33', note: '1;36', bold: '1', frame: '34' };
const painted: Paint = (style, text) => (text === '' ? '' : `${escape}${styles[style]}m${text}${escape}0m`);
const plain: Paint = (_, text) => text;

/** The widest part of a source line shown; longer lines are cut around the caret. */
const maximumWidth = 120;

/**
 * A diagnostic as text, without a final newline:
 *
 *     error[SSL3001]: nothing keeps this model from collapsing
 *        ╭─ simsiam.ssl:9:3
 *      9 │   minimize agree: ...
 *        │   ^^^^^^^^^^^^^^ label
 *        = help: what to do
 */
export function renderDiagnostic(d: Diagnostic, sourceOf: SourceOf, options: { readonly color: boolean }): string {
  const paint = options.color ? painted : plain;
  const places = [d.span, ...d.related.map((r) => r.span)].map((span) => {
    const text = sourceOf(span.file);
    return text === null ? null : positionOf(text, span.start);
  });
  const width = Math.max(1, ...places.map((p) => (p === null ? 1 : String(p.line).length)));
  const gutter = ' '.repeat(width + 2);
  const out = [`${paint(d.severity, `${d.severity}[${d.code}]`)}${paint('bold', `: ${printable(d.title)}`)}`];
  out.push(...snippet(d.span, '╭─', '^', d.label, d.severity, sourceOf, width, paint));
  for (const related of d.related) out.push(...snippet(related.span, '├─', '-', related.message, 'note', sourceOf, width, paint));
  if (d.help !== null) {
    for (const [i, line] of d.help.split('\n').entries()) out.push(i === 0 ? `${gutter}${paint('frame', '=')} help: ${printable(line)}` : `${gutter}        ${printable(line)}`);
  }
  return out.join('\n');
}

/** Control characters of a source never reach the terminal. */
const printable = (text: string): string => text.replaceAll('\t', ' ').replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');

function snippet(span: Span, corner: string, mark: string, label: string, style: Severity, sourceOf: SourceOf, width: number, paint: Paint): string[] {
  const gutter = ' '.repeat(width + 2);
  const text = sourceOf(span.file);
  const note = label === '' ? '' : ` ${printable(label)}`;
  if (text === null) return [`${gutter}${paint('frame', corner)} ${printable(span.file)}${note}`];
  const { line, column } = positionOf(text, span.start);
  const lineStart = Math.min(span.start, text.length) - (column - 1);
  const rest = text.slice(lineStart);
  const lineLength = rest.search(/[\r\n]/);
  const whole = printable(lineLength < 0 ? rest : rest.slice(0, lineLength));
  const from = column - 1;
  const to = Math.max(from + 1, Math.min(whole.length, span.end - lineStart));
  const cut = whole.length > maximumWidth ? Math.max(0, Math.min(from - 40, whole.length - maximumWidth)) : 0;
  const shown = whole.slice(cut, cut + maximumWidth);
  const before = cut > 0 ? '...' : '';
  const after = whole.length > cut + maximumWidth ? '...' : '';
  const carets = mark.repeat(Math.max(1, Math.min(to, cut + maximumWidth) - from));
  const number = String(line).padStart(width + 1);
  return [
    `${gutter}${paint('frame', corner)} ${printable(span.file)}:${line}:${column}`,
    `${paint('frame', `${number} │`)} ${before}${shown}${after}`.trimEnd(),
    `${gutter}${paint('frame', '│')} ${' '.repeat(before.length + from - cut)}${paint(style, `${carets}${note}`)}`,
  ];
}

export interface JsonPlace {
  readonly file: string;
  /** UTF-16 offsets into the file, `end` exclusive. */
  readonly start: number;
  readonly end: number;
  /** Counted from 1; null where the file's text is not at hand. */
  readonly line: number | null;
  readonly column: number | null;
  readonly endLine: number | null;
  readonly endColumn: number | null;
}

/** The documented form of a diagnostic for `--json`; a change of meaning raises `version`. */
export interface JsonDiagnostic {
  readonly version: 1;
  readonly code: Code;
  readonly severity: Severity;
  readonly message: string;
  readonly label: string | null;
  readonly help: string | null;
  readonly place: JsonPlace;
  readonly related: readonly { readonly place: JsonPlace; readonly message: string }[];
}

/** A diagnostic as plain data, with lines and columns where `sourceOf` knows the file. */
export function toJson(d: Diagnostic, sourceOf: SourceOf = () => null): JsonDiagnostic {
  const place = (span: Span): JsonPlace => {
    const text = sourceOf(span.file);
    const start = text === null ? null : positionOf(text, span.start);
    const end = text === null ? null : positionOf(text, span.end);
    return {
      file: span.file,
      start: span.start,
      end: span.end,
      line: start?.line ?? null,
      column: start?.column ?? null,
      endLine: end?.line ?? null,
      endColumn: end?.column ?? null,
    };
  };
  return {
    version: 1,
    code: d.code,
    severity: d.severity,
    message: d.title,
    label: d.label === '' ? null : d.label,
    help: d.help,
    place: place(d.span),
    related: d.related.map((r) => ({ place: place(r.span), message: r.message })),
  };
}
