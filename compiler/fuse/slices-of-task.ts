/**
 * How many slices of a chain make a task: few enough that what the task makes stays in the cache from kernel to kernel and that there are
 * tasks for all threads, enough that the products among them have rows to multiply for the time that packing their operands takes.
 */
import { sizeAlong, sizeOf } from '../tensor/program.js';
import type { TensorId } from '../tensor/scalar.js';
import { loopExtents } from './inline-maps.js';
import type { ContractKernel, Kernel, Member } from './kernel.js';

const targetTasks = 48;
const mostBytes = 1 << 18;
/** Rows of a task's part of a product that is a good part of the chain's work; and tasks below which another product must not bring it. */
const fewestRows = 88;
const goodPart = 8;
const fewestTasks = 16;

/** A member of a chain and its kernel. */
export interface Sliced {
  readonly kernel: Kernel;
  readonly member: Member;
}

const isWide = (n: number): boolean => n > 1;

/** The axes of a product that tasks are ranges of: not those of the operand whose axis neighbours in memory, which has the lanes. */
export function rowAxes({ extents, rows, columns }: ContractKernel): readonly number[] {
  const wide = (axes: readonly number[]): number[] => axes.filter((a) => isWide(extents[a])).sort((a, b) => a - b);
  const [own, other] = [wide(rows), wide(columns)];
  return Math.max(-1, ...own) > Math.max(-1, ...other) ? other : own;
}

/** Whether the member sums over its slices. */
export function sumsSlices({ kernel, member }: Sliced): boolean {
  return kernel.kind === 'reduce' && member.inner.some((a) => a >= kernel.extents.length);
}

/** Rows of each product that is a good part of the work. */
function rowsOfProducts(links: readonly Sliced[]): readonly number[] {
  const work = links.map(({ kernel }) => sizeOf(loopExtents(kernel)));
  const total = work.reduce((a, b) => a + b, 0);
  return links.flatMap(({ kernel }, i) => (kernel.kind === 'contract' && work[i] * goodPart >= total ? [sizeAlong(rowAxes(kernel), kernel.extents)] : []));
}

/** Slices of a task, or all of them: a multiple of `unit`, `least` at least, and so many that four lanes of a product's rows may begin where a task does. */
export function slicesOfTask(links: readonly Sliced[], bytesOf: (id: TensorId) => number, unit: number, least: number): number {
  const [{ kernel, member }] = links;
  const [leading, slices] = [member.outer, member.inner].map((axes) => sizeAlong(axes, loopExtents(kernel)));
  const perSlice = (n: number): number => n / (leading * slices);
  let bytes = 0;
  for (const link of links) if (!sumsSlices(link)) for (const s of link.kernel.stores) bytes += perSlice(sizeOf(link.kernel.extents)) * bytesOf(s.tensor);
  const fewest = Math.max(least, ...rowsOfProducts(links).map((rows) => Math.ceil(fewestRows / perSlice(rows))));
  const even = Math.ceil(slices / Math.ceil(targetTasks / leading));
  const wanted = Math.max(fewest, Math.min(even, Math.floor(mostBytes / Math.max(1, bytes))));
  const products = links.flatMap(({ kernel: k }) => (k.kind === 'contract' ? [perSlice(sizeAlong(rowAxes(k), k.extents))] : []));
  let step = products.length === 0 ? 4 : unit;
  while (products.some((rows) => (step * rows) % 4 !== 0)) step += unit;
  return Math.min(slices, Math.ceil(wanted / step) * step);
}

/** Whether the products leave each other as many tasks as they would have, or enough. */
export function leavesTasks(links: readonly Sliced[]): boolean {
  const tasks = rowsOfProducts(links).map((rows) => rows / fewestRows);
  return tasks.length < 2 || Math.min(...tasks) >= Math.min(fewestTasks, Math.max(...tasks));
}
