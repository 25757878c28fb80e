/** Numbers that every peer makes for itself, the same in every language: a hash of the position and a salt. */
import type { Input } from './works.js';

/** In -1..1, 31 bits of a multiplicative hash. */
export function hashed(index: number, salt: number): number {
  let x = (Math.imul(index, 2654435761) + Math.imul(salt, 40503)) >>> 0;
  x = Math.imul(x ^ (x >>> 15), 2246822519) >>> 0;
  x = (x ^ (x >>> 13)) >>> 0;
  return x / 2 ** 31 - 1;
}

/** An input as a source takes it. */
export function inputValues(input: Input, count: number, salt: number): Float32Array | Int32Array | Uint8Array {
  const values = hashedArray(count * input.shape.reduce((a, b) => a * b, 1), salt, input.scale);
  switch (input.element) {
    case 'f32': return values;
    case 'i32': return Int32Array.from(values, (v) => Math.floor(Math.abs(v)));
    case 'u8': return Uint8Array.from(values, (v) => Math.abs(v));
  }
}

/** A tensor of them, times `scale`. */
export function hashedArray(size: number, salt: number, scale = 1): Float32Array {
  return Float32Array.from({ length: size }, (_, i) => scale * hashed(i, salt));
}

/** How a peer fills a parameter. */
export interface ParameterSpec {
  readonly path: string;
  readonly shape: readonly number[];
  readonly fill: 'hashed' | 'ones' | 'zeros';
  readonly salt: number;
  readonly scale: number;
}

/** Gains are one, biases zero, and weights uniform with variance 1 / fan, the fan being all axes but the last. */
export function parameterSpecs(parameters: readonly { readonly path: string; readonly shape: readonly number[] }[]): ParameterSpec[] {
  return parameters.map(({ path, shape }, k) => {
    const fill = path.endsWith('.gain') ? 'ones' : path.endsWith('.b') || path.endsWith('.bias') ? 'zeros' : 'hashed';
    const fan = shape.slice(0, -1).reduce((a, b) => a * b, 1);
    return { path, shape, fill, salt: 100 + k, scale: Math.sqrt(3 / fan) };
  });
}

export function fill(spec: ParameterSpec): Float32Array {
  const size = spec.shape.reduce((a, b) => a * b, 1);
  switch (spec.fill) {
    case 'ones': return new Float32Array(size).fill(1);
    case 'zeros': return new Float32Array(size);
    case 'hashed': return hashedArray(size, spec.salt, spec.scale);
  }
}
