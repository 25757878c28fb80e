/** Where minimal filtering keeps what it works on: strides, and areas of a worker's own memory and of shared memory. */
import type { ContractKernel } from '../../fuse/kernel.js';
import { loopExtents } from '../../fuse/inline-maps.js';
import { sizeAlong } from '../../tensor/program.js';
import { op } from './binary.js';
import type { FilterBlocks } from './filter-blocks.js';
import { filterBlocks } from './filter-blocks.js';
import type { PointLayout } from './filter-operand.js';
import { bandOfOperand, betweenBytes } from './filter-operand.js';
import { mostSlots, pointCount } from './filter-points.js';
import type { Filter } from './minimal-filter.js';
import type { SlicesCut } from './nest.js';
import { roundUp } from './panels.js';
import type { FilterSchedule } from './schedule.js';
import type { Band } from './tile-data.js';
import { bandBytes, unevenStride } from './tile-data.js';

export interface FilterLayout extends FilterBlocks {
  readonly band: Band;
  /** Elements summed at a point at most: products of a point are added up as those of more channels. */
  readonly depth: number;
  /** Points of the data: bytes of a tile's, of a point's tiles, and of a piece. */
  readonly leftStride: number;
  readonly leftPoint: number;
  readonly leftBytes: number;
  readonly left: PointLayout;
  /** Bytes of a point's weights, of rows and points of products, and of rows of results. */
  readonly weightPoint: number;
  readonly productStride: number;
  readonly productPoint: number;
  readonly resultStride: number;
  /** In a worker's memory: the band, what maps need in between, those points that are its own, products and results. */
  readonly bandAt: number;
  readonly betweenAt: number;
  readonly ownAt: number;
  readonly productAt: number;
  readonly resultAt: number;
  readonly workerBytes: number;
  /** The points that are shared, all of them. */
  readonly sharedBytes: number;
}

export function filterLayout(kernel: ContractKernel, filter: Filter, schedule: FilterSchedule, cut: SlicesCut | null): FilterLayout {
  const blocks = filterBlocks(kernel, filter, cut, schedule);
  const { pieces, tile, columnBlock, productColumns, groupPieces } = blocks;
  const all = loopExtents(kernel);
  const [N, K] = [filter.otherChannels, filter.dataChannels].map((axes) => sizeAlong(axes, all));
  const band = bandOfOperand(filter, pieces, true, K);
  const points = pointCount(filter.lines);
  const depth = mostSlots(filter.lines) * K;
  const leftStride = 4 * (depth + 4);
  const leftPoint = unevenStride(pieces.tiles * leftStride);
  // Tiles of registers may reach over the last row.
  const leftBytes = roundUp(points * leftPoint + tile.rows * leftStride, 64);
  const weightPoint = unevenStride(roundUp(groupPieces === null ? N : columnBlock, tile.columns) * depth * 4);
  const productStride = productColumns * 4;
  const productPoint = unevenStride((pieces.tiles + tile.rows) * productStride);
  const resultStride = columnBlock * 4;
  let bytes = 0;
  const area = (size: number): number => { const at = bytes; bytes = roundUp(bytes + size, 64); return at; };
  const bandAt = area(bandBytes(band));
  const betweenAt = area(betweenBytes(filter));
  const ownAt = area(groupPieces === null ? leftBytes : points * weightPoint);
  const productAt = area(points * productPoint);
  const resultAt = area(pieces.pictures * pieces.height * pieces.width * resultStride);
  return {
    ...blocks, band, depth, leftStride, leftPoint, leftBytes, weightPoint, productStride, productPoint, resultStride, bandAt, betweenAt, ownAt, productAt, resultAt,
    left: { point: leftPoint, slot: K * 4, tile: leftStride, channel: (f, c) => f.get(c).i32(2).op(op.i32shl) },
    workerBytes: bytes + 1024, sharedBytes: groupPieces === null ? points * weightPoint : pieces.count * leftBytes,
  };
}
