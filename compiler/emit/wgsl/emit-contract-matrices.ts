/**
 * Contractions on matrix units (Dawn's `chromium_experimental_subgroup_matrix`). A workgroup stages blocks of both operands in workgroup
 * memory; each subgroup multiplies them a few small matrices at a time and keeps its part of the result in the units' registers.
 * The result leaves a strip at a time through workgroup memory, where any thread can reach it for the stores' arithmetic.
 */
import type { ContractKernel } from '../../fuse/kernel.js';
import type { ContractShape } from './contract-shape.js';
import { blockTexts, pick, pointOf } from './contract-shape.js';
import type { KernelText } from './kernel-text.js';
import { writeStores } from './kernel-text.js';
import type { ScheduleLimits } from './schedule.js';
import type { MatricesSchedule } from './schedule-matrices.js';
import { blockOf, matrixThreads, padding } from './schedule-matrices.js';
import type { StagedOperand, TileLayout } from './stage.js';
import { countFrame, planStage, stepsAreContiguous } from './stage.js';
import type { StagedTile } from './staged-loop.js';
import { stagedLoop } from './staged-loop.js';
import { vectorReads } from './vector-reads.js';
import type { Block, KernelWriter } from './writer.js';

const count = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i);

export function emitContractMatrices(kernel: ContractKernel, writer: KernelWriter, shape: ContractShape, schedule: MatricesSchedule, limits: ScheduleLimits): KernelText {
  const { unit, down, across, rows, columns, depth, buffers } = schedule;
  const block = blockOf(schedule);
  const lanes = limits.matrixUnits?.lanes ?? 0;
  const threads = matrixThreads(schedule, lanes);
  const rowTiles = Math.ceil(shape.rows / block.rows);
  const columnTiles = Math.ceil(shape.columns / block.columns);
  const stepAxis = kernel.extents.length + kernel.reduceExtents.length - 1;
  const body = writer.root.body;
  const place = blockTexts(shape, rowTiles, columnTiles);
  body.items.push(
    `let row_base = ${place.row} * ${block.rows};`, `let column_base = ${place.column} * ${block.columns};`,
    `let unit_row = (i32(subgroup) / ${across}) * ${rows * unit.rows};`, `let unit_column = (i32(subgroup) % ${across}) * ${columns * unit.columns};`,
  );
  const batch = countFrame(writer, body, 'batch', `group / ${rowTiles * columnTiles}`, null, kernel.batch, pick(kernel.extents, kernel.batch));
  const vector = unit.element === 'f16' ? 'vec4h' : 'vec4f';
  const operands: readonly Omit<StagedOperand, 'extents'>[] = [
    { name: 'left', tile: 'left_tile', scalar: kernel.left, size: shape.rows, block: block.rows, axes: kernel.rows, base: 'row_base' },
    { name: 'right', tile: 'right_tile', scalar: kernel.right, size: shape.columns, block: block.columns, axes: kernel.columns, base: 'column_base' },
  ];
  const bySteps = operands.map(({ scalar, axes }) => stepsAreContiguous(scalar, stepAxis, axes.at(-1)));
  const vectors = vectorReads(kernel, operands.map(({ scalar, axes }, t) => ({ scalar, axis: bySteps[t] ? stepAxis : axes.at(-1) })), writer.access);
  writer.readInVectors(vectors);
  const laid = operands.map((operand, t): { readonly layout: TileLayout; readonly tile: StagedTile } => {
    const layout: TileLayout = bySteps[t] ? { vectors: 'steps', stride: (depth + padding) / 4 } : { vectors: 'rows', stride: (operand.block + padding) / 4 };
    return {
      layout,
      tile: {
        stage: planStage(writer, body, { ...operand, extents: pick(kernel.extents, operand.axes) }, threads, depth, stepAxis, layout),
        vectors: layout.stride * (bySteps[t] ? operand.block : depth),
        rounded: (text) => (vector === 'vec4f' ? text : `${vector}(${text})`),
      },
    };
  });
  const types = {
    left: `subgroup_matrix_left<${unit.element}, ${unit.depth}, ${unit.rows}>`,
    right: `subgroup_matrix_right<${unit.element}, ${unit.columns}, ${unit.depth}>`,
    result: `subgroup_matrix_result<f32, ${unit.columns}, ${unit.rows}>`,
  };
  const sum = (i: number, j: number): string => `sum_${i}_${j}`;
  for (const i of count(rows)) for (const j of count(columns)) body.items.push(`var ${sum(i, j)} = ${types.result}();`);

  /** Smaller subgroups than the largest make more of them than there are parts of the block. */
  const working = (into: Block): Block => (limits.subgroupSize === lanes ? into : writer.nested(into, `if (subgroup < ${down * across}u)`).body);
  stagedLoop(kernel, writer, body, batch, laid.map((l) => l.tile), depth, buffers, (into, at) => {
    const inner = working(into);
    /** The matrix of operand `t` that begins `side` rows (or columns) and `step` steps into the subgroup's part. */
    const load = (t: 0 | 1, side: number, step: number): string => {
      const { layout, tile } = laid[t];
      const first = t === 0 ? 'unit_row' : 'unit_column';
      const place = layout.vectors === 'rows' ? `${step * layout.stride + side / 4} + ${first} / 4` : `(${first} + ${side}) * ${layout.stride} + ${step / 4}`;
      // The left matrix is read by rows where its tile is; the right one by rows where its tile is by steps of all columns.
      const order = (t === 0) === (layout.vectors === 'steps') ? 'row_major' : 'col_major';
      return `subgroupMatrixLoad<${t === 0 ? types.left : types.right}, ${order}>(&${tile.stage.operand.tile}, ${at(t, place)}, ${layout.stride})`;
    };
    for (let step = 0; step < depth; step += unit.depth) {
      for (const i of count(rows)) inner.items.push(`let left_${step}_${i} = ${load(0, i * unit.rows, step)};`);
      for (const j of count(columns)) {
        inner.items.push(`let right_${step}_${j} = ${load(1, j * unit.columns, step)};`);
        for (const i of count(rows)) inner.items.push(`${sum(i, j)} = subgroupMatrixMultiplyAccumulate(left_${step}_${i}, right_${step}_${j}, ${sum(i, j)});`);
      }
    }
  });

  const strip = writer.nested(body, `for (var strip = 0; strip < ${rows}; strip++)`);
  strip.body.items.push('workgroupBarrier();');
  const leaving = working(strip.body);
  for (const i of count(rows)) {
    leaving.items.push(`if (strip == ${i}) {`, ...count(columns).map((j) =>
      `  subgroupMatrixStore<row_major>(&results, (i32(subgroup) / ${across}) * ${unit.rows * block.columns} + unit_column + ${j * unit.columns}, ${sum(i, j)}, ${block.columns});`), '}');
  }
  strip.body.items.push('workgroupBarrier();');
  const stripElements = down * unit.rows * block.columns;
  const each = writer.nested(strip.body, `for (var e = thread; e < ${stripElements}; e += ${threads})`);
  each.body.items.push(`let strip_row = e / ${block.columns};`);
  const row = countFrame(writer, each.body, 'row', `row_base + (strip_row / ${unit.rows}) * ${rows * unit.rows} + strip * ${unit.rows} + strip_row % ${unit.rows}`, null, kernel.rows, pick(kernel.extents, kernel.rows));
  const column = countFrame(writer, each.body, 'column', `column_base + e % ${block.columns}`, null, kernel.columns, pick(kernel.extents, kernel.columns));
  const outside = [...(shape.rows % block.rows === 0 ? [] : [`row >= ${shape.rows}`]), ...(shape.columns % block.columns === 0 ? [] : [`column >= ${shape.columns}`])];
  if (outside.length > 0) column.block.items.push(`if (${outside.join(' || ')}) { continue; }`);
  column.block.items.push('let total = results[e];');
  column.accumulators.set(0, 'total');
  const environment = writer.environment(batch, row, column);
  writeStores(kernel.stores, writer, environment, each.body, writer.value(pointOf(kernel.extents), environment));
  return {
    threads, groups: shape.batch * rowTiles * columnTiles,
    shared: [...laid.map(({ tile }) => `var<workgroup> ${tile.stage.operand.tile}: array<${vector}, ${buffers * tile.vectors}>;`), `var<workgroup> results: array<f32, ${stripElements}>;`],
    vectors,
    builtins: ['@builtin(subgroup_id) subgroup: u32'],
    features: [...(unit.element === 'f16' ? ['f16'] : []), 'subgroups', 'chromium_experimental_subgroup_matrix'],
  };
}
