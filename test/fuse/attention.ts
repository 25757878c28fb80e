/** Attention and its gradients as a simplified tensor program: y = softmax(q k' / sqrt(width)) v, and the gradients of sum(y * pull). */
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { differentiate } from '../../compiler/tensor/differentiate.js';
import type { Program } from '../../compiler/tensor/program.js';
import { simplify } from '../../compiler/tensor/simplify.js';
import type { Scalar, TensorId } from '../../compiler/tensor/scalar.js';
import { div, float, index, mul, select, sub, unary } from '../../compiler/tensor/scalar.js';

const named = (name: string): { span: null; name: string } => ({ span: null, name });

/** `batch` examples of `heads` heads: queries for `rows` tokens, keys and values of `columns` tokens. `mask` says which pairs of a query and a key count, the others' scores are `masked`. */
export function attention(batch: number, heads: number, rows: number, columns: number, width: number, mask: ((query: Scalar, key: Scalar) => Scalar) | null = null, masked = -1e9): Program {
  const b = new ProgramBuilder('attention');
  const input = (name: string, tokens: number): TensorId => b.source(name, 'data', 'f32', [batch, heads, tokens, width], named(name));
  const [q, k, v] = [input('q', rows), input('k', columns), input('v', columns)];
  const pull = b.source('pull', 'data', 'f32', [batch, rows, heads, width], named('pull'));
  const [at, head] = [index(0), index(1)];
  const product = b.comprehension('f32', [batch, heads, rows, columns], { op: 'sum', extents: [width] },
    mul(b.read(q, [at, head, index(2), index(4)]), b.read(k, [at, head, index(3), index(4)])), named('product'));
  const score = div(b.identity(product), float(Math.sqrt(width)));
  const s = b.comprehension('f32', [batch, heads, rows, columns], null, mask === null ? score : select(mask(index(2), index(3)), score, float(masked)), named('s'));
  const total = b.comprehension('f32', [batch, heads, rows], { op: 'logsumexp', extents: [columns] }, b.read(s, [at, head, index(2), index(3)]), named('total'));
  // As a layer has it: tokens before heads in the result.
  const y = b.comprehension('f32', [batch, rows, heads, width], { op: 'sum', extents: [columns] }, mul(
    unary('exp', sub(b.read(s, [at, index(2), index(1), index(4)]), b.read(total, [at, index(2), index(1)]))),
    b.read(v, [at, index(2), index(4), index(3)]),
  ), named('y'));
  const loss = b.comprehension('f32', [], { op: 'sum', extents: [batch, rows, heads, width] }, mul(
    b.read(y, [index(0), index(1), index(2), index(3)]), b.read(pull, [index(0), index(1), index(2), index(3)]),
  ), named('loss'));
  const gradients = differentiate(b, loss, [q, k, v]);
  b.output('y', y);
  gradients.forEach((g, i) => b.output(`gradient of ${'qkv'[i]}`, g));
  return simplify(b.build());
}
