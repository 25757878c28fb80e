/**
 * The CPU target: WebAssembly SIMD over one shared memory, with worker threads beside the main thread. Needs no
 * driver and no package.
 */
import { availableParallelism, cpus } from 'node:os';
import type { Plan } from '../../../compiler/plan/plan.js';
import type { Device, DeviceLimits, Session } from '../device.js';
import { DeviceError } from '../device.js';
import { loadCpuSession } from './cpu-session.js';
import { relaxedSimdSupported } from './relaxed-simd.js';

export interface CpuDeviceOptions {
  /** Threads, the main thread included; default all the machine has. */
  readonly threads?: number;
  /** No fused multiply-add: the same bits on every machine, products at less than half the speed, since their tiles are those of the fused one. */
  readonly exact?: boolean;
}

/** A device that also says what plans for it may use. */
export interface CpuDevice extends Device {
  readonly kind: 'cpu';
  readonly threads: number;
  readonly relaxedSimd: boolean;
}

const limits: DeviceLimits = {
  maxBindingBytes: 2 ** 32 - 2 ** 24,
  maxBindings: Number.MAX_SAFE_INTEGER,
  maxWorkgroupInvocations: 1,
  maxWorkgroupStorageBytes: 0,
  subgroups: false,
  half: true,
  software: true,
};

/** Opens the CPU as a device. It never fails: every Node has WebAssembly SIMD. */
export function openCpuDevice(options: CpuDeviceOptions = {}): Promise<CpuDevice> {
  const threads = Math.max(1, Math.floor(options.threads ?? availableParallelism()));
  const relaxedSimd = options.exact !== true && relaxedSimdSupported();
  const sessions = new Set<Session>();
  const model = cpus()[0]?.model.trim() ?? '';
  return Promise.resolve({
    kind: 'cpu',
    name: `${model === '' || model === 'unknown' ? 'CPU' : model}, ${threads} ${threads === 1 ? 'thread' : 'threads'}, WebAssembly SIMD`,
    target: 'wasm',
    limits,
    threads,
    relaxedSimd,
    async load(plan: Plan): Promise<Session> {
      if (plan.code.target !== 'wasm') throw new DeviceError('validation', 'this plan was made for a GPU: compile it for the CPU');
      if (plan.code.relaxed && !relaxedSimdSupported()) throw new DeviceError('validation', 'this plan uses relaxed SIMD, which this Node does not have: compile it again here');
      const session = await loadCpuSession(plan, plan.code, threads, () => sessions.delete(session));
      sessions.add(session);
      return session;
    },
    async close(): Promise<void> {
      for (const session of [...sessions]) await session.close();
    },
  });
}
