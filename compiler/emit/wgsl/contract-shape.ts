/** Sizes of a contraction, its axes counted row-major in four groups. */
import type { ContractKernel } from '../../fuse/kernel.js';
import { sizeOf } from '../../tensor/program.js';
import type { Scalar } from '../../tensor/scalar.js';
import { add, index, int, mul } from '../../tensor/scalar.js';

export interface ContractShape {
  readonly batch: number;
  readonly rows: number;
  readonly columns: number;
  readonly steps: number;
}

export const pick = (sizes: readonly number[], axes: readonly number[]): number[] => axes.map((axis) => sizes[axis]);

export function shapeOf(kernel: ContractKernel): ContractShape {
  return {
    batch: sizeOf(pick(kernel.extents, kernel.batch)),
    rows: sizeOf(pick(kernel.extents, kernel.rows)),
    columns: sizeOf(pick(kernel.extents, kernel.columns)),
    steps: sizeOf(kernel.reduceExtents),
  };
}

/** Whether neighbouring workgroups go down the rows first: they go through the smaller operand, which stays in the cache, so that the larger one comes once. */
export const rowsFirst = ({ rows, columns }: Pick<ContractShape, 'rows' | 'columns'>): boolean => rows < columns;

/** The block of rows and the one of columns that workgroup `group` has, as WGSL. */
export function blockTexts(shape: ContractShape, rowBlocks: number, columnBlocks: number): { readonly row: string; readonly column: string } {
  return rowsFirst(shape)
    ? { row: `(group % ${rowBlocks})`, column: `((group / ${rowBlocks}) % ${columnBlocks})` }
    : { row: `((group / ${columnBlocks}) % ${rowBlocks})`, column: `(group % ${columnBlocks})` };
}

/** The row-major place of a parallel point, as a scalar of its axes. */
export function pointOf(extents: readonly number[]): Scalar {
  let stride = 1;
  let sum: Scalar = int(0);
  for (let i = extents.length - 1; i >= 0; i--) {
    if (extents[i] > 1) sum = add(mul(index(i), int(stride)), sum);
    stride *= extents[i];
  }
  return sum;
}
