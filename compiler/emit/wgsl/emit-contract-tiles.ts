/**
 * Contractions on a GPU: a workgroup computes a block of the result from tiles in workgroup memory, each thread some rows and
 * columns of it. Groups of threads may share the steps of one block (`split`); their parts are added in order at the end.
 */
import type { ContractKernel } from '../../fuse/kernel.js';
import type { ContractShape } from './contract-shape.js';
import { blockTexts, pick } from './contract-shape.js';
import type { KernelText } from './kernel-text.js';
import { declareSums, finishTile } from './register-sums.js';
import type { TilesSchedule } from './schedule.js';
import { countFrame, planStage } from './stage.js';
import type { StagedTile } from './staged-loop.js';
import { stagedLoop } from './staged-loop.js';
import { vectorReads } from './vector-reads.js';
import type { Block, KernelWriter } from './writer.js';

export function emitContractTiles(kernel: ContractKernel, writer: KernelWriter, shape: ContractShape, schedule: TilesSchedule): KernelText {
  const { blockRows, blockColumns, depth, rows, columns, split, buffers } = schedule;
  const across = blockColumns / columns;
  const down = blockRows / rows;
  const team = across * down;
  const threads = team * split;
  const rowTiles = Math.ceil(shape.rows / blockRows);
  const columnTiles = Math.ceil(shape.columns / blockColumns);
  const rank = kernel.extents.length;
  const body = writer.root.body;
  const place = blockTexts(shape, rowTiles, columnTiles);
  body.items.push(
    `let row_base = ${place.row} * ${blockRows};`, `let column_base = ${place.column} * ${blockColumns};`,
    `let across = thread % ${across};`, `let down = (thread / ${across}) % ${down};`,
  );
  if (split > 1) body.items.push(`let team = thread / ${team};`);
  const batch = countFrame(writer, body, 'batch', `group / ${rowTiles * columnTiles}`, null, kernel.batch, pick(kernel.extents, kernel.batch));
  const vectors = vectorReads(kernel, [{ scalar: kernel.left, axis: kernel.rows.at(-1) }, { scalar: kernel.right, axis: kernel.columns.at(-1) }], writer.access);
  writer.readInVectors(vectors);
  const tiles = [
    { name: 'left', tile: 'left_tile', scalar: kernel.left, size: shape.rows, block: blockRows, axes: kernel.rows, base: 'row_base' },
    { name: 'right', tile: 'right_tile', scalar: kernel.right, size: shape.columns, block: blockColumns, axes: kernel.columns, base: 'column_base' },
  ].map((operand): StagedTile => ({
    stage: planStage(writer, body, { ...operand, extents: pick(kernel.extents, operand.axes) }, threads, depth, rank + kernel.reduceExtents.length - 1),
    vectors: depth * (operand.block / 4),
    rounded: (vector) => vector,
  }));
  const sums = declareSums(body, rows, columns);

  stagedLoop(kernel, writer, body, batch, tiles, depth, buffers, (block, at) => {
    const inner = writer.nested(block, split > 1 ? `for (var k = team; k < ${depth}; k += ${split})` : `for (var k = 0; k < ${depth}; k++)`);
    for (let q = 0; q < rows / 4; q++) inner.body.items.push(`let a_${q} = left_tile[${at(0, `k * ${blockRows / 4} + down${q === 0 ? '' : ` + ${q * down}`}`)}];`);
    for (let q = 0; q < columns / 4; q++) inner.body.items.push(`let b_${q} = right_tile[${at(1, `k * ${blockColumns / 4} + across${q === 0 ? '' : ` + ${q * across}`}`)}];`);
    for (let i = 0; i < rows; i++) {
      for (let q = 0; q < columns / 4; q++) {
        inner.body.items.push(`${sums.name(i, q)} = fma(vec4f(a_${Math.floor(i / 4)}.${'xyzw'[i % 4]}), b_${q}, ${sums.name(i, q)});`);
      }
    }
  });
  const shared = tiles.map((tile) => `var<workgroup> ${tile.stage.operand.tile}: array<vec4f, ${buffers * tile.vectors}>;`);
  let last: Block = body;
  if (split > 1) {
    const held = rows * (columns / 4);
    shared.push(`var<workgroup> parts: array<vec4f, ${team * held}>;`);
    const each = (text: (sum: string, at: string) => string): string[] =>
      Array.from({ length: held }, (_, v) => text(sums.name(Math.floor(v / (columns / 4)), v % (columns / 4)), `parts[(thread % ${team}) * ${held} + ${v}]`));
    for (let s = 1; s < split; s++) {
      body.items.push('workgroupBarrier();', `if (team == ${s}) {`, ...each((sum, at) => `  ${at} = ${sum};`), '}', 'workgroupBarrier();', 'if (team == 0) {', ...each((sum, at) => `  ${sum} += ${at};`), '}');
    }
    last = writer.nested(body, 'if (team == 0)').body;
  }
  finishTile(kernel, writer, shape, last, batch, sums, rows, columns,
    `row_base + (i / 4) * ${down * 4} + down * 4 + i % 4`, `column_base + (j / 4) * ${across * 4} + across * 4 + j % 4`);
  return { threads, groups: shape.batch * rowTiles * columnTiles, shared, builtins: [], features: [], vectors };
}
