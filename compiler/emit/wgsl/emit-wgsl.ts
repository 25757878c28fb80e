/**
 * Kernels to WGSL: one readable module a kernel, entry point `main`, and how to launch it. Pure: the same kernels,
 * placements and limits give the same text. Every storage binding is `read_write`, because parts of one arena may be
 * read and written by one kernel.
 */
import { bug } from '../../../grammar/diagnostics/report.js';
import type { Span } from '../../../grammar/span.js';
import type { TargetOptions } from '../../api.js';
import { tensorsRead } from '../../fuse/draft.js';
import type { Kernel, KernelProgram } from '../../fuse/kernel.js';
import type { Code, Launch, Slot } from '../../plan/plan.js';
import type { TensorId } from '../../tensor/scalar.js';
import { bindTensors } from './bindings.js';
import type { TensorAccess } from './bindings.js';
import { helperTexts } from './functions.js';
import { splitGroups } from './kernel-text.js';
import { identifier } from './names.js';
import { shareGroups } from './share-groups.js';
import type { ScheduleLimits } from './schedule.js';
import { splitLaunches, writePart } from './split-launch.js';
import type { Dispatch, Sharing } from './split-launch.js';
import { chainCalls } from './write-chain.js';
import { overlaid } from './write-kernel.js';

export interface WgslOptions extends TargetOptions, Pick<ScheduleLimits, 'sliced'> {
  /** `model.ssl:12` for a span, for the comments over kernels. */
  readonly lineOf?: (span: Span) => string;
}

/** A kernel program and where its tensors lie. */
export interface WgslEntry {
  readonly kernels: KernelProgram;
  readonly placements: ReadonlyMap<TensorId, Slot>;
}

/** The target's part of a launch; the planner adds origin and cost. `parts` are the positions of the kernels in it. */
export type WgslLaunch = Pick<Launch, 'kernel' | 'workgroups' | 'bindings'> & { readonly parts: readonly number[] };

export interface WgslResult {
  readonly code: Extract<Code, { target: 'wgsl' }>;
  /** By entry, in order. */
  readonly launches: readonly (readonly WgslLaunch[])[];
}

/** Emits all kernels of all entries. Kernels that come out word for word the same share a module. */
export function emitWgsl(given: readonly WgslEntry[], options: WgslOptions): WgslResult {
  // Workgroups of a dispatch run in any order.
  for (const { kernels } of given) if (kernels.tails.length > 0 || kernels.chains.some((c) => c.cut !== 'workgroups')) bug(`${kernels.name} has kernels that follow one another in a launch, which are for the CPU target`);
  const entries = given.map(({ kernels, placements }): WgslEntry => {
    const own = new Set(kernels.chains.flatMap((c) => c.own));
    return { kernels, placements: own.size === 0 ? placements : new Map([...placements].filter(([id]) => !own.has(id))) };
  });
  const byText = new Map<string, { readonly name: string; readonly features: readonly string[]; readonly comments: string[] }>();
  const names = new Set<string>();
  const launches = entries.map((entry) => splitLaunches(entry, options).flatMap((dispatch) => emitDispatch(dispatch, entry, options)).map(({ sharing, text, features, workgroups, bindings }): WgslLaunch => {
    const parts = sharing.flatMap((p) => p.positions);
    const kernels = sharing.flatMap((p) => p.kernels);
    let module = byText.get(text);
    if (module === undefined) {
      let name = identifier(`${entry.kernels.name}_${kernels[0].name}${kernels.length > 1 ? `_and_${kernels.length - 1}_more` : ''}`);
      while (names.has(name)) name = `${name}_2`;
      names.add(name);
      module = { name, features, comments: [] };
      byText.set(text, module);
    }
    for (const k of kernels) module.comments.push(`${entry.kernels.name} ${k.name} (${k.kind}): ${describeOrigins(k, options)}`);
    return { kernel: module.name, workgroups, bindings, parts };
  }));
  const modules: Record<string, string> = {};
  const features = new Set<string>();
  for (const [text, module] of byText) {
    module.features.forEach((f) => features.add(f));
    modules[module.name] = `${module.comments.map((c) => `// ${c}`).join('\n')}\n${text}`;
  }
  return { code: { target: 'wgsl', modules, features: [...features].sort() }, launches };
}

function describeOrigins(kernel: Kernel, options: WgslOptions): string {
  const parts = kernel.origins.map((origin) => {
    const line = origin.span === null || options.lineOf === undefined ? '' : `${options.lineOf(origin.span)} `;
    return `${line}${origin.name}`.replace(/\s+/g, ' ');
  });
  return [...new Set(parts)].join('; ');
}

interface EmittedKernel extends Omit<WgslLaunch, 'kernel' | 'parts'> {
  readonly sharing: readonly Sharing[];
  readonly text: string;
  readonly features: readonly string[];
}

/** The kernels of a dispatch in one module, or a module each where one writes what another reads in vectors: ranges that overlap are known to be one binding only now. */
function emitDispatch(dispatch: Dispatch, entry: WgslEntry, options: WgslOptions): readonly EmittedKernel[] {
  const sharing = dispatch.flat();
  const { bindings, access } = bindTensors(sharing.flatMap((p) => p.kernels), entry.kernels.program, entry.placements, options);
  const alone = sharing.map((part) => writePart(part, entry, access));
  const inVectors = new Set(alone.flatMap((p) => [...(p.body.vectors ?? [])]).map((id) => access.get(id)?.binding));
  const isVector = (id: TensorId): boolean => inVectors.has(access.get(id)?.binding);
  if (sharing.length > 1 && inVectors.size > 0 && sharing.some(({ kernels }) => kernels.some((k) => k.stores.some((s) => isVector(s.tensor))))) return sharing.flatMap((part) => emitDispatch([[part]], entry, options));
  // Those that read one by one what others read in vectors pick from the vectors.
  const picking: ReadonlyMap<TensorId, TensorAccess> = new Map([...access].map(([id, a]) => [id, isVector(id) ? { ...a, binding: { ...a.binding, inVectors: true } } : a]));
  const parts = sharing.map((part, i) => (part.kernels.some((k) => [...tensorsRead(k)].some((id) => isVector(id) && alone[i].body.vectors?.has(id) !== true)) ? writePart(part, entry, picking) : alone[i]));
  const groups = dispatch.length > 1 ? 1 : parts.reduce((n, p) => n + p.body.groups, 0);
  const threads = Math.max(...parts.map((p) => p.body.threads));
  const builtins = [...new Set(parts.flatMap((p) => p.body.builtins))];
  const parameters = builtins.map((b) => b.replace(/^@builtin\(\w+\) /, ''));
  const workgroups = splitGroups(groups);
  const [x, y, z] = workgroups;
  const group = z > 1
    ? `i32(workgroup.x + ${x}u * (workgroup.y + ${y}u * workgroup.z))`
    : y > 1 ? `i32(workgroup.x + ${x}u * workgroup.y)` : 'i32(workgroup.x)';
  const own = parameters.map((q) => `, ${q}`).join('');
  const given = parameters.map((q) => `, ${q.split(':')[0]}`).join('');
  const functions = parts.length === 1 && parts[0].stages === undefined ? [] : parts.flatMap((p, i) => {
    const stages = p.stages ?? [];
    const lines = p.stages === undefined ? p.lines : chainCalls(stages, p.body.threads, (m, at) => `stage_${i}_${m}(group, ${at}, thread${given});`).map((line) => `  ${line}`);
    return [...stages.flatMap((s, m) => [`fn stage_${i}_${m}(slices: i32, group: i32, thread: i32${own}) {`, ...s.lines, '}', '']), `fn part_${i}(group: i32, thread: i32${own}) {`, ...lines, '}', ''];
  });
  const call = (i: number, at: string): string =>
    `${parts[i].body.threads < threads ? `if (thread < ${parts[i].body.threads}) ` : ''}{ part_${i}(${at}, thread${given}); }`;
  // Kernels behind one another, or side by side.
  const calls = dispatch.length > 1 ? parts.flatMap((_, i) => [...(i > 0 ? ['storageBarrier();'] : []), call(i, 'group')]) : shareGroups(parts.map((p) => p.body.groups), call);
  const features = [...new Set([...parts.flatMap((p) => p.body.features), ...(bindings.some((b) => b.type === 'f16') ? ['f16'] : [])])];
  const lines = [
    ...features.map((f) => `enable ${f};`),
    // Subgroups take different branches by their number, which the analysis does not know to be the same for all lanes.
    ...(features.includes('chromium_experimental_subgroup_matrix') ? ['diagnostic(off, chromium.subgroup_matrix_uniformity);'] : []),
    ...(parts.some((p) => p.body.agree === true) ? ['diagnostic(off, subgroup_uniformity);'] : []),
    ...bindings.map((b, i) => `@group(0) @binding(${i}) var<storage, read_write> ${b.name}: array<${inVectors.has(b) ? `vec4<${b.type}>` : b.type}>;`),
    ...(overlaid(parts.map((p) => p.body.shared)) ?? []),
    '',
    ...helperTexts(new Set(parts.flatMap((p) => [...p.helpers]))).flatMap((text) => [text, '']),
    ...functions,
    `@compute @workgroup_size(${threads})`,
    `fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32${builtins.map((b) => `, ${b}`).join('')}) {`,
    `  let group = ${group};`,
    '  let thread = i32(local);',
    ...(x * y * z > groups ? [`  if (group >= ${groups}) { return; }`] : []),
    ...(functions.length === 0 ? parts[0].lines : calls.map((line) => `  ${line}`)),
    '}',
    '',
  ];
  return [{
    sharing,
    text: lines.join('\n'),
    features,
    workgroups,
    bindings: bindings.map(({ arena, offset, bytes }) => ({ arena, offset, bytes })),
  }];
}
