/**
 * Kernels to WGSL: one readable module a kernel, entry point `main`, and how to launch it. Pure: the same kernels,
 * placements and limits give the same text. Every storage binding is `read_write`, because parts of one arena may be
 * read and written by one kernel.
 */
import { assertNever } from '../../../grammar/diagnostics/report.js';
import type { Span } from '../../../grammar/span.js';
import type { TargetOptions } from '../../api.js';
import type { Kernel, KernelProgram } from '../../fuse/kernel.js';
import type { Code, Launch, Slot } from '../../plan/plan.js';
import { sizeOf } from '../../tensor/program.js';
import type { TensorId } from '../../tensor/scalar.js';
import { bindTensors, rootsOf } from './bindings.js';
import { emitContract } from './emit-contract.js';
import { emitMap } from './emit-map.js';
import { emitOnline } from './emit-online.js';
import { emitReduce } from './emit-reduce.js';
import { helperTexts } from './functions.js';
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

/** The target's part of a launch; the planner adds origin and cost. */
export type WgslLaunch = Pick<Launch, 'kernel' | 'workgroups' | 'bindings'>;

export interface WgslResult {
  readonly code: Extract<Code, { target: 'wgsl' }>;
  /** By entry, then by kernel. */
  readonly launches: readonly (readonly WgslLaunch[])[];
}

/** Emits all kernels of all entries. Kernels that come out word for word the same share a module. */
export function emitWgsl(entries: readonly WgslEntry[], options: WgslOptions): WgslResult {
  const byText = new Map<string, { readonly name: string; readonly features: readonly string[]; readonly comments: string[] }>();
  const names = new Set<string>();
  const launches = entries.map((entry) => entry.kernels.kernels.map((kernel): WgslLaunch => {
    const { text, features, workgroups, bindings } = emitKernel(kernel, entry, options);
    let module = byText.get(text);
    if (module === undefined) {
      let name = identifier(`${entry.kernels.name}_${kernel.name}`);
      while (names.has(name)) name = `${name}_2`;
      names.add(name);
      module = { name, features, comments: [] };
      byText.set(text, module);
    }
    module.comments.push(`${entry.kernels.name} ${kernel.name} (${kernel.kind}): ${describeOrigins(kernel, options)}`);
    return { kernel: module.name, workgroups, bindings };
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

/** Sizes of every index variable of a kernel: parallel axes, then those of its reductions. */
function extentsOf(kernel: Kernel): readonly number[] {
  switch (kernel.kind) {
    case 'map': return kernel.extents;
    case 'reduce': case 'contract': return [...kernel.extents, ...kernel.reduceExtents];
    case 'online': return [...kernel.extents, ...kernel.streamedExtents, ...kernel.innerExtents];
  }
}

function emitBody(kernel: Kernel, writer: KernelWriter, limits: ScheduleLimits): KernelText {
  switch (kernel.kind) {
    case 'map': return emitMap(kernel, writer, limits);
    case 'reduce': return emitReduce(kernel, writer, limits);
    case 'contract': return emitContract(kernel, writer, limits);
    case 'online': return emitOnline(kernel, writer, limits);
    default: return assertNever(kernel);
  }
}

interface EmittedKernel extends Omit<WgslLaunch, 'kernel'> {
  readonly text: string;
  readonly features: readonly string[];
}

function emitKernel(kernel: Kernel, entry: WgslEntry, options: WgslOptions): EmittedKernel {
  const { bindings, access } = bindTensors(kernel, entry.kernels.program, entry.placements, options);
  const extents = extentsOf(kernel);
  const range = (axis: number): Range => ({ low: 0, high: (extents[axis] ?? 1) - 1 });
  const writer = new KernelWriter(access, range, rootsOf(kernel), options.software);
  const empty = sizeOf(kernel.extents) === 0;
  const body: KernelText = empty ? { threads: 64, groups: 1, shared: [], builtins: [], features: [] } : emitBody(kernel, writer, options);
  const workgroups = splitGroups(body.groups);
  const [x, y, z] = workgroups;
  const group = z > 1
    ? `i32(workgroup.x + ${x}u * (workgroup.y + ${y}u * workgroup.z))`
    : y > 1 ? `i32(workgroup.x + ${x}u * workgroup.y)` : 'i32(workgroup.x)';
  const lines = [
    ...body.features.map((f) => `enable ${f};`),
    ...bindings.map((b, i) => `@group(0) @binding(${i}) var<storage, read_write> ${b.name}: array<${b.type}>;`),
    ...body.shared,
    '',
    ...helperTexts(writer.helpers).flatMap((text) => [text, '']),
    `@compute @workgroup_size(${body.threads})`,
    `fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32${body.builtins.map((b) => `, ${b}`).join('')}) {`,
    `  let group = ${group};`,
    '  let thread = i32(local);',
    ...writer.preamble().map((line) => `  ${line}`),
    ...(x * y * z > body.groups ? [`  if (group >= ${body.groups}) { return; }`] : []),
    ...renderBlock(writer.root.body),
    '}',
    '',
  ];
  return {
    text: lines.join('\n'),
    features: body.features,
    workgroups,
    bindings: bindings.map(({ arena, offset, bytes }) => ({ arena, offset, bytes })),
  };
}
