/** NT-Xent and its gradient as tensor programs: s = z z' / tau, mean of logsumexp over the others minus the positive. */
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { differentiate } from '../../compiler/tensor/differentiate.js';
import type { Program } from '../../compiler/tensor/program.js';
import { add, binary, div, float, index, int, mul, select, sub } from '../../compiler/tensor/scalar.js';

const named = (name: string): { span: null; name: string } => ({ span: null, name });

/** With `points`, the positives are read from the matrix; with `divided`, by tau in a map of its own. */
export function ntXent(batch: number, width: number, divided: boolean): Program {
  const b = new ProgramBuilder('nt_xent');
  const rows = 2 * batch;
  const z = b.source('z', 'data', 'f32', [rows, width], named('z'));
  const product = b.comprehension('f32', [rows, rows], { op: 'sum', extents: [width] }, mul(b.read(z, [index(0), index(2)]), b.read(z, [index(1), index(2)])), named('s'));
  const s = divided ? b.comprehension('f32', [rows, rows], null, div(b.identity(product), float(0.5)), named('s / tau')) : product;
  const others = select(binary('ne', index(0), index(1)), b.read(s, [index(0), index(1)]), float(-1e30));
  const lse = b.comprehension('f32', [rows], { op: 'logsumexp', extents: [rows] }, others, named('logsumexp'));
  const positive = b.read(s, [index(0), binary('mod', add(index(0), int(batch)), int(rows))]);
  const terms = b.comprehension('f32', [rows], null, sub(b.identity(lse), positive), named('terms'));
  const loss = b.comprehension('f32', [], { op: 'sum', extents: [rows] }, div(b.read(terms, [index(0)]), float(rows)), named('contrast'));
  const [gradient] = differentiate(b, loss, [z]);
  b.output('loss', loss);
  b.output('gradient', gradient);
  return b.build();
}

/** InfoNCE with a queue: logits are the positive (column 0) and queries against a queue (the rest). */
export function infoNce(batch: number, keys: number, width: number): Program {
  const b = new ProgramBuilder('info_nce');
  const q = b.source('q', 'data', 'f32', [batch, width], named('q'));
  const k = b.source('k', 'data', 'f32', [batch, width], named('k'));
  const queue = b.source('queue', 'state', 'f32', [keys, width], named('queue'));
  const positive = b.comprehension('f32', [batch], { op: 'sum', extents: [width] }, mul(b.read(q, [index(0), index(1)]), b.read(k, [index(0), index(1)])), named('positive'));
  const negative = b.comprehension('f32', [batch, keys], { op: 'sum', extents: [width] }, div(mul(b.read(q, [index(0), index(2)]), b.read(queue, [index(1), index(2)])), float(0.2)), named('negative'));
  const lse = b.comprehension('f32', [batch], { op: 'logsumexp', extents: [keys] }, b.read(negative, [index(0), index(1)]), named('lse'));
  const all = b.comprehension('f32', [batch], { op: 'logsumexp', extents: [2] }, select(binary('eq', index(1), int(0)), div(b.read(positive, [index(0)]), float(0.2)), b.read(lse, [index(0)])), named('all'));
  const loss = b.comprehension('f32', [], { op: 'sum', extents: [batch] }, div(sub(b.read(all, [index(0)]), div(b.read(positive, [index(0)]), float(0.2))), float(batch)), named('contrast'));
  const [gradient] = differentiate(b, loss, [q]);
  b.output('loss', loss);
  b.output('gradient', gradient);
  return b.build();
}

/** Cross-entropy over a vocabulary from hidden states, with gradients for the states and the table. */
export function crossEntropy(rows: number, vocabulary: number, width: number): Program {
  const b = new ProgramBuilder('cross_entropy');
  const h = b.source('h', 'data', 'f32', [rows, width], named('h'));
  const table = b.source('table', 'parameters', 'f32', [vocabulary, width], named('table'));
  const target = b.source('target', 'batch', 'i32', [rows], named('target'));
  const logits = b.comprehension('f32', [rows, vocabulary], { op: 'sum', extents: [width] }, mul(b.read(h, [index(0), index(2)]), b.read(table, [index(1), index(2)])), named('logits'));
  const lse = b.comprehension('f32', [rows], { op: 'logsumexp', extents: [vocabulary] }, b.read(logits, [index(0), index(1)]), named('lse'));
  const chosen = b.read(logits, [index(0), b.read(target, [index(0)])]);
  const loss = b.comprehension('f32', [], { op: 'sum', extents: [rows] }, div(sub(b.read(lse, [index(0)]), chosen), float(rows)), named('loss'));
  const gradients = differentiate(b, loss, [h, table]);
  b.output('loss', loss);
  b.output('grad h', gradients[0]);
  b.output('grad table', gradients[1]);
  return b.build();
}
