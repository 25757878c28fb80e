/**
 * Linear probe: multinomial logistic regression with a bias on features standardized with the training mean and
 * deviation, fitted by L-BFGS on the whole training split (Liu and Nocedal, 1989; backtracking line search), with
 * a fixed weight of the squared norm and a fixed number of iterations. No augmentation, nothing is tuned.
 */
import { createWorkspace, packColumns, packRows, padColumns, padRows } from './products.js';
import type { Features } from './spectrum.js';

export interface LinearOptions {
  /** Weight of half the squared norm of the weights, beside the mean cross-entropy. */
  readonly decay: number;
  readonly iterations: number;
}

export const linearDefaults: LinearOptions = { decay: 1e-2, iterations: 100 };

/** One line for people and reports. */
export function linearProtocol({ decay, iterations }: LinearOptions): string {
  return `linear: multinomial logistic regression on standardized embeddings, L-BFGS, at most ${iterations} iterations, weight decay ${decay}, last iterate`;
}

export interface LinearResult {
  readonly accuracy: number;
  readonly trainAccuracy: number;
  readonly iterations: number;
}

/** Rows of the training features that are multiplied at once; partial sums over them are added in f64. */
const chunk = 1024;
const memoryLength = 10;

/** Fits on `train`, and gives the accuracy on `test`. */
export async function linearProbe(train: Features, labels: Int32Array, test: Features, testLabels: Int32Array, classes: number, options: LinearOptions = linearDefaults): Promise<LinearResult> {
  const scaling = standardization(train);
  const x = standardize(train, scaling);
  const objective = crossEntropy(x, labels, classes, options.decay);
  const fitted = await minimize(objective.evaluate, classes * (x.size + 1), options.iterations);
  return {
    accuracy: accuracyOf(standardize(test, scaling), testLabels, fitted.point, classes),
    trainAccuracy: accuracyOf(x, labels, fitted.point, classes),
    iterations: fitted.iterations,
  };
}

interface Scaling {
  readonly mean: Float64Array;
  readonly scale: Float64Array;
}

function standardization({ rows, size, values }: Features): Scaling {
  const mean = new Float64Array(size);
  const square = new Float64Array(size);
  for (let i = 0; i < rows; i++) for (let d = 0; d < size; d++) mean[d] += values[i * size + d] / rows;
  for (let i = 0; i < rows; i++) for (let d = 0; d < size; d++) square[d] += (values[i * size + d] - mean[d]) ** 2 / rows;
  return { mean, scale: square.map((v) => (v > 1e-12 ? 1 / Math.sqrt(v) : 0)) };
}

function standardize({ rows, size, values }: Features, { mean, scale }: Scaling): Features {
  const out = new Float32Array(rows * size);
  for (let i = 0; i < rows; i++) for (let d = 0; d < size; d++) out[i * size + d] = (values[i * size + d] - mean[d]) * scale[d];
  return { rows, size, values: out };
}

type Objective = (point: Float64Array, gradient: Float64Array) => number;

/** Mean cross-entropy plus decay; a point is the weights [classes, size], then the biases [classes]. */
function crossEntropy(x: Features, labels: Int32Array, classes: number, decay: number): { readonly evaluate: Objective } {
  const { rows, size } = x;
  const wide = padColumns(classes);
  const tall = padRows(classes);
  const wideSize = padColumns(size);
  const chunks = Math.ceil(rows / chunk);
  const work = createWorkspace(chunks * (chunk * size + wideSize * chunk) + wide * size + chunk * wide + tall * chunk + tall * wideSize + 256 + 32 * chunks);
  const blocks = Array.from({ length: chunks }, (_, b) => {
    const count = Math.min(chunk, rows - b * chunk);
    const part = x.values.subarray(b * chunk * size, (b * chunk + count) * size);
    const left = work.allocate(chunk * size);
    left.values.set(part);
    const panels = work.allocate(wideSize * chunk);
    packColumns(part, count, size, panels.values);
    return { from: b * chunk, count, left, panels };
  });
  const weights = work.allocate(wide * size);
  const scores = work.allocate(chunk * wide);
  const errors = work.allocate(tall * chunk);
  const products = work.allocate(tall * wideSize);
  const packed = new Float32Array(classes * size);

  const evaluate: Objective = (point, gradient) => {
    packed.set(point.subarray(0, classes * size));
    packRows(packed, classes, size, weights.values);
    gradient.fill(0);
    let loss = 0;
    for (const { from, count, left, panels } of blocks) {
      work.multiply(left.offset, size, padRows(count), weights.offset, size * 8, wide / 8, size, scores.offset, wide);
      for (let i = 0; i < count; i++) {
        const at = i * wide;
        let largest = -Infinity;
        for (let c = 0; c < classes; c++) largest = Math.max(largest, scores.values[at + c] + point[classes * size + c]);
        let total = 0;
        for (let c = 0; c < classes; c++) total += Math.exp(scores.values[at + c] + point[classes * size + c] - largest);
        const right = labels[from + i];
        loss += (Math.log(total) + largest - scores.values[at + right] - point[classes * size + right]) / rows;
        for (let c = 0; c < classes; c++) {
          const error = (Math.exp(scores.values[at + c] + point[classes * size + c] - largest) / total - (c === right ? 1 : 0)) / rows;
          errors.values[c * count + i] = error;
          gradient[classes * size + c] += error;
        }
      }
      errors.values.fill(0, classes * count, tall * count);
      work.multiply(errors.offset, count, tall, panels.offset, count * 8, wideSize / 8, count, products.offset, wideSize);
      for (let c = 0; c < classes; c++) for (let d = 0; d < size; d++) gradient[c * size + d] += products.values[c * wideSize + d];
    }
    for (let p = 0; p < classes * size; p++) {
      loss += 0.5 * decay * point[p] ** 2;
      gradient[p] += decay * point[p];
    }
    return loss;
  };
  return { evaluate };
}

/** L-BFGS from zero, until the gradient is small, nothing is gained, or the iterations are used up. */
async function minimize(f: Objective, length: number, iterations: number): Promise<{ readonly point: Float64Array; readonly iterations: number }> {
  let point = new Float64Array(length);
  let gradient = new Float64Array(length);
  let value = f(point, gradient);
  const history: { readonly s: Float64Array; readonly y: Float64Array; readonly rho: number }[] = [];
  for (let round = 0; round < iterations; round++) {
    if (Math.sqrt(dot(gradient, gradient)) < 1e-6) return { point, iterations: round };
    const direction = descent(gradient, history);
    const slope = dot(direction, gradient);
    let step = history.length === 0 ? 1 / Math.max(1, Math.sqrt(dot(gradient, gradient))) : 1;
    let next = point;
    let nextGradient = gradient;
    let nextValue = value;
    let accepted = false;
    for (let attempt = 0; attempt < 20 && !accepted; attempt++) {
      const start = point;
      const length = step;
      next = start.map((v, i) => v + length * direction[i]);
      nextGradient = new Float64Array(point.length);
      nextValue = f(next, nextGradient);
      accepted = nextValue <= value + 1e-4 * step * slope;
      step /= 2;
    }
    if (!accepted || value - nextValue < 1e-9) return { point: accepted ? next : point, iterations: round };
    const s = subtract(next, point);
    const y = subtract(nextGradient, gradient);
    const curvature = dot(s, y);
    if (curvature > 1e-12) history.push({ s, y, rho: 1 / curvature });
    if (history.length > memoryLength) history.shift();
    point = next;
    gradient = nextGradient;
    value = nextValue;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { point, iterations };
}

function descent(gradient: Float64Array, history: readonly { readonly s: Float64Array; readonly y: Float64Array; readonly rho: number }[]): Float64Array {
  const q = gradient.slice();
  const alphas: number[] = [];
  for (const { s, y, rho } of [...history].reverse()) {
    const alpha = rho * dot(s, q);
    alphas.unshift(alpha);
    for (let i = 0; i < q.length; i++) q[i] -= alpha * y[i];
  }
  const last = history.at(-1);
  const scale = last === undefined ? 1 : dot(last.s, last.y) / dot(last.y, last.y);
  for (let i = 0; i < q.length; i++) q[i] *= scale;
  history.forEach(({ s, y, rho }, h) => {
    const beta = rho * dot(y, q);
    for (let i = 0; i < q.length; i++) q[i] += s[i] * (alphas[h] - beta);
  });
  return q.map((v) => -v);
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function subtract(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((v, i) => v - b[i]);
}

function accuracyOf({ rows, size, values }: Features, labels: Int32Array, point: Float64Array, classes: number): number {
  let right = 0;
  for (let i = 0; i < rows; i++) {
    let best = 0;
    let highest = -Infinity;
    for (let c = 0; c < classes; c++) {
      let score = point[classes * size + c];
      for (let d = 0; d < size; d++) score += values[i * size + d] * point[c * size + d];
      if (score > highest) {
        highest = score;
        best = c;
      }
    }
    if (best === labels[i]) right++;
  }
  return right / rows;
}
