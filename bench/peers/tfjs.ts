/** TensorFlow.js as a peer: `node tfjs.mjs wasm` or `webgpu`. Installed in bench/node_modules, so its types are not known here. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fill, hashedArray } from '../values.js';
import type { ParameterSpec } from '../values.js';
import type { Work } from '../works.js';
import type { Runnable } from './serve.js';
import { serve } from './serve.js';
import { installWebGpu } from './webgpu.js';

/** As much of TensorFlow.js as is used. */
interface Tensor {
  readonly shape: number[];
  data(): Promise<ArrayLike<number>>;
  dispose(): void;
  add(x: Tensor): Tensor;
  sub(x: Tensor): Tensor;
  mul(x: Tensor | number): Tensor;
  div(x: Tensor): Tensor;
  relu(): Tensor;
  mean(axis?: number | number[], keep?: boolean): Tensor;
  sum(axis?: number, keep?: boolean): Tensor;
  square(): Tensor;
  sqrt(): Tensor;
  logSumExp(axis: number): Tensor;
  matMul(x: Tensor, a?: boolean, b?: boolean): Tensor;
  conv2d(w: Tensor, strides: number, pad: number): Tensor;
  slice(begin: number[], size: number[]): Tensor;
}

interface TensorFlow {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  tensor(values: Float32Array, shape: readonly number[]): Tensor;
  variable(x: Tensor): Tensor;
  concat(xs: Tensor[]): Tensor;
  eye(n: number): Tensor;
  tidy<T>(f: () => T): T;
  train: { adam(rate: number, beta1: number, beta2: number, eps: number): { minimize(f: () => Tensor, returnCost: boolean): Tensor } };
}

const target = process.argv[2] ?? 'wasm';
if (target === 'webgpu') await installWebGpu();
const require = createRequire(join(process.cwd(), 'bench', 'package.json'));
const tf = require('@tensorflow/tfjs') as TensorFlow;
require(target === 'webgpu' ? '@tensorflow/tfjs-backend-webgpu' : '@tensorflow/tfjs-backend-wasm');
await tf.setBackend(target);
await tf.ready();

type Weights = Record<string, Tensor>;

const dense = (p: Weights, name: string, x: Tensor): Tensor => x.matMul(p[`${name}.w`]).add(p[`${name}.b`]);
const mlp = (p: Weights, x: Tensor): Tensor => dense(p, 'f.linear3', dense(p, 'f.linear2', dense(p, 'f.linear1', x).relu()).relu());

function cnn(p: Weights, x: Tensor): Tensor {
  let y = x;
  for (const k of [1, 2, 3]) y = y.conv2d(p[`f.conv${k}.w`], 2, 1).add(p[`f.conv${k}.b`]).relu();
  return dense(p, 'f.linear1', y.mean([1, 2]));
}

function contrast(u: Tensor, v: Tensor): Tensor {
  const n = u.shape[0];
  const z = tf.concat([u, v]);
  const unit = z.div(z.square().sum(1, true).sqrt());
  const s = unit.matMul(unit, false, true).mul(2);
  const total = s.sub(tf.eye(2 * n).mul(1e9)).logSumExp(1);
  const positive = unit.slice([0, 0], [n, -1]).mul(unit.slice([n, 0], [n, -1])).sum(1);
  return total.mean().sub(positive.mean().mul(2));
}

const nets: Readonly<Record<string, (p: Weights, x: Tensor) => Tensor>> = { mlp, cnn };

async function prepareStep(work: Extract<Work, { kind: 'step' }>, specs: readonly ParameterSpec[]): Promise<Runnable | null> {
  const net = nets[work.file];
  if (net === undefined) return null;
  const started = performance.now();
  const shape = [work.batch, ...work.inputs['a'].shape];
  const size = shape.reduce((x, y) => x * y, 1);
  const [a, b] = [1, 2].map((salt) => tf.tensor(hashedArray(size, salt), shape));
  const weights: Weights = Object.fromEntries(specs.map((s) => [s.path, tf.variable(tf.tensor(fill(s), s.shape))]));
  const optimizer = tf.train.adam(0.001, 0.9, 0.999, 1e-8);
  const run = async (): Promise<number> => {
    const loss = optimizer.minimize(() => contrast(net(weights, a), net(weights, b)), true);
    const value = (await loss.data())[0];
    // Reading one weight waits for the update on a GPU.
    await Object.values(weights)[0].slice(specs[0].shape.map(() => 0), specs[0].shape.map(() => 1)).data();
    loss.dispose();
    return value;
  };
  const check = [await run(), await run()];
  return { prepared: { check, compileMs: performance.now() - started }, run: async () => { await run(); }, close: () => Promise.resolve() };
}

async function prepareOperation(work: Extract<Work, { kind: 'operation' }>): Promise<Runnable | null> {
  if (work.call !== 'product' && work.call !== 'norm') return null;
  const started = performance.now();
  const inputs = Object.values(work.inputs).map((input, k) => tf.tensor(hashedArray(input.shape.reduce((x, y) => x * y, 1), 1 + k, input.scale), input.shape));
  const compute = (): Tensor => tf.tidy(() => {
    if (work.call === 'product') return inputs[0].matMul(inputs[1]);
    const centred = inputs[0].sub(inputs[0].mean(1, true));
    return centred.div(centred.square().mean(1, true).add(tf.tensor(Float32Array.of(1e-5), [1, 1])).sqrt());
  });
  const y = compute();
  const check = [Array.from(await y.data()).reduce((s, v) => s + v * v, 0)];
  y.dispose();
  const run = async (): Promise<void> => {
    const z = compute();
    const corner = z.slice(z.shape.map(() => 0), z.shape.map(() => 1));
    await corner.data();
    corner.dispose();
    z.dispose();
  };
  return { prepared: { check, compileMs: performance.now() - started }, run, close: () => Promise.resolve() };
}

await serve({ name: `TensorFlow.js (${target})`, prepare: (work, specs) => (work.kind === 'step' ? prepareStep(work, specs) : prepareOperation(work)) });
