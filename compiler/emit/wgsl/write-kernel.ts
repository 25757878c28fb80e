/** A kernel's statements, as a part of a dispatch, and what they need of the module around them. */
import { scalarsOf } from '../../fuse/draft.js';
import { loopExtents } from '../../fuse/inline-maps.js';
import type { Kernel } from '../../fuse/kernel.js';
import { sizeOf } from '../../tensor/program.js';
import type { TensorId } from '../../tensor/scalar.js';
import type { TensorAccess } from './bindings.js';
import { emitBody } from './emit-body.js';
import type { WgslOptions } from './emit-wgsl.js';
import type { HelperName } from './functions.js';
import type { KernelText } from './kernel-text.js';
import type { Range } from './ranges.js';
import type { RestrictedKernel } from './restrict-kernel.js';
import { KernelWriter, renderBlock } from './writer.js';

export interface WrittenKernel {
  readonly body: KernelText;
  readonly helpers: ReadonlySet<HelperName>;
  readonly lines: readonly string[];
  /** Of a chain: its members, in order. They know `slices`, the workgroup's number in the chain, as well. */
  readonly stages?: readonly WrittenKernel[];
}

/** Where a restricted kernel's slices begin and its results go; those of `own` lie as the kernel counts its points. */
export type Restriction = Omit<RestrictedKernel, 'kernel'> & { readonly own: ReadonlyMap<TensorId, number> };

/** The statements of a kernel, which know `group` and `thread`, and what they need. */
export function writeKernel(kernel: Kernel, access: ReadonlyMap<TensorId, TensorAccess>, options: WgslOptions, restriction: Restriction | null = null): WrittenKernel {
  const extents = loopExtents(kernel);
  const sizes = new Map(restriction?.bases.map((b) => [b.axis, b.size]));
  // Other variables that an emitter adds behind the kernel's own may be anything.
  const range = (axis: number): Range => {
    const size = axis < extents.length ? extents[axis] : sizes.get(axis);
    return size === undefined ? { low: -Infinity, high: Infinity } : { low: 0, high: size - 1 };
  };
  const writer = new KernelWriter(access, range, scalarsOf(kernel), options.software);
  if (restriction !== null) {
    const { bases, place, own } = restriction;
    writer.bindDecoded(writer.root, 'slices', bases.map((b) => b.axis), bases.map((b) => b.size), 'slice');
    writer.storeAt((tensor) => (own.has(tensor) ? null : place));
  }
  const empty = sizeOf(kernel.extents) === 0;
  const body: KernelText = empty ? { threads: 64, groups: 1, shared: [], builtins: [], features: [] } : emitBody(kernel, writer, options);
  return { body, helpers: writer.helpers, lines: [...writer.preamble().map((line) => `  ${line}`), ...renderBlock(writer.root.body)] };
}

/** Whether threads of the kernel wait for one another. */
export const waits = ({ shared, builtins, features, synchronises }: KernelText): boolean => shared.length > 0 || builtins.length > 0 || features.length > 0 || synchronises === true;

/** Lines of a kernel with those of its stages. */
export const lineCount = ({ lines, stages = [] }: WrittenKernel): number => lines.length + stages.reduce((n, s) => n + s.lines.length + 2, 0);

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
