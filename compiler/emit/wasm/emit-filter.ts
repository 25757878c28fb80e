/**
 * Convolutions by minimal filtering (`minimal-filter.ts`). The first tasks map the weights to their points, once for all, in
 * panels in shared memory; every other task has some bands of tiles: it maps their data, multiplies point by point, and maps the
 * products back to positions, whose sums go the way of any product's.
 */
import type { ContractKernel } from '../../fuse/kernel.js';
import { sizeAlong } from '../../tensor/program.js';
import type { Local } from './binary.js';
import { I32, op } from './binary.js';
import type { Context } from './context.js';
import { arrive, awaitAll, taskFunction, whenLast } from './context.js';
import { emitEpilogue } from './emit-epilogue.js';
import { Expressions } from './expressions.js';
import { filterBlocks } from './filter-blocks.js';
import type { PointLayout } from './filter-operand.js';
import { bandOfOperand, betweenBytes, mapOperand, matricesOf } from './filter-operand.js';
import { forEachPoint, mostSlots, placesOfProducts, pointCount } from './filter-points.js';
import { Graph } from './graph.js';
import type { Node } from './graph.js';
import { LinearMaps } from './linear-maps.js';
import { lowerScalar } from './lower-scalar.js';
import type { Filter } from './minimal-filter.js';
import { tapsOf } from './minimal-filter.js';
import type { Shares, SlicesCut } from './nest.js';
import { decodeGroup } from './nest.js';
import { emitPanelProduct, roundUp } from './panels.js';
import type { FilterSchedule } from './schedule.js';
import { bandBytes, findPiece, unevenStride } from './tile-data.js';

const depthBlock = 512;
/** Columns of weights that one of the first tasks maps. */
const packColumns = 32;

/** Counters of a launch: tasks that have mapped weights, and tasks that are done with them. */
const packedCounter = 0;
const doneCounter = 1;

export function emitFilter(context: Context, name: string, kernel: ContractKernel, filter: Filter, schedule: FilterSchedule, cut: SlicesCut | null): Shares {
  const { stencil, lines, lines: [{ size: height }, { size: width }] } = filter;
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

  const band = bandOfOperand(filter, pieces, true, K);
  const tilePoints = pointCount(lines);
  // Products of a point are added up as those of more channels.
  const depth = mostSlots(lines) * K;
  const leftStride = 4 * (depth + 4);
  const leftPoint = unevenStride(pieces.tiles * leftStride);
  const weightPoint = unevenStride(roundUp(N, tile.columns) * depth * 4);
  const layout: PointLayout = { point: leftPoint, slot: K * 4, tile: leftStride, channel: (f, c) => f.get(c).i32(2).op(op.i32shl) };
  const productStride = productColumns * 4;
  // Tiles of registers may reach over the last row.
  const productPoint = unevenStride((pieces.tiles + tile.rows) * productStride);
  const resultStride = columnBlock * 4;
  let bytes = 0;
  const area = (size: number): number => { const at = bytes; bytes = roundUp(bytes + size, 64); return at; };
  const bandAt = area(bandBytes(band));
  const betweenAt = area(betweenBytes(filter));
  const leftAt = area(tilePoints * leftPoint + tile.rows * leftStride);
  const productAt = area(tilePoints * productPoint);
  const resultAt = area(pieces.pictures * pieces.height * pieces.width * resultStride);
  context.needs.scratch = Math.max(context.needs.scratch, bytes + 1024);
  context.needs.partials = Math.max(context.needs.partials, tilePoints * weightPoint);

  taskFunction(context, name, ({ f, task, scratch }) => {
    const v = (): Local => f.local(I32);
    f.get(task).i32(packTasks).op(op.i32ltS).if(() => {
      mapWeights(context, kernel, filter, { panelColumns: tile.columns, point: weightPoint, taps: bandAt, between: betweenAt }, new Expressions(f, new Graph(), context.math), task, scratch);
      arrive(context, f, packedCounter);
    }, () => {
      const own = v();
      const [lb, r0, r1, c0, c1, key, picture, pictureEnd, firstRow, pictureCount, firstPicture, spanEnd, end] = [v(), v(), v(), v(), v(), v(), v(), v(), v(), v(), v(), v(), v()];
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
      findPiece(f, pieces, () => f.get(spanEnd), { picture, pictureEnd, pictures: pictureCount, firstRow });
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
      const maps = new LinearMaps(f, context.relaxed, matricesOf(filter));
      const [bandStart, between] = [at(bandAt), at(betweenAt)];
      const pictureNode = variable(pictures);
      /** Where each segment of what lies in rows begins. */
      const segmentsAt = (start: number, stride: number): Local[] => pieces.segments.map(({ before }) => {
        const local = v();
        f.get(scratch).i32(start).op(op.i32add).get(pictureCount).i32(before * stride).op(op.i32mul).op(op.i32add).set(local);
        return local;
      });
      const targets = segmentsAt(leftAt, leftStride);
      const dataAxes = axesAt((axes) => decodeGroup(graph, pictureAxes, all, pictureNode, axes));
      const data = { value: stencil.data, channels: filter.dataChannels, shifted: true };
      e.loop(pictureNode, picture, () => f.get(pictureEnd), 1, [], () => mapOperand(e, context, kernel, filter, pieces, maps, {
        operand: data, band, layout, axes: dataAxes, firstRow, firstChannel: graph.int(0), pushBegin: () => f.i32(0), pushEnd: () => f.i32(K), pushCount: () => f.i32(K),
        bandNode: graph.linear([[scratchNode, 1]], bandAt), bandStart, between, targets,
      }));

      // Point by point.
      awaitAll(context, f, packedCounter, packTasks);
      const [column, columns, left, right, product, k0, k1, length, rowCount] = [v(), v(), v(), v(), v(), v(), v(), v(), v()];
      const [fromLeft, fromRight] = [v(), v()];
      f.i32(0).set(column);
      f.count(column, () => f.get(c1).get(c0).op(op.i32sub), productColumns, () => {
        f.get(c1).get(c0).op(op.i32sub).get(column).op(op.i32sub);
        limit(columns, productColumns);
        forEachPoint(f, filter, pieces, pictureCount, ({ point, slots, begin, end }) => {
          f.get(scratch).i32(leftAt).op(op.i32add).get(point).i32(leftPoint).op(op.i32mul).op(op.i32add).get(begin).i32(leftStride).op(op.i32mul).op(op.i32add).set(left);
          f.get(scratch).i32(productAt).op(op.i32add).get(point).i32(productPoint).op(op.i32mul).op(op.i32add).get(begin).i32(productStride).op(op.i32mul).op(op.i32add).set(product);
          f.get(c0).get(column).op(op.i32add).i32(depth * 4).op(op.i32mul).i32(context.partialsBase).op(op.i32add).get(point).i32(weightPoint).op(op.i32mul).op(op.i32add).set(right);
          f.get(end).get(begin).op(op.i32sub).set(rowCount);
          f.get(slots).i32(K).op(op.i32mul).set(k1);
          f.i32(0).set(k0);
          f.count(k0, () => f.get(k1), depthBlock, () => {
            f.get(k1).get(k0).op(op.i32sub);
            limit(length, depthBlock);
            f.get(left).get(k0).i32(4).op(op.i32mul).op(op.i32add).set(fromLeft);
            f.get(right).get(k0).i32(tile.columns * 4).op(op.i32mul).op(op.i32add).set(fromRight);
            emitPanelProduct(f, {
              tile, leftStride, resultStride: productStride, depth, left: fromLeft, right: fromRight, result: product, relaxed: context.relaxed,
              pushRows: () => f.get(rowCount), pushColumns: () => f.get(columns), pushDepth: () => f.get(length), pushAdd: () => f.get(k0),
            });
          });
        });
        // Back to positions.
        const from = segmentsAt(productAt, productStride);
        pieces.segments.forEach((segment, n) => {
          const [p, row, tileAcross, c, at, to, source, target] = [v(), v(), v(), v(), v(), v(), v(), v()];
          const place = (r: number, q: number): number => (r * width + q) * resultStride;
          f.i32(0).set(p);
          f.count(p, () => f.get(pictureCount), 1, () => {
            f.get(p).i32(place(pieces.height, 0)).op(op.i32mul).get(column).i32(4).op(op.i32mul).op(op.i32add).get(scratch).op(op.i32add).i32(resultAt + place(segment.down.first, segment.across.first)).op(op.i32add).set(at);
            f.i32(0).set(row);
            f.count(row, () => f.i32(segment.rows), 1, () => {
              f.get(at).set(to);
              f.i32(0).set(tileAcross);
              f.count(tileAcross, () => f.i32(segment.across.count), 1, () => {
                f.get(from[n]).set(source).get(to).set(target);
                f.i32(0).set(c);
                f.count(c, () => f.get(columns), 4, () => {
                  maps.square(segment.down.output, segment.across.output,
                    { base: source, at: (i, j) => (segment.down.points[i] * lines[1].points + segment.across.points[j]) * productPoint }, { base: target, at: place }, between);
                  f.get(source).i32(16).op(op.i32add).set(source).get(target).i32(16).op(op.i32add).set(target);
                });
                f.get(from[n]).i32(productStride).op(op.i32add).set(from[n]);
                f.get(to).i32(place(0, segment.across.results)).op(op.i32add).set(to);
              });
              f.get(at).i32(place(segment.down.results, 0)).op(op.i32add).set(at);
            });
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
        const address = graph.linear([[scratchNode, 1], [r, resultStride], [first, -resultStride], [columnNode, 4], [firstColumn, -4]], resultAt);
        emitEpilogue(e, context, kernel, { variable: r, begin: r0, end: r1 }, { variable: columnNode, begin: c0, end: c1 }, axes, address);
      });
      whenLast(context, f, () => f.i32(doneCounter), tasks, () => f.i32(context.countersBase + 4 * packedCounter).i32(0).atomicStore());
    });
  });
  return { tasks: packTasks + tasks, ahead: packTasks, each: rowTasks * columnTasks, last: last * columnTasks, spans };
}

/** Where mapped weights lie: columns of a panel, bytes between points; and memory of a worker's own for taps, and for maps of them. */
interface WeightLayout {
  readonly panelColumns: number;
  readonly point: number;
  readonly taps: number;
  readonly between: number;
}

/** One of the first tasks: some columns of the weights become their points, in panels. */
function mapWeights(context: Context, kernel: ContractKernel, filter: Filter, layout: WeightLayout, e: Expressions, task: Local, scratch: Local): void {
  const { f, graph } = e;
  const all = [...kernel.extents, ...kernel.reduceExtents];
  const { lines, lines: [down, across] } = filter;
  const [N, K] = [sizeAlong(filter.otherChannels, all), sizeAlong(filter.dataChannels, all)];
  const maps = new LinearMaps(f, context.relaxed, [down.kernel, across.kernel]);
  const [c, k] = [graph.variable('i32', 0, N - 1), graph.variable('i32', 0, K - 1)];
  const weights = Array.from({ length: tapsOf(lines) }, (_, n) => {
    const axes = all.map(() => graph.int(0));
    decodeGroup(graph, filter.otherChannels, all, c, axes);
    decodeGroup(graph, filter.dataChannels, all, k, axes);
    filter.stencil.reaches.forEach(({ tap, sign }, d) => {
      const at = d === 0 ? Math.floor(n / across.taps) : n % across.taps;
      // Read at position - tap, the last tap comes first.
      if (tap !== null) axes[tap] = graph.int(sign > 0 ? at : lines[d].taps - 1 - at);
    });
    return lowerScalar(graph, context.memory, { axes, accumulators: [] }, filter.stencil.other);
  });
  const width = graph.int(layout.panelColumns);
  const row = layout.panelColumns * 4;
  const address = graph.linear([[graph.binary('idiv', 'i32', c, width), mostSlots(lines) * K * row], [k, row], [graph.binary('mod', 'i32', c, width), 4]], context.partialsBase);
  const roots = [...weights, address];
  const [lc, lk, end, from, to, between] = [f.local(I32), f.local(I32), f.local(I32), f.local(I32), f.local(I32), f.local(I32)];
  f.get(scratch).i32(layout.taps).op(op.i32add).set(from).get(scratch).i32(layout.between).op(op.i32add).set(between);
  f.get(task).i32(packColumns).op(op.i32mul).tee(lc).i32(packColumns).op(op.i32add).tee(end).i32(N).get(end).i32(N).op(op.i32ltS).op(op.select).set(end);
  e.lanesAlong(c);
  e.loop(c, lc, () => f.get(end), 4, roots, () => {
    f.i32(0).set(lk);
    e.loop(k, lk, () => f.i32(K), 1, roots, () => {
      e.scalar(address);
      f.set(to);
      weights.forEach((weight, n) => {
        f.get(from);
        e.vector(weight);
        f.storeV(16 * n);
      });
      maps.square(down.kernel, across.kernel, { base: from, at: (i, j) => 16 * (i * across.taps + j) }, { base: to, at: placesOfProducts(lines, { point: layout.point, slot: K * row }) }, between);
    });
  });
  e.lanesAlong(null);
}
