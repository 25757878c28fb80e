/** jax-js as a peer: `node jax-js.mjs wasm` or `webgpu`. Installed in bench/node_modules, so its types are not known here. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { fill, hashedArray } from '../values.js';
import type { ParameterSpec } from '../values.js';
import type { Work } from '../works.js';
import type { Runnable } from './serve.js';
import { serve } from './serve.js';
import { installWebGpu } from './webgpu.js';

/** As much of an array of jax-js as is used. Every use consumes it; `ref` keeps it for another. */
interface Tensor {
  readonly ref: Tensor;
  readonly shape: number[];
  dispose(): void;
  data(): Promise<ArrayLike<number>>;
  add(other: Tensor | number): Tensor;
  sub(other: Tensor | number): Tensor;
  mul(other: Tensor | number): Tensor;
  div(other: Tensor | number): Tensor;
  reshape(shape: number[]): Tensor;
  transpose(axes?: number[]): Tensor;
}

interface Jax {
  init(...devices: string[]): Promise<string[]>;
  defaultDevice(device: string): string;
  jit<F>(f: F): F;
  valueAndGrad(f: (...args: never[]) => Tensor): (...args: unknown[]) => [Tensor, Record<string, Tensor>];
  blockUntilReady<T>(x: T): Promise<T>;
  lax: { convGeneralDilated(x: Tensor, w: Tensor, strides: number[], padding: [number, number][]): Tensor };
  nn: { relu(x: Tensor): Tensor; logsumexp(x: Tensor, axis: number): Tensor };
  numpy: {
    array(values: Float32Array, options: { shape: number[] }): Tensor; zeros(shape: number[]): Tensor; matmul(a: Tensor, b: Tensor): Tensor; sum(x: Tensor, axis?: number | number[], options?: { keepdims: boolean }): Tensor;
    mean(x: Tensor, axis?: number | number[], options?: { keepdims: boolean }): Tensor; sqrt(x: Tensor): Tensor; concatenate(xs: Tensor[], axis?: number): Tensor; eye(n: number): Tensor; square(x: Tensor): Tensor;
  };
}

const target = process.argv[2] ?? 'wasm';
if (target === 'webgpu') await installWebGpu();
const require = createRequire(join(process.cwd(), 'bench', 'package.json'));
const jax = (await import(pathToFileURL(require.resolve('@jax-js/jax').replace(/index\.cjs$/, 'index.js')).href)) as Jax;
await jax.init(target);
jax.defaultDevice(target);
const np = jax.numpy;

type Weights = Record<string, Tensor>;

const dense = (p: Weights, name: string, x: Tensor): Tensor => np.matmul(x, p[`${name}.w`].ref).add(p[`${name}.b`].ref);

function mlp(p: Weights, x: Tensor): Tensor {
  const hidden = jax.nn.relu(dense(p, 'f.linear1', x));
  return dense(p, 'f.linear3', jax.nn.relu(dense(p, 'f.linear2', hidden)));
}

function cnn(p: Weights, x: Tensor): Tensor {
  let y = x.transpose([0, 3, 1, 2]);
  for (const k of [1, 2, 3]) {
    const w = p[`f.conv${k}.w`].ref.transpose([3, 2, 0, 1]);
    const b = p[`f.conv${k}.b`].ref;
    y = jax.nn.relu(jax.lax.convGeneralDilated(y, w, [2, 2], [[1, 1], [1, 1]]).add(b.reshape([1, -1, 1, 1])));
  }
  return dense(p, 'f.linear1', np.mean(y, [2, 3]));
}

function contrast(u: Tensor, v: Tensor): Tensor {
  const n = u.shape[0];
  const z = np.concatenate([u, v], 0);
  const unit = z.ref.div(np.sqrt(np.sum(np.square(z), 1, { keepdims: true })));
  const s = np.matmul(unit.ref, unit.ref.transpose()).mul(2);
  const total = jax.nn.logsumexp(s.sub(np.eye(2 * n).mul(1e9)), 1);
  const half = (from: number, to: number): Tensor => (unit as unknown as { slice(r: [number, number]): Tensor }).slice([from, to]);
  const [first, second] = [unit.ref && half(0, n), unit && half(n, 2 * n)];
  return np.mean(total).sub(np.mean(np.sum(first.mul(second), 1)).mul(2));
}

const nets: Readonly<Record<string, (p: Weights, x: Tensor) => Tensor>> = { mlp, cnn };

async function prepareStep(work: Extract<Work, { kind: 'step' }>, specs: readonly ParameterSpec[]): Promise<Runnable | null> {
  const net = nets[work.file];
  if (net === undefined) return null;
  const started = performance.now();
  const shape = [work.batch, ...work.inputs['a'].shape];
  const size = shape.reduce((a, b) => a * b, 1);
  const [a, b] = [1, 2].map((salt) => np.array(hashedArray(size, salt), { shape }));
  let weights: Weights = Object.fromEntries(specs.map((s) => [s.path, np.array(fill(s), { shape: [...s.shape] })]));
  const zeros = (): Weights => Object.fromEntries(specs.map((s) => [s.path, np.zeros([...s.shape])]));
  let [first, second] = [zeros(), zeros()];
  const gradient = jax.valueAndGrad((p: Weights, x: Tensor, y: Tensor) => contrast(net(p, x), net(p, y)));
  const step = jax.jit((p: Weights, m: Weights, v: Weights, x: Tensor, y: Tensor, c1: Tensor, c2: Tensor) => {
    const held = Object.fromEntries(Object.entries(p).map(([k, w]) => [k, w.ref]));
    const [loss, g] = gradient(held, x, y);
    const [p2, m2, v2]: [Weights, Weights, Weights] = [{}, {}, {}];
    for (const name of Object.keys(p)) {
      m2[name] = m[name].mul(0.9).add(g[name].ref.mul(0.1));
      v2[name] = v[name].mul(0.999).add(np.square(g[name]).mul(0.001));
      p2[name] = p[name].sub(m2[name].ref.div(c1.ref).mul(0.001).div(np.sqrt(v2[name].ref.div(c2.ref)).add(1e-8)));
    }
    c1.dispose();
    c2.dispose();
    return [loss, p2, m2, v2] as const;
  });
  let t = 0;
  const run = async (): Promise<number> => {
    t++;
    const scalar = (x: number): Tensor => np.array(Float32Array.of(x), { shape: [] });
    const [loss, p, m, v] = step(weights, first, second, a.ref, b.ref, scalar(1 - 0.9 ** t), scalar(1 - 0.999 ** t));
    [weights, first, second] = [p, m, v];
    await jax.blockUntilReady(Object.values(p).map((w) => w.ref));
    return (await loss.data())[0];
  };
  const check = [await run(), await run()];
  return { prepared: { check, compileMs: performance.now() - started }, run: async () => { await run(); }, close: () => Promise.resolve() };
}

async function prepareOperation(work: Extract<Work, { kind: 'operation' }>): Promise<Runnable | null> {
  if (work.call !== 'product' && work.call !== 'norm') return null;
  const started = performance.now();
  const inputs = Object.values(work.inputs).map((input, k) => np.array(hashedArray(input.shape.reduce((x, y) => x * y, 1), 1 + k, input.scale), { shape: [...input.shape] }));
  const f = work.call === 'product' ? jax.jit((a: Tensor, b: Tensor) => np.matmul(a, b)) : jax.jit((x: Tensor) => {
    const centred = x.ref.sub(np.mean(x, 1, { keepdims: true }));
    const spread = np.mean(np.square(centred.ref), 1, { keepdims: true });
    return centred.div(np.sqrt(spread.add(1e-5)));
  });
  const compute = (): Tensor => (f as (...args: Tensor[]) => Tensor)(...inputs.map((x) => x.ref));
  const check = [Array.from(await compute().data()).reduce((s, v) => s + v * v, 0)];
  const run = async (): Promise<void> => {
    const [y] = await jax.blockUntilReady([compute()]);
    y.dispose();
  };
  return { prepared: { check, compileMs: performance.now() - started }, run, close: () => Promise.resolve() };
}

await serve({ name: `jax-js (${target})`, prepare: (work, specs) => (work.kind === 'step' ? prepareStep(work, specs) : prepareOperation(work)) });
