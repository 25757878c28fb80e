/** A syntax tree as one line of text without places: equal texts are equal programs. For the printer and for tests. */
import type { Module } from './ast.js';

/** The tree as a compact s-expression: `(kind field ...)`, spans and documentation left out, nulls as `_`. */
export function syntaxDigest(module: Module): string {
  return digest(module);
}

function digest(value: unknown): string {
  if (value === null) return '_';
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value !== 'object') return String(value);
  if (Array.isArray(value)) return `[${value.map(digest).join(' ')}]`;
  const fields: readonly [string, unknown][] = Object.entries(value);
  const kind = fields.find(([name]) => name === 'kind');
  const parts = fields.filter(([name]) => name !== 'kind' && name !== 'span' && name !== 'fromSpan').sort(([a], [b]) => (a < b ? -1 : 1));
  const text = fields.find(([name]) => name === 'text');
  if (kind === undefined && text !== undefined && parts.length === 1) return String(text[1]);
  return `(${[...(kind === undefined ? [] : [String(kind[1])]), ...parts.map(([name, part]) => `${name}=${digest(part)}`)].join(' ')})`;
}
