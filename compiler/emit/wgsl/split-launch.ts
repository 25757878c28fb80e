/**
 * A launch as one dispatch or several. Kernels share a dispatch, each with workgroups of its own, as long as they bind few enough
 * tensors and the module stays short. Those whose threads wait for one another share one only with kernels of as many threads, so that
 * all threads of a workgroup reach every barrier; short reductions take the number of threads of the products beside them. Workgroup
 * memory is laid over one another's: a workgroup runs one kernel, or its slices of a chain (`write-chain.ts`). Small kernels of one workgroup each, one after the other, are stages of a
 * dispatch: what a workgroup has stored it can read behind a barrier.
 */
import { tensorsTouched } from '../../fuse/draft.js';
import { loopExtents } from '../../fuse/inline-maps.js';
import type { Chain, Kernel } from '../../fuse/kernel.js';
import { chainOfKernel } from '../../fuse/kernel.js';
import { machineOf } from '../../plan/machine.js';
import { trafficOfLaunch } from '../../plan/traffic.js';
import type { Machine } from '../../plan/units.js';
import { bytesIn } from '../../plan/units.js';
import { sizeOf } from '../../tensor/program.js';
import type { TensorId } from '../../tensor/scalar.js';
import { bindTensors, canBind } from './bindings.js';
import type { TensorAccess } from './bindings.js';
import type { WgslEntry, WgslOptions } from './emit-wgsl.js';
import type { KernelText } from './kernel-text.js';
import { writeChain } from './write-chain.js';
import type { WrittenKernel } from './write-kernel.js';
import { lineCount, overlaid, waits, writeKernel } from './write-kernel.js';

/** Lines of the kernels in one module; compiling it takes longer than in proportion. Where threads wait, kernels are few and long. */
const mostLines = 300;
const mostWaitingLines = 800;

/** Bytes of a binding that has several tensors, for kernels to share a dispatch with one that reads in vectors: small ones, or parts of an arena. Large ones keep theirs. */
const mostJoined = 1 << 22;

/** What kernels of a dispatch may move beyond their ideal. */
const mostExcess = 1.1;

/** Elements of a point that fewer threads than a reduction would have can take as well. */
const shortReduction = 4096;

/** A kernel of a dispatch, or a chain of them, where they stand in the program, and the limits they are written under. */
export interface Sharing {
  readonly positions: readonly number[];
  readonly kernels: readonly Kernel[];
  readonly chain: Chain | null;
  readonly limits: WgslOptions;
}

/** The statements of a part of a dispatch. */
export function writePart({ kernels, chain, limits }: Sharing, entry: WgslEntry, access: ReadonlyMap<TensorId, TensorAccess>): WrittenKernel {
  return chain === null ? writeKernel(kernels[0], access, limits) : writeChain(chain, entry.kernels, access, limits);
}

const bytesOfType = (type: string): number => (type.startsWith('vec4') ? 16 : 4) / (type.endsWith('h') || type === 'f16' ? 2 : 1);

function overlaidBytes(shared: readonly (readonly string[])[]): number {
  return (overlaid(shared) ?? []).reduce((n, d) => { const [, type, size] = /array<(\w+), (\d+)>/.exec(d) ?? []; return n + bytesOfType(type ?? '') * Number(size ?? 0); }, 0);
}

/**
 * Kernels on matrix units keep to themselves: drivers are reported to fail where a module has other subgroup arithmetic as well. So do
 * all whose threads wait on software adapters, which compile long modules slowly and have little to gain.
 */
const staysAlone = (body: KernelText, { software }: WgslOptions): boolean => body.features.some((f) => f !== 'subgroups' && f !== 'f16') || (software && waits(body));

/** Kernels of one dispatch so far. `threads` is how many all must have, once one of them waits. */
interface Home {
  readonly parts: Sharing[];
  readonly tensors: Set<TensorId>;
  readonly shared: (readonly string[])[];
  readonly alone: boolean;
  threads: number | null;
  inVectors: boolean;
  most: number;
  lines: number;
}

const readsVectors = ({ body: { vectors } }: WrittenKernel): boolean => (vectors?.size ?? 0) > 0;

/** Work that one workgroup may as well do for a dispatch to go. */
const smallWork = 4096;

/** A dispatch: stages, one after the other, of kernels that run side by side. More than one stage is for one workgroup, whose threads wait between them. */
export type Dispatch = readonly (readonly Sharing[])[];

/** The dispatches of all launches. What takes one workgroup joins the dispatch before it where that is one workgroup as well. */
export function splitLaunches(entry: WgslEntry, options: WgslOptions): readonly Dispatch[] {
  const found: (readonly Sharing[])[][] = [];
  let open: { readonly written: WrittenKernel[]; readonly kernels: Kernel[] } | null = null;
  for (const stage of entry.kernels.launches.flatMap((launch) => splitLaunch(launch, entry, options))) {
    const small = oneGroup(stage, entry, options);
    if (small !== null && open !== null) {
      const kernels: readonly Kernel[] = [...open.kernels, ...stage[0].kernels];
      const written = [...open.written, small];
      const access = [...bindTensors(kernels, entry.kernels.program, entry.placements, options).access.values()];
      // A stage may take the memory of what an earlier one has read, but two threads may not write halves of one word.
      if (access.length <= options.maxBindings && access.every((a) => a.element !== 'f16' || a.binding.type === 'f16') && inTurn(written)) {
        found[found.length - 1].push(stage);
        open.kernels.push(...stage[0].kernels);
        open.written.push(small);
        continue;
      }
    }
    found.push([stage]);
    open = small === null ? null : { written: [small], kernels: [...stage[0].kernels] };
  }
  return found;
}

/** The kernel of a dispatch that is one small workgroup, or null. */
function oneGroup(stage: readonly Sharing[], entry: WgslEntry, options: WgslOptions): WrittenKernel | null {
  const [{ kernels: [kernel], chain, limits }] = stage;
  if (options.software || stage.length > 1 || chain !== null || (kernel.kind !== 'map' && kernel.kind !== 'reduce') || sizeOf(loopExtents(kernel)) > smallWork) return null;
  const written = writeKernel(kernel, bindTensors([kernel], entry.kernels.program, entry.placements, options).access, limits);
  return written.body.groups === 1 && !staysAlone(written.body, options) ? written : null;
}

/** Whether kernels can follow one another in a workgroup: those whose threads wait have as many as any. */
function inTurn(written: readonly WrittenKernel[]): boolean {
  const threads = Math.max(...written.map((w) => w.body.threads));
  return written.every(({ body }) => !waits(body) || body.threads === threads) && overlaid(written.map((w) => w.body.shared)) !== null && written.reduce((n, w) => n + w.lines.length, 0) <= mostLines;
}

/**
 * Whether kernels may share a dispatch with a product among them for the sake of what they move: those that go through the same large tensors
 * in different orders find less of them in the cache together than one after the other.
 */
function goTogether(parts: readonly Sharing[], { kernels }: WgslEntry, machine: Machine): boolean {
  const touched = new Set(parts.flatMap((p) => p.kernels.flatMap((k) => [...tensorsTouched(k)])));
  if ([...touched].reduce((n, id) => n + bytesIn(kernels.program, id), 0) <= machine.cacheBytes) return true;
  const { idealBytes, bytesRead, bytesWritten } = trafficOfLaunch(kernels, parts.flatMap((p) => p.positions), machine, () => true);
  return bytesRead + bytesWritten <= mostExcess * idealBytes;
}

/** The kernels of each dispatch, in order. */
function splitLaunch(launch: readonly number[], entry: WgslEntry, options: WgslOptions): readonly (readonly Sharing[])[] {
  const { kernels, program } = entry.kernels;
  const chains = chainOfKernel(entry.kernels);
  const all = launch.flatMap((position): readonly Sharing[] => {
    const chain = chains.get(position) ?? null;
    if (chain !== null && chain.members[0].kernel !== position) return [];
    const positions = chain === null ? [position] : chain.members.map((m) => m.kernel);
    return [{ positions, kernels: positions.map((p) => kernels[p]), chain, limits: options }];
  });
  if (all.length === 1) return [all];
  const homes: Home[] = [];
  const write = (part: Sharing): WrittenKernel => writePart(part, entry, bindTensors(part.kernels, program, entry.placements, options).access);
  const machine = machineOf(options, program);
  const enter = (part: Sharing, written: WrittenKernel, tensors: ReadonlySet<TensorId>, open: readonly Home[]): boolean => {
    const { body } = written;
    if (staysAlone(body, options)) return false;
    const waiting = waits(body);
    const home = open.find((h) => {
      if (h.alone || (part.kernels.some((k) => k.kind === 'contract' || k.kind === 'online') && !goTogether([...h.parts, part], entry, machine))) return false;
      const threads = h.threads ?? (waiting ? body.threads : null);
      if (threads !== null && (waiting ? body.threads !== threads || h.most > threads : body.threads > threads)) return false;
      const shared = [...h.shared, body.shared];
      return (new Set([...h.tensors, ...tensors]).size <= options.maxBindings || canBind([...h.parts, part].flatMap((p) => p.kernels), entry.placements, options, h.inVectors || readsVectors(written) ? mostJoined : options.maxBindingBytes)) && h.lines + lineCount(written) <= (threads === null ? mostLines : mostWaitingLines)
        && overlaid(shared) !== null && overlaidBytes(shared) <= options.maxWorkgroupStorageBytes;
    });
    if (home === undefined) return false;
    home.parts.push(part);
    for (const id of tensors) home.tensors.add(id);
    home.shared.push(body.shared);
    if (waiting) home.threads = body.threads;
    home.inVectors ||= readsVectors(written);
    home.most = Math.max(home.most, body.threads);
    home.lines += lineCount(written);
    return true;
  };
  // Reductions come last: they can do with the threads of others.
  const isReduction = ({ kernels: [kernel], chain }: Sharing): boolean => chain === null && kernel.kind === 'reduce';
  for (const part of [...all.filter((p) => !isReduction(p)), ...all.filter(isReduction)]) {
    const { kernels: [kernel], chain } = part;
    const { access } = bindTensors(part.kernels, program, entry.placements, options);
    const tensors = new Set(access.keys());
    const written = write(part);
    if (enter(part, written, tensors, homes)) continue;
    const adapts = chain === null && kernel.kind === 'reduce' && waits(written.body) && sizeOf(kernel.reduceExtents) <= shortReduction;
    const narrower = adapts ? [...new Set(homes.flatMap((h) => (h.threads !== null && h.threads < written.body.threads ? [h.threads] : [])))] : [];
    if (narrower.some((threads) => {
      const slim = { ...part, limits: { ...options, maxWorkgroupInvocations: threads } };
      return enter(slim, write(slim), tensors, homes);
    })) continue;
    homes.push({ parts: [part], tensors, shared: [written.body.shared], alone: staysAlone(written.body, options), threads: waits(written.body) ? written.body.threads : null, inVectors: readsVectors(written), most: written.body.threads, lines: lineCount(written) });
  }
  const order = (a: Sharing, b: Sharing): number => a.positions[0] - b.positions[0];
  return homes.map((h) => [...h.parts].sort(order)).sort(([a], [b]) => order(a, b));
}
