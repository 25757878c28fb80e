/**
 * Staging of an operand's tile in workgroup memory: a workgroup's threads together read `block` rows (or columns) of `depth`
 * steps, a vector of four at a time. By `rows`, a vector is four neighbouring rows of one step, and the tile is `TILE[step][row / 4]`;
 * by `steps`, it is four neighbouring steps of one row, and the tile is `TILE[row][step / 4]`. Neighbouring threads take
 * neighbouring steps or neighbouring rows, whichever lie side by side in memory.
 */
import type { Scalar } from '../../tensor/scalar.js';
import { voteOfReads } from '../../fuse/vote-of-reads.js';
import type { Block, Frame, KernelWriter } from './writer.js';

/** One operand: `axes` are the index variables that its rows count, `base` the name of the block's first row, `tile` the array it is staged in. */
export interface StagedOperand {
  readonly name: string;
  readonly tile: string;
  readonly scalar: Scalar;
  readonly size: number;
  readonly block: number;
  readonly axes: readonly number[];
  readonly extents: readonly number[];
  readonly base: string;
}

/** How a tile lies in workgroup memory: what a vector holds, and the vectors from one step (or row) to the next, padding among them. */
export interface TileLayout {
  readonly vectors: 'rows' | 'steps';
  readonly stride: number;
}

/** Which vectors of an operand a thread stages: where each goes in the tile, its first step, and the frames of its rows, one or four. */
export interface Stage {
  readonly operand: StagedOperand;
  readonly slots: readonly { readonly place: string; readonly step: string; readonly rows: readonly Frame[] }[];
}

/** A vector that a thread has read, and its place in the tile. */
export interface StagedVector {
  readonly place: string;
  readonly value: string;
}

/** The steps of a loop: `counter + offset`, clamped to `size`, decoded into `axes`. */
export interface StepCount {
  readonly block: Block;
  readonly prefix: string;
  readonly counter: string;
  readonly size: number;
  readonly ragged: boolean;
  readonly axes: readonly number[];
  readonly extents: readonly number[];
  readonly frames: Map<string, Frame>;
}

/** A frame for one row or column: `name = min(text, size - 1)`, with the axes it counts. */
export function countFrame(writer: KernelWriter, block: Block, name: string, text: string, clampTo: number | null, axes: readonly number[], extents: readonly number[]): Frame {
  const frame = writer.frame(block, { name, axes, extents });
  frame.block.items.push(`let ${name} = ${clampTo === null ? text : `min(${text}, ${clampTo - 1})`};`);
  writer.bindDecoded(frame, name, axes, extents, 'i');
  return frame;
}

/** Whether neighbouring steps, rather than neighbouring rows (or columns), lie side by side in an operand's memory. */
export function stepsAreContiguous(operand: Scalar, stepAxis: number, otherAxis: number | undefined): boolean {
  return voteOfReads(operand, (along) => (along.has(stepAxis) ? 1 : otherAxis !== undefined && along.has(otherAxis) ? -1 : 0)) > 0;
}

/** Plans the staging of an operand by `threads` threads; declares its rows at the end of `block`. Without a layout, vectors of rows lie close. */
export function planStage(writer: KernelWriter, block: Block, operand: StagedOperand, threads: number, depth: number, stepAxis: number, layout: TileLayout = { vectors: 'rows', stride: operand.block / 4 }): Stage {
  const byRows = layout.vectors === 'rows';
  const [down, across] = byRows ? [depth, operand.block / 4] : [operand.block, depth / 4];
  const along = byRows ? stepsAreContiguous(operand.scalar, stepAxis, operand.axes[operand.axes.length - 1]) : false;
  /** The thread's share of `count` things that the threads take in turn, `slot` rounds on. */
  const inTurn = (count: number, slot: number): string => (slot === 0 ? `thread / ${count}` : `thread / ${count} + ${slot * (threads / count)}`);
  const made = new Map<string, readonly Frame[]>();
  const slots = Array.from({ length: (down * across) / threads }, (_, s) => {
    const outer = along ? `thread % ${down}` : inTurn(across, s);
    const inner = along ? inTurn(down, s) : `thread % ${across}`;
    const row = byRows ? inner : outer;
    let rows = made.get(row);
    if (rows === undefined) {
      const name = `${operand.name}_quad_${made.size}`;
      block.items.push(`let ${name} = ${operand.base} + ${byRows ? `(${row}) * 4` : row};`);
      rows = (byRows ? [0, 1, 2, 3] : [0]).map((lane) => countFrame(writer, block, `${name}_${'xyzw'[lane]}`, lane === 0 ? name : `${name} + ${lane}`, operand.size % operand.block === 0 ? null : operand.size, operand.axes, operand.extents));
      made.set(row, rows);
    }
    return { place: `(${outer}) * ${layout.stride} + ${inner}`, step: byRows ? outer : `(${inner}) * 4`, rows };
  });
  return { operand, slots };
}

/** Describes the steps of a loop whose counter goes up by `depth`. */
export function stepCount(block: Block, prefix: string, counter: string, size: number, depth: number, axes: readonly number[], extents: readonly number[]): StepCount {
  return { block, prefix, counter, size, ragged: size % depth !== 0, axes, extents, frames: new Map() };
}

/** Reads a thread's vectors inside the loop, zero past the last step. */
export function loadStage(writer: KernelWriter, { operand, slots }: Stage, steps: StepCount, outer: readonly Frame[]): readonly StagedVector[] {
  const frameOf = (step: string): Frame => {
    let frame = steps.frames.get(step);
    if (frame === undefined) {
      frame = countFrame(writer, steps.block, `${steps.prefix}_${steps.frames.size}`, `${steps.counter} + ${step}`, steps.ragged ? steps.size : null, steps.axes, steps.extents);
      steps.frames.set(step, frame);
    }
    return frame;
  };
  return slots.map(({ place, step, rows }) => {
    const bySteps = rows.length === 1;
    const lanes = bySteps ? [0, 1, 2, 3].map((lane) => [rows[0], frameOf(lane === 0 ? step : `${step} + ${lane}`)]) : rows.map((row) => [row, frameOf(step)]);
    const vector = `vec4f(${writer.lanes(lanes.map((frames) => [...outer, ...frames])).map((lane) => writer.variable(operand.scalar, lane, operand.name)).join(', ')})`;
    const first = `${steps.counter} + ${step}`;
    const inside = bySteps ? `vec4i(${first}) + vec4i(0, 1, 2, 3) < vec4i(${steps.size})` : `${first} < ${steps.size}`;
    return { place, value: steps.ragged ? `select(vec4f(), ${vector}, ${inside})` : vector };
  });
}

/** Statements that write vectors to a tile. */
export const storeStage = ({ operand }: Stage, vectors: readonly StagedVector[]): readonly string[] => vectors.map(({ place, value }) => `${operand.tile}[${place}] = ${value};`);
