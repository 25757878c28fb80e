/**
 * A launch as one dispatch or several. Kernels share a dispatch, each with workgroups of its own, as long as they bind few enough
 * tensors and the module stays short. Those whose threads wait for one another share one only with kernels of as many threads, so that
 * all threads of a workgroup reach every barrier; short reductions take the number of threads of the products beside them. Workgroup
 * memory is laid over one another's: a workgroup runs one kernel. Small kernels of one workgroup each, one after the other, are stages of a
 * dispatch: what a workgroup has stored it can read behind a barrier.
 */
import { scalarsOf, tensorsTouched } from '../../fuse/draft.js';
import { loopExtents } from '../../fuse/inline-maps.js';
import type { Kernel } from '../../fuse/kernel.js';
import { machineOf } from '../../plan/machine.js';
import { trafficOfLaunch } from '../../plan/traffic.js';
import type { Machine } from '../../plan/units.js';
import { bytesIn } from '../../plan/units.js';
import { sizeOf } from '../../tensor/program.js';
import type { TensorId } from '../../tensor/scalar.js';
import { bindTensors, canBind } from './bindings.js';
import type { TensorAccess } from './bindings.js';
import { emitBody } from './emit-body.js';
import type { WgslEntry, WgslOptions } from './emit-wgsl.js';
import type { HelperName } from './functions.js';
import type { KernelText } from './kernel-text.js';
import type { Range } from './ranges.js';
import { KernelWriter, renderBlock } from './writer.js';

/** Lines of the kernels in one module; compiling it takes longer than in proportion. Where threads wait, kernels are few and long. */
const mostLines = 300;
const mostWaitingLines = 800;

/** Bytes of a binding that has several tensors, for kernels to share a dispatch: small ones, or parts of an arena. Large ones keep theirs, which may be read in vectors. */
const mostJoined = 1 << 22;

/** What kernels of a dispatch may move beyond their ideal. */
const mostExcess = 1.1;

/** Elements of a point that fewer threads than a reduction would have can take as well. */
const shortReduction = 4096;

/** A kernel of a dispatch, its position in the program, and the limits it is written under. */
export interface Sharing {
  readonly position: number;
  readonly kernel: Kernel;
  readonly limits: WgslOptions;
}

export interface WrittenKernel {
  readonly body: KernelText;
  readonly helpers: ReadonlySet<HelperName>;
  readonly lines: readonly string[];
}

/** The statements of a kernel, which know `group` and `thread`, and what they need. */
export function writeKernel(kernel: Kernel, access: ReadonlyMap<TensorId, TensorAccess>, options: WgslOptions): WrittenKernel {
  const extents = loopExtents(kernel);
  // Variables that an emitter adds behind the kernel's own may be anything.
  const range = (axis: number): Range => (axis < extents.length ? { low: 0, high: extents[axis] - 1 } : { low: -Infinity, high: Infinity });
  const writer = new KernelWriter(access, range, scalarsOf(kernel), options.software);
  const empty = sizeOf(kernel.extents) === 0;
  const body: KernelText = empty ? { threads: 64, groups: 1, shared: [], builtins: [], features: [] } : emitBody(kernel, writer, options);
  return { body, helpers: writer.helpers, lines: [...writer.preamble().map((line) => `  ${line}`), ...renderBlock(writer.root.body)] };
}

const waits = ({ shared, builtins, features, synchronises }: KernelText): boolean => shared.length > 0 || builtins.length > 0 || features.length > 0 || synchronises === true;

/** Declarations of workgroup memory by name, as long as the longest of each; null where two kernels call different things alike. */
export function overlaid(shared: readonly (readonly string[])[]): readonly string[] | null {
  const found = new Map<string, { readonly type: string; readonly size: number }>();
  for (const declaration of shared.flat()) {
    const [, name, type, size] = /^var<workgroup> (\w+): array<(\w+), (\d+)>;$/.exec(declaration) ?? [];
    const before = found.get(name);
    if (name === undefined || (before !== undefined && before.type !== type)) return shared.length === 1 ? shared[0] : null;
    found.set(name, { type, size: Math.max(before?.size ?? 0, Number(size)) });
  }
  return [...found].map(([name, { type, size }]) => `var<workgroup> ${name}: array<${type}, ${size}>;`);
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
  most: number;
  lines: number;
}

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
      const kernels: readonly Kernel[] = [...open.kernels, stage[0].kernel];
      const written = [...open.written, small];
      const access = [...bindTensors(kernels, entry.kernels.program, entry.placements, options).access.values()];
      // A stage may take the memory of what an earlier one has read, but two threads may not write halves of one word.
      if (access.length <= options.maxBindings && access.every((a) => a.element !== 'f16' || a.binding.type === 'f16') && inTurn(written)) {
        found[found.length - 1].push(stage);
        open.kernels.push(stage[0].kernel);
        open.written.push(small);
        continue;
      }
    }
    found.push([stage]);
    open = small === null ? null : { written: [small], kernels: [stage[0].kernel] };
  }
  return found;
}

/** The kernel of a dispatch that is one small workgroup, or null. */
function oneGroup(stage: readonly Sharing[], entry: WgslEntry, options: WgslOptions): WrittenKernel | null {
  const [{ kernel, limits }] = stage;
  if (options.software || stage.length > 1 || (kernel.kind !== 'map' && kernel.kind !== 'reduce') || sizeOf(loopExtents(kernel)) > smallWork) return null;
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
  const touched = new Set(parts.flatMap((p) => [...tensorsTouched(p.kernel)]));
  if ([...touched].reduce((n, id) => n + bytesIn(kernels.program, id), 0) <= machine.cacheBytes) return true;
  const { idealBytes, bytesRead, bytesWritten } = trafficOfLaunch(kernels, parts.map((p) => p.position), machine, () => true);
  return bytesRead + bytesWritten <= mostExcess * idealBytes;
}

/** The kernels of each dispatch, in order. */
function splitLaunch(launch: readonly number[], entry: WgslEntry, options: WgslOptions): readonly (readonly Sharing[])[] {
  const all = launch.map((position): Sharing => ({ position, kernel: entry.kernels.kernels[position], limits: options }));
  if (launch.length === 1) return [all];
  const homes: Home[] = [];
  const write = ({ kernel, limits }: Sharing): WrittenKernel => writeKernel(kernel, bindTensors([kernel], entry.kernels.program, entry.placements, options).access, limits);
  const machine = machineOf(options, entry.kernels.program);
  const enter = (part: Sharing, { body, lines }: WrittenKernel, tensors: ReadonlySet<TensorId>, open: readonly Home[]): boolean => {
    if (staysAlone(body, options)) return false;
    const { kernel } = part;
    const waiting = waits(body);
    const home = open.find((h) => {
      if (h.alone || (kernel.kind === 'contract' && !goTogether([...h.parts, part], entry, machine))) return false;
      const threads = h.threads ?? (waiting ? body.threads : null);
      if (threads !== null && (waiting ? body.threads !== threads || h.most > threads : body.threads > threads)) return false;
      const shared = [...h.shared, body.shared];
      return (new Set([...h.tensors, ...tensors]).size <= options.maxBindings || canBind([...h.parts.map((p) => p.kernel), kernel], entry.placements, options, mostJoined)) && h.lines + lines.length <= (threads === null ? mostLines : mostWaitingLines)
        && overlaid(shared) !== null && overlaidBytes(shared) <= options.maxWorkgroupStorageBytes;
    });
    if (home === undefined) return false;
    home.parts.push(part);
    for (const id of tensors) home.tensors.add(id);
    home.shared.push(body.shared);
    if (waiting) home.threads = body.threads;
    home.most = Math.max(home.most, body.threads);
    home.lines += lines.length;
    return true;
  };
  // Reductions come last: they can do with the threads of others.
  for (const part of [...all.filter((p) => p.kernel.kind !== 'reduce'), ...all.filter((p) => p.kernel.kind === 'reduce')]) {
    const { kernel } = part;
    const { access } = bindTensors([kernel], entry.kernels.program, entry.placements, options);
    const tensors = new Set(access.keys());
    const written = write(part);
    if (enter(part, written, tensors, homes)) continue;
    const adapts = kernel.kind === 'reduce' && waits(written.body) && sizeOf(kernel.reduceExtents) <= shortReduction;
    const narrower = adapts ? [...new Set(homes.flatMap((h) => (h.threads !== null && h.threads < written.body.threads ? [h.threads] : [])))] : [];
    if (narrower.some((threads) => {
      const slim = { ...part, limits: { ...options, maxWorkgroupInvocations: threads } };
      return enter(slim, write(slim), tensors, homes);
    })) continue;
    homes.push({ parts: [part], tensors, shared: [written.body.shared], alone: staysAlone(written.body, options), threads: waits(written.body) ? written.body.threads : null, most: written.body.threads, lines: written.lines.length });
  }
  const order = (a: Sharing, b: Sharing): number => a.position - b.position;
  return homes.map((h) => [...h.parts].sort(order)).sort(([a], [b]) => order(a, b));
}
