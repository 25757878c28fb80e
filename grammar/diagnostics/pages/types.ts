/** Pages of SSL2: types and shapes. */
import type { PageText } from './page.js';

export const typePages: Readonly<Record<string, PageText>> = {
  SSL2001: {
    title: 'a value of another kind was expected',
    explanation: 'The place asks for one kind of value and got another.',
    wrong: 'fn f(x: [D]) = if x { 1 } else { 0 }\n',
    right: 'fn f(x: [D]) = if D > 1 { 1 } else { 0 }\n',
  },
  SSL2002: {
    title: 'too many or too few arguments',
    explanation: 'Settings and inputs are given in two lists: `conv(64, size: 1)(x)`. A list of settings may be left out when all have defaults.',
    wrong: 'fn add(a: [D], b: [D]) = a + b\nfn f(x: [D]) = add(x)\n',
    right: 'fn add(a: [D], b: [D]) = a + b\nfn f(x: [D]) = add(x, x)\n',
  },
  SSL2003: {
    title: 'one axis name, two sizes',
    explanation: 'Within a declaration an axis name stands for one size, so two inputs that share it must agree.',
    wrong: 'energy distance(u: [D], v: [D]) = sum[d]((u[d] - v[d])^2)\nfn f(x: [4], y: [5]) = distance(x, y)\n',
    right: 'energy distance(u: [D], v: [D]) = sum[d]((u[d] - v[d])^2)\nfn f(x: [4], y: [4]) = distance(x, y)\n',
  },
  SSL2004: {
    title: 'shapes that do not fit together',
    explanation: 'Elementwise operators compare shapes from the last axis, where sizes must be equal.',
    wrong: 'fn f(x: [4], y: [5]) = x + y\n',
    right: 'fn f(x: [4], y: [4]) = x + y\n',
  },
  SSL2005: {
    title: 'an index whose range is not known',
    explanation: 'The range of an index follows from the axes it reads. Where no read uses it alone, write it: `sum[k: 10](...)`.',
    wrong: 'fn f(x: []) = sum[k](k * x)\n',
    right: 'fn f(x: []) = sum[k: 10](k * x)\n',
  },
  SSL2006: {
    title: 'an index over axes of different sizes',
    explanation: 'One index reads two axes whose sizes differ. Use two indices, or give the range and say what lies outside.',
    wrong: 'fn f(x: [4], y: [5]) = sum[i](x[i] * y[i])\n',
    right: 'fn f(x: [4], y: [5]) = sum[i: 4](x[i] * y[i])\n',
  },
  SSL2007: {
    title: 'a read outside the tensor',
    explanation: 'For some value of its indices this read lies outside. Say what stands there, or change the index.',
    wrong: 'fn shift(x: [N]) {\n  y[i: N] = x[i - 1]\n  y\n}\n',
    right: 'fn shift(x: [N]) {\n  y[i: N] = x[i - 1] else 0\n  y\n}\n',
  },
  SSL2008: {
    title: 'an axis that the tensor does not have',
    explanation: 'A reduction over a whole tensor names its axes as they are declared.',
    wrong: 'fn pool(x: [H, W, C]) = mean[K](x)\n',
    right: 'fn pool(x: [H, W, C]) = mean[H, W](x)\n',
  },
  SSL2009: {
    title: 'a setting of the wrong kind',
    explanation: 'The value given for a setting does not fit its type or lies outside its range.',
    wrong: 'use std.layers { linear }\nlayer wide(width: int)(x: [D]) = x |> linear(width)\nlayer f(x: [D]) = wide("many")(x)\n',
    right: 'use std.layers { linear }\nlayer wide(width: int)(x: [D]) = x |> linear(width)\nlayer f(x: [D]) = wide(64)(x)\n',
  },
  SSL2010: {
    title: 'a setting without a value',
    explanation: 'A setting that has no default must be given.',
    wrong: 'fn scale(by: float)(x: [D]) = by * x\nfn f(x: [D]) = scale()(x)\n',
    right: 'fn scale(by: float)(x: [D]) = by * x\nfn f(x: [D]) = scale(2)(x)\n',
  },
};
