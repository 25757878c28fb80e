/** How minimal filtering is cut into tasks: pieces of pictures, and blocks of channels. Looks at shapes alone, as `contract-blocks.ts` does. */
import type { ContractKernel } from '../../fuse/kernel.js';
import { loopExtents } from '../../fuse/inline-maps.js';
import { sizeAlong } from '../../tensor/program.js';
import type { Operand } from './filter-operand.js';
import { mostSlots, pointCount } from './filter-points.js';
import { tilesOfLine } from './line-filter.js';
import type { Filter } from './minimal-filter.js';
import type { SlicesCut } from './nest.js';
import type { Tile } from './panels.js';
import { chooseTile, roundUp } from './panels.js';
import type { FilterSchedule } from './schedule.js';
import type { Pieces } from './tile-data.js';
import { cutPieces } from './tile-data.js';

/** Columns of products that are mapped back at a time: they stay in the second cache with the points of the data. */
const usualColumns = 128;
/** Bytes of points that stay in a cache of 16 MiB with what else is at work, of weights or of data, and of data in all; columns whose weights a task maps for itself. */
const mostPoints = 10 << 20;
const mostShared = 40 << 20;
const fewColumns = 32;
/** Channels of a block of a gradient. Its sums are more than the second cache holds, but go by once a piece; smaller blocks map tiles again for each other. */
const usualChannels = 128;

const even = (size: number, most: number, unit: number): number => roundUp(Math.ceil(size / Math.ceil(size / most)), unit);

export interface FilterBlocks {
  /** Axes of the pictures, and axes that tasks do not mix. */
  readonly pictureAxes: readonly number[];
  readonly lead: readonly number[];
  /** Pictures of a task of a chain, or all; and how many times so many there are. */
  readonly span: number;
  readonly spans: number;
  readonly pieces: Pieces;
  readonly rowsOfTask: number;
  readonly tile: Tile;
  /** Columns of a task, and columns multiplied at a time. */
  readonly columnBlock: number;
  readonly productColumns: number;
  /** Pieces whose data is mapped before the weights are, by each task for its columns; null where the weights come first, for all tasks. */
  readonly groupPieces: number | null;
}

/** `cut` as in `contractBlocks`. */
export function filterBlocks(kernel: ContractKernel, filter: Filter, cut: SlicesCut | null, schedule: FilterSchedule): FilterBlocks {
  const all = loopExtents(kernel);
  const [{ size: width }, tilesDown, tilesAcross] = [filter.lines[1], ...filter.lines.map(tilesOfLine)];
  const lead = (cut?.lead ?? []).filter((a) => all[a] > 1);
  const pictureAxes = filter.pictureAxes.filter((a) => !lead.includes(a));
  const [B, pictures, N] = [lead, pictureAxes, filter.otherChannels].map((axes) => sizeAlong(axes, all));
  // Smaller tasks where there would be too few to share.
  const few = B * pictures * tilesDown * tilesAcross * (cut === null ? Math.ceil(N / usualColumns) : 1) < 8 * schedule.tiles;
  // A task of a chain has some pictures, each of our tasks a piece of them.
  const span = cut === null ? pictures : Math.min(pictures, cut.block * pictures / sizeAlong(cut.slices, all));
  const pieces = cutPieces(filter, span, few ? schedule.tiles / 2 : schedule.tiles);
  const tile = chooseTile(pieces.tiles, N);
  const points = 4 * pointCount(filter.lines) * mostSlots(filter.lines) * sizeAlong(filter.dataChannels, all);
  const dataFirst = cut === null && points * roundUp(N, tile.columns) > mostPoints && points * pieces.tiles * pieces.count <= mostShared;
  // A task of a chain does all columns of its rows; one that maps weights, as many as stay beside the data.
  const columnBlock = cut === null ? even(N, dataFirst ? fewColumns : usualColumns, tile.columns) : roundUp(N, tile.columns);
  return {
    pictureAxes, lead, span, spans: Math.ceil(pictures / span), pieces, tile, columnBlock,
    rowsOfTask: pieces.pictures * pieces.height * width, productColumns: even(columnBlock, usualColumns, tile.columns),
    groupPieces: dataFirst ? Math.min(pieces.count, Math.max(1, Math.floor(mostPoints / (points * pieces.tiles)))) : null,
  };
}

export interface FilterGradientBlocks {
  readonly rowSide: Operand;
  readonly columnSide: Operand;
  readonly tile: Tile;
  readonly rowBlock: number;
  readonly columnBlock: number;
  readonly cut: Pieces;
  /** The pieces are summed in `parts` of `partPieces`. */
  readonly parts: number;
  readonly partPieces: number;
}

export function filterGradientBlocks(kernel: ContractKernel, filter: Filter, schedule: FilterSchedule): FilterGradientBlocks {
  const { stencil, dataChannels, otherChannels, pictureAxes } = filter;
  const all = loopExtents(kernel);
  const data: Operand = { value: stencil.data, channels: dataChannels, shifted: true };
  const other: Operand = { value: stencil.other, channels: otherChannels, shifted: false };
  // Columns hold the axis that neighbours in memory: it has the lanes.
  const [rowSide, columnSide] = Math.max(...data.channels) > Math.max(...other.channels) ? [other, data] : [data, other];
  const [M, N, pictures] = [rowSide.channels, columnSide.channels, pictureAxes].map((axes) => sizeAlong(axes, all));
  // Half as many channels where each has several sums at a point.
  const [mostRows, mostColumns] = [rowSide, columnSide].map((side) => (side.shifted && mostSlots(filter.lines) > 1 ? usualChannels / 2 : usualChannels));
  const tile = chooseTile(even(M, mostRows, 4), even(N, mostColumns, 4));
  const rowBlock = even(M, mostRows, tile.rows % 4 === 0 ? tile.rows : 4 * tile.rows);
  const columnBlock = even(N, mostColumns, tile.columns);
  const blocks = Math.ceil(M / rowBlock) * Math.ceil(N / columnBlock);
  const cut = cutPieces(filter, pictures, schedule.tiles);
  const partsWanted = blocks < 8 ? Math.max(1, Math.min(Math.ceil(12 / blocks), Math.floor(cut.count / 2))) : 1;
  const partPieces = Math.ceil(cut.count / partsWanted);
  return { rowSide, columnSide, tile, rowBlock, columnBlock, cut, partPieces, parts: Math.ceil(cut.count / partPieces) };
}
