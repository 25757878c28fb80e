/**
 * The CPU target: kernels become functions of one WebAssembly module over one shared memory, with every address baked
 * in. Tasks of a kernel are independent; the runtime hands them to threads.
 */
import type { TargetOptions } from '../../api.js';
import type { Kernel, KernelProgram } from '../../fuse/kernel.js';
import type { Arena, Code, Slot } from '../../plan/plan.js';
import type { TensorId } from '../../tensor/scalar.js';
import { Module, base64 } from './binary.js';
import type { Context } from './context.js';
import { counterBytes } from './context.js';
import { emitContract } from './emit-contract.js';
import { emitMap } from './emit-map.js';
import { emitOnline } from './emit-online.js';
import { emitReduce } from './emit-reduce.js';
import { MathFunctions } from './math.js';

export interface WasmEntry {
  readonly kernels: KernelProgram;
  readonly placements: ReadonlyMap<TensorId, Slot>;
}

export interface WasmModule {
  readonly code: Extract<Code, { target: 'wasm' }>;
  /** Per entry, per kernel: the number of its tasks. */
  readonly tasks: readonly (readonly number[])[];
  /** Per entry, per kernel: the function exported for it, `PROGRAM.KERNEL`. */
  readonly functions: readonly (readonly string[])[];
}

const pageBytes = 65536;

const align = (n: number, unit: number): number => Math.ceil(n / unit) * unit;

/** Emits the kernels of all entries. A kernel is exported as `PROGRAM.KERNEL`, and as `KERNEL` where that is not ambiguous. */
export function emitWasm(entries: readonly WasmEntry[], arenas: readonly Arena[], options: TargetOptions): WasmModule {
  const bases: number[] = [];
  // Room in front: four lanes may be loaded from up to three elements before a tensor.
  let at = 1024;
  for (const arena of arenas) {
    bases.push(at);
    at = align(at + arena.bytes, 256);
  }
  const partialsBase = align(at + 1024, 256);
  const module = new Module();
  const math = new MathFunctions(module);
  const needs = { scratch: 0, partials: counterBytes };
  const counts = new Map<string, number>();
  for (const { kernels } of entries) for (const k of kernels.kernels) counts.set(k.name, (counts.get(k.name) ?? 0) + 1);
  const functions = entries.map(({ kernels }) => kernels.kernels.map((k) => `${kernels.name}.${k.name}`));
  const tasks = entries.map(({ kernels, placements }, i) => kernels.kernels.map((kernel, j) => {
    const context: Context = { module, math, memory: { placements, bases }, relaxed: options.relaxedSimd, partialsBase, needs };
    const count = emitKernel(context, functions[i][j], kernel);
    if (counts.get(kernel.name) === 1) module.exportAgain(functions[i][j], kernel.name);
    return count;
  }));
  const memoryBytes = align(partialsBase + needs.partials, pageBytes);
  const scratchBytes = align(needs.scratch, 4096);
  const binary = module.build(1, [memoryBytes, scratchBytes]);
  return {
    code: { target: 'wasm', binary: base64(binary), bases, memoryBytes, scratchBase: memoryBytes, scratchBytes, relaxed: options.relaxedSimd },
    tasks,
    functions,
  };
}

/** Emits one kernel under `name` and gives the number of its tasks. */
function emitKernel(context: Context, name: string, kernel: Kernel): number {
  switch (kernel.kind) {
    case 'map': return emitMap(context, name, kernel);
    case 'reduce': return emitReduce(context, name, kernel);
    case 'contract': return emitContract(context, name, kernel);
    case 'online': return emitOnline(context, name, kernel);
  }
}
