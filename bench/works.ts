/** The works of the benchmark: what every peer that can do it does, and what it costs at least. */

/** Hashed numbers of `-scale..scale`, or for integers their magnitudes, rounded down. */
export interface Input {
  readonly element: 'f32' | 'i32' | 'u8';
  readonly shape: readonly number[];
  readonly scale: number;
}

export type Work =
  /** One training step on inputs whose first axis, the batch, is left out; parameters by path. Checked by the losses of the first two steps. */
  | { readonly kind: 'step'; readonly name: string; readonly file: string; readonly inputs: Readonly<Record<string, Input>>; readonly batch: number }
  /** One function on hashed inputs. Checked by the sum of squares of every result. */
  | {
      readonly kind: 'operation'; readonly name: string; readonly call: string; readonly set: Readonly<Record<string, string>>; readonly gradients: boolean;
      readonly inputs: Readonly<Record<string, Input>>;
      readonly unit: 'GFLOP/s' | 'GB/s' | 'images/s';
      /** FLOPs, bytes or images of one run. */
      readonly amount: number;
    };

const f32 = (shape: readonly number[], scale = 1): Input => ({ element: 'f32', shape, scale });

/** A step on two inputs of one shape, `a` and `b`. */
function pairs(name: string, file: string, shape: readonly number[], batch: number): Work {
  return { kind: 'step', name, file, inputs: { a: f32(shape), b: f32(shape) }, batch };
}

/** Skip-gram: two tables of 200,000 rows of 100, pairs of words with five negatives. */
function embedding(name: string, file: string): Work {
  const words = (shape: readonly number[]): Input => ({ element: 'i32', shape, scale: 200_000 });
  return { kind: 'step', name, file, inputs: { word: words([]), context: words([]), noise: words([5]) }, batch: 4096 };
}

function product(m: number, k: number, n: number): Work {
  return { kind: 'operation', name: `product ${m}x${k}x${n}`, call: 'product', set: {}, gradients: false, inputs: { a: f32([m, k]), b: f32([k, n]) }, unit: 'GFLOP/s', amount: 2 * m * k * n };
}

/** What a machine can do at best: of memory that only moves, and of multiplications. */
export const ceilings: readonly Work[] = [
  { kind: 'operation', name: 'ceiling: copy of 32 M numbers', call: 'shifted', set: {}, gradients: false, inputs: { x: f32([1 << 25]) }, unit: 'GB/s', amount: 2 * 4 * (1 << 25) },
  { ...product(2048, 2048, 2048), name: 'ceiling: product 2048x2048x2048' },
];

function contrast(batch: number): Work {
  const rows = 2 * batch;
  // Forward once and backward twice over the products of all pairs.
  return { kind: 'operation', name: `nt-xent ${rows} rows`, call: 'contrast', set: {}, gradients: true, inputs: { u: f32([batch, 128]), v: f32([batch, 128]) }, unit: 'GFLOP/s', amount: 3 * 2 * rows * rows * 128 };
}

function attention(examples: number, heads: number, tokens: number, width: number, causal = false): Work {
  const shape = [examples, heads, tokens, width];
  // Two products forward and four backward, without what is computed again; under a causal mask for the pairs that it leaves.
  const pairs = causal ? (tokens * (tokens + 1)) / 2 : tokens * tokens;
  const amount = 6 * 2 * examples * heads * pairs * width;
  const call = causal ? 'causal_attention' : 'attention';
  return { kind: 'operation', name: `${causal ? 'causal ' : ''}attention ${shape.join('x')}`, call, set: {}, gradients: true, inputs: { q: f32(shape), k: f32(shape), v: f32(shape), pull: f32(shape) }, unit: 'GFLOP/s', amount };
}

export const works: readonly Work[] = [
  product(512, 512, 512), product(1024, 1024, 1024), product(256, 128, 256), product(512, 512, 10000),
  pairs('mlp step', 'mlp', [784], 256), pairs('cnn step', 'cnn', [28, 28, 1], 128),
  pairs('resnet18 step', 'resnet18', [32, 32, 3], 64), pairs('vit-tiny step', 'vit_tiny', [32, 32, 3], 32),
  embedding('embedding adagrad', 'embedding'), embedding('embedding adagrad, lazy', 'embedding_lazy'), embedding('embedding adam, lazy', 'embedding_lazy_adam'),
  { kind: 'operation', name: 'layer norm 8192x1024', call: 'norm', set: {}, gradients: false, inputs: { x: f32([8192, 1024]) }, unit: 'GB/s', amount: 2 * 4 * 8192 * 1024 },
  {
    kind: 'operation', name: 'cross-entropy 4096x30522', call: 'vocabulary', set: {}, gradients: true, unit: 'GFLOP/s', amount: 3 * 2 * 4096 * 30522 * 128,
    inputs: { h: f32([4096, 128]), w: f32([30522, 128], 0.1), label: { element: 'i32', shape: [4096], scale: 30522 } },
  },
  contrast(2048), contrast(8192),
  attention(16, 6, 197, 64), attention(2, 6, 1024, 64), attention(2, 6, 1024, 64, true),
  {
    kind: 'operation', name: 'augmentation 256x32x32x3', call: 'augmentation', set: {}, gradients: false, unit: 'images/s', amount: 256,
    inputs: { x: { element: 'u8', shape: [256, 32, 32, 3], scale: 256 } },
  },
  {
    kind: 'operation', name: 'adamw 25 M', call: 'adamw', set: { rate: '0.001', decay: '0.01' }, gradients: false, unit: 'GB/s', amount: 7 * 4 * 25e6,
    inputs: { w: f32([25e6]), g: f32([25e6], 0.01) },
  },
];
