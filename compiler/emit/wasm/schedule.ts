/**
 * Chooses, from shapes alone, how the CPU target computes products and streamed products. A schedule is plain data; the emitters
 * are right with any. Sums are taken in an order that the schedule decides and the number of threads does not.
 */
import type { ContractKernel, OnlineKernel } from '../../fuse/kernel.js';
import { sizeAlong, sizeOf } from '../../tensor/program.js';
import { findFilter, savesOperations } from './minimal-filter.js';
import type { SlicesCut } from './nest.js';
import type { Tile } from './panels.js';
import { chooseTile } from './panels.js';

/** Panels of packed operands, multiplied in tiles of registers; a task has about so many rows and columns at most, fewer where tasks would be too few. */
export interface PanelSchedule {
  readonly kind: 'panels';
  readonly tile: Tile;
  readonly rows: number;
  readonly columns: number;
}

/** Minimal filtering, so many tiles of positions at a time. */
export interface FilterSchedule {
  readonly kind: 'filter';
  readonly tiles: number;
}

export type ContractSchedule = PanelSchedule | FilterSchedule;

/** A task has so many rows at most, and streams so many columns past them at a time. */
export interface OnlineSchedule {
  readonly kind: 'stream';
  readonly tile: Tile;
  readonly rows: number;
  readonly streamed: number;
}

/** Rows of a packed block that stay in the second cache, and columns beside them. */
const usualRows = 96;
const usualColumns = 256;

/** `cut`: how a product of a chain is cut. */
export function schedulePanels(kernel: ContractKernel, cut: SlicesCut | null): PanelSchedule {
  const [, columns] = inMemoryOrder(kernel);
  return { kind: 'panels', tile: chooseTile(rowsOfCut(kernel, cut), sizeAlong(columns, kernel.extents)), rows: usualRows, columns: usualColumns };
}

/** Rows that a task of the chain has of a product, all of them where it is in none. */
export function rowsOfCut(kernel: ContractKernel, cut: SlicesCut | null): number {
  const [rows] = inMemoryOrder(kernel);
  const all = sizeAlong(rows.filter((a) => cut === null || !cut.lead.includes(a)), kernel.extents);
  return cut === null ? all : Math.min(all, cut.block * all / sizeAlong(cut.slices, kernel.extents));
}

/** Rows and columns as they are computed: the columns hold the axis that neighbours in memory, it has the lanes. */
export function inMemoryOrder({ extents, rows, columns }: ContractKernel): readonly [readonly number[], readonly number[]] {
  const last = Math.max(-1, ...[...rows, ...columns].filter((a) => extents[a] > 1));
  return rows.includes(last) ? [columns, rows] : [rows, columns];
}

/** `filters`: whether minimal filtering may be used. */
export function scheduleContract(kernel: ContractKernel, filters: boolean, cut: SlicesCut | null = null): ContractSchedule {
  const filter = filters ? findFilter(kernel) : null;
  return filter !== null && savesOperations(kernel, filter) ? { kind: 'filter', tiles: 32 } : schedulePanels(kernel, cut);
}

export function scheduleOnline({ extents, rows, streamedExtents }: OnlineKernel): OnlineSchedule {
  return { kind: 'stream', tile: chooseTile(Math.min(sizeAlong(rows, extents), 48), sizeOf(streamedExtents)), rows: 96, streamed: 128 };
}
