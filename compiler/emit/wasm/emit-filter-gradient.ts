/**
 * Gradients of convolutions for their weights by minimal filtering (`minimal-filter.ts`): a task has a block of channels of both
 * operands and a part of the pictures. It maps tiles of both, adds up their products point by point over all its tiles, and maps the sums to
 * taps. Parts of the pictures meet in shared memory, as those of any long sum.
 */
import type { ContractKernel } from '../../fuse/kernel.js';
import { sizeAlong } from '../../tensor/program.js';
import type { Local } from './binary.js';
import { I32, op } from './binary.js';
import type { Context } from './context.js';
import { taskFunction } from './context.js';
import { emitEpilogue } from './emit-epilogue.js';
import { Expressions } from './expressions.js';
import { Graph } from './graph.js';
import type { Node } from './graph.js';
import { filterGradientBlocks } from './filter-blocks.js';
import type { Operand, PointLayout } from './filter-operand.js';
import { bandOfOperand, betweenBytes, mapOperand, matricesOf } from './filter-operand.js';
import { forEachPoint, mostSlots, placesOfProducts, pointCount } from './filter-points.js';
import { LinearMaps, transpose } from './linear-maps.js';
import type { Filter } from './minimal-filter.js';
import { tapsOf } from './minimal-filter.js';
import { decodeGroup } from './nest.js';
import { emitPanelProduct, roundUp } from './panels.js';
import { addParts } from './add-parts.js';
import type { FilterSchedule } from './schedule.js';
import type { Band } from './tile-data.js';
import { bandBytes, findPiece, unevenStride } from './tile-data.js';

export function emitFilterGradient(context: Context, name: string, kernel: ContractKernel, filter: Filter, schedule: FilterSchedule): number {
  const { stencil, pictureAxes, lines, lines: [down, across] } = filter;
  const all = [...kernel.extents, ...kernel.reduceExtents];
  const { rowSide, columnSide, tile, rowBlock, columnBlock, cut, parts, partPieces } = filterGradientBlocks(kernel, filter, schedule);
  const [M, N, pictures] = [rowSide.channels, columnSide.channels, pictureAxes].map((axes) => sizeAlong(axes, all));
  const rowBlocks = Math.ceil(M / rowBlock);
  const columnBlocks = Math.ceil(N / columnBlock);
  const blocks = rowBlocks * columnBlocks;

  const [rowBand, columnBand] = [bandOfOperand(filter, cut, rowSide.shifted, rowBlock), bandOfOperand(filter, cut, columnSide.shifted, columnBlock)];
  const [tilePoints, tapCount] = [pointCount(lines), tapsOf(lines)];
  // What is added up at a point has rows, or columns, of its own.
  const slotsOf = (side: Operand): number => (side.shifted ? mostSlots(lines) : 1);
  const leftStep = slotsOf(rowSide) * rowBlock * 4;
  const panel = tile.columns * 4;
  const rowLayout: PointLayout = { point: unevenStride(cut.tiles * leftStep), slot: rowBlock * 4, tile: leftStep, channel: (f, c) => f.get(c).i32(2).op(op.i32shl) };
  const columnLayout: PointLayout = {
    point: unevenStride(cut.tiles * slotsOf(columnSide) * columnBlock * 4), slot: cut.tiles * columnBlock * 4, tile: panel,
    channel: (f, c) => f.get(c).i32(tile.columns).op(op.i32divU).i32(cut.tiles * panel).op(op.i32mul).get(c).i32(tile.columns).op(op.i32remU).i32(4).op(op.i32mul).op(op.i32add),
  };
  const sumStride = slotsOf(columnSide) * columnBlock * 4;
  const sumPoint = unevenStride(roundUp(slotsOf(rowSide) * rowBlock, tile.rows) * sumStride);
  const resultStride = columnBlock * 4;
  const resultTap = rowBlock * resultStride;
  const resultBytes = tapCount * resultTap;
  let bytes = 0;
  const area = (size: number): number => { const at = bytes; bytes = roundUp(bytes + size, 64); return at; };
  const bandAt = area(Math.max(bandBytes(rowBand), bandBytes(columnBand)));
  const betweenAt = area(betweenBytes(filter));
  // Tiles of registers may reach over the last row.
  const leftAt = area(tilePoints * rowLayout.point + 4 * tile.rows);
  const rightAt = area(tilePoints * columnLayout.point);
  const sumAt = area(tilePoints * sumPoint);
  const resultAt = area(resultBytes);
  context.needs.scratch = Math.max(context.needs.scratch, bytes + 1024);
  if (parts > 1) context.needs.partials = Math.max(context.needs.partials, blocks * parts * resultBytes);

  taskFunction(context, name, ({ f, task, scratch }) => {
    const v = (): Local => f.local(I32);
    const [block, part, r0, r1, c0, c1, piece, pieceEnd, first] = [v(), v(), v(), v(), v(), v(), v(), v(), v()];
    const limit = (target: Local, size: number): void => { f.tee(target).i32(size).get(target).i32(size).op(op.i32ltS).op(op.select).set(target); };
    // task = (part * row blocks + row block) * column blocks + column block
    f.get(task).i32(blocks).op(op.i32remU).set(block);
    f.get(task).i32(blocks).op(op.i32divU).set(part);
    f.get(block).i32(columnBlocks).op(op.i32divU).i32(rowBlock).op(op.i32mul).tee(r0).i32(rowBlock).op(op.i32add);
    limit(r1, M);
    f.get(block).i32(columnBlocks).op(op.i32remU).i32(columnBlock).op(op.i32mul).tee(c0).i32(columnBlock).op(op.i32add);
    limit(c1, N);
    f.get(part).i32(partPieces).op(op.i32mul).tee(piece).i32(partPieces).op(op.i32add);
    limit(pieceEnd, cut.count);
    const rowCount = (): void => { f.get(r1).get(r0).op(op.i32sub); };
    const columnCount = (): void => { f.get(c1).get(c0).op(op.i32sub); };
    const at = (offset: number): Local => {
      const local = v();
      f.get(scratch).i32(offset).op(op.i32add).set(local);
      return local;
    };
    const [bandStart, between] = [at(bandAt), at(betweenAt)];

    const graph = new Graph();
    const e = new Expressions(f, graph, context.math);
    const variable = (size: number): Node => graph.variable('i32', 0, Math.max(0, size - 1));
    const scratchNode = graph.variable('i32');
    e.bind(scratchNode, scratch);
    const maps = new LinearMaps(f, context.relaxed, [...matricesOf(filter), down.kernel, across.kernel]);
    const pictureNode = variable(pictures);
    const firstChannel = variable(Math.max(M, N));
    const pictureOf = all.map(() => graph.int(0));
    decodeGroup(graph, pictureAxes, all, pictureNode, pictureOf);
    /** Copies a band of one operand's block of channels, and maps its tiles. */
    const mapSide = (operand: Operand, band: Band, layout: PointLayout, targets: readonly Local[], firstRow: Local, begin: Local, end: Local): void => {
      e.bind(firstChannel, begin);
      mapOperand(e, context, kernel, filter, cut, maps, {
        operand, band, layout, axes: pictureOf, firstRow, firstChannel, pushBegin: () => f.get(begin), pushEnd: () => f.get(end), pushCount: () => f.get(end).get(begin).op(op.i32sub),
        bandNode: graph.linear([[scratchNode, 1]], bandAt), bandStart, between, targets,
      });
      e.unbind(firstChannel);
    };

    f.i32(0).set(first);
    f.count(piece, () => f.get(pieceEnd), 1, () => {
      const [picture, pictureEnd, firstRow, pictureCount] = [v(), v(), v(), v()];
      f.get(piece).set(picture);
      findPiece(f, cut, () => f.i32(pictures), { picture, pictureEnd, pictures: pictureCount, firstRow });
      const [leftTargets, rightTargets] = [[leftAt, leftStep], [rightAt, panel]].map(([start, tileBytes]) => cut.segments.map(({ before }) => {
        const local = v();
        f.get(scratch).i32(start).op(op.i32add).get(pictureCount).i32(before * tileBytes).op(op.i32mul).op(op.i32add).set(local);
        return local;
      }));
      e.loop(pictureNode, picture, () => f.get(pictureEnd), 1, [], () => {
        mapSide(rowSide, rowBand, rowLayout, leftTargets, firstRow, r0, r1);
        mapSide(columnSide, columnBand, columnLayout, rightTargets, firstRow, c0, c1);
      });
      const [left, right, sum, rows, columns] = [v(), v(), v(), v(), v()];
      forEachPoint(f, filter, cut, pictureCount, ({ point, slots, begin, end }) => {
        f.get(scratch).i32(leftAt).op(op.i32add).get(point).i32(rowLayout.point).op(op.i32mul).op(op.i32add).get(begin).i32(leftStep).op(op.i32mul).op(op.i32add).set(left);
        f.get(scratch).i32(rightAt).op(op.i32add).get(point).i32(columnLayout.point).op(op.i32mul).op(op.i32add).get(begin).i32(panel).op(op.i32mul).op(op.i32add).set(right);
        f.get(scratch).i32(sumAt).op(op.i32add).get(point).i32(sumPoint).op(op.i32mul).op(op.i32add).set(sum);
        for (const [side, block, pushCount, target] of [[rowSide, rowBlock, rowCount, rows], [columnSide, columnBlock, columnCount, columns]] as const) {
          pushCount();
          if (side.shifted) f.get(slots).i32(1).op(op.i32sub).i32(block).op(op.i32mul).op(op.i32add);
          f.set(target);
        }
        emitPanelProduct(f, {
          tile, leftStride: 4, leftStep, resultStride: sumStride, depth: cut.tiles, left, right, result: sum, relaxed: context.relaxed,
          pushRows: () => f.get(rows), pushColumns: () => f.get(columns), pushDepth: () => f.get(end).get(begin).op(op.i32sub), pushAdd: () => f.get(first),
        });
      });
      f.i32(1).set(first);
    });

    // To taps: result[tap][row][column].
    const [row, column, from, to] = [v(), v(), v(), v()];
    const sums = placesOfProducts(lines, { point: sumPoint, slot: rowSide.shifted ? rowBlock * sumStride : columnBlock * 4 });
    f.i32(0).set(row);
    f.count(row, rowCount, 1, () => {
      f.get(scratch).i32(sumAt).op(op.i32add).get(row).i32(sumStride).op(op.i32mul).op(op.i32add).set(from);
      f.get(scratch).i32(resultAt).op(op.i32add).get(row).i32(resultStride).op(op.i32mul).op(op.i32add).set(to);
      f.i32(0).set(column);
      f.count(column, columnCount, 4, () => {
        maps.square(transpose(down.kernel), transpose(across.kernel), { base: from, at: sums }, { base: to, at: (i, j) => (i * across.taps + j) * resultTap }, between);
        f.get(from).i32(16).op(op.i32add).set(from).get(to).i32(16).op(op.i32add).set(to);
      });
    });

    addParts(context, f, { block, part, parts, bytes: resultBytes, pushBytes: () => f.i32(resultBytes), result: at(resultAt) }, () => e.scope(() => {
      const [firstOfRows, firstOfColumns, tap, r, c] = [variable(M), variable(N), variable(tapCount), variable(M), variable(N)];
      e.bind(firstOfRows, r0);
      e.bind(firstOfColumns, c0);
      const axes = all.map(() => graph.int(0));
      decodeGroup(graph, rowSide.channels, all, r, axes);
      decodeGroup(graph, columnSide.channels, all, c, axes);
      stencil.reaches.forEach(({ tap: axis, sign }, d) => {
        const at = graph.binary(d === 0 ? 'idiv' : 'mod', 'i32', tap, graph.int(across.taps));
        // Read at position - tap, the last tap comes first.
        if (axis !== null) axes[axis] = sign > 0 ? at : graph.linear([[at, -1]], lines[d].taps - 1);
      });
      const address = graph.linear([[scratchNode, 1], [tap, resultTap], [r, resultStride], [firstOfRows, -resultStride], [c, 4], [firstOfColumns, -4]], resultAt);
      const lt = f.local(I32);
      f.i32(0).set(lt);
      e.loop(tap, lt, () => f.i32(tapCount), 1, [], () => emitEpilogue(e, context, kernel, { variable: r, begin: r0, end: r1 }, { variable: c, begin: c0, end: c1 }, axes, address));
    }));
  });
  return blocks * parts;
}
