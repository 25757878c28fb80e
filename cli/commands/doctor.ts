/** `sslc doctor`: the devices of this machine, which one a run would use, and what would be faster. */
import { availableParallelism, cpus, totalmem } from 'node:os';
import packageJson from '../../package.json' with { type: 'json' };
import { DeviceError, type Device } from '../../runtime/device/device.js';
import { openDevice } from '../../runtime/device/select.js';
import { done, type Context, type Json, type Outcome } from '../outcome.js';
import { byteCount } from '../table.js';

interface Finding {
  readonly choice: string;
  readonly name: string | null;
  readonly limits: Device['limits'] | null;
  /** Why it cannot be used. */
  readonly problem: string | null;
}

/** Tries every kind of device. */
export async function doctor(_context: Context): Promise<Outcome> {
  const found: Finding[] = [];
  for (const choice of ['gpu', 'cpu', 'software']) found.push(await tryDevice(choice));
  const [gpu, cpu, software] = found;
  const chosen = gpu.name !== null ? gpu : cpu;
  const advice = adviceOf(gpu, cpu, software);
  const processor = cpus()[0]?.model.trim() ?? 'unknown processor';
  const text = [
    `sslc ${packageJson.version}, Node ${process.versions.node}, ${process.platform} ${process.arch}`,
    `processor   ${processor}, ${availableParallelism()} threads, ${byteCount(totalmem())} memory`,
    `GPU         ${gpu.name ?? `none: ${gpu.problem ?? ''}`}`,
    `CPU target  ${cpu.name ?? `cannot be used: ${cpu.problem ?? ''}`}`,
    `software    ${software.name ?? 'no software adapter'}`,
    '',
    `a run uses  ${chosen.name ?? 'nothing: no device works'}`,
    ...advice.map((line) => `  = help: ${line}`),
  ].join('\n');
  return done(`${text}\n`, {
    version: packageJson.version,
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    processor,
    threads: availableParallelism(),
    memoryBytes: totalmem(),
    devices: found.map((f): Json => ({ choice: f.choice, name: f.name, problem: f.problem, limits: f.limits === null ? null : { ...f.limits } })),
    chosen: chosen.name === null ? null : chosen.choice,
    advice,
  });
}

async function tryDevice(choice: string): Promise<Finding> {
  try {
    const device = await openDevice(choice);
    const { name, limits } = device;
    await device.close();
    return { choice, name, limits, problem: null };
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    return { choice, name: null, limits: null, problem: error.message };
  }
}

function adviceOf(gpu: Finding, cpu: Finding, software: Finding): readonly string[] {
  const lines: string[] = [];
  if (gpu.name === null) {
    lines.push(process.platform === 'linux'
      ? 'a GPU would be faster; if this machine has one, install its Vulkan driver (Debian: mesa-vulkan-drivers, or nvidia-vulkan-icd) and run `sslc doctor` again'
      : 'a GPU would be faster; this machine shows none to WebGPU');
  }
  if (gpu.name === null && software.name !== null) lines.push(`${software.name} computes on the processor and is slower than the CPU target; it is used only when named`);
  if (cpu.name !== null && availableParallelism() === 1) lines.push('one thread only: more cores would be used');
  return lines;
}
