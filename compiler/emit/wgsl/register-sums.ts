/** Sums of a thread's tile in registers, and how the finished tile is stored. */
import type { ContractKernel } from '../../fuse/kernel.js';
import type { ContractShape } from './contract-shape.js';
import { pick, pointOf } from './contract-shape.js';
import { writeStores } from './kernel-text.js';
import { countFrame } from './stage.js';
import type { Block, Frame, KernelWriter } from './writer.js';

/** Vectors of four columns where the width allows. */
export interface RegisterSums {
  readonly width: 1 | 4;
  readonly name: (row: number, chunk: number) => string;
}

export function declareSums(block: Block, rows: number, columns: number): RegisterSums {
  const width = columns % 4 === 0 ? 4 : 1;
  const name = (row: number, chunk: number): string => `sum_${row}_${chunk}`;
  for (let i = 0; i < rows; i++) {
    for (let q = 0; q < columns / width; q++) block.items.push(`var ${name(i, q)} = ${width === 4 ? 'vec4f()' : '0.0'};`);
  }
  return { width, name };
}

/** Writes the finished tile: `rowText` and `columnText` give the row of register i and the column of register j. */
export function finishTile(kernel: ContractKernel, writer: KernelWriter, shape: ContractShape, block: Block, batch: Frame, sums: RegisterSums, rows: number, columns: number, rowText: string, columnText: string): void {
  block.items.push(`var sums: array<f32, ${rows * columns}>;`);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const part = sums.width === 4 ? `${sums.name(i, Math.floor(j / 4))}.${'xyzw'[j % 4]}` : sums.name(i, j);
      block.items.push(`sums[${i * columns + j}] = ${part};`);
    }
  }
  const rowLoop = writer.nested(block, `for (var i = 0; i < ${rows}; i++)`);
  const row = countFrame(writer, rowLoop.body, 'row', rowText, null, kernel.rows, pick(kernel.extents, kernel.rows));
  row.block.items.splice(1, 0, `if (row >= ${shape.rows}) { break; }`);
  const columnLoop = writer.nested(rowLoop.body, `for (var j = 0; j < ${columns}; j++)`);
  const column = countFrame(writer, columnLoop.body, 'column', columnText, null, kernel.columns, pick(kernel.extents, kernel.columns));
  column.block.items.splice(1, 0, `if (column >= ${shape.columns}) { break; }`, `let total = sums[i * ${columns} + j];`);
  column.accumulators.set(0, 'total');
  const environment = writer.environment(batch, row, column);
  writeStores(kernel.stores, writer, environment, columnLoop.body, writer.value(pointOf(kernel.extents), environment));
}
