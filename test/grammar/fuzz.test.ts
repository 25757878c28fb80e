/** Rule 23: tokens of every program deleted, doubled and swapped, and characters broken. Never throws; spans stay inside. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { renderDiagnostic, toJson } from '../../grammar/diagnostics/render.js';
import { markTokens } from '../../grammar/mark-tokens.js';
import { parse } from '../../grammar/parse.js';
import { format } from '../../grammar/print.js';
import type { SourceFile, Span } from '../../grammar/span.js';
import { syntaxDigest } from '../../grammar/syntax-digest.js';
import { programs } from './corpus.js';

/** Every object under `value` that is a span. */
function spans(value: unknown, found: Span[] = []): Span[] {
  if (typeof value !== 'object' || value === null) return found;
  if ('start' in value && 'end' in value && 'file' in value) {
    const { start, end, file } = value;
    if (typeof start === 'number' && typeof end === 'number' && typeof file === 'string') found.push({ start, end, file });
  } else for (const part of Object.values(value)) spans(part, found);
  return found;
}

function check(source: SourceFile): void {
  const { module, diagnostics } = parse(source);
  for (const span of spans([module, diagnostics])) {
    expect(span.file).toBe(source.name);
    expect(Number.isInteger(span.start) && Number.isInteger(span.end) && span.start >= 0 && span.start <= span.end && span.end <= source.text.length, JSON.stringify(span)).toBe(true);
  }
  for (const d of diagnostics) {
    renderDiagnostic(d, () => source.text, { color: true });
    toJson(d, () => source.text);
    expect(d.title).not.toMatch(/undefined|NaN|\bEOF\b|Keyword_/);
  }
  const once = format(source);
  if (once.diagnostics.length > 0) return;
  expect(format({ name: source.name, text: once.text }).text).toBe(once.text);
  expect(syntaxDigest(parse({ name: source.name, text: once.text }).module)).toBe(syntaxDigest(module));
}

const pick = fc.tuple(fc.nat(), fc.constantFrom('delete', 'double', 'swap', 'newline', 'replace'), fc.nat());
const pieces = programs.map((p) => ({ name: p.name, text: p.text, tokens: markTokens(p).tokens.filter((t) => t.image !== '') }));
const other = ['(', ')', '[', ']', '{', '}', ',', ':', '=', '~', '<-', '|>', '-', '*', '..', 'if', 'else', 'where', 'net', 'model', '"', '5', '%', ';', '//', '\u00e9'];

test('programs with tokens deleted, doubled, swapped and replaced', () => {
  fc.assert(
    fc.property(fc.nat(), fc.array(pick, { minLength: 1, maxLength: 4 }), (which, edits) => {
      const program = pieces[which % pieces.length];
      if (program === undefined) return;
      let text = program.text;
      const places = edits.map(([at, edit, by]) => ({ at: at % program.tokens.length, edit, by })).sort((a, b) => b.at - a.at);
      for (const { at, edit, by } of places) {
        const token = program.tokens[at];
        const next = program.tokens[at + 1];
        if (token === undefined) continue;
        const [start, end] = [token.startOffset, token.startOffset + token.image.length];
        const tail = text.slice(end);
        if (edit === 'delete') text = text.slice(0, start) + tail;
        else if (edit === 'double') text = `${text.slice(0, end)} ${token.image}${tail}`;
        else if (edit === 'newline') text = `${text.slice(0, end)}\n${tail}`;
        else if (edit === 'replace') text = `${text.slice(0, start)}${other[by % other.length] ?? ''}${tail}`;
        else if (next !== undefined) text = `${text.slice(0, start)}${next.image}${text.slice(end, next.startOffset)}${token.image}${text.slice(next.startOffset + next.image.length)}`;
      }
      check({ name: program.name, text });
    }),
    { numRuns: 120 },
  );
});

test('programs cut off anywhere', () => {
  for (const program of programs) {
    for (let i = 1; i <= 4; i++) check({ name: program.name, text: program.text.slice(0, Math.floor((program.text.length * i) / 5)) });
  }
});

test('any text', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constantFrom(...other, '\n', 'x', 'fn ', 'let ', 'view ', 'train ', 'use ', 'every ', 'sum[', '1'), fc.string({ maxLength: 3 })), { maxLength: 40 }), (parts) =>
      check({ name: '<input>', text: parts.join('') }),
    ),
    { numRuns: 600 },
  );
});
