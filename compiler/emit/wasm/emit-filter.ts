/**
 * Convolutions by minimal filtering (`minimal-filter.ts`). The first tasks map the weights to their points, once for all, in
 * panels in shared memory; every other task has some bands of tiles: it maps their data, multiplies point by point, and maps the
 * products back to positions, whose sums go the way of any product's.
 *
 * Where the weights' points would not stay in the cache it is the other way round: the first tasks of a group of pieces map its data, and every
 * other task has some columns, whose weights it maps for itself and multiplies with all of the group.
 */
import type { ContractKernel } from '../../fuse/kernel.js';
import { sizeAlong } from '../../tensor/program.js';
import type { FunctionBuilder, Local } from './binary.js';
import { I32, op } from './binary.js';
import type { Context, TaskFunction } from './context.js';
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

/** Counters of a launch: tasks that have mapped weights, tasks that are done with them, and of each group those that have mapped data. */
const packedCounter = 0;
const doneCounter = 1;
const firstGroup = 2;

export function emitFilter(context: Context, name: string, kernel: ContractKernel, filter: Filter, schedule: FilterSchedule, cut: SlicesCut | null): Shares {
  const { stencil, lines, lines: [{ size: height }, { size: width }] } = filter;
  const [down, across] = stencil.reaches;
  const all = [...kernel.extents, ...kernel.reduceExtents];
  const { pictureAxes, lead, span, spans, pieces, rowsOfTask, tile, columnBlock, productColumns, groupPieces } = filterBlocks(kernel, filter, cut, schedule);
  const rowAxes = [...pictureAxes, down.position, across.position];
  const [B, pictures, N, K] = [lead, pictureAxes, filter.otherChannels, filter.dataChannels].map((axes) => sizeAlong(axes, all));
  const M = pictures * height * width;
  const rowTasks = pieces.count;
  const leftOver = pictures - (spans - 1) * span;
  const last = pieces.bands > 1 ? leftOver * pieces.bands : Math.ceil(leftOver / pieces.pictures);
  const columnTasks = Math.ceil(N / columnBlock);

  const band = bandOfOperand(filter, pieces, true, K);
  const tilePoints = pointCount(lines);
  // Products of a point are added up as those of more channels.
  const depth = mostSlots(lines) * K;
  const leftStride = 4 * (depth + 4);
  const leftPoint = unevenStride(pieces.tiles * leftStride);
  // Tiles of registers may reach over the last row.
  const leftBytes = roundUp(tilePoints * leftPoint + tile.rows * leftStride, 64);
  const weightPoint = unevenStride(roundUp(groupPieces === null ? N : columnBlock, tile.columns) * depth * 4);
  const layout: PointLayout = { point: leftPoint, slot: K * 4, tile: leftStride, channel: (f, c) => f.get(c).i32(2).op(op.i32shl) };
  const productStride = productColumns * 4;
  const productPoint = unevenStride((pieces.tiles + tile.rows) * productStride);
  const resultStride = columnBlock * 4;
  let bytes = 0;
  const area = (size: number): number => { const at = bytes; bytes = roundUp(bytes + size, 64); return at; };
  const bandAt = area(bandBytes(band));
  const betweenAt = area(betweenBytes(filter));
  // What is not shared of the points of the data and of the weights.
  const ownAt = area(groupPieces === null ? leftBytes : tilePoints * weightPoint);
  const productAt = area(tilePoints * productPoint);
  const resultAt = area(pieces.pictures * pieces.height * pieces.width * resultStride);
  context.needs.scratch = Math.max(context.needs.scratch, bytes + 1024);
  context.needs.partials = Math.max(context.needs.partials, groupPieces === null ? tilePoints * weightPoint : rowTasks * leftBytes);

  /** What a task knows of the pictures and columns it is at, in locals, and the steps that it takes. */
  const stepsOf = ({ f, scratch }: TaskFunction) => {
    const v = (): Local => f.local(I32);
    const [lb, r0, r1, c0, c1, picture, pictureEnd, firstRow, pictureCount, firstPicture, spanEnd, end] = [v(), v(), v(), v(), v(), v(), v(), v(), v(), v(), v(), v()];
    const limit = (target: Local, size: number): void => { f.tee(target).i32(size).get(target).i32(size).op(op.i32ltS).op(op.select).set(target); };
    const graph = new Graph();
    const e = new Expressions(f, graph, context.math);
    const variable = (size: number): Node => graph.variable('i32', 0, Math.max(0, size - 1));
    const [scratchNode, b, firstColumn] = [graph.variable('i32'), variable(B), variable(N)];
    const axesAt = (set: (axes: Node[]) => void): readonly Node[] => {
      const axes = all.map(() => graph.int(0));
      decodeGroup(graph, lead, all, b, axes);
      set(axes);
      return axes;
    };
    const at = (offset: number): Local => {
      const local = v();
      f.get(scratch).i32(offset).op(op.i32add).set(local);
      return local;
    };
    const [bandStart, between] = [at(bandAt), at(betweenAt)];
    e.bind(scratchNode, scratch);
    e.bind(b, lb);
    e.bind(firstColumn, c0);
    const maps = new LinearMaps(f, context.relaxed, matricesOf(filter));
    /** Where each segment of what lies in rows begins, from what `pushStart` pushes. */
    const segmentsAt = (pushStart: () => void, stride: number): Local[] => pieces.segments.map(({ before }) => {
      const local = v();
      pushStart();
      f.get(pictureCount).i32(before * stride).op(op.i32mul).op(op.i32add).set(local);
      return local;
    });
    return {
      c0,
      pushColumnEnd: (): void => { f.get(c1); },
      /** A block of columns. */
      setColumns: (block: Local): void => {
        f.get(block).i32(columnBlock).op(op.i32mul).tee(c0).i32(columnBlock).op(op.i32add);
        limit(c1, N);
      },
      /** The pictures of a span and what tasks keep apart, from the number of the span among all. */
      setSpan: (number: Local): void => {
        f.get(number).i32(spans).op(op.i32remU).i32(span).op(op.i32mul).set(firstPicture);
        f.get(number).i32(spans).op(op.i32divU).set(lb);
        f.get(firstPicture).i32(span).op(op.i32add);
        limit(spanEnd, pictures);
        f.get(spanEnd).get(firstPicture).op(op.i32sub).set(spanEnd);
      },
      /** A piece of the span. */
      setPiece: (piece: Local): void => {
        f.get(piece).tee(picture).i32(rowsOfTask).op(op.i32mul).set(r0);
        findPiece(f, pieces, () => f.get(spanEnd), { picture, pictureEnd, pictures: pictureCount, firstRow });
        f.get(r0).i32(rowsOfTask).op(op.i32add).tee(r1).get(spanEnd).i32(height * width).op(op.i32mul).tee(end).get(r1).get(end).op(op.i32ltS).op(op.select).set(r1);
        f.get(firstPicture).i32(height * width).op(op.i32mul).tee(end).get(r0).op(op.i32add).set(r0);
        f.get(end).get(r1).op(op.i32add).set(r1);
        f.get(picture).get(firstPicture).op(op.i32add).set(picture);
        f.get(pictureEnd).get(firstPicture).op(op.i32add).set(pictureEnd);
      },
      /** Maps the data of the piece to where `pushLeft` says. */
      mapData: (pushLeft: () => void): void => {
        const pictureNode = variable(pictures);
        const targets = segmentsAt(pushLeft, leftStride);
        const dataAxes = axesAt((axes) => decodeGroup(graph, pictureAxes, all, pictureNode, axes));
        const data = { value: stencil.data, channels: filter.dataChannels, shifted: true };
        e.loop(pictureNode, picture, () => f.get(pictureEnd), 1, [], () => mapOperand(e, context, kernel, filter, pieces, maps, {
          operand: data, band, layout, axes: dataAxes, firstRow, firstChannel: graph.int(0), pushBegin: () => f.i32(0), pushEnd: () => f.i32(K), pushCount: () => f.i32(K),
          bandNode: graph.linear([[scratchNode, 1]], bandAt), bandStart, between, targets,
        }));
      },
      /** Maps the weights of some columns, the first of which is in `from`, to panels behind `base`. */
      mapWeights: (from: Local, pushEnd: () => void, base: (column: Node, first: Node, ofColumn: number) => Node): void => {
        mapWeights(context, kernel, filter, { panelColumns: tile.columns, point: weightPoint, taps: bandAt, between: betweenAt }, e, { from, pushEnd, base: (c, ofColumn) => base(c, firstColumn, ofColumn) }, scratch);
      },
      /** The address of the worker's own panels for the task's columns. */
      ownPanel: (c: Node, first: Node, ofColumn: number): Node => graph.linear([[scratchNode, 1], [graph.binary('idiv', 'i32', c, graph.int(tile.columns)), ofColumn], [graph.binary('idiv', 'i32', first, graph.int(tile.columns)), -ofColumn]], ownAt),
      sharedPanel: (c: Node, _first: Node, ofColumn: number): Node => graph.linear([[graph.binary('idiv', 'i32', c, graph.int(tile.columns)), ofColumn]], context.partialsBase),
      /** Multiplies the piece's points with those of the task's columns, maps the products back and ends as any product does. */
      multiply: (pushLeft: () => void, pushRight: () => void): void => {
        const [column, columns, left, right, product, k0, k1, length, rowCount] = [v(), v(), v(), v(), v(), v(), v(), v(), v()];
        const [fromLeft, fromRight] = [v(), v()];
        f.i32(0).set(column);
        f.count(column, () => f.get(c1).get(c0).op(op.i32sub), productColumns, () => {
          f.get(c1).get(c0).op(op.i32sub).get(column).op(op.i32sub);
          limit(columns, productColumns);
          forEachPoint(f, filter, pieces, pictureCount, ({ point, slots, begin, end: pointEnd }) => {
            pushLeft();
            f.get(point).i32(leftPoint).op(op.i32mul).op(op.i32add).get(begin).i32(leftStride).op(op.i32mul).op(op.i32add).set(left);
            f.get(scratch).i32(productAt).op(op.i32add).get(point).i32(productPoint).op(op.i32mul).op(op.i32add).get(begin).i32(productStride).op(op.i32mul).op(op.i32add).set(product);
            pushRight();
            f.get(column).i32(depth * 4).op(op.i32mul).op(op.i32add).get(point).i32(weightPoint).op(op.i32mul).op(op.i32add).set(right);
            f.get(pointEnd).get(begin).op(op.i32sub).set(rowCount);
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
          const from = segmentsAt(() => f.get(scratch).i32(productAt).op(op.i32add), productStride);
          pieces.segments.forEach((segment, n) => {
            const [p, row, tileAcross, c, start, to, source, target] = [v(), v(), v(), v(), v(), v(), v(), v()];
            const place = (r: number, q: number): number => (r * width + q) * resultStride;
            f.i32(0).set(p);
            f.count(p, () => f.get(pictureCount), 1, () => {
              f.get(p).i32(place(pieces.height, 0)).op(op.i32mul).get(column).i32(4).op(op.i32mul).op(op.i32add).get(scratch).op(op.i32add).i32(resultAt + place(segment.down.first, segment.across.first)).op(op.i32add).set(start);
              f.i32(0).set(row);
              f.count(row, () => f.i32(segment.rows), 1, () => {
                f.get(start).set(to);
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
                f.get(start).i32(place(segment.down.results, 0)).op(op.i32add).set(start);
              });
            });
          });
        });
        e.scope(() => {
          const [first, r, columnNode] = [variable(M), variable(M), variable(N)];
          e.bind(first, r0);
          const axes = axesAt((list) => {
            decodeGroup(graph, rowAxes, all, r, list);
            decodeGroup(graph, filter.otherChannels, all, columnNode, list);
          });
          const address = graph.linear([[scratchNode, 1], [r, resultStride], [first, -resultStride], [columnNode, 4], [firstColumn, -4]], resultAt);
          emitEpilogue(e, context, kernel, { variable: r, begin: r0, end: r1 }, { variable: columnNode, begin: c0, end: c1 }, axes, address);
          e.unbind(first);
        });
      },
    };
  };

  const clear = (f: FunctionBuilder, counter: number): void => { f.i32(context.countersBase + 4 * counter).i32(0).atomicStore(); };
  if (groupPieces !== null) {
    // A group after the other, each with a counter of its own: its pieces' data, then the blocks of columns.
    const groups = Math.ceil(rowTasks / groupPieces);
    const groupTasks = groupPieces + columnTasks;
    const packedIn = (group: number): number => firstGroup + group;
    const lastPieces = rowTasks - (groups - 1) * groupPieces;
    taskFunction(context, name, (t) => {
      const { f, task, scratch } = t;
      const v = (): Local => f.local(I32);
      const [group, own, size, zero, piece, pieceEnd, counter] = [v(), v(), v(), v(), v(), v(), v()];
      f.get(task).i32(groupTasks).op(op.i32divU).set(group);
      f.get(task).i32(groupTasks).op(op.i32remU).set(own);
      f.i32(groupPieces).i32(lastPieces).get(group).i32(groups - 1).op(op.i32ltS).op(op.select).set(size);
      f.get(group).i32(groupPieces).op(op.i32mul).tee(piece).get(size).op(op.i32add).set(pieceEnd);
      f.get(group).i32(firstGroup).op(op.i32add).set(counter);
      const pushPoints = (): void => { f.get(piece).i32(leftBytes).op(op.i32mul).i32(context.partialsBase).op(op.i32add); };
      f.get(own).i32(groupPieces).op(op.i32ltS).if(() => {
        f.get(own).get(size).op(op.i32ltS).if(() => {
          const steps = stepsOf(t);
          f.get(piece).get(own).op(op.i32add).set(piece);
          steps.setSpan(zero);
          steps.setPiece(piece);
          steps.mapData(pushPoints);
          arrive(context, f, () => f.get(counter));
        });
      }, () => {
        const steps = stepsOf(t);
        f.get(own).i32(groupPieces).op(op.i32sub).set(own);
        steps.setColumns(own);
        steps.mapWeights(steps.c0, steps.pushColumnEnd, steps.ownPanel);
        steps.setSpan(zero);
        awaitAll(context, f, () => f.get(counter), () => f.get(size));
        f.count(piece, () => f.get(pieceEnd), 1, () => {
          steps.setPiece(piece);
          steps.multiply(pushPoints, () => f.get(scratch).i32(ownAt).op(op.i32add));
        });
        whenLast(context, f, () => f.i32(doneCounter), groups * columnTasks, () => { for (let g = 0; g < groups; g++) clear(f, packedIn(g)); });
      });
    });
    return { tasks: groups * groupTasks, ahead: 0, each: groups * groupTasks, last: groups * groupTasks, spans: 1 };
  }
  const tasks = B * ((spans - 1) * rowTasks + last) * columnTasks;
  const packTasks = Math.ceil(N / packColumns);
  taskFunction(context, name, (t) => {
    const { f, task, scratch } = t;
    const v = (): Local => f.local(I32);
    f.get(task).i32(packTasks).op(op.i32ltS).if(() => {
      const [from, end] = [v(), v()];
      f.get(task).i32(packColumns).op(op.i32mul).tee(from).i32(packColumns).op(op.i32add).tee(end).i32(N).get(end).i32(N).op(op.i32ltS).op(op.select).set(end);
      const steps = stepsOf(t);
      steps.mapWeights(from, () => f.get(end), steps.sharedPanel);
      arrive(context, f, () => f.i32(packedCounter));
    }, () => {
      // task = ((b * spans + span) * column tasks + column task) * row tasks + row task, after those that map weights
      const steps = stepsOf(t);
      const [own, key, number] = [v(), v(), v()];
      f.get(task).i32(packTasks).op(op.i32sub).tee(own).i32(rowTasks).op(op.i32divU).set(key);
      f.get(key).i32(columnTasks).op(op.i32remU).set(number);
      steps.setColumns(number);
      f.get(key).i32(columnTasks).op(op.i32divU).set(number);
      steps.setSpan(number);
      f.get(own).i32(rowTasks).op(op.i32remU).set(own);
      steps.setPiece(own);
      const pushOwn = (): void => { f.get(scratch).i32(ownAt).op(op.i32add); };
      steps.mapData(pushOwn);
      awaitAll(context, f, () => f.i32(packedCounter), () => f.i32(packTasks));
      steps.multiply(pushOwn, () => f.get(steps.c0).i32(depth * 4).op(op.i32mul).i32(context.partialsBase).op(op.i32add));
      whenLast(context, f, () => f.i32(doneCounter), tasks, () => clear(f, packedCounter));
    });
  });
  return { tasks: packTasks + tasks, ahead: packTasks, each: rowTasks * columnTasks, last: last * columnTasks, spans };
}

/** How mapped weights lie: columns of a panel, bytes between points; and memory of a worker's own for taps, and for maps of them. */
interface WeightLayout {
  readonly panelColumns: number;
  readonly point: number;
  readonly taps: number;
  readonly between: number;
}

/** Some columns of the weights, and where their panels lie: of a column, given the bytes from a panel to the next. */
interface WeightColumns {
  readonly from: Local;
  readonly pushEnd: () => void;
  readonly base: (column: Node, ofPanel: number) => Node;
}

/** Some columns of the weights become their points, in panels. */
function mapWeights(context: Context, kernel: ContractKernel, filter: Filter, layout: WeightLayout, e: Expressions, { from: first, pushEnd, base }: WeightColumns, scratch: Local): void {
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
  const address = graph.linear([[base(c, mostSlots(lines) * K * row), 1], [k, row], [graph.binary('mod', 'i32', c, width), 4]]);
  const roots = [...weights, address];
  const [lc, lk, from, to, between] = [f.local(I32), f.local(I32), f.local(I32), f.local(I32), f.local(I32)];
  f.get(scratch).i32(layout.taps).op(op.i32add).set(from).get(scratch).i32(layout.between).op(op.i32add).set(between);
  f.get(first).set(lc);
  e.lanesAlong(c);
  e.loop(c, lc, pushEnd, 4, roots, () => {
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
