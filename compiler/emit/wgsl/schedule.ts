/**
 * Chooses, from shapes and the adapter, how a kernel's loop nest is laid over workgroups and threads. A schedule is plain
 * data; the emitters are correct for any schedule. Software adapters get register tiles, a row a thread and no workgroup
 * memory; GPUs get workgroup tiles and a workgroup (or part of one) a row.
 */
import type { TargetOptions } from '../../api.js';
import type { ContractKernel, OnlineKernel, ReduceKernel } from '../../fuse/kernel.js';
import { loopExtents } from '../../fuse/inline-maps.js';
import { sizeAlong, sizeOf } from '../../tensor/program.js';
import type { LanesSchedule, OnlineLanesSchedule } from './schedule-lanes.js';
import { scheduleLanes, scheduleOnlineLanes } from './schedule-lanes.js';
import type { MatricesSchedule } from './schedule-matrices.js';
import { scheduleMatrices } from './schedule-matrices.js';

/** What a schedule depends on. */
export interface ScheduleLimits extends Pick<TargetOptions, 'maxWorkgroupInvocations' | 'maxWorkgroupStorageBytes' | 'subgroups' | 'subgroupSize' | 'matrixUnits' | 'software' | 'schedules'> {
  /** The kernel is one workgroup's slices of a chain: it has that workgroup's threads, and others fill the GPU. */
  readonly sliced?: boolean;
}

/**
 * `points` parallel points a workgroup, each reduced by `lanes` threads. Several lanes are merged through workgroup memory, or,
 * where one point has the whole workgroup, each subgroup by itself and then the subgroups.
 */
export interface ReduceSchedule {
  readonly points: number;
  readonly lanes: number;
  readonly merge: 'tree' | 'subgroups';
}

/**
 * A workgroup computes blockRows x blockColumns, staging `depth` steps at a time in workgroup memory; each thread has
 * rows x columns of it. `split` groups of threads share a tile, each taking every split-th step. With two `buffers` the next
 * steps are read while those before are computed with.
 */
export interface TilesSchedule {
  readonly kind: 'tiles';
  readonly blockRows: number;
  readonly blockColumns: number;
  readonly depth: number;
  readonly rows: number;
  readonly columns: number;
  readonly split: number;
  readonly buffers: 1 | 2;
}

export type ContractSchedule =
  /** A thread computes rows x columns and reads its operands directly. */
  | { readonly kind: 'registers'; readonly rows: number; readonly columns: number; readonly threads: number }
  | TilesSchedule
  | MatricesSchedule
  | LanesSchedule;

export type OnlineSchedule =
  | { readonly kind: 'registers'; readonly columns: number; readonly threads: number }
  /** A workgroup takes blockRows rows and streams 64 columns at a time, 4 x 4 scores a thread; of a second product it has blockColumns columns. */
  | { readonly kind: 'tiles'; readonly blockRows: number; readonly blockColumns: number }
  | OnlineLanesSchedule;

/** Columns that a workgroup streams at a time. */
export const streamedBlock = 64;

/** Threads a workgroup for elementwise kernels. */
export function mapThreads(points: number, limits: ScheduleLimits): number {
  return limits.software || points < (limits.sliced === true ? 65 : 4096) ? 64 : Math.min(256, limits.maxWorkgroupInvocations);
}

/** Threads of a segmented sum: each scans all items, so no more than the adapter needs to be busy. */
export function scatterThreads(limits: ScheduleLimits): number {
  return limits.software ? 64 : 16384;
}

/** Rows a thread has of a segmented sum of sorted items: enough to make its search worth it, while all are busy. */
export function sortedRows(points: number, rows: number, limits: ScheduleLimits): number {
  return Math.max(1, Math.min(limits.software ? rows : 16, Math.floor(points / scatterThreads(limits))));
}

function powerOfTwoBelow(n: number): number {
  return n < 1 ? 1 : 2 ** Math.floor(Math.log2(n));
}

/** `bytes`: accumulator bytes a thread keeps in workgroup memory. */
export function scheduleReduce(kernel: ReduceKernel, bytes: number, limits: ScheduleLimits): ReduceSchedule {
  const points = sizeOf(kernel.extents);
  const length = sizeOf(kernel.reduceExtents);
  const threads = Math.min(256, limits.maxWorkgroupInvocations, powerOfTwoBelow(limits.maxWorkgroupStorageBytes / Math.max(4, bytes)));
  const alone: ReduceSchedule = { points: limits.software ? 64 : Math.min(limits.sliced === true && points > 64 ? 256 : 64, threads), lanes: 1, merge: 'tree' };
  if (threads < 32 || length < 32) return alone;
  if (limits.software) return points >= 16 || length < 1024 ? alone : { points: 1, lanes: Math.min(64, threads), merge: 'tree' };
  // Enough threads to fill a GPU, no more lanes a point than every lane has a few elements for.
  const wanted = Math.min(powerOfTwoBelow(limits.sliced === true ? threads / points : 131072 / points), powerOfTwoBelow(length / 4), threads);
  const lanes = wanted < 4 ? 1 : wanted;
  return lanes === 1 ? alone : { points: threads / lanes, lanes, merge: limits.subgroups && lanes === threads ? 'subgroups' : 'tree' };
}

export function scheduleContract(kernel: ContractKernel, limits: ScheduleLimits): ContractSchedule {
  const rows = sizeAlong(kernel.rows, kernel.extents);
  const columns = sizeAlong(kernel.columns, kernel.extents);
  const batch = sizeAlong(kernel.batch, kernel.extents);
  const depth = sizeOf(kernel.reduceExtents);
  if (limits.software && limits.subgroupSize !== undefined) return scheduleLanes(kernel, { batch, rows, columns }, limits.subgroupSize);
  const small = rows < 8 || columns < 8 || depth < 4;
  if (limits.software || small || limits.maxWorkgroupInvocations < 64 || limits.maxWorkgroupStorageBytes < 16384) {
    const most = limits.software ? 8 : 4;
    const fit = (n: number): number => Math.max(1, Math.min(most, powerOfTwoBelow(n)));
    const tile = { rows: fit(rows), columns: columns < 4 ? 1 : Math.max(4, fit(columns)) };
    // Enough tiles that every core, and on a GPU every lane, has work.
    const enough = limits.software ? 64 : 16384;
    while (tile.rows > 1 && batch * Math.ceil(rows / tile.rows) * Math.ceil(columns / tile.columns) < enough) tile.rows /= 2;
    if (tile.columns === 8 && batch * Math.ceil(rows / tile.rows) * Math.ceil(columns / 8) < enough) tile.columns = 4;
    return { kind: 'registers', ...tile, threads: limits.software ? 8 : limits.sliced === true ? Math.min(256, limits.maxWorkgroupInvocations) : 64 };
  }
  const matrices = scheduleMatrices(kernel, { batch, rows, columns, steps: depth }, limits);
  if (matrices !== null) return matrices;
  if (limits.sliced === true && limits.maxWorkgroupInvocations >= 256) return scheduleSliced({ rows, columns, depth }, limits);
  const tilesOf = (r: number, c: number): number => batch * Math.ceil(rows / r) * Math.ceil(columns / c);
  const wide = limits.maxWorkgroupInvocations >= 256;
  // Both halves of the largest tiles take 24 KiB; short sums have little to read ahead of.
  const buffers = limits.maxWorkgroupStorageBytes >= 32768 && depth >= 64 ? 2 : 1;
  if (wide && rows >= 128 && columns >= 128 && tilesOf(128, 128) >= 128) return { kind: 'tiles', blockRows: 128, blockColumns: 128, depth: 8, rows: 8, columns: 8, split: 1, buffers };
  if (wide && rows >= 96 && columns >= 48 && tilesOf(128, 64) >= 128) return { kind: 'tiles', blockRows: 128, blockColumns: 64, depth: 16, rows: 8, columns: 4, split: 1, buffers };
  if (wide && tilesOf(64, 64) >= 96) return { kind: 'tiles', blockRows: 64, blockColumns: 64, depth: 16, rows: 4, columns: 4, split: 1, buffers };
  // Few outputs: smaller tiles, and the steps of the reduction shared by groups of threads.
  const split = wide && depth >= 128 ? 4 : 1;
  return { kind: 'tiles', blockRows: 32, blockColumns: 32, depth: 32, rows: 4, columns: 4, split, buffers: 1 };
}

/** The tiles of a product of which a workgroup computes all there is: those of which most is used, large ones doing twice as much for what they read. */
function scheduleSliced({ rows, columns, depth }: { readonly rows: number; readonly columns: number; readonly depth: number }, limits: ScheduleLimits): TilesSchedule {
  const used = (n: number, block: number): number => n / (block * Math.ceil(n / block));
  const large: TilesSchedule = { kind: 'tiles', blockRows: 64, blockColumns: 64, depth: 16, rows: 4, columns: 4, split: 1, buffers: limits.maxWorkgroupStorageBytes >= 32768 && depth >= 64 ? 2 : 1 };
  const small: TilesSchedule = { kind: 'tiles', blockRows: 32, blockColumns: 32, depth: 32, rows: 4, columns: 4, split: 4, buffers: 1 };
  const value = (s: TilesSchedule): number => used(rows, s.blockRows) * used(columns, s.blockColumns) * used(depth, s.depth) * s.blockRows;
  return value(large) >= value(small) ? large : small;
}

export function scheduleOnline(kernel: OnlineKernel, limits: ScheduleLimits): OnlineSchedule {
  const columns = sizeAlong(kernel.columns, kernel.extents);
  const registers: OnlineSchedule = { kind: 'registers', columns: Math.min(columns, 32), threads: limits.software ? 8 : 64 };
  const rows = sizeAlong(kernel.rows, kernel.extents);
  const tileable = kernel.combine.kind === 'contract' || columns === 1;
  if (limits.software) {
    return tileable && limits.subgroupSize !== undefined && rows >= limits.subgroupSize / 2
      ? scheduleOnlineLanes(rows, kernel.combine.kind === 'contract' ? columns : null, limits.subgroupSize)
      : registers;
  }
  if (!tileable || rows < 8 || sizeOf(kernel.streamedExtents) < 16 || limits.maxWorkgroupInvocations < 64 || limits.maxWorkgroupStorageBytes < 16384) return registers;
  const roomy = limits.maxWorkgroupInvocations >= 256 && limits.maxWorkgroupStorageBytes >= 32768;
  const components = kernel.combine.kind === 'reduce' ? kernel.combine.reductions.length * 2 : 0;
  if (components * 1024 + 5120 > limits.maxWorkgroupStorageBytes) return registers;
  // A block's rows are read again for every block of what is streamed: those of the workgroups that run at a time should stay in the cache.
  const depth = Math.max(...kernel.scores.map((s) => sizeAlong(s.inner, loopExtents(kernel))));
  const stays = (block: number): boolean => sizeOf(kernel.streamedExtents) <= streamedBlock || 128 * 4 * block * depth <= 8 << 20;
  const large = roomy && components <= 4 && rows * sizeAlong(kernel.batch, kernel.extents) >= 8192;
  const blockRows = large ? [64, 32].find(stays) ?? 16 : 16;
  // A thread keeps the sums of all products.
  const products = kernel.combine.kind === 'contract' ? kernel.combine.products.length : 0;
  return { kind: 'tiles', blockRows, blockColumns: columns <= 64 || blockRows * products > 64 ? 64 : 128 };
}
