/**
 * Which schedule a kernel gets: the one measured to be fastest for its shape on this adapter where there is one, else what
 * the cost model says. What may be measured is listed here; a name that is not in a kernel's list is passed over, so measured
 * schedules from anywhere cannot do harm.
 */
import type { ContractKernel, Kernel, OnlineKernel, ReduceKernel } from '../../fuse/kernel.js';
import { sizeOf } from '../../tensor/program.js';
import type { ElementOf, TunableKernel } from '../measured-schedule.js';
import { labelsOf, measuredSchedule } from '../measured-schedule.js';
import { accumulatorRule } from './accumulators.js';
import type { ContractSchedule, OnlineSchedule, ReduceSchedule, ScheduleLimits } from './schedule.js';
import { matricesCandidates } from './schedule-matrices.js';
import { scheduleContract, scheduleOnline, scheduleReduce } from './schedule.js';

export function isTunable(kernel: Kernel): kernel is TunableKernel {
  return kernel.kind === 'reduce' || kernel.kind === 'contract' || kernel.kind === 'online';
}

export const chooseContract = (kernel: ContractKernel, limits: ScheduleLimits, elementOf: ElementOf): ContractSchedule =>
  measuredSchedule(kernel, limits, elementOf, () => contractCandidates(kernel, limits)) ?? scheduleContract(kernel, limits);

export const chooseReduce = (kernel: ReduceKernel, limits: ScheduleLimits, elementOf: ElementOf): ReduceSchedule =>
  measuredSchedule(kernel, limits, elementOf, () => reduceCandidates(kernel, limits)) ?? scheduleReduce(kernel, accumulatorBytes(kernel), limits);

export const chooseOnline = (kernel: OnlineKernel, limits: ScheduleLimits, elementOf: ElementOf): OnlineSchedule =>
  measuredSchedule(kernel, limits, elementOf, () => onlineCandidates(kernel, limits)) ?? scheduleOnline(kernel, limits);

/** The names of the schedules worth measuring for a kernel, the cost model's own first. */
export function candidateLabels(kernel: TunableKernel, limits: ScheduleLimits): readonly string[] {
  switch (kernel.kind) {
    case 'reduce': return labelsOf(reduceCandidates(kernel, limits));
    case 'contract': return labelsOf(contractCandidates(kernel, limits));
    case 'online': return labelsOf(onlineCandidates(kernel, limits));
  }
}

const accumulatorBytes = (kernel: ReduceKernel): number => kernel.reductions.reduce((n, r) => n + 4 * accumulatorRule(r.op, r.body.type).components.length, 0);

function contractCandidates(kernel: ContractKernel, limits: ScheduleLimits): readonly ContractSchedule[] {
  const own = scheduleContract(kernel, limits);
  const threads = limits.software ? 8 : 64;
  const registers: ContractSchedule[] = [[8, 8], [4, 4], [4, 8], [1, 4]].map(([rows, columns]) => ({ kind: 'registers', rows, columns, threads }));
  if (limits.software) {
    const { subgroupSize: size } = limits;
    if (size === undefined) return [own, ...registers];
    const lanes: ContractSchedule[] = (['columns', 'rows'] as const).flatMap((spread) =>
      [[1, 4], [2, 4], [2, 8], [4, 4]].map(([shared, mine]): ContractSchedule => ({ kind: 'lanes', size, spread, shared, own: mine })));
    return [own, ...lanes];
  }
  if (limits.maxWorkgroupInvocations < 64 || limits.maxWorkgroupStorageBytes < 16384) return [own, ...registers];
  const tile = (blockRows: number, blockColumns: number, depth: number, rows: number, columns: number, split: number, buffers: 1 | 2 = 1): ContractSchedule =>
    ({ kind: 'tiles', blockRows, blockColumns, depth, rows, columns, split, buffers });
  const wide = [tile(128, 128, 8, 8, 8, 1), tile(128, 64, 16, 8, 4, 1), tile(64, 64, 16, 4, 4, 1), tile(32, 32, 32, 4, 4, 4)];
  const ahead = [tile(128, 128, 8, 8, 8, 1, 2), tile(128, 64, 16, 8, 4, 1, 2), tile(64, 64, 16, 4, 4, 1, 2)];
  const roomy = limits.maxWorkgroupStorageBytes >= 32768;
  return [own, ...matricesCandidates(kernel, limits), ...(limits.maxWorkgroupInvocations >= 256 ? [...wide, ...(roomy ? ahead : [])] : []), tile(32, 32, 32, 4, 4, 1), ...registers];
}

function reduceCandidates(kernel: ReduceKernel, limits: ScheduleLimits): readonly ReduceSchedule[] {
  const bytes = accumulatorBytes(kernel);
  const own = scheduleReduce(kernel, bytes, limits);
  const most = Math.min(256, limits.maxWorkgroupInvocations, 2 ** Math.floor(Math.log2(limits.maxWorkgroupStorageBytes / bytes)));
  if (most < 32 || sizeOf(kernel.reduceExtents) < 32) return [own];
  const trees: ReduceSchedule[] = [8, 32, most].map((lanes) => ({ points: most / lanes, lanes, merge: 'tree' }));
  const whole: ReduceSchedule[] = limits.subgroups ? [64, most].map((lanes) => ({ points: 1, lanes: Math.min(lanes, most), merge: 'subgroups' })) : [];
  return [own, { points: 64, lanes: 1, merge: 'tree' }, ...trees, ...whole];
}

function onlineCandidates(kernel: OnlineKernel, limits: ScheduleLimits): readonly OnlineSchedule[] {
  const own = scheduleOnline(kernel, limits);
  switch (own.kind) {
    case 'registers': return [own, { ...own, columns: Math.max(1, own.columns / 2) }].filter((s) => Number.isInteger(s.columns));
    case 'lanes': return [own, { ...own, own: 4 }, { ...own, own: 1 }, { ...own, shared: 2, columns: Math.min(own.columns, 8) }];
    case 'tiles': {
      // Smaller blocks always fit where larger ones do. Without a second product there are no columns to have more of.
      const columns = kernel.combine.kind === 'reduce' ? [64] : [64, 128];
      const narrower = own.blockRows === 64 ? [{ ...own, blockRows: 32 }, ...(own.blockColumns === 128 ? [{ ...own, blockColumns: 64 }] : [])] : [];
      return [own, ...narrower, ...columns.map((blockColumns): OnlineSchedule => ({ kind: 'tiles', blockRows: 16, blockColumns }))];
    }
  }
}
