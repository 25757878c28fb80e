/**
 * The loop of a product over its steps, `depth` at a time, through tiles in workgroup memory. With one buffer all threads read a
 * block, wait, write it to the tiles, wait, and compute. With two, the next block is read before the present one is computed
 * with, and written to the other half of the tiles after: reads take their time while the arithmetic goes on, and there is one
 * barrier a block.
 */
import type { ContractKernel } from '../../fuse/kernel.js';
import { sizeOf } from '../../tensor/program.js';
import type { Stage } from './stage.js';
import { loadStage, stepCount, storeStage } from './stage.js';
import type { Block, Frame, KernelWriter } from './writer.js';

/** A staged operand with the vectors of one of its tile's buffers, and how a vector is put in the tile. */
export interface StagedTile {
  readonly stage: Stage;
  readonly vectors: number;
  /** The vector's text from that of a `vec4f`. */
  readonly rounded: (vector: string) => string;
}

/** `compute` writes the arithmetic of one block; `at` gives the text of a place in the tile of an operand, by its number. */
export function stagedLoop(
  kernel: ContractKernel, writer: KernelWriter, block: Block, batch: Frame, tiles: readonly StagedTile[], depth: number, buffers: 1 | 2,
  compute: (block: Block, at: (tile: number, place: string) => string) => void,
): void {
  const steps = sizeOf(kernel.reduceExtents);
  const axes = kernel.reduceExtents.map((_, i) => kernel.extents.length + i);
  const read = (into: Block): readonly (readonly { readonly place: string; readonly value: string }[])[] => {
    const count = stepCount(into, 'k', 'k0', steps, depth, axes, kernel.reduceExtents);
    return tiles.map(({ stage, rounded }) => loadStage(writer, stage, count, [batch]).map(({ place, value }) => ({ place, value: rounded(value) })));
  };
  if (buffers === 1) {
    const loop = writer.nested(block, `for (var k0 = 0; k0 < ${steps}; k0 += ${depth})`);
    const vectors = read(loop.body);
    loop.body.items.push('workgroupBarrier();', ...tiles.flatMap(({ stage }, t) => storeStage(stage, vectors[t])), 'workgroupBarrier();');
    compute(loop.body, (_, place) => place);
    return;
  }
  // Once more than there are blocks: each round reads one block and computes with the block of the round before.
  const loop = writer.nested(block, `for (var k0 = 0; k0 <= ${Math.ceil(steps / depth) * depth}; k0 += ${depth})`);
  const nextOf = (t: number, v: number): string => `${tiles[t].stage.operand.name}_next_${v}`;
  loop.body.items.push(`let half = (k0 / ${depth}) % 2;`);
  const declared: Block = { items: [], indent: loop.body.indent };
  loop.body.items.push(declared);
  const reading = writer.nested(loop.body, `if (k0 < ${steps})`);
  const vectors = read(reading.body);
  vectors.forEach((of, t) => of.forEach(({ value }, v) => {
    declared.items.push(`var ${nextOf(t, v)} = ${tiles[t].rounded('vec4f()')};`);
    reading.body.items.push(`${nextOf(t, v)} = ${value};`);
  }));
  const computing = writer.nested(loop.body, 'if (k0 > 0)');
  compute(computing.body, (t, place) => `(1 - half) * ${tiles[t].vectors} + ${place}`);
  const storing = writer.nested(loop.body, `if (k0 < ${steps})`);
  storing.body.items.push(...tiles.flatMap(({ stage, vectors: size }, t) => storeStage(stage, vectors[t].map(({ place }, v) => ({ place: `half * ${size} + ${place}`, value: nextOf(t, v) })))));
  loop.body.items.push('workgroupBarrier();');
}
