/** The emitter of each kind of kernel. */
import { assertNever } from '../../../grammar/diagnostics/report.js';
import type { Kernel } from '../../fuse/kernel.js';
import { emitContract } from './emit-contract.js';
import { emitMap } from './emit-map.js';
import { emitOnline } from './emit-online.js';
import { emitReduce } from './emit-reduce.js';
import { emitRoutine } from './emit-routine.js';
import { emitScatter } from './emit-scatter.js';
import type { KernelText } from './kernel-text.js';
import type { ScheduleLimits } from './schedule.js';
import type { KernelWriter } from './writer.js';

export function emitBody(kernel: Kernel, writer: KernelWriter, limits: ScheduleLimits): KernelText {
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
