/**
 * Leaves out blocks of scores of which a mask leaves nothing (`fuse/masked-blocks.ts`): at the start of the loop over streamed columns, a test on
 * the block's place, the same for all threads. Reductions then take the block's equal values as one. Weights that are zero only by their values,
 * as those of a softmax, are looked at first: `some` makes of a thread's own finding that of all.
 */
import type { OnlineKernel } from '../../fuse/kernel.js';
import type { MaskedBlocks } from '../../fuse/masked-blocks.js';
import { maskedBlocks } from '../../fuse/masked-blocks.js';
import type { Scalar } from '../../tensor/scalar.js';
import { indexVariables } from '../../tensor/scalar.js';
import type { AccumulatorRule } from './accumulators.js';
import type { Block, Frame, KernelWriter } from './writer.js';

/** Texts for a block's first and last row and streamed column. */
export interface BlockEnds {
  readonly rows: readonly [string, string];
  readonly streamed: readonly [string, string];
}

/** Opens `if (masked) {` where a mask is known; `outer` are the frames in which the batch is known. */
function whereMasked(writer: KernelWriter, loop: Block, mask: MaskedBlocks, ends: BlockEnds, outer: readonly Frame[]): Frame {
  const frame = writer.frame(loop);
  mask.variables.rows.forEach((v, k) => frame.axes.set(v, `block_row_${k}`));
  mask.variables.streamed.forEach((v, k) => frame.axes.set(v, `block_column_${k}`));
  ends.rows.forEach((text, k) => frame.block.items.push(`let block_row_${k} = ${text};`));
  ends.streamed.forEach((text, k) => frame.block.items.push(`let block_column_${k} = ${text};`));
  const inside = writer.nested(loop, `if (${writer.value(mask.masked, writer.environment(...outer, frame))})`);
  for (const [v, name] of frame.axes) inside.axes.set(v, name);
  return inside;
}

/** Reductions: one thread of each row takes the block, its states named as in `nameOf(reduction, component)`; `rows` opens what goes over a thread's rows. */
export function skipReductions(
  kernel: OnlineKernel, writer: KernelWriter, loop: Block, ends: BlockEnds, outer: readonly Frame[], rules: readonly AccumulatorRule[],
  rows: (block: Block, each: (row: Frame, block: Block, nameOf: (k: number) => (c: number) => string) => void) => void,
): void {
  const mask = maskedBlocks(kernel);
  if (mask === null) return;
  const inside = whereMasked(writer, loop, mask, ends, outer);
  rows(inside.body, (row, block, nameOf) => {
    const environment = writer.environment(...outer, inside, row);
    const values = mask.values.map((s) => writer.variable(s, environment, 'value'));
    rules.forEach((rule, k) => block.items.push(...rule.update(nameOf(k), values[k], ends.streamed[0])));
  });
  inside.body.items.push('continue;');
}

/** Frames of a thread's own rows, and of its own streamed columns, opened in a block. */
export interface OwnPlaces {
  readonly rows: (block: Block) => readonly Frame[];
  readonly streamed: (block: Block) => readonly Frame[];
}

/** Second products: nothing is added where all weights are zero. `some(block, found)` says in text whether any thread found one. */
export function skipProduct(kernel: OnlineKernel, writer: KernelWriter, loop: Block, ends: BlockEnds, outer: readonly Frame[], own: OwnPlaces, some: (block: Block, found: string) => string): boolean {
  const mask = maskedBlocks(kernel);
  if (mask === null) return false;
  const inside = whereMasked(writer, loop, mask, ends, outer);
  const weights = mask.values.filter((s) => !isZero(s));
  if (weights.length === 0) {
    inside.body.items.push('continue;');
    return false;
  }
  const alongRows = (s: Scalar): boolean => kernel.rows.some((a) => indexVariables(s).has(a));
  const lookAt = (list: readonly Scalar[], places: (block: Block) => readonly Frame[]): readonly string[] =>
    (list.length === 0 ? [] : places(inside.body)).flatMap((frame) => list.map((s) => `${writer.variable(s, writer.environment(...outer, inside, frame), 'weight')} != 0.0`));
  const found = [...lookAt(weights.filter(alongRows), own.rows), ...lookAt(weights.filter((s) => !alongRows(s)), own.streamed)];
  writer.nested(inside.body, `if (!${some(inside.body, found.join(' || '))})`).body.items.push('continue;');
  return true;
}

const isZero = (s: Scalar): boolean => s.kind === 'const' && s.value === 0;
