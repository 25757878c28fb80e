/**
 * Text to syntax tree. Never throws: what cannot be read is reported, and the tree holds what could be. Every span
 * lies inside the file.
 */
import type { IRecognitionException, IToken } from 'chevrotain';
import type { Module } from './ast.js';
import { buildTree } from './build-tree.js';
import type { Diagnostic } from './diagnostics/diagnostic.js';
import { diagnostic } from './diagnostics/report.js';
import { maximumErrors, type Expectation } from './expectations.js';
import { markTokens } from './mark-tokens.js';
import { parseTokens } from './parser.js';
import type { SourceFile, Span } from './span.js';
import * as t from './tokens.js';

/** Reads a file: the tree, as far as it could be read, and every error met, in the order of the file. */
export function parse(source: SourceFile): { readonly module: Module; readonly diagnostics: readonly Diagnostic[] } {
  const marked = markTokens(source);
  const parsed = parseTokens(marked.tokens);
  const built = buildTree(parsed.tree, source);
  const diagnostics: Diagnostic[] = [...marked.diagnostics];
  const lines = new Set(diagnostics.flatMap((d) => [d.span, ...d.related.map((r) => r.span)]).map((span) => lineStart(source.text, span.start)));
  for (const error of parsed.errors) {
    // What begins no declaration was reported while marking; here it only means that recovery lost its place.
    if (lines.size > 0 && betweenDeclarations(expectationOf(error))) continue;
    const found = worded(error, source);
    const line = lineStart(source.text, found.span.start);
    // One cause, one error: what follows on a line already reported is most often the same mistake.
    if (lines.has(line)) continue;
    lines.add(line);
    diagnostics.push(found);
  }
  for (const found of built.diagnostics) {
    if (!lines.has(lineStart(source.text, found.span.start)) || parsed.errors.length === 0) diagnostics.push(found);
  }
  diagnostics.sort((a, b) => a.span.start - b.span.start);
  return { module: built.module, diagnostics: diagnostics.slice(0, maximumErrors) };
}

const lineStart = (text: string, offset: number): number => (offset === 0 ? 0 : text.lastIndexOf('\n', offset - 1) + 1);

function isExpectation(value: unknown): value is Expectation {
  return typeof value === 'object' && value !== null && 'rule' in value && 'expected' in value && 'kind' in value;
}

function expectationOf(error: IRecognitionException): Expectation {
  const parsed: unknown = JSON.parse(error.message);
  return isExpectation(parsed) ? parsed : { rule: '', expected: [], kind: 'token' };
}

const betweenDeclarations = (expectation: Expectation): boolean => expectation.kind === 'end' || expectation.rule === 'declaration' || expectation.expected.includes('EOF');

function worded(error: IRecognitionException, source: SourceFile): Diagnostic {
  const expectation = expectationOf(error);
  const previous = 'previousToken' in error && isToken(error.previousToken) ? error.previousToken : undefined;
  return diagnostic('SSL0001', placeOf(error.token, previous, source), { expected: expectedWords(expectation), found: foundWords(error.token, source), help: helpFor(expectation, error.token) });
}

const isToken = (value: unknown): value is IToken => typeof value === 'object' && value !== null && 'image' in value && 'startOffset' in value;

/** The token found; after the last one where there is none, or where a line ended too early. */
function placeOf(token: IToken, previous: IToken | undefined, source: SourceFile): Span {
  const afterPrevious = () => {
    const end = previous !== undefined && Number.isFinite(previous.startOffset) ? previous.startOffset + previous.image.length : source.text.trimEnd().length;
    return { file: source.name, start: end, end };
  };
  if (!Number.isFinite(token.startOffset) || token.image === '') return afterPrevious();
  // A line or block that ends too early is mended at its own end, not at the bracket on a later line.
  const early = previous !== undefined && Number.isFinite(previous.startOffset) && source.text.slice(previous.startOffset + previous.image.length, token.startOffset).includes('\n');
  if (early && [t.ParenClose, t.BracketClose, t.BraceClose].includes(token.tokenType)) return afterPrevious();
  return { file: source.name, start: token.startOffset, end: Math.min(source.text.length, token.startOffset + token.image.length) };
}

function foundWords(token: IToken, source: SourceFile): string {
  if (token.tokenType === t.Separator && token.image === '') return 'the end of the line';
  if (token.image === '') return source.text.trim() === '' ? 'an empty file' : 'the end of the file';
  return `\`${token.image.length > 30 ? `${token.image.slice(0, 30)}...` : token.image}\``;
}

/** Rules whose failure is best told by what they stand for. */
const ruleWords: Readonly<Record<string, string>> = {
  primary: 'an expression',
  operand: 'an expression',
  expression: 'an expression',
  type: 'a type such as `[B, D]` or `int`',
  declaration: 'a declaration',
  statement: 'a statement or a result',
  bracketItem: 'an index',
  dimension: 'a size',
  argument: 'an argument',
  postfix: '`.`, `(` or `[`',
  viewStatement: 'a drawn view or the declaration of one',
  stageStep: '`name <- value` or `reset name`',
  trainItem: 'an entry such as `batch 256`, or `every 5 epochs { ... }`',
};

/** What else could have stood before a closing bracket. */
const closingWords: Readonly<Record<string, string>> = {
  parameters: '`,` or `)`',
  callArguments: '`,` or `)`',
  parenthesized: '`,` or `)`',
  type: '`,` or `)`',
  binding: '`,` or `)`',
  dimensions: '`,` or `]`',
  brackets: '`,` or `]`',
  list: '`,`, `for` or `]`',
  use: '`,` or `}`',
  block: 'a new line or `}`',
  train: 'a new line or `}`',
  trainItem: 'a new line or `}`',
  stageStatement: 'a new line or `}`',
};
const closingLabels = new Set(['`)`', '`]`', '`}`']);

function expectedWords(expectation: Expectation): string {
  const { rule, expected, kind } = expectation;
  if (kind === 'end' || expected.includes('EOF')) return 'a new line or an operator';
  if (kind === 'token') {
    const only = expected[0] ?? 'something else';
    return (closingLabels.has(only) ? closingWords[rule] : undefined) ?? only;
  }
  const named = ruleWords[rule];
  if (named !== undefined) return named;
  if (expected.length > 4) return 'an expression';
  return expected.length < 2 ? (expected[0] ?? 'something else') : `${expected.slice(0, -1).join(', ')} or ${expected.at(-1) ?? ''}`;
}

function helpFor(expectation: Expectation, token: IToken): string | null {
  if (expectation.rule === 'viewStatement') return 'write `view a ~ crop(x)` to draw a view, or `view crop(x: [H, W, C]) = ...` to declare one';
  if (token.tokenType === t.Assign && expectation.rule === 'primary') return 'entries of a `train` block have no `=`: `epochs 200`';
  if (token.tokenType === t.Assign && expectation.kind === 'token' && closingLabels.has(expectation.expected[0] ?? '')) return 'arguments are named with `:`, and `==` compares';
  if (token.tokenType === t.Draw) return '`~` draws a value in a `let`, `view` or `param` line';
  return null;
}
