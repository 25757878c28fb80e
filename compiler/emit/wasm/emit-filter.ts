/**
 * Convolutions by minimal filtering (`minimal-filter.ts`). The first tasks map the weights to their points, once for all, in
 * panels in shared memory; every other task has some bands of tiles: it maps their data, multiplies point by point, and maps the
 * products back to positions, whose sums go the way of any product's.
 */
import type { ContractKernel } from '../../fuse/kernel.js';
import { sizeAlong } from '../../tensor/program.js';
import type { Local } from './binary.js';
import { I32, op, simd } from './binary.js';
import type { Context } from './context.js';
import { arrive, awaitAll, taskFunction, whenLast } from './context.js';
import { emitEpilogue } from './emit-epilogue.js';
import { Expressions } from './expressions.js';
import { filterBlocks } from './filter-blocks.js';
import { Graph } from './graph.js';
import type { Node } from './graph.js';
import { LinearMaps } from './linear-maps.js';
import { lowerScalar } from './lower-scalar.js';
import type { Filter } from './minimal-filter.js';
import { inputMap, kernelMap, outputMap, tileInputs, tilePoints, tileResults } from './minimal-filter.js';
import type { Shares, SlicesCut } from './nest.js';
import { decodeGroup } from './nest.js';
import { emitPanelProduct, roundUp } from './panels.js';
import type { FilterSchedule } from './schedule.js';
import { bandBytes, bandOf, copyBand, findPiece, mapTiles, unevenStride } from './tile-data.js';

const depthBlock = 512;
/** Columns of weights that one of the first tasks maps. */
const packColumns = 32;

/** Counters of a launch: tasks that have mapped weights, and tasks that are done with them. */
const packedCounter = 0;
const doneCounter = 1;

export function emitFilter(context: Context, name: string, kernel: ContractKernel, filter: Filter, schedule: FilterSchedule, cut: SlicesCut | null): Shares {
  const { stencil, positions: [height, width], tiles: [tilesDown, tilesAcross] } = filter;
  const [down, across] = stencil.reaches;
  const all = [...kernel.extents, ...kernel.reduceExtents];
  const { pictureAxes, lead, span, spans, pieces, rowsOfTask, tile, columnBlock, productColumns } = filterBlocks(kernel, filter, cut, schedule);
  const rowAxes = [...pictureAxes, down.position, across.position];
  const [B, pictures, N, K] = [lead, pictureAxes, filter.otherChannels, filter.dataChannels].map((axes) => sizeAlong(axes, all));
  const M = pictures * height * width;
  const rowTasks = pieces.count;
  const leftOver = pictures - (spans - 1) * span;
  const last = pieces.bands > 1 ? leftOver * pieces.bands : Math.ceil(leftOver / pieces.pictures);
  const columnTasks = Math.ceil(N / columnBlock);
  const tasks = B * ((spans - 1) * rowTasks + last) * columnTasks;
  const packTasks = Math.ceil(N / packColumns);

  const band = bandOf(pieces.height + tileInputs - tileResults, pieces.width + tileInputs - tileResults, K);
  const leftStride = 4 * (K + 4);
  const leftPoint = unevenStride(pieces.tiles * leftStride);
  const weightPoint = roundUp(N, tile.columns) * K * 4;
  const productStride = productColumns * 4;
  const productPoint = unevenStride(roundUp(pieces.tiles, tile.rows) * productStride);
  const resultStride = columnBlock * 4;
  let bytes = 0;
  const area = (size: number): number => { const at = bytes; bytes = roundUp(bytes + size, 64); return at; };
  const bandAt = area(bandBytes(band));
  // Tiles of registers may reach over the last row.
  const leftAt = area(tilePoints * leftPoint + tile.rows * leftStride);
  const productAt = area(tilePoints * productPoint);
  const resultAt = area(pieces.pictures * pieces.height * pieces.width * resultStride);
  context.needs.scratch = Math.max(context.needs.scratch, bytes + 1024);
  context.needs.partials = Math.max(context.needs.partials, tilePoints * weightPoint);

  taskFunction(context, name, ({ f, task, scratch }) => {
    const v = (): Local => f.local(I32);
    f.get(task).i32(packTasks).op(op.i32ltS).if(() => {
      mapWeights(context, kernel, filter, tile.columns, weightPoint, new Expressions(f, new Graph(), context.math), task);
      arrive(context, f, packedCounter);
    }, () => {
      const own = v();
      const [lb, r0, r1, c0, c1, key, picture, pictureEnd, firstRow, tileCount, firstPicture, spanEnd, end] = [v(), v(), v(), v(), v(), v(), v(), v(), v(), v(), v(), v(), v()];
      const limit = (target: Local, size: number): void => { f.tee(target).i32(size).get(target).i32(size).op(op.i32ltS).op(op.select).set(target); };
      // task = ((b * spans + span) * column tasks + column task) * row tasks + row task, after those that map weights
      f.get(task).i32(packTasks).op(op.i32sub).tee(own).i32(rowTasks).op(op.i32divU).set(key);
      f.get(own).i32(rowTasks).op(op.i32remU).tee(picture).i32(rowsOfTask).op(op.i32mul).set(r0);
      f.get(key).i32(columnTasks).op(op.i32remU).i32(columnBlock).op(op.i32mul).tee(c0).i32(columnBlock).op(op.i32add);
      limit(c1, N);
      f.get(key).i32(columnTasks).op(op.i32divU).tee(lb).i32(spans).op(op.i32remU).i32(span).op(op.i32mul).set(firstPicture);
      f.get(lb).i32(spans).op(op.i32divU).set(lb);
      f.get(firstPicture).i32(span).op(op.i32add);
      limit(spanEnd, pictures);
      f.get(spanEnd).get(firstPicture).op(op.i32sub).set(spanEnd);
      findPiece(f, pieces, () => f.get(spanEnd), { picture, pictureEnd, firstRow, tiles: tileCount });
      f.get(r0).i32(rowsOfTask).op(op.i32add).tee(r1).get(spanEnd).i32(height * width).op(op.i32mul).tee(end).get(r1).get(end).op(op.i32ltS).op(op.select).set(r1);
      f.get(firstPicture).i32(height * width).op(op.i32mul).tee(end).get(r0).op(op.i32add).set(r0);
      f.get(end).get(r1).op(op.i32add).set(r1);
      f.get(picture).get(firstPicture).op(op.i32add).set(picture);
      f.get(pictureEnd).get(firstPicture).op(op.i32add).set(pictureEnd);

      const graph = new Graph();
      const e = new Expressions(f, graph, context.math);
      const variable = (size: number): Node => graph.variable('i32', 0, Math.max(0, size - 1));
      const scratchNode = graph.variable('i32');
      const b = variable(B);
      const axesAt = (set: (axes: Node[]) => void): readonly Node[] => {
        const axes = all.map(() => graph.int(0));
        decodeGroup(graph, lead, all, b, axes);
        set(axes);
        return axes;
      };
      e.bind(scratchNode, scratch);
      e.bind(b, lb);
      const at = (offset: number): Local => {
        const local = v();
        f.get(scratch).i32(offset).op(op.i32add).set(local);
        return local;
      };

      // The data.
      const maps = new LinearMaps(f, context.relaxed, [inputMap, outputMap]);
      const [bandStart, points] = [at(bandAt), at(leftAt)];
      const pictureNode = variable(pictures);
      const variables = { firstRow: variable(tilesDown * tileResults), row: variable(tilesDown * tileResults + 2), column: variable(band.columns), channel: variable(K) };
      const reach = (x: Node, sign: number): Node => graph.linear([[x, 1]], sign > 0 ? 0 : tileResults - tileInputs);
      const value = lowerScalar(graph, context.memory, {
        axes: axesAt((axes) => {
          decodeGroup(graph, pictureAxes, all, pictureNode, axes);
          decodeGroup(graph, filter.dataChannels, all, variables.channel, axes);
          axes[down.position] = reach(variables.row, down.sign);
          axes[across.position] = reach(variables.column, across.sign);
        }), accumulators: [],
      }, stencil.data);
      e.loop(pictureNode, picture, () => f.get(pictureEnd), 1, [value], () => {
        e.bind(variables.firstRow, firstRow);
        copyBand(e, band, value, variables, graph.linear([[scratchNode, 1]], bandAt), firstRow, graph.int(0), () => f.i32(0), () => f.i32(K));
        e.unbind(variables.firstRow);
        mapTiles(f, maps, inputMap, band, bandStart, [pieces.bandTiles, tilesAcross], tileResults,
          { point: leftPoint, tile: leftStride, channel: (_, c) => f.get(c).i32(2).op(op.i32shl) }, points, () => f.i32(K));
      });

      // Point by point.
      awaitAll(context, f, packedCounter, packTasks);
      const [column, columns, point, left, right, product, k0, depth] = [v(), v(), v(), v(), v(), v(), v(), v()];
      const [fromLeft, fromRight] = [v(), v()];
      f.i32(0).set(column);
      f.count(column, () => f.get(c1).get(c0).op(op.i32sub), productColumns, () => {
        f.get(c1).get(c0).op(op.i32sub).get(column).op(op.i32sub);
        limit(columns, productColumns);
        f.get(scratch).i32(leftAt).op(op.i32add).set(left);
        f.get(scratch).i32(productAt).op(op.i32add).set(product);
        f.get(c0).get(column).op(op.i32add).i32(K * 4).op(op.i32mul).i32(context.partialsBase).op(op.i32add).set(right);
        f.i32(0).set(point);
        f.count(point, () => f.i32(tilePoints), 1, () => {
          f.i32(0).set(k0);
          f.count(k0, () => f.i32(K), depthBlock, () => {
            f.i32(K).get(k0).op(op.i32sub);
            limit(depth, depthBlock);
            f.get(left).get(k0).i32(4).op(op.i32mul).op(op.i32add).set(fromLeft);
            f.get(right).get(k0).i32(tile.columns * 4).op(op.i32mul).op(op.i32add).set(fromRight);
            emitPanelProduct(f, {
              tile, leftStride, resultStride: productStride, depth: K, left: fromLeft, right: fromRight, result: product, relaxed: context.relaxed,
              pushRows: () => f.get(tileCount), pushColumns: () => f.get(columns), pushDepth: () => f.get(depth), pushAdd: () => f.get(k0),
            });
          });
          f.get(left).i32(leftPoint).op(op.i32add).set(left);
          f.get(right).i32(weightPoint).op(op.i32add).set(right);
          f.get(product).i32(productPoint).op(op.i32add).set(product);
        });
        // Back to positions.
        const [index, from, to, c, end] = [v(), v(), v(), v(), v()];
        f.i32(0).set(index);
        f.count(index, () => f.get(tileCount), 1, () => {
          f.get(scratch).get(index).i32(productStride).op(op.i32mul).op(op.i32add).set(from);
          // Bands of pictures lie one below another, so a row of tiles follows the one before.
          f.get(index).i32(tilesAcross).op(op.i32divU).i32(tileResults * pieces.width).op(op.i32mul);
          f.get(index).i32(tilesAcross).op(op.i32remU).i32(tileResults).op(op.i32mul).op(op.i32add);
          f.i32(resultStride).op(op.i32mul).get(column).i32(4).op(op.i32mul).op(op.i32add).get(scratch).op(op.i32add).set(to);
          f.i32(0).set(c);
          f.get(columns).set(end);
          f.count(c, () => f.get(end), 4, () => {
            maps.both(outputMap,
              (i, j) => f.get(from).loadV(simd.load, productAt + (i * tileInputs + j) * productPoint),
              (i, j, sum) => f.get(to).get(sum).storeV(resultAt + (i * pieces.width + j) * resultStride));
            f.get(from).i32(16).op(op.i32add).set(from);
            f.get(to).i32(16).op(op.i32add).set(to);
          });
        });
      });

      e.scope(() => {
        const [first, firstColumn, r, columnNode] = [variable(M), variable(N), variable(M), variable(N)];
        e.bind(first, r0);
        e.bind(firstColumn, c0);
        const axes = axesAt((list) => {
          decodeGroup(graph, rowAxes, all, r, list);
          decodeGroup(graph, filter.otherChannels, all, columnNode, list);
        });
        const place = (x: Node): Node => placeOf(graph, x, [height, width], [tilesDown * tileResults, pieces.width]);
        const address = graph.linear([[scratchNode, 1], [place(r), resultStride], [place(first), -resultStride], [columnNode, 4], [firstColumn, -4]], resultAt);
        emitEpilogue(e, context, kernel, { variable: r, begin: r0, end: r1 }, { variable: columnNode, begin: c0, end: c1 }, axes, address);
      });
      whenLast(context, f, () => f.i32(doneCounter), tasks, () => f.i32(context.countersBase + 4 * packedCounter).i32(0).atomicStore());
    });
  });
  return { tasks: packTasks + tasks, ahead: packTasks, each: rowTasks * columnTasks, last: last * columnTasks, spans };
}

/** Where row `r` of pictures of `size` lies in pictures of `padded`. */
function placeOf(graph: Graph, r: Node, [height, width]: readonly [number, number], [paddedHeight, paddedWidth]: readonly [number, number]): Node {
  if (height === paddedHeight && width === paddedWidth) return r;
  const line = graph.binary('idiv', 'i32', r, graph.int(width));
  return graph.linear([
    [graph.binary('idiv', 'i32', line, graph.int(height)), paddedHeight * paddedWidth], [graph.binary('mod', 'i32', line, graph.int(height)), paddedWidth],
    [graph.binary('mod', 'i32', r, graph.int(width)), 1],
  ]);
}

/** One of the first tasks: some columns of the weights become their points, in panels. */
function mapWeights(context: Context, kernel: ContractKernel, filter: Filter, panelColumns: number, point: number, e: Expressions, task: Local): void {
  const { f, graph } = e;
  const all = [...kernel.extents, ...kernel.reduceExtents];
  const [N, K] = [sizeAlong(filter.otherChannels, all), sizeAlong(filter.dataChannels, all)];
  const maps = new LinearMaps(f, context.relaxed, [kernelMap]);
  const [c, k] = [graph.variable('i32', 0, N - 1), graph.variable('i32', 0, K - 1)];
  const size = kernelMap[0].length;
  const weights = Array.from({ length: size * size }, (_, n) => {
    const axes = all.map(() => graph.int(0));
    decodeGroup(graph, filter.otherChannels, all, c, axes);
    decodeGroup(graph, filter.dataChannels, all, k, axes);
    filter.stencil.reaches.forEach(({ tap, sign }, d) => {
      const at = d === 0 ? Math.floor(n / size) : n % size;
      // Read at position - tap, the last tap comes first.
      axes[tap] = graph.int(sign > 0 ? at : size - 1 - at);
    });
    return lowerScalar(graph, context.memory, { axes, accumulators: [] }, filter.stencil.other);
  });
  const width = graph.int(panelColumns);
  const address = graph.linear([[graph.binary('idiv', 'i32', c, width), K * panelColumns * 4], [k, panelColumns * 4], [graph.binary('mod', 'i32', c, width), 4]], context.partialsBase);
  const roots = [...weights, address];
  const [lc, lk, end] = [f.local(I32), f.local(I32), f.local(I32)];
  f.get(task).i32(packColumns).op(op.i32mul).tee(lc).i32(packColumns).op(op.i32add).tee(end).i32(N).get(end).i32(N).op(op.i32ltS).op(op.select).set(end);
  e.lanesAlong(c);
  e.loop(c, lc, () => f.get(end), 4, roots, () => {
    f.i32(0).set(lk);
    e.loop(k, lk, () => f.i32(K), 1, roots, () => {
      e.scalar(address);
      const to = f.local(I32);
      f.set(to);
      maps.both(kernelMap, (i, j) => e.vector(weights[i * size + j]), (i, j, value) => f.get(to).get(value).storeV((i * tileInputs + j) * point));
    });
  });
  e.lanesAlong(null);
}
