/**
 * Gradients of convolutions for their weights by minimal filtering (`minimal-filter.ts`): a task has a block of channels of both
 * operands and a part of the pictures. It maps tiles of both, adds up their products point by point over all its tiles, and maps the sums to
 * taps. Parts of the pictures meet in shared memory, as those of any long sum.
 */
import type { ContractKernel } from '../../fuse/kernel.js';
import { sizeAlong } from '../../tensor/program.js';
import type { Local } from './binary.js';
import { I32, op, simd } from './binary.js';
import type { Context } from './context.js';
import { taskFunction } from './context.js';
import { emitEpilogue } from './emit-epilogue.js';
import { Expressions } from './expressions.js';
import { Graph } from './graph.js';
import type { Node } from './graph.js';
import { LinearMaps, transpose } from './linear-maps.js';
import { lowerScalar } from './lower-scalar.js';
import type { Filter } from './minimal-filter.js';
import { inputMap, kernelMap, outputMap, tileInputs, tilePoints, tileResults } from './minimal-filter.js';
import type { Side } from './filter-blocks.js';
import { filterGradientBlocks } from './filter-blocks.js';
import { decodeGroup } from './nest.js';
import { emitPanelProduct, roundUp } from './panels.js';
import { addParts } from './add-parts.js';
import type { FilterSchedule } from './schedule.js';
import type { Band, PointLayout } from './tile-data.js';
import { bandBytes, bandOf, copyBand, findPiece, mapTiles, unevenStride } from './tile-data.js';

const tapCount = kernelMap[0].length ** 2;

export function emitFilterGradient(context: Context, name: string, kernel: ContractKernel, filter: Filter, schedule: FilterSchedule): number {
  const { stencil, pictureAxes, tiles: [tilesDown, tilesAcross], positions } = filter;
  const all = [...kernel.extents, ...kernel.reduceExtents];
  const { rowSide, columnSide, tile, rowBlock, columnBlock, cut, parts, partPieces } = filterGradientBlocks(kernel, filter, schedule);
  const [M, N, pictures] = [rowSide.channels, columnSide.channels, pictureAxes].map((axes) => sizeAlong(axes, all));
  const rowBlocks = Math.ceil(M / rowBlock);
  const columnBlocks = Math.ceil(N / columnBlock);
  const blocks = rowBlocks * columnBlocks;

  const bandFor = (side: Side, channels: number): Band => {
    const more = side.shifted ? tileInputs - tileResults : 0;
    return bandOf(cut.height + more, cut.width + more, channels);
  };
  const [rowBand, columnBand] = [bandFor(rowSide, rowBlock), bandFor(columnSide, columnBlock)];
  const leftStep = rowBlock * 4;
  const panel = tile.columns * 4;
  const rowLayout: PointLayout = { point: unevenStride(cut.tiles * leftStep), tile: leftStep, channel: (f, c) => f.get(c).i32(2).op(op.i32shl) };
  const columnLayout: PointLayout = {
    point: unevenStride(cut.tiles * columnBlock * 4), tile: panel,
    channel: (f, c) => f.get(c).i32(tile.columns).op(op.i32divU).i32(cut.tiles * panel).op(op.i32mul).get(c).i32(tile.columns).op(op.i32remU).i32(4).op(op.i32mul).op(op.i32add),
  };
  const sumStride = columnBlock * 4;
  const sumPoint = unevenStride(roundUp(rowBlock, tile.rows) * sumStride);
  const resultTap = rowBlock * sumStride;
  const resultBytes = tapCount * resultTap;
  let bytes = 0;
  const area = (size: number): number => { const at = bytes; bytes = roundUp(bytes + size, 64); return at; };
  const bandAt = area(Math.max(bandBytes(rowBand), bandBytes(columnBand)));
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
    const bandStart = at(bandAt);
    const [leftStart, rightStart, leftEnd, rightEnd] = [at(leftAt), at(rightAt), v(), v()];

    const graph = new Graph();
    const e = new Expressions(f, graph, context.math);
    const variable = (size: number): Node => graph.variable('i32', 0, Math.max(0, size - 1));
    const scratchNode = graph.variable('i32');
    e.bind(scratchNode, scratch);
    const adjoint = transpose(kernelMap);
    const maps = new LinearMaps(f, context.relaxed, [inputMap, transpose(outputMap), adjoint]);
    const pictureNode = variable(pictures);
    const firstRowNode = variable(tilesDown * tileResults);
    const firstChannel = variable(Math.max(M, N));
    /** Copies a band of one operand's block of channels, and maps its tiles. */
    const mapSide = (side: Side, band: Band, layout: PointLayout, target: Local, firstRow: Local, begin: Local, end: Local): void => e.scope(() => {
      const size = sizeAlong(side.channels, all);
      const variables = { firstRow: firstRowNode, row: variable(tilesDown * tileResults + 2), column: variable(band.columns), channel: variable(size) };
      const axes = all.map(() => graph.int(0));
      decodeGroup(graph, pictureAxes, all, pictureNode, axes);
      decodeGroup(graph, side.channels, all, variables.channel, axes);
      const at = [variables.row, variables.column];
      stencil.reaches.forEach(({ position, sign }, d) => { axes[position] = graph.linear([[at[d], 1]], side.shifted && sign < 0 ? tileResults - tileInputs : 0); });
      const value = lowerScalar(graph, context.memory, { axes, accumulators: [] }, side.value);
      // What fills up the last tiles must not count.
      const inside = at.map((x, d) => graph.inside(x, positions[d])).reduce((a, b) => graph.binary('and', 'bool', a, b));
      e.bind(firstRowNode, firstRow);
      e.bind(firstChannel, begin);
      copyBand(e, band, side.shifted ? value : graph.select(inside, value, graph.constant('f32', 0)), variables, graph.linear([[scratchNode, 1]], bandAt), firstRow, firstChannel, () => f.get(begin), () => f.get(end));
      e.unbind(firstChannel);
      e.unbind(firstRowNode);
      mapTiles(f, maps, side.matrix, band, bandStart, [cut.bandTiles, tilesAcross], tileResults, layout, target, () => f.get(end).get(begin).op(op.i32sub));
    });

    f.i32(0).set(first);
    f.count(piece, () => f.get(pieceEnd), 1, () => {
      const [picture, pictureEnd, firstRow, tileCount] = [v(), v(), v(), v()];
      f.get(piece).set(picture);
      findPiece(f, cut, () => f.i32(pictures), { picture, pictureEnd, firstRow, tiles: tileCount });
      f.get(leftStart).set(leftEnd);
      f.get(rightStart).set(rightEnd);
      e.loop(pictureNode, picture, () => f.get(pictureEnd), 1, [], () => {
        mapSide(rowSide, rowBand, rowLayout, leftEnd, firstRow, r0, r1);
        mapSide(columnSide, columnBand, columnLayout, rightEnd, firstRow, c0, c1);
      });
      const [point, left, right, sum] = [v(), v(), v(), v()];
      f.get(leftStart).set(left);
      f.get(rightStart).set(right);
      f.get(scratch).i32(sumAt).op(op.i32add).set(sum);
      f.i32(0).set(point);
      f.count(point, () => f.i32(tilePoints), 1, () => {
        emitPanelProduct(f, {
          tile, leftStride: 4, leftStep, resultStride: sumStride, depth: cut.tiles, left, right, result: sum, relaxed: context.relaxed,
          pushRows: rowCount, pushColumns: columnCount, pushDepth: () => f.get(tileCount), pushAdd: () => f.get(first),
        });
        f.get(left).i32(rowLayout.point).op(op.i32add).set(left);
        f.get(right).i32(columnLayout.point).op(op.i32add).set(right);
        f.get(sum).i32(sumPoint).op(op.i32add).set(sum);
      });
      f.i32(1).set(first);
    });

    // To taps: result[tap][row][column].
    const [row, column, from, to] = [v(), v(), v(), v()];
    f.i32(0).set(row);
    f.count(row, rowCount, 1, () => {
      f.get(scratch).get(row).i32(sumStride).op(op.i32mul).op(op.i32add).tee(from).set(to);
      f.i32(0).set(column);
      f.count(column, columnCount, 4, () => {
        maps.both(adjoint,
          (i, j) => f.get(from).loadV(simd.load, sumAt + (i * tileInputs + j) * sumPoint),
          (i, j, value) => f.get(to).get(value).storeV(resultAt + (i * adjoint.length + j) * resultTap));
        f.get(from).i32(16).op(op.i32add).tee(from).set(to);
      });
    });

    addParts(context, f, { block, part, parts, bytes: resultBytes, pushBytes: () => f.i32(resultBytes), result: at(resultAt) }, () => e.scope(() => {
      const [firstOfRows, firstOfColumns, tap, r, c] = [variable(M), variable(N), variable(tapCount), variable(M), variable(N)];
      e.bind(firstOfRows, r0);
      e.bind(firstOfColumns, c0);
      const axes = all.map(() => graph.int(0));
      decodeGroup(graph, rowSide.channels, all, r, axes);
      decodeGroup(graph, columnSide.channels, all, c, axes);
      const size = graph.int(adjoint.length);
      stencil.reaches.forEach(({ tap: axis, sign }, d) => {
        const at = graph.binary(d === 0 ? 'idiv' : 'mod', 'i32', tap, size);
        // Read at position - tap, the last tap comes first.
        axes[axis] = sign > 0 ? at : graph.linear([[at, -1]], adjoint.length - 1);
      });
      const address = graph.linear([[scratchNode, 1], [tap, resultTap], [r, sumStride], [firstOfRows, -sumStride], [c, 4], [firstOfColumns, -4]], resultAt);
      const lt = f.local(I32);
      f.i32(0).set(lt);
      e.loop(tap, lt, () => f.i32(tapCount), 1, [], () => emitEpilogue(e, context, kernel, { variable: r, begin: r0, end: r1 }, { variable: c, begin: c0, end: c1 }, axes, address));
    }));
  });
  return blocks * parts;
}
