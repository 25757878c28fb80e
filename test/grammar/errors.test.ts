/** What the parser says about mistakes: source and rendered errors together, and the explain pages. */
import { describe, expect, test } from 'vitest';
import { catalog } from '../../grammar/diagnostics/catalog.js';
import { syntaxCodes } from '../../grammar/diagnostics/catalog/syntax.js';
import { codes, explain, renderPage } from '../../grammar/diagnostics/pages.js';
import { renderDiagnostic, toJson } from '../../grammar/diagnostics/render.js';
import { suggest } from '../../grammar/diagnostics/suggest.js';
import { parse } from '../../grammar/parse.js';

const mistakes: Readonly<Record<string, string>> = {
  'a misspelt declaration': 'modle simclr {\n  input x: u8[H]\n}\n',
  'misspelt statements': 'model m {\n  inptu x: u8[H]\n  net f =\n  minimise a: f(x)\n  represent f(x)\n}\n',
  'brackets left open': 'model m(a: int = 3 {\n  net f = g(1, 2\n  net h = f\n}\n\nfn f(x: []) = (x\n\nfn g(y: []) = y]\n',
  'a brace left open': 'layer f(x: [A]) {\n  let y = x\n  y\n\nlayer g(x: [A]) {\n  x\n}\n',
  'a brace left open at the end': 'fn f(x: []) = x\n\nmodel m {\n  input x: [D]\n',
  'the wrong bracket': 'fn f(x: [A]) = x[0)\n',
  'other languages': "import torch\ndef f(x):\n  return x\nfn g(x: []) {\n  return x && 'a'\n}\n",
  numbers: 'fn f(x: []) = 1.2.3 + 5. + .5 + 0x10 + 12px\n',
  strings: 'train m {\n  data folder("a\\qb")\n  note "abc\n  batch 3\n}\n',
  'the end of the file': 'fn f(x: []) = x +\n',
  'an empty body': 'fn f(x: []) =\n\nfn g(x: []) = x\n',
  'missing operators': 'fn f(x: []) = x y z\nfn g(x: []) = f(x 3)\nfn h(x: []) = [1 2]\n',
  'unfinished statements': 'model m {\n  view a = f(x)\n  param w [3] = 0\n  update q = 3\n  stage s { a <- 3 }\n  let a 3\n  x y\n}\n',
  'train blocks': 'train m {\n  epochs = 3\n  every 5 { knn(k = 3) }\n  batch\n}\n',
  imports: 'use std.vision\nuse std.a { b c }\nx = 3\n',
  'reductions and reads': 'fn f(x: [A]) = sum[i where i > 0]\nfn g(x: [A]) = x else 3\nfn h(x: [A]) = (x)[i: 3]\n',
  'after text that is not ASCII': 'fn f(x: []) = "žluťoučký" + (x\n',
  'a very long line': `fn f(x: []) = [${'1, '.repeat(60)}x y, ${'2, '.repeat(60)}3]\n`,
};

describe('messages', () => {
  test.each(Object.entries(mistakes))('%s', (_, text) => {
    const found = parse({ name: 'a.ssl', text }).diagnostics;
    const rendered = found.map((d) => renderDiagnostic(d, () => text, { color: false })).join('\n\n');
    expect(`${text}\n----\n${rendered}`).toMatchSnapshot();
  });
});

test('colour marks the severity, the caret and the frame, and nothing else changes', () => {
  const text = 'fn f(x: []) = x +\n';
  const found = parse({ name: 'a.ssl', text }).diagnostics;
  const [first] = found;
  if (first === undefined) throw new Error('expected a diagnostic');
  const color = renderDiagnostic(first, () => text, { color: true });
  expect(color).toContain('\u001b[1;31merror[SSL0001]\u001b[0m');
  expect(color.replace(/\u001b\[[\d;]*m/g, '')).toBe(renderDiagnostic(first, () => text, { color: false }));
});

test('control characters of a file never reach the terminal', () => {
  const text = 'fn f(x: []) = \u001b[31m x\n';
  for (const d of parse({ name: 'a\u001b.ssl', text }).diagnostics) expect(renderDiagnostic(d, () => text, { color: false })).not.toContain('\u001b');
});

test('as JSON', () => {
  const text = 'fn f(x: []) = x\nfn g(x: []) = (x\n';
  expect(parse({ name: 'a.ssl', text }).diagnostics.map((d) => toJson(d, () => text))).toMatchInlineSnapshot(`
    [
      {
        "code": "SSL0005",
        "help": null,
        "label": "\`)\` is missing by here",
        "message": "expected \`)\`: the \`(\` is never closed",
        "place": {
          "column": 17,
          "end": 32,
          "endColumn": 17,
          "endLine": 2,
          "file": "a.ssl",
          "line": 2,
          "start": 32,
        },
        "related": [
          {
            "message": "\`(\` opened here",
            "place": {
              "column": 15,
              "end": 31,
              "endColumn": 16,
              "endLine": 2,
              "file": "a.ssl",
              "line": 2,
              "start": 30,
            },
          },
        ],
        "severity": "error",
        "version": 1,
      },
    ]
  `);
});

describe('pages', () => {
  test('every code has one', () => expect(codes.filter((code) => explain(code) === null)).toEqual([]));
  test('a page has every part', () => {
    for (const code of codes) {
      const page = explain(code.toLowerCase());
      if (page === null) continue;
      for (const part of [page.title, page.explanation, page.wrong, page.right]) expect(part.trim(), code).not.toBe('');
      expect(renderPage(page)).toContain(code);
    }
  });
  test('nothing else has one', () => {
    expect(explain('SSL0000')).toBeNull();
    expect(explain('toString')).toBeNull();
  });
  test.each(Object.keys(syntaxCodes))('the wrong example of %s is wrong, the right one right', (code) => {
    const page = explain(code);
    expect(parse({ name: 'wrong.ssl', text: page?.wrong ?? '' }).diagnostics.map((d) => d.code)).toEqual([code]);
    expect(parse({ name: 'right.ssl', text: page?.right ?? '' }).diagnostics).toEqual([]);
  });
  test('examples of names, types and meaning are well formed', () => {
    for (const code of codes.filter((c) => /^SSL[1-4]/.test(c))) {
      const page = explain(code);
      for (const text of [page?.wrong ?? '', page?.right ?? '']) {
        if (!text.startsWith('$') && !text.startsWith('{')) expect(parse({ name: code, text }).diagnostics, `${code}: ${text}`).toEqual([]);
      }
    }
  });
  test('codes are numbered by stage', () => {
    for (const code of Object.keys(catalog)) expect(code).toMatch(/^SSL[0-59]\d{3}$/);
  });
});

test.each([
  ['modle', ['model', 'train'], 'model'],
  ['temperature', ['tau', 'rate'], null],
  ['Rate', ['rate', 'Race'], 'rate'],
  ['x', ['y', 'z'], null],
  ['momentm', ['momentum', 'moment'], 'momentum'],
  ['abc', ['abd', 'abe'], 'abd'],
])('suggest(%j, %j)', (word, candidates, expected) => expect(suggest(word, candidates)).toBe(expected));
