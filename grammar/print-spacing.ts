/** Whether a space stands between two tokens that share a line, for the printer. */
import type { IToken, TokenType } from 'chevrotain';
import * as t from './tokens.js';

/** A token as the printer sees it. */
export interface Piece {
  readonly token: IToken;
  readonly text: string;
  /** A `-` or `*` that stands before a name: `-x`, `*S`. */
  readonly prefix: boolean;
  /** A `*` or `/` written without spaces on both sides keeps them away: `i*stride + di`. */
  readonly tight: boolean;
  /** The first word of an entry in a `train` block: what follows is its value, not its arguments. */
  readonly key: boolean;
}

export const isInfix = (type: TokenType): boolean => type.CATEGORIES?.includes(t.Infix) === true;
const operandEnds = new Set<TokenType>([t.Word, t.NumberLiteral, t.StringLiteral, t.Unit, t.True, t.False, t.ParenClose, t.BracketClose, t.BraceClose]);

/** Whether `token` after `previous` is a prefix: `-` where no operand came before, `*` at the head of an item in `[ ]`. */
export function isPrefix(token: IToken, previous: IToken | undefined, afterKey: boolean): boolean {
  if (token.tokenType === t.Minus) return previous === undefined || afterKey || !operandEnds.has(previous.tokenType);
  return token.tokenType === t.Star && (previous?.tokenType === t.BracketOpen || previous?.tokenType === t.Comma);
}

/** Whether to write a space between neighbours. */
export function spaced(left: Piece, right: Piece): boolean {
  const a = left.token.tokenType;
  const b = right.token.tokenType;
  if (a === t.BraceOpen) return b !== t.BraceClose;
  if (b === t.BraceClose || b === t.BraceOpen) return true;
  if (a === t.ParenOpen || a === t.BracketOpen || b === t.ParenClose || b === t.BracketClose) return false;
  if (b === t.Comma || b === t.Colon || b === t.Separator) return false;
  if (a === t.Comma || a === t.Colon || a === t.Separator) return true;
  if (a === t.Dot || b === t.Dot || a === t.RangeTo || b === t.RangeTo || a === t.Power || b === t.Power) return false;
  if (left.prefix) return false;
  if (b === t.Unit) return right.text !== '%' && right.text !== 'deg';
  if (left.tight || right.tight) return false;
  if (b === t.ParenOpen || b === t.BracketOpen) return left.key || !(a === t.Word || a === t.ParenClose || a === t.BracketClose);
  return true;
}
