/**
 * The token types of `.ssl` and its lexer. The lexer knows no keywords: every word is a `Word`, and `mark-tokens.ts`
 * decides from its place whether it is a keyword, so that `target`, `data` or `table` stay usable as names.
 */
import { createToken, Lexer, type TokenType } from 'chevrotain';

export const Word = createToken({ name: 'Word', pattern: /[A-Za-z_]\w*/, label: 'a name' });
export const NumberLiteral = createToken({ name: 'Number', pattern: /\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?/, label: 'a number' });
export const StringLiteral = createToken({ name: 'String', pattern: /"(?:[^"\\\n\r]|\\[^\n\r])*"/, label: 'a text in quotes' });
/** A string whose closing quote is missing on its line; reported while marking, then read as a string. */
export const OpenString = createToken({ name: 'OpenString', pattern: /"(?:[^"\\\n\r]|\\[^\n\r])*\\?/ });
const Space = createToken({ name: 'Space', pattern: /[ \t\r\n\uFEFF]+/, group: Lexer.SKIPPED, line_breaks: true });
const Comment = createToken({ name: 'Comment', pattern: /\/\/[^\n\r]*/, group: 'comments' });
/** Not part of the language; lexed whole so that it is one error. */
export const BlockComment = createToken({ name: 'BlockComment', pattern: /\/\*(?:[^*]|\*(?!\/))*(?:\*\/)?/, line_breaks: true });

/** Marks a number's unit: `10 epochs`, `30deg`, `10%`. Made while marking. */
export const Unit = createToken({ name: 'Unit', pattern: Lexer.NA, label: 'a unit' });
/** Ends a statement: a newline that counts, or `;`. Made while marking. */
export const Separator = createToken({ name: 'Separator', pattern: Lexer.NA, label: 'a new line or `;`' });

/** What joins two operands, whatever its precedence. */
export const Infix = createToken({ name: 'Infix', pattern: Lexer.NA, label: 'an operator' });

const symbolTable: TokenType[] = [];
function symbol(name: string, image: string, category?: TokenType): TokenType {
  const pattern = new RegExp(image.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const type = createToken({ name, pattern, label: `\`${image}\``, ...(category && { categories: [category] }) });
  symbolTable.push(type);
  return type;
}
// Longer symbols before their prefixes.
export const PipeTo = symbol('PipeTo', '|>', Infix);
export const Arrow = symbol('Arrow', '->');
export const Gets = symbol('Gets', '<-');
export const RangeTo = symbol('RangeTo', '..', Infix);
export const Join = symbol('Join', '++', Infix);
export const Equal = symbol('Equal', '==', Infix);
export const NotEqual = symbol('NotEqual', '!=', Infix);
export const LessEqual = symbol('LessEqual', '<=', Infix);
export const GreaterEqual = symbol('GreaterEqual', '>=', Infix);
export const Less = symbol('Less', '<', Infix);
export const Greater = symbol('Greater', '>', Infix);
export const Assign = symbol('Assign', '=');
export const Draw = symbol('Draw', '~');
export const Plus = symbol('Plus', '+', Infix);
export const Minus = symbol('Minus', '-', Infix);
export const Star = symbol('Star', '*', Infix);
export const Slash = symbol('Slash', '/', Infix);
export const Percent = symbol('Percent', '%', Infix);
export const Power = symbol('Power', '^', Infix);
export const Product = symbol('Product', '@', Infix);
export const Dot = symbol('Dot', '.');
export const Comma = symbol('Comma', ',');
export const Colon = symbol('Colon', ':');
export const Semicolon = symbol('Semicolon', ';');
export const ParenOpen = symbol('ParenOpen', '(');
export const ParenClose = symbol('ParenClose', ')');
export const BracketOpen = symbol('BracketOpen', '[');
export const BracketClose = symbol('BracketClose', ']');
export const BraceOpen = symbol('BraceOpen', '{');
export const BraceClose = symbol('BraceClose', '}');

const keywordTable = new Map<string, TokenType>();
function keyword(image: string, category?: TokenType): TokenType {
  const type = createToken({ name: `Keyword_${image}`, pattern: Lexer.NA, label: `\`${image}\``, ...(category && { categories: [category] }) });
  keywordTable.set(image, type);
  return type;
}

/** The nouns that declare a function. */
export const Role = createToken({ name: 'Role', pattern: Lexer.NA, label: 'a noun such as `layer`' });
/** `param`, `state`, `memory`, `table`. */
export const Owning = createToken({ name: 'Owning', pattern: Lexer.NA, label: '`param`, `state`, `memory` or `table`' });
/** `minimize`, `regularize`, `monitor`. */
export const Objective = createToken({ name: 'Objective', pattern: Lexer.NA, label: '`minimize`, `regularize` or `monitor`' });

export const objectiveWords = ['minimize', 'regularize', 'monitor'] as const;
export const roleWords = ['fn', 'layer', 'backbone', 'energy', 'regularizer', 'view', 'optimizer', 'schedule', 'data', 'plan'] as const;
for (const role of roleWords) if (role !== 'view') keyword(role, Role);
for (const word of ['param', 'state', 'memory', 'table']) keyword(word, Owning);
for (const word of objectiveWords) keyword(word, Objective);
export const View = keyword('view');
export const Use = keyword('use');
export const Model = keyword('model');
export const Train = keyword('train');
export const Let = keyword('let');
export const Update = keyword('update');
export const Input = keyword('input');
export const Net = keyword('net');
export const Target = keyword('target');
export const Latent = keyword('latent');
export const Represent = keyword('represent');
export const Stage = keyword('stage');
export const Every = keyword('every');
export const Repeat = keyword('repeat');
export const Group = keyword('group');
export const Once = keyword('once');
export const Reset = keyword('reset');
export const If = keyword('if');
export const Else = keyword('else', Infix);
export const For = keyword('for');
export const In = keyword('in');
export const Where = keyword('where');
export const And = keyword('and', Infix);
export const Or = keyword('or', Infix);
export const Not = keyword('not');
export const True = keyword('true');
export const False = keyword('false');
export const Over = keyword('over', Infix);
export const As = keyword('as');
export const Argmin = keyword('argmin');
export const From = keyword('from');
export const Steps = keyword('steps');
export const Rate = keyword('rate');
export const By = keyword('by');

/** Keywords by their spelling. */
export const keywords: ReadonlyMap<string, TokenType> = keywordTable;

/** Every token type, for the parser's vocabulary. */
export const vocabulary: TokenType[] = [
  Space, Comment, BlockComment, StringLiteral, OpenString, NumberLiteral, Word, ...symbolTable,
  Infix, Unit, Separator, Role, Owning, Objective, ...keywordTable.values(),
];

/** The lexer. Errors are the characters that begin no token. */
export const lexer = new Lexer(
  [Space, Comment, BlockComment, StringLiteral, OpenString, NumberLiteral, Word, ...symbolTable],
  { positionTracking: 'onlyOffset', ensureOptimizations: true },
);
