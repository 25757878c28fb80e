/**
 * Between lexer and parser: decides which words are keywords (by place, so that `data` or `target` stay names), which
 * newlines end a statement, and which numbers have units. What it reports it also repairs, so that the parser does
 * not report it again.
 *
 * A newline ends a statement unless inside `( )` or `[ ]`, or the line before ends in an operator or the next begins
 * with one other than `-`, `(` and `[`, which begin a new statement (but `(` continues a declaration's header).
 */
import type { IToken, TokenType } from 'chevrotain';
import { createTokenInstance } from 'chevrotain';
import { balanceBrackets, virtualToken } from './balance-brackets.js';
import type { Diagnostic } from './diagnostics/diagnostic.js';
import { diagnostic } from './diagnostics/report.js';
import { suggest } from './diagnostics/suggest.js';
import type { SourceFile } from './span.js';
import * as t from './tokens.js';

export interface Marked {
  /** What the parser reads. */
  readonly tokens: IToken[];
  readonly comments: readonly IToken[];
  readonly diagnostics: readonly Diagnostic[];
}

/** Where a `{` stands decides which words begin its lines. */
type Place = 'top' | 'body' | 'train' | 'actions' | 'entries' | 'stage' | 'use' | 'group';
interface Context {
  readonly place: Place;
  /** The keyword that began the current statement. */
  lead: TokenType | null;
  atStart: boolean;
  /** Between a declaration's name and its body, where `(` may begin a line. */
  header: boolean;
}

const anywhere = new Set<TokenType>([t.If, t.Else, t.For, t.In, t.Where, t.And, t.Or, t.Not, t.True, t.False, t.Over]);
const declarationKeywords: readonly string[] = ['use', 'model', 'train', ...t.roleWords];
const statementKeywords: readonly string[] = [
  'let', 'param', 'state', 'memory', 'table', 'update', 'repeat', 'input', 'net', 'target', 'latent', ...t.objectiveWords, 'represent', 'stage', ...t.roleWords,
];
const units = new Map([['deg', 'deg'], ['epochs', 'epochs'], ['epoch', 'epochs'], ['steps', 'steps'], ['step', 'steps'], ['examples', 'examples'], ['example', 'examples']]);

/** Words of other languages, and what to write. */
const foreign = new Map([
  ['import', 'names come in with `use std.vision { resnet18 }`'],
  ['from', 'names come in with `use std.vision { resnet18 }`'],
  ['def', 'a helper is declared with `fn`'],
  ['function', 'a helper is declared with `fn`'],
  ['func', 'a helper is declared with `fn`'],
  ['class', 'what owns parameters is declared with `layer`'],
  ['module', 'what owns parameters is declared with `layer`'],
  ['loss', 'a score of a pair is an `energy`; what a model lowers is `minimize name: ...`'],
  ['var', 'a value is named with `let`'],
  ['const', 'a value is named with `let`'],
  ['return', 'the last line of a body is its result; leave `return` out'],
  ['parameter', 'weights are declared with `param`'],
]);

/** The unit a word after a number stands for. */
export function unitOf(word: string): string {
  return units.get(word) ?? word;
}

/** Token types that leave a statement unfinished at the end of a line. */
const unfinished = new Set<TokenType>([t.Assign, t.Draw, t.Gets, t.Colon, t.Comma, t.Dot, t.Arrow, t.In, t.Where, t.For, t.Not, t.If]);
/** Token types that cannot begin a statement. */
const continuing = new Set<TokenType>([t.Assign, t.Draw, t.Gets, t.Colon, t.Comma, t.Dot, t.Arrow, t.In, t.Where, t.For, t.BraceOpen, t.ParenClose, t.BracketClose, t.BraceClose]);
const isInfix = (type: TokenType): boolean => type.CATEGORIES?.includes(t.Infix) === true;
const opening = new Set<TokenType>([t.ParenOpen, t.BracketOpen, t.BraceOpen]);
const closing = new Set<TokenType>([t.ParenClose, t.BracketClose, t.BraceClose]);

const endOf = (token: IToken): number => token.startOffset + token.image.length;

/** A file longer than any person writes would only be slow to refuse. */
export const maximumCharacters = 4_000_000;
export const maximumTokens = 100_000;

export function markTokens(source: SourceFile): Marked {
  const tooLong = (limit: string): Marked => ({
    tokens: [],
    comments: [],
    diagnostics: [diagnostic('SSL0019', { file: source.name, start: 0, end: 0 }, { limit })],
  });
  if (source.text.length > maximumCharacters) return tooLong('4 million characters');
  const lexed = t.lexer.tokenize(source.text);
  const diagnostics: Diagnostic[] = [];
  const span = (start: number, end: number) => ({ file: source.name, start, end });

  if (lexed.tokens.length > maximumTokens) return tooLong('100,000 words and signs');
  for (const error of lexed.errors) {
    const characters = source.text.slice(error.offset, error.offset + error.length);
    const help = unknownCharacterHelp(characters);
    diagnostics.push(diagnostic('SSL0002', span(error.offset, error.offset + error.length), { characters: printable(characters), help }));
  }
  const words: IToken[] = [];
  for (const token of lexed.tokens) {
    // The lexer tracks starts only; the parser's node locations want ends too.
    token.endOffset = token.startOffset + token.image.length - 1;
    if (token.tokenType === t.BlockComment) diagnostics.push(diagnostic('SSL0011', span(token.startOffset, token.startOffset + 2), {}));
    else if (token.tokenType === t.OpenString) {
      diagnostics.push(diagnostic('SSL0003', span(token.startOffset, token.startOffset + 1), {}));
      words.push(retype(token, t.StringLiteral));
    } else words.push(token);
  }
  const numbers = checkNumbers(words, source, diagnostics);
  const balanced = balanceBrackets(numbers, source);
  // A text without its closing quote swallows the brackets that closed its line: one cause, one error.
  const swallowed = lexed.tokens.filter((token) => token.tokenType === t.OpenString).map((token) => token.startOffset);
  for (const found of balanced.diagnostics) {
    const opened = found.related[0]?.span.start;
    const isCause = (at: number) => opened !== undefined && opened < at && !hasNewline(source.text, opened, at);
    if (found.code !== 'SSL0005' || !swallowed.some(isCause)) diagnostics.push(found);
  }
  const tokens = mark(balanced.tokens, source, diagnostics);
  return { tokens, comments: lexed.groups['comments'] ?? [], diagnostics };
}

function retype(token: IToken, type: TokenType): IToken {
  return createTokenInstance(type, token.image, token.startOffset, token.startOffset + token.image.length - 1, NaN, NaN, NaN, NaN);
}

function printable(characters: string): string {
  const text = characters.length > 12 ? `${characters.slice(0, 12)}...` : characters;
  return text.replace(/[\u0000-\u001f\u007f]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function unknownCharacterHelp(characters: string): string | null {
  switch (characters[0]) {
    case "'":
    case '`':
    case '\u201c':
    case '\u201d':
      return 'a text stands between straight double quotes: `"data/cifar-10"`';
    case '&':
      return 'write `and`';
    case '|':
      return 'write `or`, or `|>` to apply a function';
    case '!':
      return 'write `not`, or `!=` to compare';
    case '#':
      return 'a comment begins with `//`';
    case '\u2212':
    case '\u2013':
      return 'write the minus sign as `-`';
    default:
      return null;
  }
}

/** Reports what is nearly a number (`1.2.3`, `5.`, `.5`, `0x1f`, `12px`) and keeps its sound part. */
function checkNumbers(tokens: readonly IToken[], source: SourceFile, diagnostics: Diagnostic[]): IToken[] {
  const out: IToken[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i];
    if (token === undefined) continue;
    const next = tokens[i + 1];
    const touches = (a: IToken | undefined, b: IToken | undefined) => a !== undefined && b !== undefined && endOf(a) === b.startOffset;
    const report = (start: number, end: number, help: string) =>
      diagnostics.push(diagnostic('SSL0004', { file: source.name, start, end }, { text: shorten(source.text.slice(start, end)), help }));
    if (token.tokenType === t.Dot && next?.tokenType === t.NumberLiteral && touches(token, next)) {
      const previous = out.at(-1);
      const operand = previous !== undefined && [t.Word, t.ParenClose, t.BracketClose].includes(previous.tokenType) && touches(previous, token);
      if (!operand) {
        report(token.startOffset, endOf(next), `write \`0${source.text.slice(token.startOffset, endOf(next)).slice(0, 20)}\``);
        continue;
      }
    }
    out.push(token);
    if (token.tokenType !== t.NumberLiteral) continue;
    if (!Number.isFinite(Number(token.image.replaceAll('_', '')))) report(token.startOffset, endOf(token), 'the largest number is about 1.8e308');
    let last = i;
    while (touches(tokens[last], tokens[last + 1]) && [t.Dot, t.NumberLiteral, t.Word].includes(tokens[last + 1]?.tokenType ?? t.Comma)) last++;
    const tail = tokens[last];
    if (last === i || tail === undefined) continue;
    if (last === i + 1 && tail.tokenType === t.Word && units.has(tail.image)) continue;
    const trailingDot = last === i + 1 && tail.tokenType === t.Dot;
    report(
      token.startOffset,
      endOf(tail),
      trailingDot ? `write \`${token.image}\` or \`${token.image}.0\`` : 'numbers are written `12`, `0.5`, `1e-4` or `1_000`; units are `deg`, `%`, `epochs`, `steps` and `examples`',
    );
    i = last;
  }
  return out;
}

const shorten = (text: string): string => (text.length > 30 ? `${text.slice(0, 30)}...` : text);

function mark(tokens: readonly IToken[], source: SourceFile, diagnostics: Diagnostic[]): IToken[] {
  const out: IToken[] = [];
  const context = (place: Place): Context => ({ place, lead: null, atStart: true, header: false });
  const contexts: Context[] = [context('top')];
  let pending: IToken | null = null;
  let skipping = false;
  let sawArgmin = false;
  const span = (token: IToken) => ({ file: source.name, start: token.startOffset, end: endOf(token) });

  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i];
    if (token === undefined) continue;
    const here = contexts.at(-1) ?? context('top');
    const next = tokens[i + 1];
    const before = tokens[i - 1];
    const previous = out.at(-1);
    const newline = before !== undefined && hasNewline(source.text, endOf(before), token.startOffset);

    if (skipping && (contexts.length > 1 || !(newline || token.tokenType === t.Semicolon))) {
      // Past a line that begins no declaration: only brackets matter, up to the next line outside of them.
      if (opening.has(token.tokenType)) contexts.push(context('group'));
      else if (closing.has(token.tokenType) && contexts.length > 1) contexts.pop();
      continue;
    }
    skipping = false;

    // A statement ends here?
    if (here.place !== 'group') {
      if (token.tokenType === t.Semicolon) {
        if (!here.atStart) pending = token;
        here.atStart = true;
        continue;
      }
      if (newline && !here.atStart && !continues(previous, token, next, here)) {
        pending = virtualToken(t.Separator, previous === undefined ? token.startOffset : endOf(previous));
        here.atStart = true;
      }
    }

    let type = token.tokenType;
    const starts = here.atStart && here.place !== 'group' && !closing.has(type);
    if (type === t.Word) {
      type = anywhereKeyword(token, previous, next, here);
      if (starts) {
        const lead = leadKeyword(token, next, here.place);
        if (lead !== null) type = lead;
        else if (type === t.Word && isMistake(token, next, here.place, source)) {
          const mistake = reportWord(token, here.place === 'top' ? 'declaration' : 'statement', diagnostics, span(token));
          if (mistake === null && here.place === 'top') skipping = true;
          if (mistake === null && here.place !== 'top') continue;
          type = mistake ?? type;
        } else if (type === t.Word && here.place === 'top') {
          diagnostics.push(diagnostic('SSL0008', span(token), { found: `\`${shorten(token.image)}\`` }));
          skipping = true;
        }
        here.header = type === t.Role || (type.CATEGORIES?.includes(t.Role) ?? false) || type === t.View;
        sawArgmin = false;
      } else if (here.lead === t.Stage && previous?.tokenType !== t.Stage && (token.image === 'every' || token.image === 'once')) type = t.keywords.get(token.image) ?? type;
      else if (here.lead === t.Latent && here.place !== 'group') {
        if (token.image === 'argmin' && previous?.tokenType === t.Assign) {
          type = t.Argmin;
          sawArgmin = true;
        } else if (sawArgmin && previous?.tokenType !== t.Argmin && ['from', 'steps', 'rate', 'by'].includes(token.image)) type = t.keywords.get(token.image) ?? type;
      } else if (here.place === 'use' && token.image === 'as' && previous?.tokenType === t.Word) type = t.As;
      const unit = previous?.tokenType === t.NumberLiteral && !newline && !starts && type === t.Word && units.has(token.image);
      if (unit) type = t.Unit;
    } else if (type === t.Percent && isPercentSign(previous, token, next, source)) type = t.Unit;
    else if (starts && here.place === 'top') {
      diagnostics.push(diagnostic('SSL0008', span(token), { found: `\`${shorten(token.image)}\`` }));
      skipping = true;
    }
    if (skipping) {
      if (opening.has(type)) contexts.push(context('group'));
      here.atStart = true;
      continue;
    }
    if (starts) {
      if (pending !== null && out.length > 0) out.push(pending.tokenType === t.Separator ? pending : retype(pending, t.Separator));
      pending = null;
      here.atStart = false;
      here.lead = type;
    }

    if (opening.has(type)) {
      if (here.place !== 'group' && type === t.BraceOpen) here.header = false;
      contexts.push(context(type === t.BraceOpen ? placeOf(here) : 'group'));
    } else if (closing.has(type)) {
      if (contexts.length > 1) contexts.pop();
      pending = null;
      const last = out.at(-1);
      const beforeComma = out.at(-2);
      if (last?.tokenType === t.Comma && beforeComma !== undefined && !opening.has(beforeComma.tokenType)) out.pop();
    } else if (type === t.Assign || type === t.Draw) here.header = false;
    out.push(type === token.tokenType ? token : retype(token, type));
  }
  return out;
}

/** Words that are keywords wherever they stand, unless they plainly are a member or an argument's name. */
function anywhereKeyword(token: IToken, previous: IToken | undefined, next: IToken | undefined, here: Context): TokenType {
  const type = t.keywords.get(token.image);
  if (type === undefined || !anywhere.has(type)) return t.Word;
  if (previous?.tokenType === t.Dot) return t.Word;
  if (here.place === 'group' && next?.tokenType === t.Colon && (previous?.tokenType === t.ParenOpen || previous?.tokenType === t.Comma)) return t.Word;
  return type;
}

/** The keyword that this first word of a line is, if it is one. */
function leadKeyword(token: IToken, next: IToken | undefined, place: Place): TokenType | null {
  const type = t.keywords.get(token.image) ?? null;
  if (type === null) return null;
  const name = next?.tokenType === t.Word && !anywhere.has(t.keywords.get(next.image) ?? t.Word);
  const follows = name || next === undefined || [t.Assign, t.Draw, t.Colon, t.NumberLiteral, t.BraceOpen].includes(next.tokenType);
  switch (place) {
    case 'top':
      return declarationKeywords.includes(token.image) ? type : null;
    case 'body':
      if (type === t.Let || type === t.Represent) return type;
      return follows && (statementKeywords.includes(token.image) || (name && declarationKeywords.includes(token.image))) ? type : null;
    case 'train':
      return type === t.Every || type === t.Group ? type : null;
    case 'stage':
      return type === t.Let || (type === t.Reset && name) ? type : null;
    case 'actions':
    case 'entries':
    case 'use':
    case 'group':
      return null;
  }
}

/** Two words side by side begin no statement: the first is a keyword misspelt. */
function isMistake(token: IToken, next: IToken | undefined, place: Place, source: SourceFile): boolean {
  if (place !== 'top' && place !== 'body') return false;
  if (next?.tokenType !== t.Word || hasNewline(source.text, endOf(token), next.startOffset)) return false;
  return !anywhere.has(t.keywords.get(next.image) ?? t.Word) || foreign.has(token.image);
}

/** Reports an unknown first word; the keyword it stands for, or null. */
function reportWord(token: IToken, place: 'declaration' | 'statement', diagnostics: Diagnostic[], span: Diagnostic['span']): TokenType | null {
  const help = foreign.get(token.image) ?? null;
  const suggestion = help === null ? suggest(token.image, place === 'declaration' ? declarationKeywords : statementKeywords) : null;
  diagnostics.push(diagnostic('SSL0007', span, { word: shorten(token.image), place, suggestion, help }));
  return suggestion === null ? null : (t.keywords.get(suggestion) ?? null);
}

function placeOf(here: Context): Place {
  if (here.place === 'group') return 'body';
  switch (here.lead) {
    case t.Train:
      return 'train';
    case t.Every:
      return 'actions';
    case t.Group:
      return 'entries';
    case t.Stage:
      return 'stage';
    case t.Use:
      return 'use';
    default:
      return 'body';
  }
}

function continues(previous: IToken | undefined, token: IToken, next: IToken | undefined, here: Context): boolean {
  if (here.place === 'use') return true;
  // Two names side by side begin a new line's statement, whatever the line before left open.
  const isName = (word: IToken | undefined) => word?.tokenType === t.Word && !anywhere.has(t.keywords.get(word.image) ?? t.Word);
  if (isName(token) && isName(next) && (here.place === 'body' || here.place === 'top') && previous?.tokenType !== t.Comma) return false;
  if (previous !== undefined && (isInfix(previous.tokenType) || unfinished.has(previous.tokenType))) return true;
  if (here.header && token.tokenType === t.ParenOpen) return true;
  const type = token.tokenType === t.Word ? t.keywords.get(token.image) : token.tokenType;
  if (type === undefined) return false;
  if (token.tokenType === t.Word && !anywhere.has(type)) return false;
  return continuing.has(type) || (isInfix(type) && type !== t.Minus);
}

/** `10%` is a percentage when the sign touches the number and nothing follows that a remainder could be taken by. */
function isPercentSign(previous: IToken | undefined, token: IToken, next: IToken | undefined, source: SourceFile): boolean {
  if (previous?.tokenType !== t.NumberLiteral || endOf(previous) !== token.startOffset) return false;
  if (next === undefined || hasNewline(source.text, endOf(token), next.startOffset)) return true;
  const operand = next.tokenType === t.Word ? !isInfix(t.keywords.get(next.image) ?? t.Word) : [t.NumberLiteral, t.ParenOpen, t.StringLiteral].includes(next.tokenType);
  return !operand;
}

function hasNewline(text: string, from: number, to: number): boolean {
  for (let i = from; i < to; i++) {
    const c = text.charCodeAt(i);
    if (c === 10 || c === 13) return true;
  }
  return false;
}
