/** `sslc doctor`: the devices of this machine, which one a run would use, and what would be faster. */
import { availableParallelism, cpus, totalmem } from 'node:os';
import packageJson from '../../package.json' with { type: 'json' };
import { DeviceError, type Device, type DeviceLimits } from '../../runtime/device/device.js';
import { listAdapters, usableGpu, whyNoGpu, type AdapterFact, type GpuFacts } from '../../runtime/device/gpu/list-adapters.js';
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

/** Looks at every kind of device. */
export async function doctor(_context: Context): Promise<Outcome> {
  const facts = await listAdapters();
  const cpu = await tryCpu();
  const best = usableGpu(facts);
  const gpu: Finding = best === null ? { choice: 'gpu', name: null, limits: null, problem: whyNoGpu(facts) } : found('gpu', best);
  const emulated = facts.adapters.find((a) => a.software && a.problem === null);
  const software: Finding = emulated === undefined ? { choice: 'software', name: null, limits: null, problem: 'no software adapter' } : found('software', emulated);
  const chosen = gpu.name !== null ? gpu : cpu;
  const advice = adviceOf(facts, cpu, software);
  const processor = cpus()[0]?.model.trim() ?? 'unknown processor';
  const text = [
    `sslc ${packageJson.version}, Node ${process.versions.node}, ${process.platform} ${process.arch}`,
    `processor   ${processor}, ${availableParallelism()} threads, ${byteCount(totalmem())} memory`,
    `GPU         ${gpu.name ?? 'none'}`,
    `CPU target  ${cpu.name ?? `cannot be used: ${cpu.problem ?? ''}`}`,
    `software    ${software.name ?? 'none'}`,
    ...adapterLines(facts),
    '',
    `a run uses  ${chosen.name ?? 'nothing: no device works'}`,
    ...advice.map((line) => `  = help: ${line}`),
    ...(facts.printed === '' ? [] : ['', 'printed by graphics drivers while they were looked at:', ...facts.printed.split('\n').filter((line) => line.trim() !== '').map((line) => `  ${line.trimEnd()}`)]),
  ].join('\n');
  return done(`${text}\n`, {
    version: packageJson.version,
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    processor,
    threads: availableParallelism(),
    memoryBytes: totalmem(),
    devices: [gpu, cpu, software].map((f): Json => ({ choice: f.choice, name: f.name, problem: f.problem, limits: f.limits === null ? null : limitsAsJson(f.limits) })),
    adapters: facts.adapters.map((a): Json => ({ ...a, limits: limitsAsJson(a.limits) })),
    missing: facts.missing.map((m): Json => ({ ...m })),
    printed: facts.printed,
    chosen: chosen.name === null ? null : chosen.choice,
    advice,
  });
}

function found(choice: string, adapter: AdapterFact): Finding {
  return { choice, name: adapter.name, limits: adapter.limits, problem: null };
}

function limitsAsJson({ matrixUnits, ...limits }: DeviceLimits): Json {
  return matrixUnits === undefined ? limits : { ...limits, matrixUnits: { lanes: matrixUnits.lanes, shapes: matrixUnits.shapes.map((u) => ({ ...u })) } };
}

/** What every graphics interface answered. */
function adapterLines(facts: GpuFacts): readonly string[] {
  if (!facts.dawn.loaded) return ['', `  the GPU runtime (npm package \`webgpu\`) did not load: ${facts.dawn.problem ?? ''}`];
  const lines = [
    ...facts.adapters.map((a) => `  ${a.backend.padEnd(9)} ${a.name}: ${a.problem === null ? abilities(a) : `cannot be used: ${a.problem}`}`),
    ...facts.missing.map((m) => `  ${m.backend.padEnd(9)} ${m.reason.split('\n')[0] ?? ''}`),
  ];
  return lines.length === 0 ? [] : ['', ...lines];
}

function abilities(adapter: AdapterFact): string {
  const { limits, features } = adapter;
  return [
    `${byteCount(limits.maxBindingBytes)} a binding`, `${limits.maxBindings} bindings`, ...features.filter((f) => f !== 'timestamp-query' && !f.includes('experimental')),
    ...(limits.matrixUnits?.shapes ?? []).map((u) => `matrix units ${u.element} ${u.rows}x${u.columns}x${u.depth}`),
    ...(adapter.core ? [] : ['compatibility level']), ...(adapter.software ? ['computes on the processor'] : []),
  ].join(', ');
}

async function tryCpu(): Promise<Finding> {
  try {
    const device = await openDevice('cpu');
    const { name, limits } = device;
    await device.close();
    return { choice: 'cpu', name, limits, problem: null };
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    return { choice: 'cpu', name: null, limits: null, problem: error.message };
  }
}

function adviceOf(facts: GpuFacts, cpu: Finding, software: Finding): readonly string[] {
  const lines: string[] = [];
  if (usableGpu(facts) === null) {
    const broken = facts.adapters.find((a) => !a.software);
    if (!facts.dawn.loaded) lines.push('install the GPU runtime again: `npm install webgpu`');
    else if (broken !== undefined) lines.push(`${broken.name} failed its trial; a newer driver may help`);
    else if (process.platform === 'linux') lines.push('a GPU would be faster; if this machine has one, install its Vulkan driver (AMD and Intel on Debian: libvulkan1 and mesa-vulkan-drivers; NVIDIA: nvidia-vulkan-icd) and run `sslc doctor` again');
    else lines.push('a GPU would be faster; this machine shows none to WebGPU');
  }
  if (usableGpu(facts) === null && software.name !== null) lines.push(`the software adapter computes on the processor and is slower than the CPU target; \`--device software\` uses it all the same`);
  if (cpu.name !== null && availableParallelism() === 1) lines.push('one thread only: more cores would be used');
  return lines;
}
