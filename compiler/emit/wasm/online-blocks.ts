/** How a streamed product is cut: the rows of a task and the streamed columns it takes at a time. Looks at shapes alone, as `contract-blocks.ts` does. */
import { loopExtents } from '../../fuse/inline-maps.js';
import type { OnlineKernel } from '../../fuse/kernel.js';
import { sizeAlong } from '../../tensor/program.js';
import type { Tile } from './panels.js';
import { roundUp } from './panels.js';
import type { OnlineSchedule } from './schedule.js';
import { scheduleOnline } from './schedule.js';

export interface OnlineBlocks {
  /** Axes with more than one index, in order. */
  readonly batch: readonly number[];
  readonly rows: readonly number[];
  readonly columns: readonly number[];
  readonly streamed: readonly number[];
  readonly tile: Tile;
  readonly rowBlock: number;
  readonly rowBlocks: number;
  readonly streamBlock: number;
}

export function onlineBlocks(kernel: OnlineKernel, { tile, rows: most, streamed: streamedAtOnce }: OnlineSchedule = scheduleOnline(kernel)): OnlineBlocks {
  const all = loopExtents(kernel);
  const wide = (axes: readonly number[]): number[] => axes.filter((a) => all[a] > 1).sort((a, b) => a - b);
  const [batch, rows, columns] = [kernel.batch, kernel.rows, kernel.columns].map(wide);
  const streamed = wide(kernel.streamedExtents.map((_, i) => kernel.extents.length + i));
  const [B, M, J] = [batch, rows, streamed].map((axes) => sizeAlong(axes, all));
  const unit = tile.rows % 4 === 0 ? tile.rows : tile.rows % 2 === 0 ? tile.rows * 2 : tile.rows * 4;
  const rowBlock = roundUp(Math.max(1, Math.min(most, M, Math.ceil(M * B / 8))), unit);
  return { batch, rows, columns, streamed, tile, rowBlock, rowBlocks: Math.ceil(M / rowBlock), streamBlock: roundUp(Math.min(J, streamedAtOnce), tile.columns) };
}
