/** An operand of a minimal filter: a band of a picture is copied, and its tiles become points (`tile-data.ts`). */
import { loopExtents } from '../../fuse/inline-maps.js';
import type { ContractKernel } from '../../fuse/kernel.js';
import { sizeAlong } from '../../tensor/program.js';
import type { Scalar } from '../../tensor/scalar.js';
import type { Local } from './binary.js';
import { I32, op } from './binary.js';
import type { Context } from './context.js';
import type { Expressions } from './expressions.js';
import { amongOf, placesOfProducts } from './filter-points.js';
import type { Node } from './graph.js';
import type { LinearMaps, Matrix } from './linear-maps.js';
import { transpose } from './linear-maps.js';
import { lowerScalar } from './lower-scalar.js';
import type { Filter } from './minimal-filter.js';
import { decodeGroup } from './nest.js';
import type { Band, Pieces, TileLayout } from './tile-data.js';
import { bandOf, copyBand, mapTiles } from './tile-data.js';

/** What is particular to an operand: what it is, its channels, and whether it is read at shifted positions. */
export interface Operand {
  readonly value: Scalar;
  readonly channels: readonly number[];
  readonly shifted: boolean;
}

/** Where the points of its tiles lie: bytes between points, and between what is added up at a point. */
export interface PointLayout extends TileLayout {
  readonly point: number;
  readonly slot: number;
}

/** The band of a piece: the inputs of its results, or as many as they are. */
export function bandOfOperand({ lines: [down, across] }: Filter, { height, width }: Pieces, shifted: boolean, channels: number): Band {
  return shifted ? bandOf((height - 1) * down.stride + down.taps, (width - 1) * across.stride + across.taps, channels) : bandOf(height, width, channels);
}

/** The matrices of a filter's tiles, but those of the taps. */
export const matricesOf = ({ lines }: Filter): readonly Matrix[] => lines.flatMap((line) => line.tiles.flatMap((t) => [t.input, t.output]));

/** Bytes that maps of any squares of the filter need in between. */
export function betweenBytes({ lines: [down, across] }: Filter): number {
  const most = (sizes: readonly number[]): number => sizes.reduce((a, b) => Math.max(a, b), 0);
  return 16 * most([down.taps, down.products.length]) * most([across.taps, across.products.length, ...across.tiles.map((t) => t.inputs)]);
}

export interface OperandMap {
  readonly operand: Operand;
  readonly band: Band;
  readonly layout: PointLayout;
  /** Variables of what tasks do not mix and of a picture, bound, for all axes that they decide. */
  readonly axes: readonly Node[];
  /** The first row of results of the band. */
  readonly firstRow: Local;
  /** A range of channels, the first of them also as a node. */
  readonly firstChannel: Node;
  readonly pushBegin: () => void;
  readonly pushEnd: () => void;
  readonly pushCount: () => void;
  /** The worker's memory for the band, also as a node, and for what maps need in between; and the next tile of every segment. */
  readonly bandNode: Node;
  readonly bandStart: Local;
  readonly between: Local;
  readonly targets: readonly Local[];
}

/** Copies a picture's band, and maps its tiles. */
export function mapOperand(e: Expressions, context: Context, kernel: ContractKernel, filter: Filter, { segments }: Pieces, maps: LinearMaps, o: OperandMap): void {
  const { f, graph } = e;
  const { lines } = filter;
  const { operand: { value, channels, shifted }, band, layout } = o;
  const all = loopExtents(kernel);
  const variable = (size: number): Node => graph.variable('i32', 0, size - 1);
  const [{ stride: strideDown, size, taps }, { stride: strideAcross }] = lines;
  const rows = shifted ? (size - 1) * strideDown + taps : size;
  e.scope(() => {
    const variables = { firstRow: variable(rows), row: variable(rows), column: variable(band.columns), channel: variable(sizeAlong(channels, all)) };
    const axes = [...o.axes];
    decodeGroup(graph, channels, all, variables.channel, axes);
    filter.stencil.reaches.forEach(({ position, tap, sign }, d) => {
      const at = d === 0 ? variables.row : variables.column;
      // The shifted operand depends on stride * position + sign * tap alone: some tap of the first position is at any place.
      if (!shifted || tap === null) axes[position] = at;
      else axes[tap] = sign > 0 ? at : graph.linear([[at, -1]], lines[d].taps - 1);
    });
    const first = f.local(I32);
    f.get(o.firstRow).i32(shifted ? strideDown : 1).op(op.i32mul).set(first);
    e.bind(variables.firstRow, first);
    copyBand(e, band, lowerScalar(graph, context.memory, { axes, accumulators: [] }, value), variables, o.bandNode, first, o.firstChannel, o.pushBegin, o.pushEnd);
    e.unbind(variables.firstRow);
  });
  const places = placesOfProducts(lines, layout);
  const points = (d: number, a: number): number => (d * lines[1].points + a) * layout.point;
  segments.forEach((segment, n) => {
    const { down, across } = segment;
    mapTiles(f, maps, segment, {
      down: shifted ? down.input : transpose(down.output), across: shifted ? across.input : transpose(across.output),
      stepDown: down.results * (shifted ? strideDown : 1), stepAcross: across.results * (shifted ? strideAcross : 1),
      at: shifted ? amongOf(places, down.products, across.products) : amongOf(points, down.points, across.points),
    }, band, o.bandStart, layout, o.targets[n], o.between, o.pushCount);
  });
}
