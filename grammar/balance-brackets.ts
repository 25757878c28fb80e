/**
 * Makes brackets balance before parsing: what is never closed gets a closing token of no width where it should have
 * stood, what closes nothing is dropped, and each is reported once with the place it was opened. The parser then
 * meets balanced input, so one missing brace is one error. Well-formed input is returned as it is.
 */
import { createTokenInstance, type IToken, type TokenType } from 'chevrotain';
import { diagnostic } from './diagnostics/report.js';
import type { Diagnostic } from './diagnostics/diagnostic.js';
import type { SourceFile } from './span.js';
import * as t from './tokens.js';

/** Deeper nesting than any person writes; keeps every recursive pass far from the end of the stack. */
export const maximumNesting = 100;

const closers = new Map<TokenType, TokenType>([
  [t.ParenOpen, t.ParenClose],
  [t.BracketOpen, t.BracketClose],
  [t.BraceOpen, t.BraceClose],
]);
const closing = new Set<TokenType>(closers.values());
const images = new Map<TokenType, string>([[t.ParenClose, ')'], [t.BracketClose, ']'], [t.BraceClose, '}']]);
const declarationWords = new Set<string>([...t.roleWords, 'model', 'train', 'use']);
const statementWords = new Set<string>(['let', 'param', 'state', 'memory', 'table', 'update', 'repeat', 'input', 'net', 'target', 'latent', ...t.objectiveWords, 'represent', 'view']);

export interface Balanced {
  readonly tokens: readonly IToken[];
  readonly diagnostics: readonly Diagnostic[];
}

/** A token of no width at `offset`. */
export function virtualToken(type: TokenType, offset: number, image = ''): IToken {
  return createTokenInstance(type, image, offset, offset - 1, NaN, NaN, NaN, NaN);
}

export function balanceBrackets(tokens: readonly IToken[], source: SourceFile): Balanced {
  const stack: IToken[] = [];
  let balanced = true;
  // Conditions nest without brackets: `if if if ...`.
  let conditions = 0;
  for (const token of tokens) {
    if (token.image === 'if') conditions++;
    else if (token.tokenType === t.BraceOpen) conditions = 0;
    if (conditions > maximumNesting) return tooDeep(source, token);
    if (closers.has(token.tokenType)) {
      stack.push(token);
      if (stack.length > maximumNesting) return tooDeep(source, token);
    } else if (closing.has(token.tokenType)) {
      const open = stack.pop();
      if (open === undefined || closers.get(open.tokenType) !== token.tokenType) {
        balanced = false;
        break;
      }
    }
  }
  return balanced && stack.length === 0 ? { tokens, diagnostics: [] } : repair(tokens, source);
}

/** Nothing further is read: what nests too deeply would be reported again and again. */
function tooDeep(source: SourceFile, token: IToken): Balanced {
  const span = { file: source.name, start: token.startOffset, end: token.startOffset + token.image.length };
  return { tokens: [], diagnostics: [diagnostic('SSL0009', span, { limit: maximumNesting, what: 'brackets' })] };
}

function repair(tokens: readonly IToken[], source: SourceFile): Balanced {
  const out: IToken[] = [];
  const diagnostics: Diagnostic[] = [];
  const stack: IToken[] = [];
  let end = 0;

  const span = (start: number, stop: number) => ({ file: source.name, start, end: stop });
  const closeTop = () => {
    const open = stack.pop();
    if (open === undefined) return;
    const close = closers.get(open.tokenType) ?? t.BraceClose;
    out.push(virtualToken(close, end));
    diagnostics.push(
      diagnostic('SSL0005', span(end, end), { open: open.image, close: images.get(close) ?? '' }, [
        { span: span(open.startOffset, open.startOffset + 1), message: `\`${open.image}\` opened here` },
      ]),
    );
  };
  const closesTop = (type: TokenType) => {
    const top = stack.at(-1);
    return top !== undefined && closers.get(top.tokenType) === type;
  };

  for (const [i, token] of tokens.entries()) {
    const next = tokens[i + 1];
    if (stack.length > 0 && token.tokenType === t.Word && next?.tokenType === t.Word) {
      const lineStart = Math.max(source.text.lastIndexOf('\n', token.startOffset - 1), source.text.lastIndexOf('\r', token.startOffset - 1)) + 1;
      const indent = source.text.slice(lineStart, token.startOffset);
      if (indent === '' && lineStart > 0 && declarationWords.has(token.image)) while (stack.length > 0) closeTop();
      else if (indent.trim() === '' && statementWords.has(token.image)) {
        while (stack.length > 0 && stack.at(-1)?.tokenType !== t.BraceOpen) closeTop();
      }
    }
    if (closers.has(token.tokenType)) stack.push(token);
    else if (closing.has(token.tokenType)) {
      if (!closesTop(token.tokenType)) {
        const depth = stack.findLastIndex((open) => closers.get(open.tokenType) === token.tokenType);
        const brace = stack.findLastIndex((open) => open.tokenType === t.BraceOpen);
        if (depth >= 0 && (token.tokenType === t.BraceClose || depth > brace)) while (!closesTop(token.tokenType)) closeTop();
        else {
          const top = stack.at(-1);
          const expected = top !== undefined && top.tokenType !== t.BraceOpen && token.tokenType !== t.BraceClose ? (closers.get(top.tokenType) ?? null) : null;
          const related = top !== undefined && expected !== null ? [{ span: span(top.startOffset, top.startOffset + 1), message: `\`${top.image}\` opened here` }] : [];
          diagnostics.push(
            diagnostic('SSL0006', span(token.startOffset, token.startOffset + 1), { found: token.image, expected: expected === null ? null : (images.get(expected) ?? null) }, related),
          );
          end = token.startOffset + 1;
          if (expected !== null) {
            stack.pop();
            out.push(createTokenInstance(expected, token.image, token.startOffset, token.startOffset, NaN, NaN, NaN, NaN));
          }
          continue;
        }
      }
      stack.pop();
    }
    out.push(token);
    end = token.startOffset + token.image.length;
  }
  while (stack.length > 0) closeTop();
  return { tokens: out, diagnostics };
}
