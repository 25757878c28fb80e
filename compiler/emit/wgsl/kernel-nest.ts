/** How the WGSL target goes over the points of each kernel, for counting what it transfers: the schedule chosen for it, as loops. Tasks are workgroups. */
import { loopExtents } from '../../fuse/inline-maps.js';
import type { ContractKernel, Kernel, OnlineKernel, ReduceKernel, ScatterKernel } from '../../fuse/kernel.js';
import type { Sliced } from '../../fuse/slices-of-task.js';
import { slicesOfWorkgroup } from '../../fuse/workgroup-slices.js';
import type { Loop, LoopNest } from '../../plan/loop-nest.js';
import { inStep } from '../../plan/loop-nest.js';
import { routineRank, sizeAlong, sizeOf } from '../../tensor/program.js';
import type { ElementOf } from '../measured-schedule.js';
import { chooseContract, chooseOnline, chooseReduce } from './choose-schedule.js';
import type { ScheduleLimits } from './schedule.js';
import { mapThreads, scatterThreads, streamedBlock } from './schedule.js';
import { rowsFirst, shapeOf } from './contract-shape.js';
import { blockOf } from './schedule-matrices.js';

const upTo = (n: number): readonly number[] => Array.from({ length: n }, (_, a) => a);
const each = (axes: readonly number[]): readonly Loop[] => axes.map((a) => ({ axes: [a], step: 1 }));
/** Sums stay in registers and workgroup memory. */
const plain = { scratchBytes: 0, partialBytes: 0 } as const;

export function nestOnGpu(kernel: Kernel, limits: ScheduleLimits, elementOf: ElementOf): LoopNest {
  const leading = upTo(kernel.extents.length);
  switch (kernel.kind) {
    case 'map': return { ...plain, tasks: [{ axes: leading, step: mapThreads(sizeOf(kernel.extents), limits) }], inner: [] };
    case 'reduce': return reduceNest(kernel, limits, elementOf);
    case 'contract': return contractNest(kernel, limits, elementOf);
    case 'online': return onlineNest(kernel, limits, elementOf);
    case 'scatter': return scatterNest(kernel, limits);
    case 'routine': return { ...plain, tasks: each(leading.slice(0, kernel.extents.length - routineRank(kernel.op))), inner: [] };
  }
}

/** The loops of a chain's members, so many workgroups side by side: each goes through its slices of one member after the other. */
export function chainNestsOnGpu(links: readonly Sliced[], sideBySide: number): readonly LoopNest[] {
  const block = slicesOfWorkgroup(links) ?? 1;
  return links.map(({ kernel, member }) => {
    const extents = loopExtents(kernel);
    const rest = upTo(extents.length).filter((a) => !member.inner.includes(a));
    return inStep({ ...plain, tasks: [{ axes: member.inner, step: block * (member.grain ?? 1) }], inner: each(rest) }, extents, sideBySide);
  });
}

function reduceNest(kernel: ReduceKernel, limits: ScheduleLimits, elementOf: ElementOf): LoopNest {
  const { points, lanes } = chooseReduce(kernel, limits, elementOf);
  const rank = kernel.extents.length;
  const sums = kernel.reduceExtents.map((_, i) => rank + i);
  return { ...plain, tasks: [{ axes: upTo(rank), step: points }], inner: lanes === 1 ? each(sums) : [{ axes: sums, step: lanes }] };
}

/** Blocks of rows and columns, in the order of `blockTexts` where tiles are staged, else columns fastest. */
function contractNest(kernel: ContractKernel, limits: ScheduleLimits, elementOf: ElementOf): LoopNest {
  const schedule = chooseContract(kernel, limits, elementOf);
  const sums = kernel.reduceExtents.map((_, i) => kernel.extents.length + i);
  const blocks = (rows: number, columns: number): readonly Loop[] => [{ axes: kernel.batch, step: 1 }, { axes: kernel.rows, step: rows }, { axes: kernel.columns, step: columns }];
  const staged = (rows: number, columns: number): readonly Loop[] => {
    const [batch, ...both] = blocks(rows, columns);
    return [batch, ...(rowsFirst(shapeOf(kernel)) ? both.reverse() : both)];
  };
  switch (schedule.kind) {
    case 'registers': {
      // A thread a tile: a workgroup has neighbouring ones.
      const across = Math.min(schedule.threads, Math.ceil(sizeAlong(kernel.columns, kernel.extents) / schedule.columns));
      return { ...plain, tasks: blocks(schedule.rows * Math.max(1, Math.floor(schedule.threads / across)), schedule.columns * across), inner: each(sums) };
    }
    case 'tiles': return { ...plain, tasks: staged(schedule.blockRows, schedule.blockColumns), inner: [{ axes: sums, step: schedule.depth }] };
    case 'matrices': {
      const block = blockOf(schedule);
      return { ...plain, tasks: staged(block.rows, block.columns), inner: [{ axes: sums, step: schedule.depth }] };
    }
    case 'lanes': {
      const [rows, columns] = schedule.spread === 'columns' ? [schedule.shared, schedule.own] : [schedule.own, schedule.shared];
      return { ...plain, tasks: blocks(rows * schedule.size, columns * schedule.size), inner: each(sums) };
    }
  }
}

function onlineNest(kernel: OnlineKernel, limits: ScheduleLimits, elementOf: ElementOf): LoopNest {
  const schedule = chooseOnline(kernel, limits, elementOf);
  const streamed = kernel.streamedExtents.map((_, i) => kernel.extents.length + i);
  const columns = kernel.combine.kind === 'contract' ? kernel.columns : [];
  const blocks = (rows: number, width: number, step: number): LoopNest =>
    ({ ...plain, tasks: [{ axes: kernel.batch, step: 1 }, { axes: kernel.rows, step: rows }, { axes: columns, step: width }], inner: [{ axes: streamed, step }] });
  switch (schedule.kind) {
    case 'registers': {
      const strips = Math.max(1, Math.ceil(sizeAlong(columns, loopExtents(kernel)) / schedule.columns));
      return blocks(Math.max(1, Math.floor(schedule.threads / strips)), schedule.columns * Math.min(strips, schedule.threads), 1);
    }
    case 'tiles': return blocks(schedule.blockRows, schedule.blockColumns, streamedBlock);
    case 'lanes': return blocks(schedule.shared * schedule.size, schedule.columns * schedule.size, schedule.own * schedule.size);
  }
}

/** A thread an index of the axes without keys and a range of rows; all go through all items. */
function scatterNest(kernel: ScatterKernel, limits: ScheduleLimits): LoopNest {
  const items = kernel.reduceExtents.map((_, i) => kernel.extents.length + i);
  // Items in the order of their keys are gone through once.
  if (kernel.sorted) return { ...plain, tasks: each(items), inner: [] };
  const keyed = new Set(kernel.keys.map((k) => k.axis));
  const free = kernel.extents.flatMap((_, a) => (keyed.has(a) ? [] : [a]));
  const threads = limits.software ? 8 : Math.min(64, scatterThreads(limits));
  return { ...plain, tasks: [{ axes: free, step: threads }], inner: each(items) };
}
