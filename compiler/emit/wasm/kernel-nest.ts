/**
 * How the CPU target goes over the points of each kernel, for counting what it transfers: the loops that the emitters write, as
 * data. Tasks stand in the order in which threads take them.
 */
import { tensorsIn } from '../../fuse/draft.js';
import { loopExtents } from '../../fuse/inline-maps.js';
import type { Chain, ContractKernel, Kernel, OnlineKernel, ReduceKernel, ScatterKernel } from '../../fuse/kernel.js';
import type { Loop, LoopNest } from '../../plan/loop-nest.js';
import { bytesOf, routineRank, sizeAlong, sizeOf } from '../../tensor/program.js';
import type { Scalar, TensorId } from '../../tensor/scalar.js';
import { voteOfReads } from '../../fuse/vote-of-reads.js';
import type { Sliced } from '../../fuse/slices-of-task.js';
import { wordTypes } from './accumulators.js';
import { contractBlocks, depthBlock } from './contract-blocks.js';
import type { ElementOf } from '../measured-schedule.js';
import type { ScheduleChoice } from './choose-schedule.js';
import { chooseOnline } from './choose-schedule.js';
import type { PlanOf } from './emit-chain.js';
import { chainCuts } from './emit-chain.js';
import { mostScans } from './emit-scatter.js';
import { mostChunks } from './emit-reduce.js';
import { filterBlocks, filterGradientBlocks } from './filter-blocks.js';
import type { Operand } from './filter-operand.js';
import { mostSlots, pointCount } from './filter-points.js';
import type { Filter } from './minimal-filter.js';
import { productsOf, tapsOf } from './minimal-filter.js';
import type { SlicesCut } from './nest.js';
import { onlineBlocks } from './online-blocks.js';
import { roundUp } from './panels.js';
import type { ContractPlan } from './plan-contract.js';
import { planContract } from './plan-contract.js';
import type { FilterSchedule, OnlineSchedule, PanelSchedule } from './schedule.js';

/** Points done side by side where lanes run along them: four lanes, unrolled four times. */
const lanes = 16;

const each = (axes: readonly number[]): readonly Loop[] => axes.map((a) => ({ axes: [a], step: 1 }));
const upTo = (n: number): readonly number[] => Array.from({ length: n }, (_, a) => a);
const plain = { scratchBytes: 0, partialBytes: 0 } as const;

export function nestOnCpu(kernel: Kernel, choice: ScheduleChoice, elementOf: ElementOf): LoopNest {
  const leading = upTo(kernel.extents.length);
  switch (kernel.kind) {
    case 'map': return { ...plain, tasks: each(leading), inner: [] };
    case 'reduce': return reduceNest(kernel);
    case 'contract': return productNest(kernel, null, planContract(choice, elementOf, kernel, null));
    case 'online': return onlineNest(kernel, chooseOnline(kernel, choice, elementOf));
    case 'scatter': return scatterNest(kernel);
    // Each works on a copy of its operands in its own memory.
    case 'routine': return { ...plain, tasks: each(leading.slice(0, kernel.extents.length - routineRank(kernel.op))), inner: [] };
  }
}

/** The nests of a chain's kernels, whose tasks are the chain's. */
export function chainNestsOnCpu(chain: Chain, links: readonly Sliced[], choice: ScheduleChoice, elementOf: ElementOf): readonly LoopNest[] {
  const planOf: PlanOf = (kernel, cut) => planContract(choice, elementOf, kernel, cut);
  return chainCuts(chain, links, planOf, (id) => bytesOf(elementOf(id))).map((cut, i): LoopNest => {
    const { kernel } = links[i];
    const all = loopExtents(kernel);
    if (kernel.kind === 'contract' && cut.kind === 'slices') return productNest(kernel, cut, planOf(kernel, cut));
    const tasks: readonly Loop[] = cut.kind === 'points' ? [{ axes: cut.outer, step: cut.block }] : [...each(cut.lead), { axes: cut.slices, step: cut.block }];
    const summed = kernel.kind === 'reduce' && cut.kind === 'slices' && cut.slices.some((a) => a >= kernel.extents.length);
    const partialBytes = summed ? Math.ceil(sizeAlong(cut.slices, all) / cut.block) * stateBytes(kernel) : 0;
    return { tasks, inner: each(upTo(all.length).filter((a) => !tasks.some((t) => t.axes.includes(a)))), scratchBytes: 0, partialBytes };
  });
}

/** Bytes of a state of every point. */
const stateBytes = ({ reductions, extents }: ReduceKernel): number => 4 * sizeOf(extents) * reductions.reduce((n, r) => n + wordTypes(r.op, r.body.type).length, 0);

/** Points one after the other, or side by side where they are neighbours in memory, with their sums inside; few points by chunks of the sum, all points of each. */
function reduceNest(kernel: ReduceKernel): LoopNest {
  const { extents, reduceExtents, reductions } = kernel;
  const rank = extents.length;
  const last = extents.reduce((found, n, a) => (n > 1 ? a : found), -1);
  const sums = reduceExtents.map((_, i) => rank + i);
  const points = sizeOf(extents);
  const overPoints = each(upTo(rank)).map((loop) => (loop.axes[0] === last && neighbours(reductions.map((r) => r.body), last) ? { ...loop, step: lanes } : loop));
  const chunks = points * sizeOf(reduceExtents) < 1 << 16 ? 1 : Math.ceil(mostChunks / Math.ceil(points / lanes));
  if (chunks < 2) return { ...plain, tasks: overPoints, inner: each(sums) };
  return { tasks: [{ axes: sums, step: Math.ceil(sizeOf(reduceExtents) / chunks) }, ...overPoints], inner: each(sums), scratchBytes: 0, partialBytes: chunks * stateBytes(kernel) };
}

/** Whether most reads have neighbours along `axis`. */
function neighbours(bodies: readonly Scalar[], axis: number): boolean {
  const seen = new Set<Scalar>();
  return bodies.reduce((sum, body) => sum + voteOfReads(body, (along) => (along.has(axis) ? 1 : -1), seen), 0) > 0;
}

/** `cut` as in `contractBlocks`. */
function productNest(kernel: ContractKernel, cut: SlicesCut | null, plan: ContractPlan): LoopNest {
  if (plan.kind === 'panels') return contractNest(kernel, cut, plan.schedule);
  return plan.filter.stencil.kind === 'filter' ? filterNest(kernel, plan.filter, cut, plan.schedule) : filterGradientNest(kernel, plan.filter, plan.schedule);
}

const sliceLoops = (cut: SlicesCut): readonly Loop[] => [...each(cut.lead), { axes: cut.slices, step: cut.block }];

function filterNest(kernel: ContractKernel, filter: Filter, cut: SlicesCut | null, schedule: FilterSchedule): LoopNest {
  const b = filterBlocks(kernel, filter, cut, schedule);
  const all = loopExtents(kernel);
  const [channels, others] = [filter.dataChannels, filter.otherChannels].map((axes) => sizeAlong(axes, all));
  const [down, across] = filter.stencil.reaches;
  const rows: Loop = { axes: [...b.pictureAxes, down.position, across.position], step: b.rowsOfTask };
  const columns: Loop = { axes: filter.otherChannels, step: b.columnBlock };
  const products = pointCount(filter.lines) * b.pieces.tiles * b.productColumns + b.rowsOfTask * b.columnBlock;
  const dataPoints = pointCount(filter.lines) * mostSlots(filter.lines) * channels * b.pieces.tiles;
  const weightPoints = (count: number): number => 4 * productsOf(filter.lines) * channels * roundUp(count, b.tile.columns);
  const [ofData, ofWeights] = [filter.stencil.data, filter.stencil.other].map((s) => tensorsIn([s]));
  const from = (own: ReadonlySet<TensorId>, other: ReadonlySet<TensorId>): ReadonlySet<TensorId> => {
    const more = tensorsIn(kernel.stores.map((s) => s.value));
    return new Set([...own].filter((t) => !other.has(t) && !more.has(t)));
  };
  if (b.groupPieces !== null) {
    return {
      tasks: [{ ...rows, step: b.groupPieces * b.rowsOfTask }, columns], inner: [rows],
      scratchBytes: 4 * products + weightPoints(b.columnBlock), partialBytes: 0,
      shared: { bytes: 4 * dataPoints * b.pieces.count, reads: Math.ceil(others / b.columnBlock), parts: Math.ceil(b.pieces.count / b.groupPieces), made: 'by parts', from: from(ofData, ofWeights) },
    };
  }
  return {
    tasks: cut === null ? [columns, rows] : sliceLoops(cut), inner: cut === null ? [] : [rows],
    // Points of the tiles and of their products; results.
    scratchBytes: 4 * (dataPoints + products), partialBytes: 0,
    shared: { bytes: weightPoints(others), reads: sizeAlong(b.lead, all) * b.spans * b.pieces.count, parts: Math.ceil(others / b.columnBlock), made: 'first', from: from(ofWeights, ofData) },
  };
}

function filterGradientNest(kernel: ContractKernel, filter: Filter, schedule: FilterSchedule): LoopNest {
  const b = filterGradientBlocks(kernel, filter, schedule);
  const [down, across] = filter.stencil.reaches;
  const pictures = [...filter.pictureAxes, down.position, across.position];
  const piece = b.cut.pictures * b.cut.height * b.cut.width;
  const all = loopExtents(kernel);
  const blocks = Math.ceil(sizeAlong(b.rowSide.channels, all) / b.rowBlock) * Math.ceil(sizeAlong(b.columnSide.channels, all) / b.columnBlock);
  const slots = (side: Operand): number => (side.shifted ? mostSlots(filter.lines) : 1);
  const sums = tapsOf(filter.lines) * b.rowBlock * b.columnBlock * 4;
  return {
    tasks: [{ axes: pictures, step: b.partPieces * piece }, { axes: b.rowSide.channels, step: b.rowBlock }, { axes: b.columnSide.channels, step: b.columnBlock }],
    inner: [{ axes: pictures, step: piece }],
    scratchBytes: 4 * (pointCount(filter.lines) * b.cut.tiles * (slots(b.rowSide) * b.rowBlock + slots(b.columnSide) * b.columnBlock) + productsOf(filter.lines) * b.rowBlock * b.columnBlock) + sums,
    partialBytes: b.parts > 1 ? blocks * b.parts * sums : 0,
  };
}

function contractNest(kernel: ContractKernel, cut: SlicesCut | null, schedule: PanelSchedule): LoopNest {
  const b = contractBlocks(kernel, cut, schedule);
  const sums = kernel.reduceExtents.flatMap((n, i) => (n > 1 ? [kernel.extents.length + i] : []));
  const steps: Loop = { axes: sums, step: depthBlock };
  const rows: Loop = { axes: b.rows, step: b.rowBlock };
  return {
    tasks: cut === null ? [{ axes: sums, step: b.partBlocks * depthBlock }, { axes: b.batch, step: 1 }, { axes: b.columns, step: b.columnBlock }, rows] : sliceLoops(cut),
    inner: cut === null ? [steps] : [rows, steps],
    scratchBytes: b.leftBytes + b.rightBytes + b.resultBytes,
    partialBytes: b.splits > 1 ? b.blocks * b.splits * b.resultBytes : 0,
  };
}

function onlineNest(kernel: OnlineKernel, schedule: OnlineSchedule): LoopNest {
  const { batch, rows, streamed, columns, rowBlock, streamBlock } = onlineBlocks(kernel, schedule);
  const all = loopExtents(kernel);
  const depth = kernel.scores.reduce((n, s) => n + sizeAlong(s.inner, all), 0);
  const products = kernel.combine.kind === 'contract' ? kernel.combine.products.length : 0;
  const width = products > 0 ? sizeAlong(columns, all) : 0;
  return {
    tasks: [{ axes: batch, step: 1 }, { axes: rows, step: rowBlock }],
    inner: [{ axes: streamed, step: streamBlock }],
    scratchBytes: 4 * ((rowBlock + streamBlock) * depth + (products * rowBlock + streamBlock) * width + rowBlock * streamBlock * (kernel.scores.length + 1)),
    partialBytes: 0,
  };
}

/** Every task goes through all items for its own elements; in the order of their keys they are gone through once. */
function scatterNest(kernel: ScatterKernel): LoopNest {
  const items = kernel.reduceExtents.map((_, i) => kernel.extents.length + i);
  if (kernel.sorted) return { ...plain, tasks: each(items), inner: [] };
  const keyed = new Set(kernel.keys.map((k) => k.axis));
  const free = kernel.extents.flatMap((n, a) => (n > 1 && !keyed.has(a) ? [a] : []));
  const columns = sizeAlong(free, kernel.extents);
  return { ...plain, tasks: [{ axes: free, step: Math.max(1, Math.ceil(columns / mostScans)) }], inner: each(items) };
}
