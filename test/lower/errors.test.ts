/** Every mistake has its code. */
import { describe, expect, it } from 'vitest';
import { codes } from './harness.js';

const cases: readonly (readonly [string, string, readonly string[]])[] = [
  ['an unknown name', 'fn f(x: [N]) = relu(y)', ['SSL1001']],
  ['an unknown name in a function nobody calls', 'fn f(x: [N]) = rellu(x)', ['SSL1001']],
  ['a missing library module', 'use std.nothing { f }', ['SSL1002']],
  ['a name a module lacks', 'use std.layers { convv }', ['SSL1003']],
  ['two declarations of one name', 'fn f(x: [N]) = x\nfn f(x: [N]) = x', ['SSL1005']],
  ['a setting that does not exist', 'use std.layers { conv }\nlayer f(x: [H, W, C]) = x |> conv(3, strides: 2)', ['SSL1006']],
  ['too many inputs', 'fn g(x: [N]) = x\nfn f(x: [N]) = g(x, x)', ['SSL2002']],
  ['one axis name with two sizes', 'fn g(u: [N], v: [N]) = u + v\nfn f(a: [B], b: [D]) = g(a, b)', ['SSL2003']],
  ['shapes that do not fit', 'fn f(a: [B], b: [D]) = a + b', ['SSL2004']],
  ['an index nobody bounds', 'fn f(x: [N]) { y[i] = 2\n y }', ['SSL2005']],
  ['an index over axes of different sizes', 'fn f(a: [B], b: [D]) = sum[i](a[i] * b[i])', ['SSL2006']],
  ['a read outside', 'fn f(x: [N]) -> [N] { y[i: N] = x[i + 1]\n y }', ['SSL2007']],
  ['an axis that is not there', 'fn f(x: [H, W]) = mean[C](x)', ['SSL2008']],
  ['a setting of the wrong type', 'use std.layers { linear }\nlayer f(x: [N]) = x |> linear("three")', ['SSL2009']],
  ['a setting below a negative bound', 'fn g(t: float in -1..1 = 0)(x: [N]) = t * x\nfn f(x: [N]) = g(t: -2)(x)', ['SSL2009']],
  ['a number that is not among those allowed', 'fn g(t: int in [1, 2, 4] = 1)(x: [N]) = t * x\nfn f(x: [N]) = g(t: 3)(x)', ['SSL2009']],
  ['a setting left out', 'use std.layers { linear }\nlayer f(x: [N]) = linear()(x)', ['SSL2010']],
  ['an energy that is not a scalar', 'energy e(u: [D], v: [D]) = u - v', ['SSL3002']],
  ['a view that owns parameters', 'view v(x: [N]) { param w: [N] = 0\n x + w }', ['SSL3002']],
  ['an update of something that is no state', 'layer f(x: [N]) { update x <- 2 * x\n x }', ['SSL3002']],
  ['a function that calls itself', 'fn f(x: [N]) = f(x)', ['SSL4002']],
];

describe('errors of the checker', () => {
  it.each(cases)('%s', (_, text, expected) => {
    expect(codes(text)).toEqual(expected);
  });

  it('finds a cycle of imports', () => {
    expect(codes('use "./a.ssl" { f }', { 'a.ssl': 'use "./main.ssl" { g }\nfn f(x: [N]) = x' })).toContain('SSL1004');
  });

  it('finds several errors in one pass', () => {
    expect(codes('fn f(x: [N]) = yy\nfn g(x: [N]) = zz')).toEqual(['SSL1001', 'SSL1001']);
  });
});
