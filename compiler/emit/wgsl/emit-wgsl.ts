/**
 * Kernels to WGSL: one readable module a kernel, entry point `main`, and how to launch it. Pure: the same kernels,
 * placements and limits give the same text. Every storage binding is `read_write`, because parts of one arena may be
 * read and written by one kernel.
 */
import { assertNever } from '../../../grammar/diagnostics/report.js';
import type { Span } from '../../../grammar/span.js';
import type { TargetOptions } from '../../api.js';
import { scalarsOf } from '../../fuse/draft.js';
import { loopExtents } from '../../fuse/inline-maps.js';
import type { Kernel, KernelProgram } from '../../fuse/kernel.js';
import type { Code, Launch, Slot } from '../../plan/plan.js';
import { sizeOf } from '../../tensor/program.js';
import type { TensorId } from '../../tensor/scalar.js';
import { bindTensors } from './bindings.js';
import type { TensorAccess } from './bindings.js';
import { emitContract } from './emit-contract.js';
import { emitMap } from './emit-map.js';
import { emitOnline } from './emit-online.js';
import { emitReduce } from './emit-reduce.js';
import { emitRoutine } from './emit-routine.js';
import { emitScatter } from './emit-scatter.js';
import { helperTexts } from './functions.js';
import type { HelperName } from './functions.js';
import type { KernelText } from './kernel-text.js';
import { splitGroups } from './kernel-text.js';
import { identifier } from './names.js';
import type { Range } from './ranges.js';
import type { ScheduleLimits } from './schedule.js';
import { KernelWriter, renderBlock } from './writer.js';

export interface WgslOptions extends TargetOptions {
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
export function emitWgsl(entries: readonly WgslEntry[], options: WgslOptions): WgslResult {
  const byText = new Map<string, { readonly name: string; readonly features: readonly string[]; readonly comments: string[] }>();
  const names = new Set<string>();
  const launches = entries.map((entry) => entry.kernels.launches.flatMap((launch) => splitLaunch(launch, entry, options)).map((parts): WgslLaunch => {
    const kernels = parts.map((p) => entry.kernels.kernels[p]);
    const { text, features, workgroups, bindings } = emitLaunch(kernels, entry, options);
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

function emitBody(kernel: Kernel, writer: KernelWriter, limits: ScheduleLimits): KernelText {
  switch (kernel.kind) {
    case 'map': return emitMap(kernel, writer, limits);
    case 'reduce': return emitReduce(kernel, writer, limits);
    case 'contract': return emitContract(kernel, writer, limits);
    case 'online': return emitOnline(kernel, writer, limits);
    case 'scatter': return emitScatter(kernel, writer, limits);
    case 'routine': return emitRoutine(kernel, writer, limits);
    default: return assertNever(kernel);
  }
}

interface EmittedKernel extends Omit<WgslLaunch, 'kernel' | 'parts'> {
  readonly text: string;
  readonly features: readonly string[];
}

/** Lines of the kernels in one module; compiling it takes longer than in proportion. */
const mostLines = 300;

/** The launch as one or several: kernels that synchronise their threads or bind too much run by themselves. */
function splitLaunch(launch: readonly number[], entry: WgslEntry, options: WgslOptions): readonly (readonly number[])[] {
  if (launch.length === 1) return [launch];
  const open: { parts: number[]; tensors: Set<TensorId>; lines: number }[] = [];
  const alone: number[][] = [];
  for (const k of launch) {
    const kernel = entry.kernels.kernels[k];
    const { access } = bindTensors([kernel], entry.kernels.program, entry.placements, options);
    const { body, lines } = writeKernel(kernel, access, options);
    if (body.shared.length > 0 || body.builtins.length > 0 || body.features.length > 0 || body.synchronises === true) {
      alone.push([k]);
      continue;
    }
    const home = open.find((o) => new Set([...o.tensors, ...access.keys()]).size <= options.maxBindings && o.lines + lines.length <= mostLines);
    if (home === undefined) open.push({ parts: [k], tensors: new Set(access.keys()), lines: lines.length });
    else {
      home.parts.push(k);
      for (const id of access.keys()) home.tensors.add(id);
      home.lines += lines.length;
    }
  }
  return [...open.map((o) => o.parts), ...alone].sort((a, b) => a[0] - b[0]);
}

/** The statements of a kernel, which know `group` and `thread`, and what they need. */
function writeKernel(kernel: Kernel, access: ReadonlyMap<TensorId, TensorAccess>, options: WgslOptions): { readonly body: KernelText; readonly helpers: ReadonlySet<HelperName>; readonly lines: readonly string[] } {
  const extents = loopExtents(kernel);
  const range = (axis: number): Range => ({ low: 0, high: (extents[axis] ?? 1) - 1 });
  const writer = new KernelWriter(access, range, scalarsOf(kernel), options.software);
  const empty = sizeOf(kernel.extents) === 0;
  const body: KernelText = empty ? { threads: 64, groups: 1, shared: [], builtins: [], features: [] } : emitBody(kernel, writer, options);
  return { body, helpers: writer.helpers, lines: [...writer.preamble().map((line) => `  ${line}`), ...renderBlock(writer.root.body)] };
}

function emitLaunch(kernels: readonly Kernel[], entry: WgslEntry, options: WgslOptions): EmittedKernel {
  const { bindings, access } = bindTensors(kernels, entry.kernels.program, entry.placements, options);
  const parts = kernels.map((k) => writeKernel(k, access, options));
  const groups = parts.reduce((n, p) => n + p.body.groups, 0);
  const threads = Math.max(...parts.map((p) => p.body.threads));
  const [{ body: first }] = parts;
  const workgroups = splitGroups(groups);
  const [x, y, z] = workgroups;
  const group = z > 1
    ? `i32(workgroup.x + ${x}u * (workgroup.y + ${y}u * workgroup.z))`
    : y > 1 ? `i32(workgroup.x + ${x}u * workgroup.y)` : 'i32(workgroup.x)';
  const functions: string[] = [];
  const calls: string[] = [];
  let start = 0;
  parts.forEach((p, i) => {
    if (parts.length === 1) return;
    functions.push(`fn part_${i}(group: i32, thread: i32) {`, ...p.lines, '}', '');
    const guard = p.body.threads < threads ? ` && thread < ${p.body.threads}` : '';
    calls.push(`  if (group >= ${start} && group < ${start + p.body.groups}${guard}) { part_${i}(group${start === 0 ? '' : ` - ${start}`}, thread); }`);
    start += p.body.groups;
  });
  const inVectors = new Set([...(first.vectors ?? [])].map((id) => access.get(id)?.binding));
  const features = [...new Set([...first.features, ...(bindings.some((b) => b.type === 'f16') ? ['f16'] : [])])];
  const lines = [
    ...features.map((f) => `enable ${f};`),
    // Subgroups take different branches by their number, which the analysis does not know to be the same for all lanes.
    ...(features.includes('chromium_experimental_subgroup_matrix') ? ['diagnostic(off, chromium.subgroup_matrix_uniformity);'] : []),
    ...bindings.map((b, i) => `@group(0) @binding(${i}) var<storage, read_write> ${b.name}: array<${inVectors.has(b) ? `vec4<${b.type}>` : b.type}>;`),
    ...first.shared,
    '',
    ...helperTexts(new Set(parts.flatMap((p) => [...p.helpers]))).flatMap((text) => [text, '']),
    ...functions,
    `@compute @workgroup_size(${threads})`,
    `fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32${first.builtins.map((b) => `, ${b}`).join('')}) {`,
    `  let group = ${group};`,
    '  let thread = i32(local);',
    ...(parts.length === 1 && x * y * z > groups ? [`  if (group >= ${groups}) { return; }`] : []),
    ...(parts.length === 1 ? parts[0].lines : calls),
    '}',
    '',
  ];
  return {
    text: lines.join('\n'),
    features,
    workgroups,
    bindings: bindings.map(({ arena, offset, bytes }) => ({ arena, offset, bytes })),
  };
}
