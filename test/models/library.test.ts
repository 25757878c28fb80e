/** Gradients of the library against finite differences of the interpreter on random shapes. `conformance.test.ts` has the formulas. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { evaluateCall, load, numbers, type Given } from './harness.js';

const std = (name: string): string => `models/std/${name}.ssl`;
type Sizes = Readonly<Record<'a' | 'b' | 'c' | 'd', number>>;
interface Case {
  readonly file: string;
  readonly name: string;
  readonly set?: Readonly<Record<string, string>>;
  readonly shapes: (n: Sizes) => Readonly<Record<string, readonly number[]>>;
  /** Added to the inputs, which otherwise lie in -1..1: places in an image must lie inside it. */
  readonly shift?: number;
}
const pair = (n: Sizes): Record<string, readonly number[]> => ({ u: [n.a + 2, n.b + 1], v: [n.a + 2, n.b + 1] });
const image = (n: Sizes): Record<string, readonly number[]> => ({ x: [2, n.a + 3, n.b + 3, n.c] });
const vector = (n: Sizes): Record<string, readonly number[]> => ({ x: [n.a, n.b + 1] });
const same = (file: string, names: readonly string[], shapes: Case['shapes']): Case[] => names.map((name) => ({ file: std(file), name, shapes }));

const cases: readonly Case[] = [
  ...same('prelude', ['relu', 'leaky_relu', 'gelu', 'sigmoid', 'silu', 'softplus', 'softmax', 'log_softmax', 'normalize', 'transpose', 'sort'], vector),
  { file: std('prelude'), name: 'inverse_normal', shapes: (n) => ({ p: [n.a, n.b + 1] }) },
  ...same('prelude', ['dot', 'squared_distance', 'cosine', 'mse'], pair),
  { file: std('prelude'), name: 'flatten', shapes: image },
  { file: std('prelude'), name: 'soft_cross_entropy', shapes: (n) => ({ target: [n.a, n.b + 1], logits: [n.a, n.b + 1] }) },
  { file: std('prelude'), name: 'usage', shapes: (n) => ({ p: [n.a, n.b] }) },
  { file: std('prelude'), name: 'perplexity', shapes: (n) => ({ p: [n.a, n.b] }), shift: 1.2 },
  { file: std('prelude'), name: 'enqueue', shapes: (n) => ({ queue: [n.a + n.c, n.b], keys: [n.a, n.b] }) },
  ...same('energies', ['nt_xent', 'dcl', 'cosine_distance', 'negative_cosine', 'mse', 'barlow', 'vicreg', 'alignment'], pair),
  { file: std('energies'), name: 'dcl', set: { weighted: 'true' }, shapes: pair },
  { file: std('energies'), name: 'batch_info_nce', shapes: (n) => ({ q: [n.a, n.b], k: [n.a, n.b] }) },
  { file: std('energies'), name: 'tico', shapes: (n) => ({ ...pair(n), moment: [n.b + 1, n.b + 1] }) },
  { file: std('energies'), name: 'whiten', set: { size: '6', eps: '0.1' }, shapes: (n) => ({ z: [12, n.b] }) },
  { file: std('energies'), name: 'second_moment', shapes: (n) => ({ z: [n.a + 1, n.b] }) },
  { file: std('energies'), name: 'byol', shapes: (n) => ({ prediction_a: [n.a, n.b + 1], target_b: [n.a, n.b + 1], prediction_b: [n.a, n.b + 1], target_a: [n.a, n.b + 1] }) },
  { file: std('energies'), name: 'info_nce', shapes: (n) => ({ q: [n.a, n.b], k: [n.a, n.b], queue: [n.c + 1, n.b] }) },
  { file: std('energies'), name: 'contrastive', shapes: (n) => ({ ...pair(n), same: [n.a + 2] }) },
  { file: std('energies'), name: 'triplet', shapes: (n) => ({ anchor: [n.a, n.b], positive: [n.a, n.b], negative: [n.a, n.b] }) },
  ...same('regularizers', ['variance', 'covariance', 'uniformity', 'sigreg'], (n) => ({ z: [n.a + 2, n.b + 1] })),
  { file: std('clustering'), name: 'swapped_prediction', shapes: (n) => ({ means: [n.a, n.b], z: [n.a, n.b], prototypes: [n.c + 1, n.b] }) },
  { file: std('layers'), name: 'linear', set: { out: '3' }, shapes: vector },
  { file: std('layers'), name: 'unit_linear', set: { out: '3' }, shapes: vector },
  { file: std('layers'), name: 'conv', set: { out: '2', stride: '2' }, shapes: image },
  { file: std('layers'), name: 'conv', set: { out: '2', size: '2', pad: '0', bias: 'true' }, shapes: image },
  { file: std('layers'), name: 'conv', set: { out: '2', size: '1', stride: '3' }, shapes: image },
  { file: std('layers'), name: 'gru', shapes: (n) => ({ state: [n.a, n.b], input: [n.a, n.c] }) },
  ...same('layers', ['batch_norm', 'layer_norm', 'max_pool', 'avg_pool', 'global_average', 'global_max', 'dropout'], image),
  { file: std('layers'), name: 'max_pool', set: { size: '3', stride: '2', pad: '1' }, shapes: image },
  { file: std('layers'), name: 'grid_average', set: { grid: '2' }, shapes: (n) => ({ x: [2, 4, 4, n.c] }) },
  { file: std('layers'), name: 'mlp', set: { hidden: '3', out: '2', last: '2', last_norm: 'true' }, shapes: (n) => ({ x: [n.a + 3, n.b] }) },
  { file: std('vision'), name: 'basic_block', set: { width: '2', stride: '2' }, shapes: (n) => ({ x: [2, n.a + 2, n.b + 2, n.c] }) },
  { file: std('vision'), name: 'edge_directions', set: { bins: '3' }, shapes: image },
  { file: std('prelude'), name: 'clamp', shapes: (n) => ({ x: [n.a, n.b + 1], low: [n.a, n.b + 1], high: [n.a, n.b + 1] }) },
  { file: std('layers'), name: 'hidden_layer', set: { width: '3' }, shapes: (n) => ({ x: [n.a + 3, n.b] }) },
  { file: std('vision'), name: 'conv_block', set: { width: '2', stride: '2' }, shapes: image },
  { file: std('vision'), name: 'small_cnn', set: { width: '1' }, shapes: (n) => ({ x: [2, n.a + 7, n.b + 7, n.c] }) },
  ...same('views', ['flip', 'noise', 'solarize'], image),
  { file: std('views'), name: 'shift', set: { pixels: '1' }, shapes: image },
  { file: std('views'), name: 'erase', set: { size: '2' }, shapes: image },
  { file: std('views'), name: 'gaussian_blur', set: { radius: '1' }, shapes: image },
  { file: std('views'), name: 'random_resized_crop', set: { height: '3', width: '4' }, shapes: image },
  { file: std('views'), name: 'crop', set: { size: '3' }, shapes: image },
  { file: std('views'), name: 'affine', shapes: image },
  { file: std('views'), name: 'bilinear', shapes: (n) => ({ x: [n.a + 3, n.b + 3, n.c], row: [n.d], column: [n.d + 1] }), shift: 1 },
  ...same('views', ['adjust_brightness', 'adjust_contrast'], (n) => ({ x: [2, n.a + 1, n.b + 1, n.c], factor: [2] })),
  ...same('views', ['color_jitter', 'grayscale', 'normalize'], (n) => ({ x: [2, n.a + 1, n.b + 1, n.c === 2 ? 1 : 3] })),
  { file: std('views'), name: 'luminance', shapes: (n) => ({ pixel: [n.a, 3] }) },
  { file: std('views'), name: 'adjust_saturation', shapes: (n) => ({ x: [2, n.a, n.b, 3], factor: [2] }) },
  { file: std('views'), name: 'adjust_hue', shapes: (n) => ({ pixel: [n.a, 3], turn: [n.a] }) },
  { file: std('vision'), name: 'bottleneck', set: { width: '2' }, shapes: (n) => ({ x: [2, n.a + 1, n.b + 1, n.c] }) },
  { file: std('regnet'), name: 'group_conv', set: { out: '6', groups: '2', stride: '2' }, shapes: (n) => ({ x: [2, n.a + 2, n.b + 2, 2 * n.c] }) },
  { file: std('regnet'), name: 'squeeze_excite', set: { hidden: '2' }, shapes: image },
  { file: std('regnet'), name: 'regnet_block', set: { width: '4', group: '2', stride: '2' }, shapes: (n) => ({ x: [2, n.a + 2, n.b + 2, 4] }) },
  { file: std('vit'), name: 'projection', set: { out: '3' }, shapes: vector },
  { file: std('vit'), name: 'attention', set: { heads: '2' }, shapes: (n) => ({ x: [2, n.a + 1, 2 * n.b] }) },
  { file: std('vit'), name: 'transformer_block', set: { heads: '2', hidden: '3' }, shapes: (n) => ({ x: [2, n.a + 1, 4] }) },
  { file: std('vit'), name: 'grid_position', set: { height: '2', width: '3', components: '4' }, shapes: (n) => ({ scale: [n.a] }) },
  { file: std('vit'), name: 'vision_transformer', set: { width: '4', depth: '1', heads: '2', patch: '2', pool: 'mean' }, shapes: () => ({ x: [2, 4, 4, 1] }) },
  { file: std('convnext'), name: 'depthwise_conv', set: { size: '3' }, shapes: image },
  { file: std('convnext'), name: 'convnext_block', set: { scale: '0.5' }, shapes: image },
  { file: std('vision'), name: 'basic_stage', set: { width: '2', blocks: '2' }, shapes: (n) => ({ x: [2, n.a + 2, n.b + 2, n.c] }) },
];

/** Not in the table: no float input of their own, checked elsewhere in this file, or too large for the interpreter. */
const elsewhere: ReadonlySet<string> = new Set([
  // distributions, schedules and what they are made of, optimizers (conformance.test.ts)
  'he_normal', 'he_uniform', 'lecun_normal', 'xavier_normal', 'xavier_uniform', 'constant', 'linear', 'polynomial', 'cosine', 'milestones', 'warmup', 'after', 'counted', 'warmed',
  'sgd', 'adam', 'adamw', 'lars', 'lamb', 'adagrad', 'rowwise_adagrad',
  // no gradient passes, or not to every input (conformance.test.ts)
  'nearest', 'self_distillation',
  // for stages, or with a stop inside (clustering.test.ts)
  'cluster_of', 'cluster_within', 'cluster_means', 'some_rows', 'kmeans', 'spherical_kmeans', 'kmeans_within', 'orthonormal', 'principal_components', 'whiten', 'sinkhorn_means',
  // an int beside the floats: below
  'cross_entropy', 'one_of_four',
  // given an energy: test/lower/latent.test.ts; and its helper
  'ista', 'cem', 'mppi', 'least',
  // an int among the results: test/lower/routines.test.ts
  'top_k',
  // of whole numbers: test/lower/monitor.test.ts
  'shares',
  // compositions of basic_block, bottleneck and conv_block: test/pipeline/backbones.test.ts runs them
  'resnet_stem', 'bottleneck_stage', 'basic_resnet', 'bottleneck_resnet', 'resnet18', 'resnet34', 'resnet50', 'resnet101', 'resnet152',
  'regnet_y', 'vit', 'convnext',
  // a compile-time number
  'regnet_width',
]);

test('the table has every function of the library', () => {
  const declared = readdirSync('models/std').filter((f) => f !== 'data.ssl').flatMap((f) =>
    [...readFileSync(join('models/std', f), 'utf8').matchAll(/^(?:fn|layer|backbone|energy|regularizer|view|optimizer|schedule) (\w+)/gm)].map((m) => m[1]));
  const known = new Set([...cases.map((c) => c.name), ...elsewhere]);
  expect(declared.filter((name) => !known.has(name))).toEqual([]);
});

test.each([0, 1, 2])('gradient of cross_entropy and of one_of_four, choice %i', (choice) => {
  const labels: Given = { shape: [2], values: [choice, 2 - choice], element: 'i32' };
  const check = (file: string, name: string, floats: Readonly<Record<string, Given>>, ints: Readonly<Record<string, Given>>): void => {
    const loaded = load(std(file));
    const total = (given: Readonly<Record<string, Given>>): number => [...(evaluateCall(loaded, name, { ...given, ...ints }).outputs.get('out')?.values ?? [])].reduce((x, y) => x + y, 0);
    const { outputs } = evaluateCall(loaded, name, { ...floats, ...ints }, { gradients: true });
    for (const [k, x] of Object.entries(floats)) {
      const gradient = outputs.get(`grad.${k}`)?.values ?? new Float64Array();
      x.values.forEach((_, i) => {
        const at = (delta: number): number => total({ ...floats, [k]: { ...x, values: x.values.map((v, j) => (j === i ? v + delta : v)) } });
        const difference = (at(1e-5) - at(-1e-5)) / 2e-5;
        expect(Math.abs(gradient[i] - difference), `${name} grad.${k}[${i}]`).toBeLessThan(1e-4 * Math.max(1, Math.abs(difference)));
      });
    }
  };
  check('prelude', 'cross_entropy', { logits: { shape: [2, 3], values: numbers(6, 5) } }, { label: labels });
  const amount = (salt: number): Given => ({ shape: [2], values: numbers(2, salt).map((v) => 1 + 0.3 * v) });
  check('views', 'one_of_four', { x: { shape: [2, 2, 2, 3], values: numbers(24, 9).map((v) => 0.5 + 0.4 * v) }, light: amount(1), depth: amount(2), vivid: amount(3), turn: { shape: [2], values: [0.03, -0.04] } }, { which: labels });
});

const size = (shape: readonly number[]): number => shape.reduce((x, y) => x * y, 1);
const small = fc.integer({ min: 1, max: 3 });

test.each(cases.map((c) => ({ ...c, label: `${c.name} ${Object.entries(c.set ?? {}).join(' ')}` })))('gradient of $label', ({ file, name, set, shapes, shift }) => {
  const loaded = load(file);
  fc.assert(fc.property(fc.record({ a: small, b: small, c: small, d: small }), fc.integer({ min: 1, max: 1000 }), (n, seed) => {
    const inputs: Record<string, Given> = Object.fromEntries(Object.entries(shapes(n)).map(([k, shape], i) => [k, { shape, values: numbers(size(shape), seed + 31 * i).map((v) => v + (shift ?? 0)) }]));
    const first = evaluateCall(loaded, name, inputs, { set });
    const parameters = Object.fromEntries([...first.parameters].map(([path, shape], i) => [path, numbers(size(shape), seed + 77 + i)]));
    const total = (given: typeof inputs, weights: typeof parameters): number =>
      [...(evaluateCall(loaded, name, given, { set, parameters: weights }).outputs.get('out')?.values ?? [])].reduce((x, y) => x + y, 0);
    const { outputs } = evaluateCall(loaded, name, inputs, { set, parameters, gradients: true });
    const probe = (label: string, count: number, at: (i: number, delta: number) => number): void => {
      const gradient = outputs.get(label)?.values ?? new Float64Array();
      expect(gradient.length, label).toBe(count);
      // A few coordinates a run; fast-check brings others.
      for (let k = 0; k < Math.min(2, count); k++) {
        const i = (seed * 7 + k * 5) % count;
        // A kink between the two points (a rectifier that switches) spoils a difference, not the gradient: a closer pair avoids it.
        const differences = [1e-5, 1e-7].map((h) => (at(i, h) - at(i, -h)) / (2 * h));
        const errors = differences.map((d) => Math.abs(gradient[i] - d) / Math.max(1, Math.abs(d)));
        expect(Math.min(...errors), `${label}[${i}]: ${gradient[i]} against ${differences.join(' and ')}`).toBeLessThan(1e-4);
      }
    };
    const moved = (values: readonly number[], i: number, delta: number): number[] => values.map((v, k) => (k === i ? v + delta : v));
    for (const [k, x] of Object.entries(inputs)) probe(`grad.${k}`, size(x.shape), (i, delta) => total({ ...inputs, [k]: { ...x, values: moved(x.values, i, delta) } }, parameters));
    for (const [path, w] of Object.entries(parameters)) probe(`grad.param.${path}`, w.length, (i, delta) => total(inputs, { ...parameters, [path]: moved(w, i, delta) }));
  }), { numRuns: 4 });
});

test.each([['basic_block', { width: '3' }], ['bottleneck', { width: '1' }]] as const)('%s with a zero residual begins as its shortcut', (name, set) => {
  const channels = name === 'bottleneck' ? 4 : 3;
  const values = numbers(2 * 4 * 4 * channels, 3);
  const { outputs } = evaluateCall(load(std('vision')), name, { x: { shape: [2, 4, 4, channels], values } }, { set: { ...set, zero_residual: 'true' } });
  [...(outputs.get('out')?.values ?? [])].forEach((v, i) => expect(v).toBeCloseTo(Math.max(0, values[i]), 12));
});
