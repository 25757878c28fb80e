/**
 * The grammar as a person reads it: EBNF written from the parser's own rules, so that the manual cannot disagree with
 * the program. Words of small classes and what tokens look like come last.
 */
import type { TokenType } from 'chevrotain';
import { serializedGrammar, type Production } from './parser.js';
import { Infix, Objective, Owning, Role, vocabulary } from './tokens.js';

/** All rules, in the parser's order. */
export function grammarAsEbnf(): string {
  const rules = serializedGrammar();
  const width = Math.max(...rules.map((r) => (r.name ?? '').length));
  const words = (category: TokenType): string => vocabulary.filter((t) => t.CATEGORIES?.includes(category) === true).map((t) => terminal(t.name)).join(' | ');
  const lines = [
    ...rules.map((rule) => [rule.name ?? '', sequence(rule.definition ?? [])]),
    ['Role', words(Role)], ['Owning', words(Owning)], ['Objective', words(Objective)], ['Infix', words(Infix)],
    ['Word', '/[A-Za-z_][A-Za-z0-9_]*/'], ['Number', '/[0-9][0-9_]*(\\.[0-9][0-9_]*)?([eE][+-]?[0-9]+)?/'], ['String', '/"[^"]*"/'],
    ['Unit', '"deg" | "%" | "epochs" | "steps" | "examples"'], ['Separator', '";" | a new line'],
  ];
  return lines.map(([name, text]) => wrap(`${name.padEnd(width)} = `, text)).join('');
}

/** Breaks long rules before `|`, aligned. */
function wrap(head: string, text: string): string {
  if (head.length + text.length <= 120) return `${head}${text}\n`;
  const pieces = splitAlternatives(text);
  const indent = ' '.repeat(head.length - 2);
  return pieces.length === 1 ? `${head}${text}\n` : `${head}${pieces.join(`\n${indent}| `)}\n`;
}

/** Alternatives at the outermost level. */
function splitAlternatives(text: string): readonly string[] {
  const pieces: string[] = [];
  let depth = 0;
  let start = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '"') quoted = !quoted;
    if (quoted) continue;
    if (text[i] === '(') depth++;
    else if (text[i] === ')') depth--;
    else if (depth === 0 && text.startsWith(' | ', i)) {
      pieces.push(text.slice(start, i));
      start = i + 3;
    }
  }
  return [...pieces, text.slice(start)];
}

function sequence(parts: readonly Production[]): string {
  const shown = parts.map((p) => production(p)).filter((s) => s !== '');
  if (parts.length === 1) return shown[0] ?? '';
  return shown.map((s, i) => (parts[i].type === 'Alternation' ? `(${s})` : s)).join(' ');
}

function production(p: Production): string {
  const inner = (): string => sequence(p.definition ?? []);
  const grouped = (): string => { const s = inner(); return /^("[^"]*"|\w+)$/.test(s) ? s : `(${s})`; };
  const separated = (): string => `${grouped()} (${separatorOf(p)} ${grouped()})*`;
  switch (p.type) {
    case 'NonTerminal': return p.name ?? '';
    case 'Terminal': return terminal(p.name ?? '');
    case 'Option': return `${grouped()}?`;
    case 'Repetition': return `${grouped()}*`;
    case 'RepetitionMandatory': return `${grouped()}+`;
    case 'RepetitionWithSeparator': return `(${separated()})?`;
    case 'RepetitionMandatoryWithSeparator': return separated();
    case 'Alternation': return (p.definition ?? []).map((d) => sequence(d.definition ?? [])).map((s) => (s === '' ? '""' : s)).join(' | ');
    default: return inner();
  }
}

function separatorOf(p: Production): string {
  return terminal(p.separator?.name ?? '');
}

/** Symbols and keywords by the name of their token: their label is their spelling in backquotes. */
const spellings = new Map(vocabulary.flatMap((t) => { const m = /^`(\S+)`$/.exec(t.LABEL ?? ''); return m === null ? [] : [[t.name, m[1]] as const]; }));

function terminal(name: string): string {
  const spelling = spellings.get(name);
  return spelling === undefined ? name : `"${spelling}"`;
}
