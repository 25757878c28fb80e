/**
 * Staging of an operand's tile in workgroup memory: a workgroup's threads together read `block` rows (or columns) of `depth`
 * steps, four neighbouring rows of one step a thread at a time, into `TILE[step][row / 4]`. Neighbouring threads take
 * neighbouring steps or neighbouring rows, whichever lie side by side in memory.
 */
import type { Scalar } from '../../tensor/scalar.js';
import { affineOf, visit } from '../../tensor/scalar.js';
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

/** Which quads of an operand a thread stages, with a frame for each of the four rows. */
export interface Stage {
  readonly operand: StagedOperand;
  readonly quads: number;
  readonly slots: readonly { readonly step: string; readonly quad: string; readonly rows: readonly Frame[] }[];
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
function stepsAreContiguous(operand: Scalar, stepAxis: number, otherAxis: number | undefined): boolean {
  let balance = 0;
  visit(operand, (s) => {
    if (s.kind !== 'read' || s.at.length === 0) return;
    const form = affineOf(s.at[s.at.length - 1]);
    if (form?.coefficients.has(stepAxis) === true) balance++;
    else if (otherAxis !== undefined && form?.coefficients.has(otherAxis) === true) balance--;
  });
  return balance > 0;
}

/** Plans the staging of an operand by `threads` threads; declares its rows at the end of `block`. */
export function planStage(writer: KernelWriter, block: Block, operand: StagedOperand, threads: number, depth: number, stepAxis: number): Stage {
  const quads = operand.block / 4;
  const count = (quads * depth) / threads;
  const along = stepsAreContiguous(operand.scalar, stepAxis, operand.axes[operand.axes.length - 1]);
  const made = new Map<string, Frame[]>();
  const slots = Array.from({ length: count }, (_, s) => {
    const step = along ? `thread % ${depth}` : s === 0 ? `thread / ${quads}` : `thread / ${quads} + ${s * (threads / quads)}`;
    const quad = along ? (s === 0 ? `thread / ${depth}` : `thread / ${depth} + ${s * (threads / depth)}`) : `thread % ${quads}`;
    let rows = made.get(quad);
    if (rows === undefined) {
      const name = `${operand.name}_quad_${made.size}`;
      block.items.push(`let ${name} = ${operand.base} + (${quad}) * 4;`);
      rows = [0, 1, 2, 3].map((lane) => countFrame(writer, block, `${name}_${'xyzw'[lane]}`, lane === 0 ? name : `${name} + ${lane}`, operand.size % operand.block === 0 ? null : operand.size, operand.axes, operand.extents));
      made.set(quad, rows);
    }
    return { step, quad, rows };
  });
  return { operand, quads, slots };
}

/** Describes the steps of a loop whose counter goes up by `depth`. */
export function stepCount(block: Block, prefix: string, counter: string, size: number, depth: number, axes: readonly number[], extents: readonly number[]): StepCount {
  return { block, prefix, counter, size, ragged: size % depth !== 0, axes, extents, frames: new Map() };
}

/** Reads a thread's quads inside the loop; returns the statements that write them to the tile, zero past the last step. */
export function loadStage(writer: KernelWriter, stage: Stage, steps: StepCount, outer: readonly Frame[]): string[] {
  const { operand, quads, slots } = stage;
  return slots.map(({ step, quad, rows }) => {
    let frame = steps.frames.get(step);
    if (frame === undefined) {
      frame = countFrame(writer, steps.block, `${steps.prefix}_${steps.frames.size}`, `${steps.counter} + ${step}`, steps.ragged ? steps.size : null, steps.axes, steps.extents);
      steps.frames.set(step, frame);
    }
    const at = frame;
    const vector = `vec4f(${rows.map((row) => writer.variable(operand.scalar, writer.environment(...outer, row, at), operand.name)).join(', ')})`;
    const value = steps.ragged ? `select(vec4f(), ${vector}, ${steps.counter} + ${step} < ${steps.size})` : vector;
    return `${operand.tile}[(${step}) * ${quads} + ${quad}] = ${value};`;
  });
}
