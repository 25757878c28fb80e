/** Parsing: the north-star programs, golden trees, precedence, statement ends, limits. */
import { describe, expect, test } from 'vitest';
import { parse } from '../../grammar/parse.js';
import { validateGrammar } from '../../grammar/parser.js';
import { syntaxDigest } from '../../grammar/syntax-digest.js';
import type { Span } from '../../grammar/span.js';
import { northStar, programs } from './corpus.js';
import { compact } from './compact.js';

const module = (text: string) => parse({ name: '<input>', text });
const codes = (text: string) => module(text).diagnostics.map((d) => d.code);
const body = (expression: string) => {
  const { module: tree, diagnostics } = module(`fn f(x: []) = ${expression}`);
  expect(diagnostics).toEqual([]);
  const declaration = tree.declarations[0];
  return declaration?.kind === 'function' && declaration.body.result !== null ? compact(declaration.body.result) : '';
};

test('the grammar has no ambiguity and no left recursion', () => expect(() => validateGrammar()).not.toThrow());

describe('every program parses without a diagnostic', () => {
  test.each(programs.map((p) => [p.name, p] as const))('%s', (_, program) => expect(parse(program).diagnostics).toEqual([]));
});

describe('golden trees', () => {
  test.each(northStar.map((p) => [p.name.replace(/.*\//, '').replace('.ssl', ''), p] as const))('%s', async (name, program) => {
    const text = `${[...parse(program).module.uses, ...parse(program).module.declarations].map((d) => compact(d)).join('\n\n')}\n`;
    await expect(text).toMatchFileSnapshot(`trees/${name}.txt`);
  });
});

test.each([
  ['a + b * c', '(+ a (* b c))'],
  ['a - b - c', '(- (- a b) c)'],
  ['a ^ b ^ c', '(^ a (^ b c))'],
  ['-a ^ 2', '(- (^ a 2))'],
  ['-a * b', '(* (- a) b)'],
  ['2 ^ -a', '(^ 2 (- a))'],
  ['a @ b + c', '(+ (@ a b) c)'],
  ['not a == b and c or d', '(or (and (not (== a b)) c) d)'],
  ['a + b |> f |> g(2)', '(|> (|> (+ a b) f) (g 2))'],
  ['a + 1..b * 2', '(.. (+ a 1) (* b 2))'],
  ['x[i - 1] else 0', '(else (at x (- i 1)) 0)'],
  ['2 * x[i] else 0', '(* 2 (else (at x i) 0))'],
  ['x[i] else y[i] else -1', '(else (at x i) (else (at y i) (- 1)))'],
  ['sum[i, j: 3 where i != j](s[i, j])', '(along sum [i (: j 3)] where (!= i j) (at s i j))'],
  ['mean[*S](x)', '(along mean [*S] x)'],
  ['mean[s in u, t in u ++ v where s != t](s)', '(along mean [(in s u) (in t (++ u v))] where (!= s t) s)'],
  ['standardize[b](u)[b, i]', '(at (along standardize [b] u) b i)'],
  ['x |> mean[H, W]', '(|> x (along mean [H W]))'],
  ['f(hidden)[i]', '(at (f hidden) i)'],
  ['whole[0]', '(at whole 0)'],
  ['nets[0](x)', '((at nets 0) x)'],
  ['conv(64, size: 1)(x)', '((conv 64 (: size 1)) x)'],
  ['f.backbone(x)', '((. f backbone) x)'],
  ['(a, b)', '(tuple a b)'],
  ['[f(v) for v in u ++ w where v != a]', '(for (f v) v (++ u w) where (!= v a))'],
  ['if a { b } else if c { d } else { e }', '(if a {b} {(if c {d} {e})})'],
  ['30deg', '30deg'],
  ['10%', '10%'],
  ['10 % 3', '(% 10 3)'],
  ['10%3', '(% 10 3)'],
  ['f(10%, 10 epochs)', '(f 10% 10epochs)'],
  ['1e-4 + 1_000', '(+ 1e-4 1_000)'],
  ['f(x) over data', '(over (f x) data)'],
  ['f(in: 3, if: 4).where', '(. (f (: in 3) (: if 4)) where)'],
])('%s', (text, tree) => expect(body(text)).toBe(tree));

test('spans cover what they name', () => {
  const text = 'fn f(x: [A]) = g(1, -2) + sum[i where i > 0](x[i] else 0) |> h[i]\n';
  const found: string[] = [];
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if ('kind' in value && 'span' in value && typeof value.kind === 'string') {
      const { start, end } = value.span as Span;
      found.push(`${value.kind}: ${text.slice(start, end)}`);
    }
    Object.values(value).forEach(walk);
  };
  walk(parse({ name: 'a.ssl', text }).module.declarations);
  expect(found).toMatchInlineSnapshot(`
    [
      "function: fn f(x: [A]) = g(1, -2) + sum[i where i > 0](x[i] else 0) |> h[i]",
      "input: x: [A]",
      "tensorType: [A]",
      "dimension: A",
      "name: A",
      "block: g(1, -2) + sum[i where i > 0](x[i] else 0) |> h[i]",
      "pipe: g(1, -2) + sum[i where i > 0](x[i] else 0) |> h[i]",
      "binary: g(1, -2) + sum[i where i > 0](x[i] else 0)",
      "call: g(1, -2)",
      "name: g",
      "number: 1",
      "unary: -2",
      "number: 2",
      "along: sum[i where i > 0](x[i] else 0)",
      "binary: i > 0",
      "name: i",
      "number: 0",
      "index: x[i] else 0",
      "name: x",
      "name: i",
      "number: 0",
      "along: h[i]",
    ]
  `);
});

test('a newline ends a statement unless an operator or bracket goes on', () => {
  const one = module('fn f(x: [D]) {\n  let y = x\n    + 1\n  let z =\n    y\n  -z\n}');
  const two = module('fn f(x: [D]) { let y = x + 1; let z = y; -z }');
  expect(one.diagnostics).toEqual([]);
  expect(syntaxDigest(one.module)).toBe(syntaxDigest(two.module));
  expect(codes('fn f(x: [D]) {\n  let y = x\n  (y)\n}')).toEqual([]);
  expect(codes('fn f(x: [D]) {\n  let y = g(x,\n    (2),\n  )\n  [y]\n}')).toEqual([]);
  expect(codes('fn f(x: []) {\n  if x > 0 { 1 }\n  else { 2 }\n}')).toEqual([]);
});

test('words of statements stay names elsewhere', () => {
  expect(codes('fn f(target: [D], state: [D], data: [D]) {\n  let memory = target + state\n  table[i] = memory[i] * data[i]\n  view(table, input: 3).net\n}')).toEqual([]);
});

test('documentation belongs to what follows', () => {
  const tree = module('/// One.\n/// Two.\nfn f(x: []) = x\n// none\nfn g(x: []) = x\nmodel m(\n  /// How warm.\n  tau: float = 1\n) {\n}\n').module;
  expect(tree.declarations.map((d) => d.documentation)).toEqual(['One.\nTwo.', '', '']);
  const model = tree.declarations[2];
  expect(model?.kind === 'model' && model.settings[0]?.documentation).toBe('How warm.');
});

describe('limits are errors', () => {
  test.each([
    ['10,000 parentheses', `fn f(x: []) = ${'('.repeat(10_000)}x${')'.repeat(10_000)}`, 'SSL0009'],
    ['a megabyte of sums', `fn f(x: []) = ${'x+'.repeat(500_000)}x`, 'SSL0019'],
    ['20,000 sums', `fn f(x: []) = ${'x+'.repeat(20_000)}x`, 'SSL0009'],
    ['20,000 signs', `fn f(x: []) = ${'-'.repeat(20_000)}x`, 'SSL0009'],
    ['20,000 members', `fn f(x: []) = x${'.y'.repeat(20_000)}`, 'SSL0009'],
    ['5,000 reads', `fn f(x: []) = ${'x[i] else '.repeat(5_000)}0`, 'SSL0009'],
    ['20,000 ifs', `fn f(x: []) = ${'if '.repeat(20_000)}`, 'SSL0009'],
    ['10,000 errors', `fn f(x: []) {${'"a" "b"; '.repeat(10_000)}}`, 'SSL0001'],
    ['a megabyte of letters', 'x'.repeat(1_000_000), 'SSL0008'],
    ['a megabyte of digits', `fn f(x: []) = ${'1'.repeat(1_000_000)}`, 'SSL0004'],
  ])('%s', (_, text, code) => expect(codes(text)[0]).toBe(code));

  test('a megabyte of text in one line works', () => {
    expect(codes(`fn f(x: []) = g("${'x'.repeat(1_000_000)}")`)).toEqual([]);
    expect(codes(`fn f(x: []) = g(${'x, '.repeat(5_000)}x)`)).toEqual([]);
    expect(codes(`fn f(x: []) = x // ${'x'.repeat(1_000_000)}`)).toEqual([]);
  });
});

test('after `;` a word that is also a unit begins an entry', () => {
  const { module, diagnostics } = parse({ name: 'm.ssl', text: 'train m { batch 8; steps 10; epochs 2 }' });
  expect(diagnostics).toEqual([]);
  expect(module.declarations[0]).toMatchObject({ items: [{ key: { text: 'batch' } }, { key: { text: 'steps' } }, { key: { text: 'epochs' } }] });
});
