/**
 * The data side of minimal filtering: a band of tiles of one picture is copied into the worker's memory, whatever expression it
 * is and with what a border makes of positions outside, and every tile becomes its 36 points, channel by channel.
 */
import type { FunctionBuilder, Local } from './binary.js';
import { I32, op, simd } from './binary.js';
import type { Expressions } from './expressions.js';
import type { Node } from './graph.js';
import type { LinearMaps, Matrix } from './linear-maps.js';
import type { Filter } from './minimal-filter.js';
import { tileResults } from './minimal-filter.js';
import { pack, roundUp } from './panels.js';

/** Bytes between neighbours that are a cache line off even multiples: what is read or written together then lies in different sets. */
export const unevenStride = (bytes: number): number => roundUp(bytes, 128) + 64;

/** How pictures are cut into pieces: a band of whole rows of tiles each, or several pictures whole. */
export interface Pieces {
  /** Bands of a picture; where there is one, `pictures` of them are a piece. */
  readonly bands: number;
  readonly pictures: number;
  readonly count: number;
  /** Rows of tiles of a band, tiles of a piece at most, and positions of a band with those that fill up its tiles. */
  readonly bandTiles: number;
  readonly tiles: number;
  readonly height: number;
  readonly width: number;
}

/** Pieces of about so many tiles. A picture whose last tiles are not whole is not cut. */
export function cutPieces({ positions: [height], tiles: [down, across] }: Filter, pictures: number, wanted: number): Pieces {
  const perPicture = down * across;
  const bands = perPicture > wanted && height % tileResults === 0 ? down / largestDivisor(down, Math.max(1, Math.floor(wanted / across))) : 1;
  const together = bands > 1 ? 1 : Math.max(1, Math.min(pictures, Math.floor(wanted / perPicture)));
  const bandTiles = down / bands;
  return {
    bands, pictures: together, count: bands > 1 ? pictures * bands : Math.ceil(pictures / together),
    bandTiles, tiles: together * bandTiles * across, height: bandTiles * tileResults, width: across * tileResults,
  };
}

/** The pictures of a piece, the first row of its band, and how many tiles it has, in locals. */
export interface PieceLocals {
  readonly picture: Local;
  readonly pictureEnd: Local;
  readonly firstRow: Local;
  readonly tiles: Local;
}

/** Finds them from the number of the piece in `picture`, before the picture that `pushLimit` pushes the number of. */
export function findPiece(f: FunctionBuilder, cut: Pieces, pushLimit: () => void, { picture, pictureEnd, firstRow, tiles }: PieceLocals): void {
  if (cut.bands > 1) {
    f.get(picture).i32(cut.bands).op(op.i32remU).i32(cut.height).op(op.i32mul).set(firstRow);
    f.get(picture).i32(cut.bands).op(op.i32divU).tee(picture).i32(1).op(op.i32add).set(pictureEnd);
  } else {
    f.i32(0).set(firstRow);
    f.get(picture).i32(cut.pictures).op(op.i32mul).tee(picture).i32(cut.pictures).op(op.i32add).tee(pictureEnd);
    pushLimit();
    f.get(pictureEnd);
    pushLimit();
    f.op(op.i32ltS).op(op.select).set(pictureEnd);
  }
  f.get(pictureEnd).get(picture).op(op.i32sub).i32(cut.tiles / cut.pictures).op(op.i32mul).set(tiles);
}

/** The largest divisor of `n` that is at most `most`. */
function largestDivisor(n: number, most: number): number {
  for (let d = Math.min(n, most); d > 1; d--) if (n % d === 0) return d;
  return 1;
}

/** A copied band: `rows` x `columns` positions of `channels`. */
export interface Band {
  readonly rows: number;
  readonly columns: number;
  readonly channels: number;
  /** Bytes between neighbouring positions. */
  readonly stride: number;
}

export const bandOf = (rows: number, columns: number, channels: number): Band => ({ rows, columns, channels, stride: unevenStride(4 * channels) });
export const bandBytes = (b: Band): number => b.rows * b.columns * b.stride;

/** Variables of a copy, made by the caller in this order: the band's first row, then row, column and channel. */
export interface BandVariables {
  readonly firstRow: Node;
  readonly row: Node;
  readonly column: Node;
  readonly channel: Node;
}

/** Copies `value` to `target`; `firstRow` is bound, and in `begin`. Channels run from those in `channelBegin` to `channelEnd`. */
export function copyBand(e: Expressions, band: Band, value: Node, v: BandVariables, target: Node, begin: Local, channelOrigin: Node, channelBegin: () => void, channelEnd: () => void): void {
  const { f, graph } = e;
  const address = graph.linear([[target, 1], [v.row, band.columns * band.stride], [v.firstRow, -band.columns * band.stride], [v.column, band.stride], [v.channel, 4], [channelOrigin, -4]]);
  const [row, end] = [f.local(I32), f.local(I32)];
  f.get(begin).tee(row).i32(band.rows).op(op.i32add).set(end);
  e.loop(v.row, row, () => f.get(end), 1, [value, address], () => pack(e, value, address,
    { variable: v.column, local: f.local(I32), extent: band.columns, begin: () => f.i32(0), pushEnd: () => f.i32(band.columns) },
    { variable: v.channel, local: f.local(I32), extent: band.channels, begin: channelBegin, pushEnd: channelEnd }));
}

/** How the points of tiles lie: `point` bytes between points, `tile` between tiles, and what four channels further on are. */
export interface PointLayout {
  readonly point: number;
  readonly tile: number;
  /** Pushes the byte offset of the channel in a local, a multiple of four. */
  readonly channel: (f: FunctionBuilder, channel: Local) => void;
}

/**
 * Maps every square of positions in a band by `matrix`, a tile every `step` positions, to points from the address in
 * `target` on, which is left behind the last tile. `pushChannels` pushes the number of channels.
 */
export function mapTiles(f: FunctionBuilder, maps: LinearMaps, matrix: Matrix, band: Band, source: Local, tiles: readonly [number, number], step: number, layout: PointLayout, target: Local, pushChannels: () => void): void {
  const v = (): Local => f.local(I32);
  const [down, across, channel, row, from, to] = [v(), v(), v(), v(), v(), v()];
  f.get(source).set(row);
  f.i32(0).set(down);
  f.count(down, () => f.i32(tiles[0]), 1, () => {
    const tile = f.local(I32);
    f.get(row).set(tile);
    f.i32(0).set(across);
    f.count(across, () => f.i32(tiles[1]), 1, () => {
      f.get(tile).set(from);
      f.i32(0).set(channel);
      f.count(channel, pushChannels, 4, () => {
        f.get(target);
        layout.channel(f, channel);
        f.op(op.i32add).set(to);
        maps.both(matrix,
          (r, c) => f.get(from).loadV(simd.load, (r * band.columns + c) * band.stride),
          (r, c, value) => f.get(to).get(value).storeV((r * matrix.length + c) * layout.point));
        f.get(from).i32(16).op(op.i32add).set(from);
      });
      f.get(target).i32(layout.tile).op(op.i32add).set(target);
      f.get(tile).i32(step * band.stride).op(op.i32add).set(tile);
    });
    f.get(row).i32(step * band.columns * band.stride).op(op.i32add).set(row);
  });
}
