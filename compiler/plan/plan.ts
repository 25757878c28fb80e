/**
 * The plan: everything the runtime needs to run a model, as plain data. The same source, settings and target give
 * the same plan, byte for byte. The runtime knows nothing about `.ssl`; it allocates arenas, loads code and replays launches.
 */
import type { ElementType } from '../tensor/scalar.js';
import type { Source } from '../tensor/program.js';
import type { Run } from '../tensor/runs.js';

/** A range of an arena holding one tensor, row-major; offsets are multiples of 256 bytes. */
export interface Slot {
  readonly arena: number;
  readonly offset: number;
  readonly bytes: number;
  readonly element: ElementType;
  readonly shape: readonly number[];
}

/** A source in memory, with the elements of a constant. */
export interface SourceSlot extends Slot {
  readonly role: Source['role'];
  readonly runs?: readonly Run[];
}

/** One block of device memory, zero when allocated. Persistent arenas keep their content between runs. */
export interface Arena {
  readonly bytes: number;
  readonly persistent: boolean;
}

/** What a launch does, counted, not measured: reported by `compile --report` and held by tests. */
export interface LaunchCost {
  readonly flops: number;
  /** What the schedule moves between memory and the cache, and the least any launch with these results could (`traffic.ts`). */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly idealBytes: number;
}

/** One launch: a kernel, or several that do not need each other. */
export interface Launch {
  /** Name of the kernel; in WGSL plans a key of `modules`, in WebAssembly plans the exported function. */
  readonly kernel: string;
  /** `map`, `reduce`, `contract`, `online`, `scatter` or `routine`: that of the kernel with the most arithmetic. */
  readonly class: string;
  /** `file.ssl:12 f.conv1.y; file.ssl:14 relu`: where it comes from, for people. */
  readonly origin: string;
  readonly cost: LaunchCost;
  /** GPU: workgroups to dispatch. CPU: [tasks, 1, 1], tasks being independent pieces for worker threads. */
  readonly workgroups: readonly [number, number, number];
  /** GPU: the ranges bound at group 0, in binding order. Empty for the CPU, whose code holds its addresses. */
  readonly bindings: readonly { readonly arena: number; readonly offset: number; readonly bytes: number }[];
}

/** A program of the plan: `init`, `step`, `embed`, ... */
export interface Entry {
  readonly name: string;
  readonly launches: readonly Launch[];
  /** What the host may read after a run, by name. */
  readonly outputs: Readonly<Record<string, Slot>>;
  /** Most bytes of transient tensors alive at once, and the lower bound any plan needs. */
  readonly peakBytes: number;
  readonly liveBytes: number;
}

/** Generated code. */
export type Code =
  /** A WGSL module per kernel, entry point `main`. */
  | { readonly target: 'wgsl'; readonly modules: Readonly<Record<string, string>>; readonly features: readonly string[] }
  /**
   * One WebAssembly module for all kernels, importing `env.memory` (shared). Each kernel is exported under its
   * name as (firstTask: i32, endTask: i32, worker: i32) -> (). Arena i starts at byte `bases[i]`; worker w owns `scratchBytes`
   * at `scratchBase + w * scratchBytes`. `memoryBytes` is without scratch. The binary is base64.
   */
  | {
      readonly target: 'wasm';
      readonly binary: string;
      readonly bases: readonly number[];
      readonly memoryBytes: number;
      readonly scratchBase: number;
      readonly scratchBytes: number;
      readonly relaxed: boolean;
    };

export interface Plan {
  readonly version: 1;
  readonly arenas: readonly Arena[];
  /** Memory that outlives a run, by the name of its source: shared by all entries. */
  readonly sources: Readonly<Record<string, SourceSlot>>;
  readonly entries: Readonly<Record<string, Entry>>;
  readonly code: Code;
}
