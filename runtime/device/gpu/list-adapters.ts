/** What `sslc doctor` tells of graphics adapters: plain data, one entry a backend that was tried, from a
 * process of its own. Never throws. */
import type { MatrixUnit } from '../../../compiler/api.js';
import type { DeviceLimits } from '../device.js';
import { isSoftware } from './dawn.js';
import { deviceLimits } from './gpu-limits.js';
import { matrixFeature, unitsIn } from './matrix-units.js';
import { nameOf } from './open-gpu-device.js';
import type { Probe, ProbeReport } from './probe.js';
import { probe } from './probe.js';

export interface AdapterFact {
  readonly backend: string;
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  /** Driver and version, as the driver says it. */
  readonly driver: string;
  readonly software: boolean;
  /** A compatibility-level adapter: fewer bindings, no subgroups. */
  readonly core: boolean;
  readonly features: readonly string[];
  readonly limits: DeviceLimits;
  /** Why it cannot be used, when a trial failed: a small kernel that gave wrong numbers, a crash, no answer. */
  readonly problem: string | null;
}

export interface GpuFacts {
  /** Whether Dawn's native module loaded, and if not, why. */
  readonly dawn: { readonly loaded: boolean; readonly problem: string | null };
  readonly adapters: readonly AdapterFact[];
  /** Backends tried without finding an adapter, and why as far as it can be known. */
  readonly missing: readonly { readonly backend: string; readonly reason: string }[];
  /** What drivers printed while they were looked at. */
  readonly printed: string;
}

const wanted = ['subgroups', 'shader-f16', 'timestamp-query', matrixFeature];

export async function listAdapters(): Promise<GpuFacts> {
  return factsOf(await probe());
}

/** What a probe found, in order. */
export function factsOf({ reports, printed, problem }: Probe): GpuFacts {
  const adapters: AdapterFact[] = [];
  const missing: { backend: string; reason: string }[] = [];
  for (const report of reports) {
    switch (report.kind) {
      case 'no-module':
        return { dawn: { loaded: false, problem: report.problem }, adapters, missing, printed };
      case 'missing': missing.push({ backend: report.backend, reason: report.problem === '' ? reasonFor(report.backend) : report.problem }); break;
      case 'found': {
        const end = reports.find((r) => (r.kind === 'works' || r.kind === 'fails') && r.backend === report.backend);
        const failure = end === undefined ? problem ?? 'it was not tried out' : end.kind === 'fails' ? end.problem : null;
        adapters.push(factOf(report, failure, unitsIn(reports, report.info)));
        break;
      }
      case 'works': case 'fails': case 'multiplies': case 'done': break;
    }
  }
  // A process that ended before it had looked at anything still says why.
  if (problem !== null && adapters.every((a) => a.problem === null)) missing.push({ backend: 'any', reason: problem });
  return { dawn: { loaded: true, problem: null }, adapters, missing, printed };
}

/** The GPU that a run uses unless told otherwise: the first that does not compute on the processor and passed its trial. */
export function usableGpu(facts: GpuFacts): AdapterFact | null {
  return facts.adapters.find((a) => !a.software && a.problem === null) ?? null;
}

/** Why there is no usable GPU, in one line. */
export function whyNoGpu(facts: GpuFacts): string {
  if (!facts.dawn.loaded) return `the GPU runtime (npm package \`webgpu\`) did not load: ${facts.dawn.problem ?? ''}`;
  const broken = facts.adapters.find((a) => !a.software);
  if (broken !== undefined) return `${broken.name} was found but cannot be used: ${broken.problem ?? ''}`;
  if (facts.adapters.length > 0) return `the only adapter found, ${facts.adapters[0].name}, computes on the processor; the CPU target is faster (name it to use it all the same)`;
  return `no GPU was found (${facts.missing.map((m) => `${m.backend}: ${m.reason}`).join('; ')})`;
}

function factOf(report: Extract<ProbeReport, { kind: 'found' }>, problem: string | null, units: readonly MatrixUnit[]): AdapterFact {
  const { backend, info, limits } = report;
  const features = new Set(report.features);
  return {
    backend,
    name: nameOf(info),
    vendor: info.vendor,
    architecture: info.architecture,
    driver: info.description,
    software: isSoftware(info),
    core: features.has('core-features-and-limits'),
    features: wanted.filter((f) => features.has(f)),
    limits: deviceLimits({ info, limits, features }, units),
    problem,
  };
}

function reasonFor(backend: string): string {
  switch (backend) {
    case 'vulkan': return 'no Vulkan driver that WebGPU accepts (needs the loader libvulkan.so.1 and a driver of Mesa 23 or later, or the GPU vendor\'s)';
    case 'opengles': return 'no OpenGL ES 3.1 driver (libEGL)';
    case 'metal': return 'no Metal device';
    default: return 'no Direct3D 12 device';
  }
}
