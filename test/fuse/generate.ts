/** Random small tensor programs: maps, guarded reads, reductions, contractions, windows, packs and updates. */
import fc from 'fast-check';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import type { Program, ReduceOperator } from '../../compiler/tensor/program.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import type { Scalar, TensorId } from '../../compiler/tensor/scalar.js';
import { add, binary, cast, draw, float, index, int, mul, select, sub, unary } from '../../compiler/tensor/scalar.js';

/** One choice of the generator; numbers pick among what exists, modulo its count. */
export interface Step {
  readonly kind: 'map' | 'map2' | 'shift' | 'reduce' | 'full' | 'product' | 'broadcast' | 'gather' | 'window' | 'exp' | 'draw';
  readonly a: number;
  readonly b: number;
  readonly op: number;
}

export const steps: fc.Arbitrary<readonly Step[]> = fc.array(fc.record({
  kind: fc.constantFrom<Step['kind'][]>('map', 'map', 'map2', 'map2', 'shift', 'reduce', 'reduce', 'full', 'product', 'product', 'broadcast', 'gather', 'window', 'exp', 'draw'),
  a: fc.nat(40), b: fc.nat(40), op: fc.nat(40),
}), { minLength: 2, maxLength: 14 });

const operators: readonly ReduceOperator[] = ['sum', 'max', 'min', 'logsumexp'];
const named = (name: string): { span: null; name: string } => ({ span: null, name });

export interface Generated {
  readonly program: Program;
  readonly inputs: Record<string, Float64Array>;
}

export function numbers(count: number, seed: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => Math.sin((i + 1) * 12.9898 * (seed + 1)));
}

/** Sizes are small but pass the threshold of contractions. */
export function generateProgram(choices: readonly Step[], size: { readonly m: number; readonly n: number }): Generated {
  const b = new ProgramBuilder('generated');
  const { m, n } = size;
  const matrices: TensorId[] = [];
  const vectors: TensorId[] = [];
  const x = b.source('x', 'data', 'f32', [m, n], named('x'));
  const bytes = b.source('bytes', 'data', 'u8', [m, n], named('bytes'));
  const flat = b.source('flat', 'parameters', 'f32', [192], named('flat'));
  const order = b.source('order', 'batch', 'i32', [m], named('order'));
  const state = b.source('state', 'state', 'f32', [m, n], named('state'));
  matrices.push(x, b.comprehension('f32', [m, n], null, mul(cast('f32', b.identity(bytes)), float(1 / 255)), named('pixels')), state);
  vectors.push(b.comprehension('f32', [m], { op: 'sum', extents: [n] }, b.read(x, [index(0), index(1)]), named('row sums')));
  const pick = (list: readonly TensorId[], k: number): TensorId => list[k % list.length];
  const at2 = (t: TensorId): Scalar => b.read(t, [index(0), index(1)]);
  choices.forEach((s, k) => {
    const a = pick(matrices, s.a);
    const c = pick(matrices, s.b);
    const v = pick(vectors, s.b);
    const [p, q] = [m, n];
    const origin = named(`${s.kind}${k}`);
    switch (s.kind) {
      case 'map': matrices.push(b.comprehension('f32', [p, q], null, [mul(at2(a), float(0.5)), binary('max', at2(a), float(0)), add(at2(a), cast('f32', index(s.op % 2)))][s.op % 3], origin)); break;
      case 'exp': matrices.push(b.comprehension('f32', [p, q], null, unary(s.op % 2 === 0 ? 'tanh' : 'sin', at2(a)), origin)); break;
      case 'map2': matrices.push(b.comprehension('f32', [p, q], null, [mul, add, sub][s.op % 3](at2(a), at2(c)), origin)); break;
      case 'shift': matrices.push(b.comprehension('f32', [p, q], null, b.read(a, [sub(index(0), int((s.op % 3) - 1)), add(index(1), int(s.op % 2))], float(s.op % 4 === 0 ? 1 : 0)), origin)); break;
      case 'broadcast': matrices.push(b.comprehension('f32', [p, q], null, select(binary('ne', index(0), index(1)), add(at2(a), b.read(v, [index(0)])), float(0)), origin)); break;
      case 'gather': matrices.push(b.comprehension('f32', [p, q], null, b.read(a, [b.read(order, [index(0)]), index(1)]), origin)); break;
      case 'draw': matrices.push(b.comprehension('f32', [p, q], null, add(at2(a), draw(0, { site: int(k), seed: int(1), step: int(2), example: index(0), element: int(0) })), origin)); break;
      case 'reduce': vectors.push(b.comprehension('f32', [p], { op: operators[s.op % 4], extents: [q] }, s.op % 2 === 0 ? mul(at2(a), at2(c)) : at2(a), origin)); break;
      case 'full': vectors.push(b.comprehension('f32', [p], null, add(b.read(v, [index(0)]), b.read(b.comprehension('f32', [], { op: 'sum', extents: [p, q] }, mul(at2(a), at2(c)), origin), [])), origin)); break;
      case 'product': {
        const gram = b.comprehension('f32', [p, p], { op: 'sum', extents: [q] }, mul(b.read(a, [index(0), index(2)]), b.read(c, [index(1), index(2)])), named(`gram${k}`));
        const body = mul(b.read(gram, [index(0), index(2)]), b.read(a, [index(2), index(1)]));
        matrices.push(b.comprehension('f32', [p, q], { op: 'sum', extents: [p] }, mul(body, float(1 / p)), origin));
        break;
      }
      case 'window': {
        const w = b.window(flat, (s.op % 3) * 64, [4], origin);
        matrices.push(b.comprehension('f32', [p, q], null, add(at2(a), b.read(w, [binary('mod', index(1), int(4))])), origin));
        break;
      }
    }
  });
  const last = (list: readonly TensorId[]): TensorId => list[list.length - 1];
  const small = b.comprehension('f32', [192], null, mul(b.identity(flat), float(0.25)), named('small'));
  const pack = b.pack([last(matrices), last(vectors)], named('pack'));
  b.output('matrix', last(matrices));
  b.output('vector', vectors[vectors.length >> 1]);
  b.output('pack', pack);
  b.update(flat, small);
  b.update(state, pick(matrices, choices.length));
  const program = b.build();
  const inputs: Record<string, Float64Array> = {};
  for (const t of program.tensors) {
    if (t.kind !== 'source') continue;
    inputs[t.name] = t.name === 'bytes' ? Float64Array.from({ length: m * n }, (_, i) => (i * 37) % 256) : t.name === 'order' ? Float64Array.from({ length: m }, (_, i) => (i * 7) % m) : numbers(sizeOf(t.shape), t.id);
  }
  return { program, inputs };
}

/** The largest difference, relative to the size of the numbers. */
export function difference(a: ReadonlyMap<string, Float64Array>, b: ReadonlyMap<string, Float64Array>): number {
  let worst = 0;
  for (const [name, x] of a) {
    const y = b.get(name);
    if (y === undefined || y.length !== x.length) return Infinity;
    x.forEach((v, i) => { worst = Math.max(worst, Math.abs(v - y[i]) / (1 + Math.abs(v))); });
  }
  return worst;
}
