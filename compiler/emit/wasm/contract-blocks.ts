/**
 * How a product is cut into tasks: blocks of rows x columns (x parts of a long sum), and the panels its operands are packed
 * into. Looks at shapes alone: the emitter follows it, and what a product moves is counted from it.
 */
import type { ContractKernel } from '../../fuse/kernel.js';
import { sizeAlong, sizeOf } from '../../tensor/program.js';
import type { Scalar } from '../../tensor/scalar.js';
import { indexVariables, visitReads } from '../../tensor/scalar.js';
import type { SlicesCut } from './nest.js';
import type { Tile } from './panels.js';
import { roundUp } from './panels.js';
import type { PanelSchedule } from './schedule.js';
import { inMemoryOrder, rowsOfCut, schedulePanels } from './schedule.js';

/** Elements of the summed axis multiplied at a time: a panel of them stays in the first cache. */
export const depthBlock = 256;
/** Operands of a part of a long sum at most, and how many times its partial results, written and read, they should be at least. */
const partBytes = 4 << 20;
const leastOperands = 2;
/** Rounds rows of the packed left operand off powers of two. */
const leftPadding = 4;

export interface ContractBlocks {
  /** Axes with more than one index, in order; the columns hold the one that neighbours in memory. */
  readonly batch: readonly number[];
  readonly rows: readonly number[];
  readonly columns: readonly number[];
  readonly left: Scalar;
  readonly right: Scalar;
  readonly tile: Tile;
  readonly rowBlock: number;
  readonly columnBlock: number;
  /** Rows of a task of a chain, all of them where there is none, and how often they fit. */
  readonly span: number;
  readonly spans: number;
  /** Blocks of a span. */
  readonly rowBlocks: number;
  readonly columnBlocks: number;
  /** Batch points x spans x row blocks x column blocks, each with `splits` parts of `partBlocks` blocks of the sum. */
  readonly blocks: number;
  readonly splits: number;
  readonly partBlocks: number;
  /** Most elements of the sum in a panel. */
  readonly depth: number;
  /** The packed right operand of a whole part is kept from task to task while it stays the same. */
  readonly resident: boolean;
  /** Bytes of a packed left row, of the packed operands and of a block's results. */
  readonly leftStride: number;
  readonly leftBytes: number;
  readonly rightBytes: number;
  readonly resultBytes: number;
}

/** `cut`: how a product of a chain is cut; a task of the chain then does all columns of its rows. */
export function contractBlocks(kernel: ContractKernel, cut: SlicesCut | null, schedule: PanelSchedule = schedulePanels(kernel, cut)): ContractBlocks {
  const { extents } = kernel;
  const own = (axes: readonly number[]): number[] => axes.filter((a) => extents[a] > 1).sort((a, b) => a - b);
  const batch = own([...kernel.batch, ...(cut?.lead ?? [])]);
  const [first, second] = inMemoryOrder(kernel);
  const rows = own(first).filter((a) => cut === null || !cut.lead.includes(a));
  const columns = own(second);
  const [left, right] = first === kernel.rows ? [kernel.left, kernel.right] : [kernel.right, kernel.left];
  const [B, M, N] = [batch, rows, columns].map((axes) => sizeAlong(axes, extents));
  const K = sizeOf(kernel.reduceExtents);

  const span = rowsOfCut(kernel, cut);
  const { tile } = schedule;
  // Smaller blocks when there would be too few tasks to share.
  const blocksFor = (m: number, n: number): number => B * Math.ceil(M / m) * Math.ceil(N / n);
  const rowUnit = tile.rows * 4 / gcd(tile.rows, 4);
  /** Blocks of about equal size, at most `most`. */
  const even = (size: number, most: number, unit: number): number => roundUp(Math.ceil(size / Math.ceil(size / most)), unit);
  let rowBlock = span <= 1.5 * schedule.rows ? roundUp(span, rowUnit) : even(span, schedule.rows, rowUnit);
  let columnBlock = cut === null ? even(N, schedule.columns, tile.columns) : roundUp(N, tile.columns);
  const depthBlocks = Math.ceil(K / depthBlock);
  /**
   * A long sum in parts: what is packed is then packed once, where smaller blocks would pack it again for each other; and what the blocks
   * of a part read stays in the cache from one to the next. Partial results should be little beside that.
   */
  const operandBytes = 4 * K * (reachOf(left, rows, extents.length, extents) + reachOf(right, columns, extents.length, extents));
  const partsFor = (blocks: number): number => {
    if (cut !== null) return 1;
    const most = Math.min(Math.floor(operandBytes / (leastOperands * 8 * M * N)), Math.floor(depthBlocks / 2));
    const near = blocks === B ? 1 : Math.ceil(operandBytes / partBytes);
    return Math.max(1, Math.min(Math.max(blocks < 8 ? Math.ceil(12 / blocks) : 1, near), most));
  };
  const tasksFor = (m: number, n: number): number => blocksFor(m, n) * partsFor(blocksFor(m, n));
  if (B * M * N * K > 1 << 18 && cut === null) {
    while (tasksFor(rowBlock, columnBlock) < 8 && columnBlock > 64) columnBlock = even(N, columnBlock / 2, tile.columns);
    while (tasksFor(rowBlock, columnBlock) < 8 && rowBlock > 48) rowBlock = even(M, rowBlock / 2, rowUnit);
  }
  const spans = Math.ceil(M / span);
  const rowBlocks = Math.ceil(span / rowBlock);
  const columnBlocks = Math.ceil(N / columnBlock);
  const blocks = B * spans * rowBlocks * columnBlocks;
  const partBlocks = Math.ceil(depthBlocks / partsFor(blocks));
  const depth = Math.min(depthBlock, roundUp(K, 4));
  const resident = rowBlocks * spans > 1 && partBlocks * depth * columnBlock * 4 <= 1 << 20;
  const leftStride = (depth + leftPadding) * 4;
  return {
    batch, rows, columns, left, right, tile, rowBlock, columnBlock, span, spans, rowBlocks, columnBlocks, blocks, partBlocks, depth, resident, leftStride,
    splits: Math.ceil(depthBlocks / partBlocks),
    leftBytes: rowBlock * leftStride,
    rightBytes: (resident ? partBlocks : 1) * depth * columnBlock * 4,
    resultBytes: rowBlock * columnBlock * 4,
  };
}

/** Distinct elements of an operand for one element of the sum: axes beside a summed one in an index, such as taps, only shift which. */
function reachOf(operand: Scalar, axes: readonly number[], rank: number, extents: readonly number[]): number {
  const shifts = new Set<number>();
  visitReads(operand, (s) => {
    for (const at of s.at) {
      const variables = [...indexVariables(at)];
      if (variables.some((v) => v >= rank)) for (const v of variables) shifts.add(v);
    }
  });
  return sizeAlong(axes.filter((a) => !shifts.has(a)), extents);
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
