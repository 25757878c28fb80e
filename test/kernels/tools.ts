/** What the tests of both targets share: kernels made by hand, reproducible inputs, and how close is close. */
import { expect } from 'vitest';
import type { Kernel, KernelProgram } from '../../compiler/fuse/kernel.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import type { Program } from '../../compiler/tensor/program.js';
import type { HostArray } from '../../runtime/device/device.js';

export function expectClose(found: ArrayLike<number> | undefined, expected: Float64Array, tolerance: number, what: string): void {
  expect(found?.length, what).toBe(expected.length);
  if (found === undefined) return;
  for (let i = 0; i < expected.length; i++) {
    const e = expected[i];
    const f: number = found[i];
    const same = Number.isNaN(e) ? Number.isNaN(f) : Math.abs(e) === Infinity ? f === e : Math.abs(f - e) <= tolerance * (1 + Math.abs(e));
    if (!same) expect.fail(`${what}[${i}]: expected ${e}, found ${f}`);
  }
}

/** A program of kernels made by hand: everything read or stored lies in memory. */
export function handMade(program: Program, kernels: readonly Kernel[]): KernelProgram {
  return { name: program.name, program, kernels, launches: kernels.map((_, i) => [i]), chains: [], tails: [], materialized: program.tensors.map((t) => t.id) };
}

export const origin = (name: string): { span: null; name: string } => ({ span: null, name });

/** Reproducible numbers for every source. */
export function numbers(program: Program, seed = 1): Record<string, HostArray> {
  let state = seed >>> 0 || 1;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const inputs: Record<string, HostArray> = {};
  for (const t of program.tensors) {
    if (t.kind !== 'source' || t.role === 'constant') continue;
    const n = sizeOf(t.shape);
    const draw = (f: () => number): number[] => Array.from({ length: n }, f);
    inputs[t.name] = t.element === 'f32' ? Float32Array.from(draw(() => Math.fround(next() * 2 - 1)))
      : t.element === 'u8' ? Uint8Array.from(draw(() => Math.floor(next() * 256)))
        : t.element === 'bool' ? Int32Array.from(draw(() => Math.floor(next() * 2)))
          : Int32Array.from(draw(() => Math.floor(next() * 7)));
  }
  return inputs;
}
