/** Kernels of every class, over given sizes, for the tests of the WGSL target. */
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import type { Kernel, KernelProgram } from '../../compiler/fuse/kernel.js';
import type { ReduceOperator } from '../../compiler/tensor/program.js';
import type { ElementType, Scalar } from '../../compiler/tensor/scalar.js';
import { accumulator, add, binary, boolean, cast, float, index, int, mul, select, sub, unary } from '../../compiler/tensor/scalar.js';
import { handMade, origin } from '../kernels/tools.js';

/** out[m, n] = relu(sum over k of a * b + bias), operands in any of the four layouts, batched. */
export function product(batch: number, m: number, n: number, k: number, layout: 'nn' | 'nt' | 'tn' | 'tt', epilogue = true): KernelProgram {
  const b = new ProgramBuilder(`product_${layout}_${batch}_${m}_${n}_${k}`);
  const [ta, tb] = [layout[0] === 't', layout[1] === 't'];
  const left = b.source('left', 'data', 'f32', ta ? [batch, k, m] : [batch, m, k], origin('a'));
  const right = b.source('right', 'data', 'f32', tb ? [batch, n, k] : [batch, k, n], origin('b'));
  const bias = b.source('bias', 'data', 'f32', [n], origin('net.bias'));
  const out = b.comprehension('f32', [batch, m, n], null, float(0), origin('y'));
  b.output('out', out);
  const sum = accumulator('f32', 0);
  const value = epilogue ? binary('max', add(sum, b.read(bias, [index(2)])), float(0)) : sum;
  const kernel: Kernel = {
    kind: 'contract', name: '00_y', origins: [origin('y')], extents: [batch, m, n], reduceExtents: [k], batch: [0], rows: [1], columns: [2],
    left: b.read(left, ta ? [index(0), index(3), index(1)] : [index(0), index(1), index(3)]),
    right: b.read(right, tb ? [index(0), index(2), index(3)] : [index(0), index(3), index(2)]),
    stores: [{ tensor: out, value }],
  };
  return handMade(b.build(), [kernel]);
}

/** A convolution as an implicit product: guarded reads, stride and padding. */
export function convolution(batch: number, size: number, input: number, output: number, window: number, stride: number, padding: number): KernelProgram {
  const b = new ProgramBuilder(`convolution_${batch}_${size}_${input}_${output}_${window}_${stride}_${padding}`);
  const x = b.source('x', 'data', 'f32', [batch, size, size, input], origin('x'));
  const w = b.source('w', 'data', 'f32', [output, window, window, input], origin('w'));
  const edge = Math.floor((size + 2 * padding - window) / stride) + 1;
  const y = b.comprehension('f32', [batch, edge, edge, output], null, float(0), origin('y'));
  b.output('out', y);
  const at = (axis: number, tap: number): Scalar => sub(add(mul(index(axis), int(stride)), index(tap)), int(padding));
  const kernel: Kernel = {
    kind: 'contract', name: '00_y', origins: [origin('y')], extents: [batch, edge, edge, output], reduceExtents: [window, window, input],
    batch: [], rows: [0, 1, 2], columns: [3],
    left: b.read(x, [index(0), at(1, 4), at(2, 5), index(6)], float(0)),
    right: b.read(w, [index(3), index(4), index(5), index(6)]),
    stores: [{ tensor: y, value: accumulator('f32', 0) }],
  };
  return handMade(b.build(), [kernel]);
}

/** Two reductions of x over its rows (or columns), with an epilogue that uses both. */
export function reduction(op: ReduceOperator, points: number, length: readonly number[], along: 'rows' | 'columns'): KernelProgram {
  const b = new ProgramBuilder(`${op}_${points}_${length.join('_')}_${along}`);
  const x = b.source('x', 'data', 'f32', along === 'rows' ? [points, ...length] : [...length, points], origin('x'));
  const r = length.map((_, i) => index(1 + i));
  const read = b.read(x, along === 'rows' ? [index(0), ...r] : [...r, index(0)]);
  const bools = op === 'any' || op === 'all';
  const body = bools ? binary('gt', read, float(op === 'any' ? 0.9 : -0.9)) : read;
  const element: ElementType = bools ? 'bool' : op === 'argmax' ? 'i32' : 'f32';
  const out = b.comprehension(element, [points], null, float(0), origin('y'));
  const both = b.comprehension('f32', [points], null, float(0), origin('both'));
  b.output('out', out);
  b.output('both', both);
  const first = accumulator(bools ? 'bool' : op === 'argmax' ? 'i32' : 'f32', 0);
  const kernel: Kernel = {
    kind: 'reduce', name: '00_y', origins: [origin('y')], extents: [points], reduceExtents: length,
    reductions: [{ op, body }, { op: 'sum', body: mul(read, read) }],
    stores: [{ tensor: out, value: first }, { tensor: both, value: add(cast('f32', first), accumulator('f32', 1)) }],
  };
  return handMade(b.build(), [kernel]);
}

/**
 * Similarity of rows of z against all other rows of z: its logsumexp and largest entry, or its softmax-weighted mean;
 * with two scores, the weights are multiplied by another product, of the first seven components; with two products, the mean is there without it, too.
 */
export function similarity(kind: 'reduce' | 'contract', rows: number, inner: number, batch = 1, scores: 1 | 2 = 1, products: 1 | 2 = 1): KernelProgram {
  const b = new ProgramBuilder(`similarity_${kind}_${rows}_${inner}_${batch}_${scores}_${products}`);
  const z = b.source('z', 'data', 'f32', [batch, rows, inner], origin('z'));
  const norm = b.source('norm', 'data', 'f32', [batch, rows], origin('norm'));
  const score = accumulator('f32', 0);
  const scaled = mul(score, float(5 / Math.sqrt(inner)));
  if (kind === 'reduce') {
    const lse = b.comprehension('f32', [batch, rows], null, float(0), origin('lse'));
    const best = b.comprehension('i32', [batch, rows], null, float(0), origin('best'));
    b.output('lse', lse);
    b.output('best', best);
    const masked = select(binary('eq', index(1), index(2)), float(-1e30), scaled);
    const kernel: Kernel = {
      kind: 'online', name: '00_lse', origins: [origin('contrast')], extents: [batch, rows], streamedExtents: [rows], innerExtents: [inner], batch: [0], rows: [1], columns: [],
      scores: [{ inner: [3], left: b.read(z, [index(0), index(1), index(3)]), right: b.read(z, [index(0), index(2), index(3)]) }],
      combine: { kind: 'reduce', reductions: [{ op: 'logsumexp', body: masked }, { op: 'argmax', body: masked }] },
      stores: [{ tensor: lse, value: accumulator('f32', 0) }, { tensor: best, value: accumulator('i32', 1) }],
    };
    return handMade(b.build(), [kernel]);
  }
  const out = b.comprehension('f32', [batch, rows, inner], null, float(0), origin('grad z'));
  b.output('out', out);
  const mean = b.comprehension('f32', [batch, rows, inner], null, float(0), origin('mean'));
  if (products === 2) b.output('mean', mean);
  const first = { inner: [4], left: b.read(z, [index(0), index(1), index(4)]), right: b.read(z, [index(0), index(3), index(4)]) };
  const second = { inner: [5], left: mul(b.read(z, [index(0), index(1), index(5)]), b.read(norm, [index(0), index(1)])), right: add(b.read(z, [index(0), index(3), index(5)]), float(0.25)) };
  const softmax = unary('exp', sub(scaled, b.read(norm, [index(0), index(1)])));
  const kernel: Kernel = {
    kind: 'online', name: '00_grad_z', origins: [origin('grad z')], extents: [batch, rows, inner], streamedExtents: [rows], innerExtents: scores === 2 ? [inner, 7] : [inner], batch: [0], rows: [1], columns: [2],
    scores: scores === 2 ? [first, second] : [first],
    combine: { kind: 'contract', products: [{ weight: scores === 2 ? mul(softmax, accumulator('f32', 1)) : softmax, value: b.read(z, [index(0), index(3), index(2)]) }, { weight: softmax, value: add(b.read(z, [index(0), index(3), index(2)]), float(1)) }].slice(0, products) },
    stores: [{ tensor: out, value: mul(score, float(0.5)) }, { tensor: mean, value: mul(accumulator('f32', 1), float(0.25)) }].slice(0, products),
  };
  return handMade(b.build(), [kernel]);
}

/** An elementwise kernel over `shape`. */
export function elementwise(name: string, shape: readonly number[], element: ElementType, build: (b: ProgramBuilder) => Scalar): KernelProgram {
  const b = new ProgramBuilder(name);
  const value = build(b);
  const out = b.comprehension(element, shape, null, boolean(false), origin('y'));
  b.output('out', out);
  return handMade(b.build(), [{ kind: 'map', name: '00_y', origins: [origin('y')], extents: shape, stores: [{ tensor: out, value }] }]);
}
