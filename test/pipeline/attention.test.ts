/**
 * Attention as a person writes it, forward and backward: streamed (no matrix of queries by keys), and equal on both targets to the
 * formulas evaluated in float64. With P = softmax(Q K' / sqrt(d)), Y = P V and the gradient G of Y: dV = P' G,
 * dS = P * (G V' - rowsum(G * Y)), dQ = dS K / sqrt(d), dK = dS' Q / sqrt(d). A masked pair has P = 0.
 */
import { afterAll, describe, expect, it } from 'vitest';
import type { CallInput, CompiledCall, TargetOptions } from '../../compiler/api.js';
import { compileCall } from '../../compiler/pipeline.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import { openCpuDevice } from '../../runtime/device/cpu/open-cpu-device.js';
import type { Device } from '../../runtime/device/device.js';
import { expectClose } from '../kernels/tools.js';
import { load } from '../lower/harness.js';
import { numbers } from '../models/harness.js';
import { exactOptions } from '../wasm/harness.js';
import { gpuOptions, openTestDevice, softwareOptions } from '../wgsl/harness.js';
import { acceptModules, nullDevice } from './null-device.js';

const layer = (name: string, more: string, body: string): string => `
fn ${name}(q: [N, H, D], k: [M, H, D], v: [M, H, E], pull: [N, H, E]${more}) -> [N, H, E] {
${body}
  y * pull
}`;

/** Scores with what stands for a masked one, then the library's softmax. */
const scored = (name: string, more: string, score: (product: string) => string): string => layer(name, more, `
  s[h, i, j] = ${score('sum[d](q[i, h, d] * k[j, h, d]) / sqrt(D)')}
  let p = softmax(s)
  y[i, h, e] = sum[j](p[h, i, j] * v[j, h, e])`);

/** Sums over the pairs that count. */
const summed = (name: string, more: string, counts: string): string => layer(name, more, `
  s[h, i, j] = sum[d](q[i, h, d] * k[j, h, d]) / sqrt(D)
  total[h, i] = logsumexp[j where ${counts}](s[h, i, j])
  y[i, h, e] = sum[j where ${counts}](exp(s[h, i, j] - total[h, i]) * v[j, h, e])`);

const text = [
  scored('cross', '', (product) => product),
  scored('causal', '', (product) => `if j <= i { ${product} } else { -1e9 }`),
  scored('padded', ', length: int', (product) => `if j < length { ${product} } else { -1e9 }`),
  scored('added', ', mask: [M]', (product) => `${product} + mask[j]`),
  summed('causal_sums', '', 'j <= i'),
  summed('padded_sums', ', length: int', 'j < length'),
].join('\n');

/** Examples, heads, queries, keys, width of keys, width of values. */
type Shape = readonly [number, number, number, number, number, number];

/** The form of attention, what else it takes, and which pairs count in it. */
interface Form {
  readonly name: string;
  readonly more?: 'length' | 'mask';
  readonly counts: (i: number, j: number, length: number) => boolean;
}

const causal: Form['counts'] = (i, j) => j <= i;
const within: Form['counts'] = (_, j, length) => j < length;
const cases: readonly (readonly [Form, Shape])[] = [
  [{ name: 'cross', counts: () => true }, [2, 3, 20, 33, 5, 5]], [{ name: 'cross', counts: () => true }, [1, 1, 33, 9, 5, 6]],
  [{ name: 'causal', counts: causal }, [2, 2, 32, 32, 8, 8]], [{ name: 'causal', counts: causal }, [3, 1, 19, 19, 4, 4]],
  [{ name: 'padded', more: 'length', counts: within }, [2, 2, 24, 17, 4, 9]], [{ name: 'padded', more: 'length', counts: within }, [1, 3, 12, 16, 3, 3]],
  [{ name: 'added', more: 'mask', counts: within }, [2, 2, 18, 15, 3, 3]],
  [{ name: 'causal_sums', counts: causal }, [2, 2, 21, 21, 4, 4]], [{ name: 'padded_sums', more: 'length', counts: within }, [2, 1, 14, 21, 4, 3]],
];

const lengthOf = (example: number, keys: number): number => keys - 3 - 4 * example;

/** Weighted results and gradients of their sum, by the formulas above. */
function formulas([examples, heads, n, m, width, depth]: Shape, q: number[], k: number[], v: number[], pull: number[], counts: Form['counts']): Record<string, Float64Array> {
  const out = { out: new Float64Array(pull.length), 'grad.q': new Float64Array(q.length), 'grad.k': new Float64Array(k.length), 'grad.v': new Float64Array(v.length) };
  const scale = Math.sqrt(width);
  const each = (count: number, f: (at: number) => number): number => { let sum = 0; for (let c = 0; c < count; c++) sum += f(c); return sum; };
  for (let example = 0; example < examples; example++) for (let head = 0; head < heads; head++) {
    const row = (i: number, d: number, size = width): number => ((example * n + i) * heads + head) * size + d;
    const column = (j: number, d: number, size = width): number => ((example * m + j) * heads + head) * size + d;
    for (let i = 0; i < n; i++) {
      const e = Array.from({ length: m }, (_, j) => (counts(i, j, lengthOf(example, m)) ? Math.exp(each(width, (d) => q[row(i, d)] * k[column(j, d)]) / scale) : 0));
      const total = e.reduce((a, b) => a + b, 0);
      const p = e.map((x) => x / total);
      const y = Array.from({ length: depth }, (_, d) => each(m, (j) => p[j] * v[column(j, d, depth)]));
      const along = each(depth, (d) => pull[row(i, d, depth)] * y[d]);
      y.forEach((x, d) => { out.out[row(i, d, depth)] = x * pull[row(i, d, depth)]; });
      for (let j = 0; j < m; j++) {
        const ds = p[j] * (each(depth, (d) => pull[row(i, d, depth)] * v[column(j, d, depth)]) - along);
        for (let d = 0; d < depth; d++) out['grad.v'][column(j, d, depth)] += p[j] * pull[row(i, d, depth)];
        for (let d = 0; d < width; d++) {
          out['grad.q'][row(i, d)] += (ds * k[column(j, d)]) / scale;
          out['grad.k'][column(j, d)] += (ds * q[row(i, d)]) / scale;
        }
      }
    }
  }
  return out;
}

/** Attention of a form compiled for a target, and the shapes of its real inputs. */
function compiledFor(options: TargetOptions, form: Form, [examples, heads, n, m, width, depth]: Shape): { readonly compiled: CompiledCall; readonly shapes: Readonly<Record<'q' | 'k' | 'v' | 'pull', readonly number[]>> } {
  const of = (tokens: number, size: number): number[] => [examples, tokens, heads, size];
  const shapes = { q: of(n, width), k: of(m, width), v: of(m, depth), pull: of(n, depth) };
  const masks: Record<string, CallInput> = form.more === undefined ? {} : { [form.more]: form.more === 'length' ? { element: 'i32', shape: [examples] } : { element: 'f32', shape: [examples, m] } };
  const inputs: Record<string, CallInput> = { ...Object.fromEntries(Object.entries(shapes).map(([name, s]): [string, CallInput] => [name, { element: 'f32', shape: s }])), ...masks };
  return { compiled: compileCall(load(text), { name: form.name, set: {}, inputs, gradients: true, training: true, target: options }), shapes };
}

async function expectFormulas(device: Device, options: TargetOptions, form: Form, shape: Shape): Promise<void> {
  const [examples, heads, n, m, width, depth] = shape;
  const { compiled, shapes } = compiledFor(options, form, shape);
  const { program, materialized, kernels } = compiled.kernels['call'];
  const matrices = materialized.map((id) => program.tensors[id]).filter((t) => t.kind === 'comprehension' && sizeOf(t.shape) >= examples * heads * n * m);
  expect(matrices.map((t) => t.origin.name)).toEqual([]);
  // Scores for the totals, the result and the gradients of v, k (two) and q (two); none for the gradient of the totals. A mask's gradient has two.
  // On the CPU those of v are those of k, where both are as wide.
  const together = options.target === 'wasm' && width === depth;
  const scores = kernels.reduce((n, kernel) => n + (kernel.kind === 'online' ? kernel.scores.length : 0), 0);
  expect(scores).toBe((form.more === 'mask' ? 9 : 7) - (together ? 1 : 0));

  const [q, k, v, pull] = Object.values(shapes).map((s, seed) => numbers(sizeOf(s), seed + 1));
  const session = await device.load(compiled.plan);
  await session.run('init');
  for (const [name, values] of Object.entries({ q, k, v, pull })) session.write(`input.${name}`, Float32Array.from(values));
  if (form.more === 'length') session.write('input.length', Int32Array.from({ length: examples }, (_, example) => lengthOf(example, m)));
  if (form.more === 'mask') session.write('input.mask', Float32Array.from({ length: examples * m }, (_, at) => (form.counts(0, at % m, lengthOf(Math.floor(at / m), m)) ? 0 : -1e9)));
  await session.run('call');
  for (const [name, expected] of Object.entries(formulas(shape, q, k, v, pull, form.counts))) {
    const found = await session.readOutput('call', name);
    expectClose(found, expected, 2e-5, name);
  }
  await session.close();
}

const titled = cases.map(([form, shape]) => [form.name, shape.join(' x '), form, shape] as const);

describe('attention on the CPU', () => {
  it.each(titled)('%s, %s, streams and agrees with the formulas', async (_name, _shape, form, shape) => {
    const device = await openCpuDevice({ threads: 1 });
    await expectFormulas(device, exactOptions, form, shape);
    await device.close();
  });
});

describe('attention for a GPU', () => {
  it('is accepted, large and small', async () => {
    const checker = await nullDevice();
    for (const [form, [examples, heads, , , width, depth]] of cases.slice(0, 6)) {
      for (const tokens of [19, 197]) await acceptModules(checker, compiledFor(gpuOptions, form, [examples, heads, tokens, tokens, width, depth]).compiled.plan, gpuOptions);
    }
    checker.close();
  });
});

const opened = await openTestDevice();

describe.skipIf(typeof opened === 'string')(`attention on an adapter${typeof opened === 'string' ? ` (skipped: ${opened})` : ''}`, () => {
  afterAll(async () => { if (typeof opened !== 'string') await opened.close(); });

  it.each(titled)('%s, %s, streams and agrees with the formulas', async (_name, _shape, form, shape) => {
    if (typeof opened !== 'string') await expectFormulas(opened, softwareOptions, form, shape);
  }, 60_000);
});
