/**
 * Contractions: matrix products, convolutions (implicit products: the operands' reads do the gathering) and their
 * gradients. A thread keeps a tile of sums in registers. Operands are read directly (`registers`, `lanes`), or staged in workgroup
 * memory by all threads together (`tiles`, `matrices`). Rows, columns and steps past the end are clamped when read and left
 * out when stored.
 */
import type { ContractKernel } from '../../fuse/kernel.js';
import { chooseContract } from './choose-schedule.js';
import type { ContractShape } from './contract-shape.js';
import { pick, shapeOf } from './contract-shape.js';
import { emitContractMatrices } from './emit-contract-matrices.js';
import { emitContractTiles } from './emit-contract-tiles.js';
import type { Emitter, KernelText } from './kernel-text.js';
import { laneSums } from './lane-sums.js';
import type { RegisterSums } from './register-sums.js';
import { declareSums, finishTile } from './register-sums.js';
import type { ContractSchedule } from './schedule.js';
import type { LanesSchedule } from './schedule-lanes.js';
import { countFrame } from './stage.js';
import type { Block, Frame, KernelWriter } from './writer.js';

export const emitContract: Emitter<ContractKernel> = (kernel, writer, limits) => {
  const shape = shapeOf(kernel);
  const schedule = chooseContract(kernel, limits, writer.elementOf);
  switch (schedule.kind) {
    case 'registers': return emitRegisters(kernel, writer, shape, schedule);
    case 'tiles': return emitContractTiles(kernel, writer, shape, schedule);
    case 'matrices': return emitContractMatrices(kernel, writer, shape, schedule, limits);
    case 'lanes': return emitLanes(kernel, writer, shape, schedule);
  }
};

function emitRegisters(kernel: ContractKernel, writer: KernelWriter, shape: ContractShape, schedule: Extract<ContractSchedule, { kind: 'registers' }>): KernelText {
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
function emitLanes(kernel: ContractKernel, writer: KernelWriter, shape: ContractShape, schedule: LanesSchedule): KernelText {
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
  const sums: RegisterSums = { width: 1, name: (row, column) => (columnsAreOwn ? laid.part(row, column) : laid.part(column, row)) };
  const eachText = (what: string, counter: string): string => `${what}_base + ${counter}`;
  const ownText = (what: string, counter: string): string => `${what}_base + ${counter} * ${size} + lane`;
  finishTile(kernel, writer, shape, body, batch, sums, columnsAreOwn ? shared * size : own, columnsAreOwn ? own : shared * size,
    columnsAreOwn ? eachText('row', 'i') : ownText('row', 'i'), columnsAreOwn ? ownText('column', 'j') : eachText('column', 'j'));
  return {
    threads: size, groups: shape.batch * rowTiles * columnTiles, shared: [], builtins: ['@builtin(subgroup_invocation_id) subgroup_lane: u32'], features: ['subgroups'],
  };
}
