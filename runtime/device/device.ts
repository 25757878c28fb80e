/**
 * A device runs plans. Two kinds stand behind one interface: Dawn (GPUs) and the CPU target (WebAssembly SIMD and worker threads).
 */
import type { TargetOptions } from '../../compiler/api.js';
import type { Plan } from '../../compiler/plan/plan.js';

export type HostArray = Float32Array | Int32Array | Uint8Array;

export interface Device {
  readonly kind: 'gpu' | 'cpu';
  /** For people: `AMD EPYC, 2 threads, WebAssembly SIMD` or `NVIDIA H100 (Vulkan)`. */
  readonly name: string;
  /** The plan target it runs, with the limits a plan for it must respect. */
  readonly target: 'wasm' | 'wgsl';
  readonly limits: DeviceLimits;
  /** Allocates the plan's arenas (zero) and prepares its code. */
  load(plan: Plan): Promise<Session>;
  /** Frees everything; sessions are closed first. */
  close(): Promise<void>;
}

/** What a plan for the device must respect: the device's part of the compiler's target options. */
export type DeviceLimits = Pick<TargetOptions, 'maxBindingBytes' | 'maxBindings' | 'maxWorkgroupInvocations' | 'maxWorkgroupStorageBytes' | 'subgroups' | 'subgroupSize' | 'matrixUnits' | 'half' | 'software'>;

/** A loaded plan and its memory. Calls take effect in order. */
export interface Session {
  readonly plan: Plan;
  /** Copies host data into a source, from element `offset` (default 0). */
  write(source: string, data: HostArray, offset?: number): void;
  /** Runs an entry once. On a GPU it resolves when the work is queued, on the CPU when it is done. */
  run(entry: string): Promise<void>;
  /** Reads a source by its name. f32 gives Float32Array; i32 and bool Int32Array; u8 Uint8Array. */
  readSource(source: string): Promise<HostArray>;
  /** Reads an output of an entry's latest run. */
  readOutput(entry: string, output: string): Promise<HostArray>;
  /** Resolves when all queued work is done; rejects with a `DeviceError` if the device failed. */
  finish(): Promise<void>;
  close(): Promise<void>;
}

/** What can go wrong on a device, as a named event. */
export class DeviceError extends Error {
  constructor(readonly event: 'lost' | 'out-of-memory' | 'validation' | 'unavailable', message: string) {
    super(message);
    this.name = 'DeviceError';
  }
}
