/** SSL0: what the parser and the printer say. */
import { entry } from '../diagnostic.js';

const suggestion = (word: string | null): string | null => (word === null ? null : `did you mean \`${word}\`?`);

export const syntaxCodes = {
  SSL0001: entry<{ expected: string; found: string; help?: string | null }>({
    severity: 'error',
    title: (a) => `expected ${a.expected}, found ${a.found}`,
    label: (a) => `expected ${a.expected}`,
    help: (a) => a.help ?? null,
  }),
  SSL0002: entry<{ characters: string; help: string | null }>({
    severity: 'error',
    title: (a) => `no part of the language is written \`${a.characters}\``,
    help: (a) => a.help,
  }),
  SSL0003: entry<Record<string, never>>({
    severity: 'error',
    title: () => 'this text has no closing quote on its line',
    label: () => 'opened here',
    help: () => 'end the text with `"`; a quote inside it is written `\\"`',
  }),
  SSL0004: entry<{ text: string; help: string }>({
    severity: 'error',
    title: (a) => `\`${a.text}\` is not a number`,
    help: (a) => a.help,
  }),
  SSL0005: entry<{ open: string; close: string }>({
    severity: 'error',
    title: (a) => `expected \`${a.close}\`: the \`${a.open}\` is never closed`,
    label: (a) => `\`${a.close}\` is missing by here`,
    help: () => null,
  }),
  SSL0006: entry<{ found: string; expected: string | null }>({
    severity: 'error',
    title: (a) => (a.expected === null ? `nothing is open that \`${a.found}\` could close` : `expected \`${a.expected}\`, found \`${a.found}\``),
    help: (a) => (a.expected === null ? `remove the \`${a.found}\`` : null),
  }),
  SSL0007: entry<{ word: string; place: 'declaration' | 'statement'; suggestion: string | null; help: string | null }>({
    severity: 'error',
    title: (a) => `no ${a.place} begins with \`${a.word}\``,
    help: (a) =>
      a.help ??
      suggestion(a.suggestion) ??
      (a.place === 'declaration'
        ? 'a file holds `use`, `fn`, `layer`, `backbone`, `energy`, `regularizer`, `view`, `optimizer`, `schedule`, `data`, `model` and `train`'
        : 'write an operator or a comma between two names, or begin the line with `let`, `param`, `net`, `minimize` or the like'),
  }),
  SSL0008: entry<{ found: string }>({
    severity: 'error',
    title: (a) => `expected a declaration, found ${a.found}`,
    help: () => 'values and statements stand inside a declaration such as `fn`, `layer` or `model`',
  }),
  SSL0009: entry<{ limit: number; what: 'brackets' | 'operators' | 'levels' }>({
    severity: 'error',
    title: (a) => (a.what === 'brackets' ? `brackets nest deeper than ${a.limit}` : `this expression has more than ${a.limit} ${a.what}`),
    help: () => 'name the inner parts with `let`',
  }),
  SSL0010: entry<Record<string, never>>({
    severity: 'error',
    title: () => 'the value of this line is not used',
    help: () => 'only the last line of a body is its result; give the value a name with `let`, or remove the line',
  }),
  SSL0011: entry<Record<string, never>>({
    severity: 'error',
    title: () => 'comments are written `//`',
    help: () => 'begin every line of the comment with `//`, or with `///` to document what follows',
  }),
  SSL0012: entry<{ name: string; problem: 'untyped' | 'default' }>({
    severity: 'error',
    title: (a) => (a.problem === 'untyped' ? `the input \`${a.name}\` has no type` : `the input \`${a.name}\` has a default`),
    help: (a) =>
      a.problem === 'untyped'
        ? `write its axes, such as \`${a.name}: [H, W, C]\`, or \`${a.name}: []\` for a single number`
        : `settings stand in a list before the inputs: \`(${a.name}: ...)(x: [D])\``,
  }),
  SSL0013: entry<Record<string, never>>({
    severity: 'error',
    title: () => '`else` follows neither an `if` nor a read',
    help: () => 'write `x[i - 1] else 0` for a read outside the tensor, or `if c { a } else { b }`',
  }),
  SSL0014: entry<{ problem: string; help: string | null }>({
    severity: 'error',
    title: (a) => a.problem,
    help: (a) => a.help,
  }),
  SSL0015: entry<{ operator: string }>({
    severity: 'error',
    title: (a) => `\`${a.operator}\` compares two values, not three`,
    help: () => 'write `a < b and b < c`',
  }),
  SSL0016: entry<{ name: string; suggestion: string | null }>({
    severity: 'error',
    title: (a) => `\`${a.name}\` is not an element type`,
    help: (a) => suggestion(a.suggestion) ?? 'element types are `f32` (or nothing), `int`, `u8` and `bool`',
  }),
  SSL0017: entry<{ escape: string }>({
    severity: 'error',
    title: (a) => `\`${a.escape}\` means nothing in a text`,
    help: () => 'a text knows `\\"`, `\\\\`, `\\n` and `\\t`; write a backslash as `\\\\`',
  }),
  SSL0018: entry<{ name: string }>({
    severity: 'error',
    title: (a) => `the setting \`${a.name}\` has the type of a tensor`,
    help: () => 'settings are `int`, `float`, `bool`, `string`, `range` or `net`; tensors go in the list of inputs after them',
  }),
  SSL0019: entry<{ limit: string }>({
    severity: 'error',
    title: (a) => `this file has more than ${a.limit}`,
    help: () => 'split it into several files and join them with `use`; data belongs in data files',
  }),
};
