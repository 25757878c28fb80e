/**
 * Contractions: matrix products, convolutions (implicit products: the operands' reads do the gathering) and their
 * gradients. A thread keeps a tile of sums in registers. Operands are read directly (`registers`), or staged in workgroup
 * memory by all threads together (`tiles`), where groups of threads may also share the steps of one tile (`split`).
 * Rows, columns and steps past the end are clamped when read and left out when stored.
 */
import type { ContractKernel } from '../../fuse/kernel.js';
import { sizeOf } from '../../tensor/program.js';
import type { Scalar } from '../../tensor/scalar.js';
import { add, index, int, mul } from '../../tensor/scalar.js';
import { chooseContract } from './choose-schedule.js';
import type { Emitter, KernelText } from './kernel-text.js';
import { writeStores } from './kernel-text.js';
import type { ContractSchedule } from './schedule.js';
import { laneSums } from './lane-sums.js';
import type { LanesSchedule } from './schedule-lanes.js';
import { countFrame, loadStage, planStage, stepCount } from './stage.js';
import type { Block, Frame, KernelWriter } from './writer.js';

interface Shape {
  readonly batch: number;
  readonly rows: number;
  readonly columns: number;
  readonly steps: number;
}

const pick = (sizes: readonly number[], axes: readonly number[]): number[] => axes.map((axis) => sizes[axis]);

export const emitContract: Emitter<ContractKernel> = (kernel, writer, limits) => {
  const shape: Shape = {
    batch: sizeOf(pick(kernel.extents, kernel.batch)),
    rows: sizeOf(pick(kernel.extents, kernel.rows)),
    columns: sizeOf(pick(kernel.extents, kernel.columns)),
    steps: sizeOf(kernel.reduceExtents),
  };
  const schedule = chooseContract(kernel, limits, writer.elementOf);
  switch (schedule.kind) {
    case 'registers': return emitRegisters(kernel, writer, shape, schedule);
    case 'tiles': return emitTiles(kernel, writer, shape, schedule);
    case 'lanes': return emitLanes(kernel, writer, shape, schedule);
  }
};

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

/** Sums of a tile in registers: vectors of four columns where the width allows. */
interface Sums {
  readonly width: 1 | 4;
  readonly name: (row: number, chunk: number) => string;
}

function declareSums(block: Block, rows: number, columns: number): Sums {
  const width = columns % 4 === 0 ? 4 : 1;
  const name = (row: number, chunk: number): string => `sum_${row}_${chunk}`;
  for (let i = 0; i < rows; i++) {
    for (let q = 0; q < columns / width; q++) block.items.push(`var ${name(i, q)} = ${width === 4 ? 'vec4f()' : '0.0'};`);
  }
  return { width, name };
}

/** Writes the finished tile: `rowText` and `columnText` give the row of register i and the column of register j. */
function finishTile(kernel: ContractKernel, writer: KernelWriter, shape: Shape, block: Block, batch: Frame, sums: Sums, rows: number, columns: number, rowText: string, columnText: string): void {
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

function emitRegisters(kernel: ContractKernel, writer: KernelWriter, shape: Shape, schedule: Extract<ContractSchedule, { kind: 'registers' }>): KernelText {
  const { rows, columns, threads } = schedule;
  const rowTiles = Math.ceil(shape.rows / rows);
  const columnTiles = Math.ceil(shape.columns / columns);
  const tiles = shape.batch * rowTiles * columnTiles;
  const body = writer.root.body;
  const rank = kernel.extents.length;
  body.items.push(
    `let tile = group * ${threads} + thread;`, `if (tile >= ${tiles}) { return; }`,
    `let row_base = ((tile / ${columnTiles}) % ${rowTiles}) * ${rows};`, `let column_base = (tile % ${columnTiles}) * ${columns};`,
  );
  const batch = countFrame(writer, body, 'batch', `tile / ${rowTiles * columnTiles}`, null, kernel.batch, pick(kernel.extents, kernel.batch));
  const frames = (count: number, what: 'row' | 'column', size: number, axes: readonly number[]): Frame[] =>
    Array.from({ length: count }, (_, i) =>
      countFrame(writer, body, `${what}_${i}`, i === 0 ? `${what}_base` : `${what}_base + ${i}`, size % count === 0 ? null : size, axes, pick(kernel.extents, axes)));
  const rowFrames = frames(rows, 'row', shape.rows, kernel.rows);
  const columnFrames = frames(columns, 'column', shape.columns, kernel.columns);
  const sums = declareSums(body, rows, columns);

  const { loops, block: innermost } = openLoops(writer, body, kernel.reduceExtents, rank, 'r');
  const left = rowFrames.map((frame) => writer.variable(kernel.left, writer.environment(batch, frame, ...loops), 'left'));
  const right = columnFrames.map((frame) => writer.variable(kernel.right, writer.environment(batch, frame, ...loops), 'right'));
  const block = innermost;
  for (let q = 0; q < columns / sums.width; q++) {
    const vector = sums.width === 1 ? right[q] : `right_vector_${q}`;
    if (sums.width === 4) block.items.push(`let ${vector} = vec4f(${right.slice(q * 4, q * 4 + 4).join(', ')});`);
    for (let i = 0; i < rows; i++) block.items.push(`${sums.name(i, q)} += ${left[i]} * ${vector};`);
  }
  finishTile(kernel, writer, shape, body, batch, sums, rows, columns, 'row_base + i', 'column_base + j');
  return { threads, groups: Math.ceil(tiles / threads), shared: [], builtins: [], features: [] };
}

/** Nested loops over axes `first`, `first + 1`, ...; axes of size one need none. Always at least one frame. */
export function openLoops(writer: KernelWriter, outer: Block, extents: readonly number[], first: number, prefix: string): { loops: Frame[]; block: Block } {
  const start = writer.frame(outer);
  const loops = [start];
  let block = outer;
  extents.forEach((size, i) => {
    if (size === 1) { start.axes.set(first + i, '0'); return; }
    const name = `${prefix}${i}`;
    const loop = writer.loop(block, name, size);
    loop.axes.set(first + i, name);
    loops.push(loop);
    block = loop.body;
  });
  return { loops, block: loops[loops.length - 1].body };
}

/** A subgroup a tile: each lane loads a few values of both operands, those of one are broadcast, and each lane multiplies all of them with its own. */
function emitLanes(kernel: ContractKernel, writer: KernelWriter, shape: Shape, schedule: LanesSchedule): KernelText {
  const { size, spread, shared, own } = schedule;
  const columnsAreOwn = spread === 'columns';
  const [blockRows, blockColumns] = (columnsAreOwn ? [shared, own] : [own, shared]).map((n) => n * size);
  const rowTiles = Math.ceil(shape.rows / blockRows);
  const columnTiles = Math.ceil(shape.columns / blockColumns);
  const body = writer.root.body;
  body.items.push(
    'let lane = i32(subgroup_lane);',
    `let row_base = ((group / ${columnTiles}) % ${rowTiles}) * ${blockRows};`, `let column_base = (group % ${columnTiles}) * ${blockColumns};`,
  );
  const batch = countFrame(writer, body, 'batch', `group / ${rowTiles * columnTiles}`, null, kernel.batch, pick(kernel.extents, kernel.batch));
  const frames = (what: 'row' | 'column', count: number, block: number, size_: number, axes: readonly number[]): Frame[] =>
    Array.from({ length: count }, (_, i) => countFrame(writer, body, `${what}_${i}`, `${what}_base + lane${i === 0 ? '' : ` + ${i * size}`}`, size_ % block === 0 ? null : size_, axes, pick(kernel.extents, axes)));
  const rowFrames = frames('row', blockRows / size, blockRows, shape.rows, kernel.rows);
  const columnFrames = frames('column', blockColumns / size, blockColumns, shape.columns, kernel.columns);
  const laid = laneSums('sum', shared * size, own);
  laid.declare(body);

  const { loops, block } = openLoops(writer, body, kernel.reduceExtents, kernel.extents.length, 'r');
  const left = rowFrames.map((frame) => writer.variable(kernel.left, writer.environment(batch, frame, ...loops), 'left'));
  const right = columnFrames.map((frame) => writer.variable(kernel.right, writer.environment(batch, frame, ...loops), 'right'));
  const kept = laid.own(block, columnsAreOwn ? right : left);
  (columnsAreOwn ? left : right).forEach((value, v) => {
    for (let l = 0; l < size; l++) block.items.push(...laid.add(v * size + l, `subgroupBroadcast(${value}, ${l}u)`, kept));
  });
  const sums: Sums = { width: 1, name: (row, column) => (columnsAreOwn ? laid.part(row, column) : laid.part(column, row)) };
  const eachText = (what: string, counter: string): string => `${what}_base + ${counter}`;
  const ownText = (what: string, counter: string): string => `${what}_base + ${counter} * ${size} + lane`;
  finishTile(kernel, writer, shape, body, batch, sums, columnsAreOwn ? shared * size : own, columnsAreOwn ? own : shared * size,
    columnsAreOwn ? eachText('row', 'i') : ownText('row', 'i'), columnsAreOwn ? ownText('column', 'j') : eachText('column', 'j'));
  return {
    threads: size, groups: shape.batch * rowTiles * columnTiles, shared: [], builtins: ['@builtin(subgroup_invocation_id) subgroup_lane: u32'], features: ['subgroups'],
  };
}

function emitTiles(kernel: ContractKernel, writer: KernelWriter, shape: Shape, schedule: Extract<ContractSchedule, { kind: 'tiles' }>): KernelText {
  const { blockRows, blockColumns, depth, rows, columns, split } = schedule;
  const across = blockColumns / columns;
  const down = blockRows / rows;
  const team = across * down;
  const threads = team * split;
  const rowTiles = Math.ceil(shape.rows / blockRows);
  const columnTiles = Math.ceil(shape.columns / blockColumns);
  const rank = kernel.extents.length;
  const body = writer.root.body;
  body.items.push(
    `let row_base = ((group / ${columnTiles}) % ${rowTiles}) * ${blockRows};`, `let column_base = (group % ${columnTiles}) * ${blockColumns};`,
    `let across = thread % ${across};`, `let down = (thread / ${across}) % ${down};`,
  );
  if (split > 1) body.items.push(`let team = thread / ${team};`);
  const batch = countFrame(writer, body, 'batch', `group / ${rowTiles * columnTiles}`, null, kernel.batch, pick(kernel.extents, kernel.batch));
  const stages = [
    { name: 'left', tile: 'left_tile', scalar: kernel.left, size: shape.rows, block: blockRows, axes: kernel.rows, base: 'row_base' },
    { name: 'right', tile: 'right_tile', scalar: kernel.right, size: shape.columns, block: blockColumns, axes: kernel.columns, base: 'column_base' },
  ].map((operand) => planStage(writer, body, { ...operand, extents: pick(kernel.extents, operand.axes) }, threads, depth, rank + kernel.reduceExtents.length - 1));
  const sums = declareSums(body, rows, columns);

  const loop = writer.nested(body, `for (var k0 = 0; k0 < ${shape.steps}; k0 += ${depth})`);
  const steps = stepCount(loop.body, 'k', 'k0', shape.steps, depth, kernel.reduceExtents.map((_, i) => rank + i), kernel.reduceExtents);
  const stores = stages.flatMap((stage) => loadStage(writer, stage, steps, [batch]));
  loop.body.items.push('workgroupBarrier();', ...stores, 'workgroupBarrier();');
  const inner = writer.nested(loop.body, split > 1 ? `for (var k = team; k < ${depth}; k += ${split})` : `for (var k = 0; k < ${depth}; k++)`);
  for (let q = 0; q < rows / 4; q++) inner.body.items.push(`let a_${q} = left_tile[k * ${blockRows / 4} + down${q === 0 ? '' : ` + ${q * down}`}];`);
  for (let q = 0; q < columns / 4; q++) inner.body.items.push(`let b_${q} = right_tile[k * ${blockColumns / 4} + across${q === 0 ? '' : ` + ${q * across}`}];`);
  for (let i = 0; i < rows; i++) {
    for (let q = 0; q < columns / 4; q++) {
      inner.body.items.push(`${sums.name(i, q)} = fma(vec4f(a_${Math.floor(i / 4)}.${'xyzw'[i % 4]}), b_${q}, ${sums.name(i, q)});`);
    }
  }
  const shared = [`var<workgroup> left_tile: array<vec4f, ${depth * (blockRows / 4)}>;`, `var<workgroup> right_tile: array<vec4f, ${depth * (blockColumns / 4)}>;`];
  let last: Block = body;
  if (split > 1) {
    const vectors = rows * (columns / 4);
    shared.push(`var<workgroup> parts: array<vec4f, ${team * vectors}>;`);
    const each = (text: (sum: string, at: string) => string): string[] =>
      Array.from({ length: vectors }, (_, v) => text(sums.name(Math.floor(v / (columns / 4)), v % (columns / 4)), `parts[(thread % ${team}) * ${vectors} + ${v}]`));
    for (let s = 1; s < split; s++) {
      body.items.push('workgroupBarrier();', `if (team == ${s}) {`, ...each((sum, at) => `  ${at} = ${sum};`), '}', 'workgroupBarrier();', 'if (team == 0) {', ...each((sum, at) => `  ${sum} += ${at};`), '}');
    }
    last = writer.nested(body, 'if (team == 0)').body;
  }
  finishTile(kernel, writer, shape, last, batch, sums, rows, columns,
    `row_base + (i / 4) * ${down * 4} + down * 4 + i % 4`, `column_base + (j / 4) * ${across * 4} + across * 4 + j % 4`);
  return { threads, groups: shape.batch * rowTiles * columnTiles, shared, builtins: [], features: [] };
}

