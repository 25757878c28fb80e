/**
 * A data set as training and evaluation see it: two splits of examples, each example a few named tensors of one
 * shape, and perhaps a class. A split that fits in memory gives its inputs whole; any split gives rows by number.
 */
import type { DataInfo } from '../../compiler/api.js';
import type { ModelInput } from '../../compiler/plan/manifest.js';
import type { Diagnostic } from '../../grammar/diagnostics/diagnostic.js';
import { bug } from '../../grammar/diagnostics/report.js';
import type { HostArray } from '../device/device.js';
import type { Environment } from './environment.js';

/** Examples with numbers 0 .. examples - 1. */
export interface Split {
  readonly examples: number;
  /** True when `input` can be called: the whole split lies in memory. */
  readonly resident: boolean;
  /** All examples of an input, [examples, ...shape], row-major. */
  input(name: string): HostArray;
  /** Copies the given examples, one after the other, into `into[name]` for each name there. */
  rows(indices: ArrayLike<number>, into: Readonly<Record<string, HostArray>>): Promise<void>;
  /** The class of each example, or null. */
  readonly labels: Int32Array | null;
  /** A name for each example (a file, a concept), or null. */
  readonly exampleNames: readonly string[] | null;
}

export interface DataSet {
  /** What the compiler needs to know; `examples` counts the training split. */
  readonly info: DataInfo;
  readonly train: Split;
  /** Held-out examples; null when there are none. */
  readonly test: Split | null;
  /** Names of the classes, or null. */
  readonly classNames: readonly string[] | null;
  /** Two inputs that show the same thing, so that retrieval from one to the other can be measured. */
  readonly paired: boolean;
  /** Files that could not be read, and the first few of them by name with the reason. */
  readonly skipped: { readonly count: number; readonly names: readonly string[] };
  readonly warnings: readonly Diagnostic[];
  /** A world to act in, for models that plan. */
  readonly environment?: Environment;
  /** For people: `Fashion-MNIST, 10,000 training and 10,000 test images`. */
  readonly description: string;
}

/** Elements of one example of an input. */
export function elementsOf(input: ModelInput): number {
  return input.shape.reduce((a, b) => a * b, 1);
}

/** An array for `examples` examples of an input. */
export function allocateInput(input: ModelInput, examples: number): HostArray {
  const length = elementsOf(input) * examples;
  switch (input.element) {
    case 'u8': return new Uint8Array(length);
    case 'f32': return new Float32Array(length);
    case 'i32': case 'bool': return new Int32Array(length);
  }
}

/** A split whose inputs lie in memory. */
export function memorySplit(
  examples: number,
  inputs: Readonly<Record<string, HostArray>>,
  labels: Int32Array | null,
  exampleNames: readonly string[] | null = null,
): Split {
  const of = (name: string): HostArray => inputs[name] ?? bug(`the data has no input ${name}`);
  return {
    examples,
    resident: true,
    labels,
    exampleNames,
    input: of,
    rows: async (indices, into) => {
      for (const name of Object.keys(into)) {
        const from = of(name);
        const size = from.length / examples;
        for (let i = 0; i < indices.length; i++) into[name].set(from.subarray(indices[i] * size, (indices[i] + 1) * size), i * size);
      }
    },
  };
}

/** FNV-1a of a text, as an unsigned 32-bit number: splits by name must not depend on the order of files. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash ^= text.charCodeAt(i);
    hash = Math.imul(hash, 0x01000193);
  }
  // One round of mixing: names that differ in their last letter alone should not fall together.
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/** Whether the example of this name is held out, by a hash of the name. */
export function heldOut(name: string, fraction: number): boolean {
  return hashText(name) / 4294967296 < fraction;
}

/** `12,345`. */
export function count(n: number): string {
  return n.toLocaleString('en-US');
}
