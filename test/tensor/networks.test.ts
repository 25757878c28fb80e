/** Whole pieces of networks: what lowering produces, differentiated, simplified and compared with differences. */
import { describe, expect, it } from 'vitest';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { differentiate } from '../../compiler/tensor/differentiate.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import { printProgram } from '../../compiler/tensor/print.js';
import type { TensorId } from '../../compiler/tensor/scalar.js';
import { add, binary, div, float, index, int, mul, select, sub, unary } from '../../compiler/tensor/scalar.js';
import { simplify } from '../../compiler/tensor/simplify.js';
import { verify } from '../../compiler/tensor/verify.js';
import { checkGradient, numbers, origin } from './check-gradient.js';

const i = [0, 1, 2, 3, 4, 5, 6].map(index);

/** Zero mean and unit variance over the axes before the last. */
function batchNorm(b: ProgramBuilder, x: TensorId, gain: TensorId): TensorId {
  const shape = b.tensor(x).shape;
  const over = shape.slice(0, -1);
  const channels = shape[shape.length - 1];
  const scale = float(1 / over.reduce((p, c) => p * c, 1));
  const at = [...over.map((_, axis) => index(axis + 1)), index(0)];
  const mean = b.comprehension('f32', [channels], { op: 'sum', extents: over }, mul(b.read(x, at), scale), origin);
  const centred = sub(b.read(x, at), b.read(mean, [index(0)]));
  const variance = b.comprehension('f32', [channels], { op: 'sum', extents: over }, mul(mul(centred, centred), scale), origin);
  const last = [index(shape.length - 1)];
  const body = mul(div(sub(b.identity(x), b.read(mean, last)), unary('sqrt', add(b.read(variance, last), float(1e-5)))), b.read(gain, last));
  return b.comprehension('f32', shape, null, body, origin);
}

/** Rows scaled to length 1. */
function normalize(b: ProgramBuilder, x: TensorId): TensorId {
  const [n, d] = b.tensor(x).shape;
  const square = b.comprehension('f32', [n], { op: 'sum', extents: [d] }, mul(b.identity(x), b.identity(x)), origin);
  return b.comprehension('f32', [n, d], null, div(b.identity(x), unary('sqrt', b.read(square, [i[0]]))), origin);
}

describe('networks', () => {
  it('convolution, batch norm, relu, strided convolution, pooling', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'batch', 'f32', [2, 5, 5, 1], origin);
    const w = b.source('w', 'parameters', 'f32', [3, 3, 1, 2], origin);
    const v = b.source('v', 'parameters', 'f32', [3, 3, 2, 2], origin);
    const gain = b.source('gain', 'parameters', 'f32', [2], origin);
    const conv = (from: TensorId, weights: TensorId, n: number, stride: number): TensorId => {
      const [s, , c, o] = b.tensor(weights).shape;
      const at = [i[0], sub(add(mul(i[1], int(stride)), i[4]), int(1)), sub(add(mul(i[2], int(stride)), i[5]), int(1)), i[6]];
      return b.comprehension('f32', [2, n, n, o], { op: 'sum', extents: [s, s, c] }, mul(b.read(from, at, float(0)), b.read(weights, [i[4], i[5], i[6], i[3]])), origin);
    };
    const y = batchNorm(b, conv(x, w, 5, 1), gain);
    const relu = b.comprehension('f32', [2, 5, 5, 2], null, binary('max', b.identity(y), float(0)), origin);
    const z = conv(relu, v, 3, 2);
    const pooled = b.comprehension('f32', [2, 2], { op: 'sum', extents: [3, 3] }, mul(b.read(z, [i[0], i[2], i[3], i[1]]), float(1 / 9)), origin);
    checkGradient(b, pooled, [x, w, v, gain], { x: numbers(50), w: numbers(18, 2), v: numbers(36, 3), gain: numbers(2, 4) });
  });

  it('nt_xent: contractions forward give contractions backward', () => {
    const b = new ProgramBuilder('p');
    const u = b.source('u', 'batch', 'f32', [6, 3], origin);
    const z = normalize(b, u);
    const s = b.comprehension('f32', [6, 6], { op: 'sum', extents: [3] }, mul(b.read(z, [i[0], i[2]]), b.read(z, [i[1], i[2]])), origin);
    const t = b.comprehension('f32', [6, 6], null, div(b.identity(s), float(0.2)), origin);
    const l = b.comprehension('f32', [6], { op: 'logsumexp', extents: [6] }, select(binary('ne', i[0], i[1]), b.identity(t), float(-1e30)), origin);
    const each = b.comprehension('f32', [6], null, sub(b.identity(l), b.read(t, [i[0], binary('mod', add(i[0], int(3)), int(6))])), origin);
    const program = simplify(checkGradient(b, each, [u], { u: numbers(18) }));
    const text = printProgram(program);
    expect(text).toMatch(/sum\[6\] \(%(\d+)\[r0, i0\] \* %(\d+)\[r0, i1\]\)/);
    expect(text).toMatch(/sum\[6\] \(%(\d+)\[i0, r0\] \* %(\d+)\[r0, i1\]\)/);
  });

  it('attention', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'batch', 'f32', [4, 3], origin);
    const [q, k, v] = ['q', 'k', 'v'].map((name) => {
      const w = b.source(name, 'parameters', 'f32', [3, 2], origin);
      return b.comprehension('f32', [4, 2], { op: 'sum', extents: [3] }, mul(b.read(x, [i[0], i[2]]), b.read(w, [i[2], i[1]])), origin);
    });
    const s = b.comprehension('f32', [4, 4], { op: 'sum', extents: [2] }, mul(b.read(q, [i[0], i[2]]), b.read(k, [i[1], i[2]])), origin);
    const l = b.comprehension('f32', [4], { op: 'logsumexp', extents: [4] }, b.read(s, [i[0], i[1]]), origin);
    const p = b.comprehension('f32', [4, 4], null, unary('exp', sub(b.identity(s), b.read(l, [i[0]]))), origin);
    const y = b.comprehension('f32', [4, 2], { op: 'sum', extents: [4] }, mul(b.read(p, [i[0], i[2]]), b.read(v, [i[2], i[1]])), origin);
    checkGradient(b, y, [x], { x: numbers(12), q: numbers(6, 2), k: numbers(6, 3), v: numbers(6, 4) });
  });

  it('max pooling, average pooling and nearest upsampling, overlapping or not', () => {
    for (const [size, stride] of [[2, 2], [3, 2], [2, 3]]) {
      const n = Math.floor((7 - size) / stride) + 1;
      for (const op of ['max', 'sum'] as const) {
        const b = new ProgramBuilder('p');
        const x = b.source('x', 'parameters', 'f32', [7, 7], origin);
        const at = [add(mul(i[0], int(stride)), i[2]), add(mul(i[1], int(stride)), i[3])];
        const y = b.comprehension('f32', [n, n], { op, extents: [size, size] }, b.read(x, at), origin);
        const up = b.comprehension('f32', [2 * n, 2 * n], null, b.read(y, [binary('idiv', i[0], int(2)), binary('idiv', i[1], int(2))]), origin);
        checkGradient(b, up, [x], { x: numbers(49, size) });
      }
    }
  });

  it('gradients of gradients', () => {
    // d/dw of the squared norm of d/dx sum(tanh(x w)^2): a gradient penalty.
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'batch', 'f32', [3, 2], origin);
    const w = b.source('w', 'parameters', 'f32', [2, 2], origin);
    const y = b.comprehension('f32', [3, 2], { op: 'sum', extents: [2] }, mul(b.read(x, [i[0], i[2]]), b.read(w, [i[2], i[1]])), origin);
    const energy = b.comprehension('f32', [], { op: 'sum', extents: [3, 2] }, binary('pow', unary('tanh', b.read(y, [i[0], i[1]])), float(2)), origin);
    const [force] = differentiate(b, energy, [x]);
    const penalty = b.comprehension('f32', [], { op: 'sum', extents: [3, 2] }, mul(b.read(force, [i[0], i[1]]), b.read(force, [i[0], i[1]])), origin);
    checkGradient(b, penalty, [w], { x: numbers(6), w: numbers(4, 2) });
  });

  it('takes a seed, and gives zeros where nothing depends', () => {
    const b = new ProgramBuilder('p');
    const x = b.source('x', 'batch', 'f32', [3], origin);
    const unused = b.source('unused', 'batch', 'f32', [2], origin);
    const seed = b.source('seed', 'batch', 'f32', [3], origin);
    const y = b.comprehension('f32', [3], null, mul(b.identity(x), b.identity(x)), origin);
    const [g, zero] = differentiate(b, y, [x, unused], seed);
    b.output('g', g);
    b.output('zero', zero);
    verify(b.build());
    const { outputs } = interpret(b.build(), { x: [1, 2, 3], unused: [0, 0], seed: [1, 10, 100] });
    expect([...(outputs.get('g') ?? [])]).toEqual([2, 40, 600]);
    expect([...(outputs.get('zero') ?? [])]).toEqual([0, 0]);
  });
});
