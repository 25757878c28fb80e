/**
 * `sslc fmt`: one way to write a file. Works on tokens, so that nothing is lost: the author's line breaks stay, while
 * indentation, spaces, blank lines (one at most) and over-long lines are set. Idempotent: what it writes it reads back
 * as the same tokens, breaks and comments, and so writes again. Files with errors are returned as they are.
 */
import type { IToken, TokenType } from 'chevrotain';
import { bug } from './diagnostics/report.js';
import type { Diagnostic } from './diagnostics/diagnostic.js';
import { markTokens } from './mark-tokens.js';
import { parse } from './parse.js';
import { isInfix, isPrefix, spaced, type Piece } from './print-spacing.js';
import type { SourceFile } from './span.js';
import { syntaxDigest } from './syntax-digest.js';
import * as t from './tokens.js';

/** Lines are broken where they grow past this. */
export const maximumColumns = 120;

/** A token or comment with what the layout needs to know of it. */
interface Item extends Piece {
  readonly comment: boolean;
  /** Begins a statement (or, in braces of `use`, nothing does). */
  readonly starts: boolean;
  readonly blankBefore: boolean;
  breakBefore: boolean;
  /** For an opening bracket its partner's index, and the other way round; else -1. */
  partner: number;
  /** The keyword that began the statement, and whether its block hangs from the statement's own indentation. */
  readonly lead: TokenType | null;
}

interface Line {
  readonly indent: number;
  readonly items: readonly Item[];
  readonly first: number;
}

/** Formats a file. With syntax errors the text comes back unchanged, with them. */
export function format(source: SourceFile): { readonly text: string; readonly diagnostics: readonly Diagnostic[] } {
  const parsed = parse(source);
  if (parsed.diagnostics.some((d) => d.severity === 'error')) return { text: source.text, diagnostics: parsed.diagnostics };
  const items = itemsOf(source);
  expandBlocks(items);
  let lines = layout(items);
  // Each round breaks at least one line more, or ends.
  for (let round = 0; round <= items.length && breakLongLines(lines); round++) {
    expandBlocks(items);
    lines = layout(items);
  }
  const text = write(lines);
  if (syntaxDigest(parse({ name: source.name, text }).module) !== syntaxDigest(parsed.module)) bug(`formatting ${source.name} would change its meaning`);
  return { text, diagnostics: parsed.diagnostics };
}

function itemsOf(source: SourceFile): Item[] {
  const marked = markTokens(source);
  const tokens = [...marked.tokens, ...marked.comments].sort((a, b) => a.startOffset - b.startOffset);
  const items: Item[] = [];
  const places: { open: number; train: boolean }[] = [];
  let end = 0;
  let starts = true;
  let lead: TokenType | null = null;
  const leads: (TokenType | null)[] = [];
  let separator: IToken | null = null;
  let previous: IToken | undefined;
  let key = false;
  for (const token of tokens) {
    if (token.tokenType === t.Separator) {
      separator = token;
      starts = true;
      continue;
    }
    const comment = token.image.startsWith('//');
    const gap = source.text.slice(end, token.startOffset);
    const newlines = gap.split(/\r\n|\r|\n/).length - 1;
    const next = source.text[token.startOffset + token.image.length] ?? ' ';
    const tight = (token.tokenType === t.Star || token.tokenType === t.Slash) && gap === '' && !/\s/.test(next);
    if (separator !== null && separator.image === ';' && !comment) {
      // Kept on one line as `;`; a block over several lines turns it into a line break.
      items.push({ token: separator, text: ';', prefix: false, tight: false, key: false, comment: false, starts: false, blankBefore: false, breakBefore: false, partner: -1, lead });
    }
    if (!comment && starts) lead = token.tokenType;
    const item: Item = {
      token,
      text: comment ? token.image.trimEnd() : token.image,
      prefix: !comment && isPrefix(token, starts ? undefined : previous, key),
      tight,
      key: !comment && starts && (places.at(-1)?.train ?? false) && token.tokenType === t.Word,
      comment,
      starts: starts && !comment,
      blankBefore: newlines > 1,
      breakBefore: newlines > 0 || items.at(-1)?.comment === true,
      partner: -1,
      lead,
    };
    if (!comment) {
      key = item.key;
      starts = false;
      separator = null;
      const type = token.tokenType;
      if (type === t.ParenOpen || type === t.BracketOpen || type === t.BraceOpen) {
        places.push({ open: items.length, train: type === t.BraceOpen && (lead === t.Train || lead === t.Group) });
        leads.push(lead);
        if (type === t.BraceOpen) starts = true;
      } else if (type === t.ParenClose || type === t.BracketClose || type === t.BraceClose) {
        const open = places.pop()?.open ?? -1;
        lead = leads.pop() ?? null;
        item.partner = open;
        const opener = items[open];
        if (opener !== undefined) opener.partner = items.length;
        starts = false;
      }
      previous = token;
    }
    items.push(item);
    end = token.startOffset + token.image.length;
  }
  return items;
}

/** A block with a line break anywhere inside stands over several lines: a statement each, braces at the ends. */
function expandBlocks(items: Item[]): void {
  // Inner blocks last: an outer one is expanded whenever an inner one is, as the break lies in both.
  for (let i = 0; i < items.length; i++) {
    const open = items[i];
    if (open?.token.tokenType !== t.BraceOpen || open.partner < 0) continue;
    const inside = items.slice(i + 1, open.partner + 1);
    if (!inside.some((item) => item.breakBefore || item.comment)) continue;
    const first = items[i + 1];
    const close = items[open.partner];
    if (close !== undefined) close.breakBefore = true;
    if (first !== undefined && !(first.comment && !first.breakBefore)) first.breakBefore = true;
    for (let j = i + 1; j < open.partner; j++) {
      const item = items[j];
      if (item?.text === ';' && !item.comment) {
        const after = items[j + 1];
        if (after !== undefined) after.breakBefore = true;
      } else if (item !== undefined && item.partner > j) j = item.partner - 1;
    }
  }
}

function layout(items: readonly Item[]): Line[] {
  const lines: Line[] = [];
  // For each open bracket: the indentation that its closing line has, and that of the statement it stands in.
  const bases: { readonly indent: number; readonly brace: boolean; readonly statement: number }[] = [];
  let line: Item[] = [];
  let indent = 0;
  let first = 0;
  let statement = 0;
  // The last break of this statement came after `=` or the like: what follows is a body, and its operators stand deeper.
  let body = false;
  const flush = () => {
    if (line.length > 0) lines.push({ indent, items: line, first });
    line = [];
  };
  for (const [i, item] of items.entries()) {
    const type = item.token.tokenType;
    const closes = !item.comment && item.partner >= 0 && item.partner < i;
    const inside = bases.at(-1);
    const atStatement = inside === undefined || inside.brace;
    if (i > 0 && item.breakBefore) {
      flush();
      first = i;
      const base = inside === undefined ? 0 : inside.indent + 2;
      if (closes) indent = inside?.indent ?? 0;
      else if (item.starts || (item.comment && startsNext(items, i))) indent = base;
      else {
        const before = lastToken(items, i);
        const afterOperator = before !== undefined && isInfix(before.token.tokenType);
        if (atStatement) {
          const operator = isInfix(type) || afterOperator;
          if (!operator) body = true;
          indent = statement + (operator && body ? 4 : isHeader(item) ? 4 : 2);
        } else indent = base + ((isInfix(type) && !item.prefix) || afterOperator ? 2 : 0);
      }
    }
    if (item.starts) {
      statement = indent;
      body = false;
    }
    if (closes) {
      const base = bases.pop();
      const outer = bases.at(-1);
      if (base !== undefined) statement = base.brace && (outer === undefined || outer.brace) ? base.indent : base.statement;
    }
    if (item.text === ';' && items[i + 1]?.breakBefore === true && items[i + 1]?.token.tokenType !== t.BraceOpen) continue;
    line.push(item);
    if (!item.comment && item.partner > i) {
      const brace = type === t.BraceOpen;
      const hangs = brace && atStatement && isDeclaration(item.lead);
      bases.push({ indent: hangs ? statement : indent, brace, statement });
    }
  }
  flush();
  return lines;
}

const isDeclaration = (lead: TokenType | null): boolean =>
  lead !== null && (lead === t.View || lead === t.Model || lead === t.Train || lead === t.Use || lead === t.Stage || lead === t.Every || lead.CATEGORIES?.includes(t.Role) === true);
const isHeader = (item: Item): boolean => isDeclaration(item.lead) && (item.token.tokenType === t.ParenOpen || item.token.tokenType === t.Arrow);

/** Whether the tokens after a comment begin a statement or close a block: the comment then stands at their place. */
function startsNext(items: readonly Item[], i: number): boolean {
  let j = i;
  while (items[j]?.comment === true || items[j]?.text === ';') j++;
  const next = items[j];
  return next === undefined || next.starts || next.token.tokenType === t.BraceClose;
}

function lastToken(items: readonly Item[], i: number): Item | undefined {
  let j = i - 1;
  while (items[j]?.comment === true) j--;
  return items[j];
}

function lineText(line: Line): string {
  let text = ' '.repeat(line.indent);
  for (const [i, item] of line.items.entries()) {
    const left = line.items[i - 1];
    text += left === undefined ? item.text : item.comment ? `  ${item.text}` : spaced(left, item) ? ` ${item.text}` : item.text;
  }
  return text;
}

/** Breaks every line that is too long and can be broken, once each; false when there is none. */
function breakLongLines(lines: readonly Line[]): boolean {
  let broken = false;
  for (const line of lines) {
    if (lineText({ ...line, items: line.items.filter((item) => !item.comment) }).length <= maximumColumns) continue;
    const target = breakPoint(line);
    if (target === null) continue;
    target.breakBefore = true;
    broken = true;
  }
  return broken;
}

/** Where to break: in the shallowest brackets that offer a place, the last place that fits. A block on the line opens first. */
function breakPoint(line: Line): Item | null {
  const last = line.first + line.items.length;
  for (const [i, item] of line.items.entries()) {
    if (item.token.tokenType === t.BraceOpen && !item.comment && item.partner > 0 && item.partner < last + 1 && item.lead !== t.Use) {
      const inner = line.items[i + 1];
      if (inner !== undefined && inner.token.tokenType !== t.BraceClose) return inner;
    }
  }
  let depth = 0;
  let end = line.indent + (line.items[0]?.text.length ?? 0);
  let best: { readonly item: Item; readonly depth: number } | null = null;
  for (const [i, item] of line.items.entries()) {
    if (i === 0) {
      if (item.partner > line.first) depth++;
      continue;
    }
    const left = line.items[i - 1];
    if (item.comment || left === undefined) continue;
    const type = item.token.tokenType;
    if (item.partner >= 0 && item.partner < line.first + i) depth--;
    const column = end;
    end += item.text.length + (spaced(left, item) ? 1 : 0);
    if (column > maximumColumns) break;
    const operator = isInfix(type) && !item.prefix && ![t.Minus, t.RangeTo, t.Power, t.Else].includes(type) && !item.tight;
    const breakable = operator || left.token.tokenType === t.Comma || (left.token.tokenType === t.Assign && depth === 0);
    const worth = column > line.indent + 12 && column <= maximumColumns;
    const rank = left.token.tokenType === t.Assign ? depth + 2.5 : type === t.PipeTo || left.token.tokenType === t.Comma ? depth : depth + 0.5;
    if (breakable && worth && (best === null || rank <= best.depth)) best = { item, depth: rank };
    if (item.partner > line.first + i) depth++;
  }
  return best?.item ?? null;
}

/** The words whose lines align in a model, by run of lines: what is declared, and what is learned. */
const aligned: readonly ReadonlySet<TokenType>[] = [
  new Set([t.Input, t.View, t.Net, t.Target, t.Owning, t.Let, ...['param', 'state', 'memory', 'table'].flatMap((w) => t.keywords.get(w) ?? [])]),
  new Set([t.Represent, ...t.objectiveWords.flatMap((w) => t.keywords.get(w) ?? [])]),
];

function groupOf(line: Line, inModel: boolean): number {
  const first = line.items[0];
  if (first === undefined || !first.starts) return -1;
  if (first.key) return aligned.length;
  return inModel && line.indent === 2 ? aligned.findIndex((group) => group.has(first.token.tokenType)) : -1;
}

function write(lines: readonly Line[]): string {
  const out: string[] = [];
  let inModel = false;
  let runEnd = 0;
  let width = 0;
  const groups = lines.map((line) => {
    const first = line.items[0];
    if (line.indent === 0 && first?.starts === true) inModel = first.token.tokenType === t.Model;
    return groupOf(line, inModel);
  });
  for (const [i, line] of lines.entries()) {
    const first = line.items[0];
    const previous = lines[i - 1];
    if (first === undefined) continue;
    const opens = previous?.items.at(-1)?.token.tokenType === t.BraceOpen;
    const closes = first.token.tokenType === t.BraceClose && !first.comment;
    if (i > 0 && first.blankBefore && !opens && !closes) out.push('');
    const group = groups[i] ?? -1;
    let text = lineText(line);
    if (group >= 0) {
      if (i >= runEnd) {
        // A run of lines that align: its width is that of its longest first word.
        width = 0;
        for (runEnd = i; runEnd < lines.length && groups[runEnd] === group && (runEnd === i || lines[runEnd]?.items[0]?.blankBefore !== true); runEnd++) {
          width = Math.max(width, lines[runEnd]?.items[0]?.text.length ?? 0);
        }
      }
      text = text.slice(0, line.indent) + first.text.padEnd(width) + text.slice(line.indent + first.text.length);
    }
    out.push(text.trimEnd());
  }
  return out.length === 0 ? '' : `${out.join('\n')}\n`;
}
