/** The formatter: idempotent, keeps meaning and comments, on every program and on badly laid out variants of them. */
import { describe, expect, test } from 'vitest';
import { markTokens } from '../../grammar/mark-tokens.js';
import { parse } from '../../grammar/parse.js';
import { format, maximumColumns } from '../../grammar/print.js';
import { syntaxDigest } from '../../grammar/syntax-digest.js';
import { northStar, programs } from './corpus.js';

const file = (text: string) => ({ name: '<input>', text });
const formatted = (text: string) => {
  const result = format(file(text));
  expect(result.diagnostics).toEqual([]);
  return result.text;
};
const comments = (text: string) => markTokens(file(text)).comments.map((c) => c.image.trimEnd());
const meaning = (text: string) => syntaxDigest(parse(file(text)).module);

describe('every program keeps its meaning and comments, and formatting again changes nothing', () => {
  test.each(programs.map((p) => [p.name, p.text] as const))('%s', (_, text) => {
    const once = formatted(text);
    expect(formatted(once)).toBe(once);
    expect(meaning(once)).toBe(meaning(text));
    expect(comments(once)).toEqual(comments(text));
  });
  test.each(programs.map((p) => [p.name, p.text] as const))('%s, laid out badly', (_, text) => {
    // Lines lose their indentation, and brackets get spaces and newlines.
    const bad = text.replace(/^[ ]+/gm, '').replace(/^([^/"]*?), /gm, '$1 ,\n').replace(/\n\n/g, '\n\n\n\n');
    expect(parse(file(bad)).diagnostics).toEqual([]);
    const once = formatted(bad);
    expect(formatted(once)).toBe(once);
    expect(meaning(once)).toBe(meaning(bad));
    expect(comments(once)).toEqual(comments(bad));
  });
});

test('the north-star programs as formatted', async () => {
  await expect(northStar.map((p) => `// ${p.name}\n${formatted(p.text)}`).join('\n')).toMatchFileSnapshot('formatted.txt');
});

test.each([
  ['fn f(x:[])=x', 'fn f(x: []) = x\n'],
  ['fn f( a : [ ] )=-a ^ 2*3', 'fn f(a: []) = -a^2*3\n'],
  ['fn f(x: [*S,C]) {\nlet y=x;let z=y\n\n\n\nz}', 'fn f(x: [*S, C]) {\n  let y = x\n  let z = y\n\n  z\n}\n'],
  ['fn f(x: []) {let y=x;y}', 'fn f(x: []) { let y = x; y }\n'],
  ['use std.vision{a,b as c,}', 'use std.vision { a, b as c }\n'],
  ['fn f(x: []) = g(10 %, 30 deg, 3 epochs)'.replace('10 %', '10%'), 'fn f(x: []) = g(10%, 30deg, 3 epochs)\n'],
  ['fn f(x: []) = 1 - -x', 'fn f(x: []) = 1 - -x\n'],
  ['fn f(x: [])=(0.2 .. 1.0)', 'fn f(x: []) = (0.2..1.0)\n'],
  ['train m{seed -1;batch(3)}', 'train m { seed -1; batch (3) }\n'],
  ['', ''],
  ['// only a comment', '// only a comment\n'],
])('%j', (text, expected) => expect(formatted(text)).toBe(expected));

test('comments stay with their lines', () => {
  const text = `// head\nmodel m { // opens\n    // above x\n  input x: [D]// beside x\n  // above f\n  net f = g(1, // one\n    2 // two\n  )\n  // last\n} // closes\n`;
  expect(formatted(text)).toBe(
    `// head\nmodel m {  // opens\n  // above x\n  input x: [D]  // beside x\n  // above f\n  net f = g(1,  // one\n    2  // two\n  )\n  // last\n}  // closes\n`,
  );
});

test('long lines break, and stay broken alike', () => {
  const args = Array.from({ length: 40 }, (_, i) => `argument${i}: ${i}`).join(', ');
  const pipes = Array.from({ length: 20 }, (_, i) => `|> layer${i}(${i})`).join(' ');
  const sums = Array.from({ length: 30 }, (_, i) => `value${i} * ${i}`).join(' + ');
  const text = `fn f(x: []) = g(${args})\nfn g(x: []) = x ${pipes}\nfn h(x: []) = { let y = ${sums}; y }\n`;
  const once = formatted(text);
  for (const line of once.split('\n')) expect(line.length).toBeLessThanOrEqual(maximumColumns);
  expect(formatted(once)).toBe(once);
});

test('a body hangs from its header, whatever braces the header has on a continued line', () => {
  const text = 'model m(a: string = "x",\n  b: int = if a == "x" { 1 } else { 2 }, c: int = 3) {\n  let d = c\n}\n';
  expect(formatted(text)).toBe(text);
});

test('a file with errors is left alone', () => {
  const text = 'fn  f(x: []) = (x\n';
  const result = format(file(text));
  expect(result.text).toBe(text);
  expect(result.diagnostics.map((d) => d.code)).toEqual(['SSL0005']);
});
