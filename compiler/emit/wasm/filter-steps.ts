/**
 * What tasks of a filtered convolution do, in an order that `emit-filter.ts` decides: they find the pictures and columns that they are
 * at, map data and weights to points, multiply point by point, and map the products back to positions.
 */
import type { ContractKernel } from '../../fuse/kernel.js';
import { loopExtents } from '../../fuse/inline-maps.js';
import { sizeAlong } from '../../tensor/program.js';
import type { Local } from './binary.js';
import { I32, op } from './binary.js';
import type { Context, TaskFunction } from './context.js';
import { emitEpilogue } from './emit-epilogue.js';
import { Expressions } from './expressions.js';
import type { FilterLayout } from './filter-layout.js';
import { mapOperand, matricesOf } from './filter-operand.js';
import { forEachPoint } from './filter-points.js';
import { Graph } from './graph.js';
import type { Node } from './graph.js';
import { LinearMaps } from './linear-maps.js';
import { mapWeights } from './map-weights.js';
import type { Filter } from './minimal-filter.js';
import { decodeGroup } from './nest.js';
import { emitPanelProduct } from './panels.js';
import { findPiece } from './tile-data.js';

const depthBlock = 512;

export interface FilterSteps {
  /** The first column of the block, and what pushes its end. */
  readonly firstColumn: Local;
  readonly pushColumnEnd: () => void;
  /** Pushes where the worker's own points begin. */
  readonly pushOwn: () => void;
  /** Goes to a block of columns. */
  readonly setColumns: (block: Local) => void;
  /** Goes to the pictures of a span, of so many spans of what tasks keep apart. */
  readonly setSpan: (number: Local) => void;
  /** Goes to a piece of the span. */
  readonly setPiece: (piece: Local) => void;
  /** Maps the data of the piece to where `pushLeft` says. */
  readonly mapData: (pushLeft: () => void) => void;
  /** Maps the weights of some columns, to the worker's own panels, which begin with those of the block, or to the shared ones, of all columns. */
  readonly mapWeights: (from: Local, pushEnd: () => void, own: boolean) => void;
  /** Multiplies the piece's points with those of the block of columns, maps the products back and ends as any product does. */
  readonly multiply: (pushLeft: () => void, pushRight: () => void) => void;
}

export function filterSteps(context: Context, kernel: ContractKernel, filter: Filter, layout: FilterLayout, { f, scratch }: TaskFunction): FilterSteps {
  const { stencil, lines, lines: [{ size: height }, { size: width }] } = filter;
  const [down, across] = stencil.reaches;
  const all = loopExtents(kernel);
  const { pictureAxes, lead, span, spans, pieces, rowsOfTask, tile, columnBlock, productColumns } = layout;
  const { band, depth, leftStride, leftPoint, weightPoint, productStride, productPoint, resultStride, bandAt, betweenAt, ownAt, productAt, resultAt } = layout;
  const rowAxes = [...pictureAxes, down.position, across.position];
  const [B, pictures, N, K] = [lead, pictureAxes, filter.otherChannels, filter.dataChannels].map((axes) => sizeAlong(axes, all));
  const M = pictures * height * width;
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
  const pushOwn = (): void => { f.get(scratch).i32(ownAt).op(op.i32add); };
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
    firstColumn: c0,
    pushColumnEnd: (): void => { f.get(c1); },
    pushOwn,
    setColumns: (block: Local): void => {
      f.get(block).i32(columnBlock).op(op.i32mul).tee(c0).i32(columnBlock).op(op.i32add);
      limit(c1, N);
    },
    setSpan: (number: Local): void => {
      f.get(number).i32(spans).op(op.i32remU).i32(span).op(op.i32mul).set(firstPicture);
      f.get(number).i32(spans).op(op.i32divU).set(lb);
      f.get(firstPicture).i32(span).op(op.i32add);
      limit(spanEnd, pictures);
      f.get(spanEnd).get(firstPicture).op(op.i32sub).set(spanEnd);
    },
    setPiece: (piece: Local): void => {
      f.get(piece).tee(picture).i32(rowsOfTask).op(op.i32mul).set(r0);
      findPiece(f, pieces, () => f.get(spanEnd), { picture, pictureEnd, pictures: pictureCount, firstRow });
      f.get(r0).i32(rowsOfTask).op(op.i32add).tee(r1).get(spanEnd).i32(height * width).op(op.i32mul).tee(end).get(r1).get(end).op(op.i32ltS).op(op.select).set(r1);
      f.get(firstPicture).i32(height * width).op(op.i32mul).tee(end).get(r0).op(op.i32add).set(r0);
      f.get(end).get(r1).op(op.i32add).set(r1);
      f.get(picture).get(firstPicture).op(op.i32add).set(picture);
      f.get(pictureEnd).get(firstPicture).op(op.i32add).set(pictureEnd);
    },
    mapData: (pushLeft: () => void): void => {
      const pictureNode = variable(pictures);
      const targets = segmentsAt(pushLeft, leftStride);
      const dataAxes = axesAt((axes) => decodeGroup(graph, pictureAxes, all, pictureNode, axes));
      const data = { value: stencil.data, channels: filter.dataChannels, shifted: true };
      e.loop(pictureNode, picture, () => f.get(pictureEnd), 1, [], () => mapOperand(e, context, kernel, filter, pieces, maps, {
        operand: data, band, layout: layout.left, axes: dataAxes, firstRow, firstChannel: graph.int(0), pushBegin: () => f.i32(0), pushEnd: () => f.i32(K), pushCount: () => f.i32(K),
        bandNode: graph.linear([[scratchNode, 1]], bandAt), bandStart, between, targets,
      }));
    },
    mapWeights: (from: Local, pushEnd: () => void, own: boolean): void => {
      const panelColumns = graph.int(tile.columns);
      const panel = (c: Node): Node => graph.binary('idiv', 'i32', c, panelColumns);
      const base = (c: Node, ofPanel: number): Node => (own ? graph.linear([[scratchNode, 1], [panel(c), ofPanel], [panel(firstColumn), -ofPanel]], ownAt) : graph.linear([[panel(c), ofPanel]], context.partialsBase));
      mapWeights(context, kernel, filter, { panelColumns: tile.columns, point: weightPoint, taps: bandAt, between: betweenAt }, e, { from, pushEnd, base }, scratch);
    },
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
}
