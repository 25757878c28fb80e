/** Where a routine's operands are evaluated: the leading axes, which it is done for each of, and its own. */
import type { RoutineKernel } from '../../fuse/kernel.js';
import { routineRank } from '../../tensor/program.js';
import type { Block, Frame, KernelWriter } from './writer.js';

/** Binds the leading axes, counted by `batch`. */
export function batchFrame(kernel: RoutineKernel, writer: KernelWriter, block: Block): Frame {
  const axes = kernel.extents.slice(0, kernel.extents.length - routineRank(kernel.op)).map((_, axis) => axis);
  const extents = axes.map((axis) => kernel.extents[axis]);
  const frame = writer.frame(block, { name: 'batch', axes, extents });
  writer.bindDecoded(frame, 'batch', axes, extents, 'i');
  return frame;
}

/** Binds own axes of the operands to names. */
export function ownFrame(kernel: RoutineKernel, writer: KernelWriter, block: Block, names: readonly (string | null)[]): Frame {
  const frame = writer.frame(block);
  names.forEach((name, i) => { if (name !== null) frame.axes.set(kernel.extents.length + i, name); });
  return frame;
}
