/**
 * The data side of minimal filtering: a band of tiles of one picture is copied into the worker's memory, whatever expression it
 * is and with what a border makes of positions outside, and every tile becomes its points, channel by channel.
 */
import type { FunctionBuilder, Local } from './binary.js';
import { I32, op } from './binary.js';
import type { Expressions } from './expressions.js';
import type { Node } from './graph.js';
import type { LineTile } from './line-filter.js';
import { tilesOfLine } from './line-filter.js';
import type { LinearMaps, Matrix, Square } from './linear-maps.js';
import type { Filter } from './minimal-filter.js';
import { pack, roundUp } from './panels.js';

/** Bytes between neighbours that are a cache line off even multiples: what is read or written together then lies in different sets. */
export const unevenStride = (bytes: number): number => roundUp(bytes, 128) + 64;

/** How pictures are cut into pieces: a band of whole rows of tiles each, or several pictures whole. */
export interface Pieces {
  /** Bands of a picture; where there is one, `pictures` of them are a piece. */
  readonly bands: number;
  readonly pictures: number;
  readonly count: number;
  /** Tiles of a piece at most, and results of a band. */
  readonly tiles: number;
  readonly height: number;
  readonly width: number;
  readonly segments: readonly Segment[];
}

/**
 * The tiles of one size, which lie together for all pictures of a piece. Tiles lower than others come first, those narrower last:
 * what has a point, which lower or narrower ones may not have, then lies together too.
 */
export interface Segment {
  readonly down: LineTile;
  readonly across: LineTile;
  /** Rows of tiles in a band. */
  readonly rows: number;
  /** Tiles of a picture in the segments before, and in this one. */
  readonly before: number;
  readonly tiles: number;
}

/** Pieces of about so many tiles. A picture whose last tiles are smaller is not cut. */
export function cutPieces({ lines: [down, across] }: Filter, pictures: number, wanted: number): Pieces {
  const [tilesDown, tilesAcross] = [tilesOfLine(down), tilesOfLine(across)];
  const perPicture = tilesDown * tilesAcross;
  const bands = perPicture > wanted && down.tiles.length === 1 ? tilesDown / largestDivisor(tilesDown, Math.max(1, Math.floor(wanted / tilesAcross))) : 1;
  const together = bands > 1 ? 1 : Math.max(1, Math.min(pictures, Math.floor(wanted / perPicture)));
  const [whole, lower] = down.tiles;
  const [wide, narrow] = across.tiles;
  const segments: Segment[] = [];
  for (const [d, a] of [[lower, wide], [whole, wide], [whole, narrow], [lower, narrow]] as const) {
    if (d === undefined || a === undefined) continue;
    const rows = d.count / bands;
    segments.push({ down: d, across: a, rows, tiles: rows * a.count, before: segments.reduce((n, s) => n + s.tiles, 0) });
  }
  return {
    bands, pictures: together, count: bands > 1 ? pictures * bands : Math.ceil(pictures / together),
    tiles: together * perPicture / bands, height: down.size / bands, width: across.size, segments,
  };
}

/** The pictures of a piece, how many there are, and the first row of its band, in locals. */
export interface PieceLocals {
  readonly picture: Local;
  readonly pictureEnd: Local;
  readonly pictures: Local;
  readonly firstRow: Local;
}

/** Finds them from the number of the piece in `picture`, before the picture that `pushLimit` pushes the number of. */
export function findPiece(f: FunctionBuilder, cut: Pieces, pushLimit: () => void, { picture, pictureEnd, pictures, firstRow }: PieceLocals): void {
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
  f.get(pictureEnd).get(picture).op(op.i32sub).set(pictures);
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

/** Variables of a copy, made by the caller in this order: the band's first row of data, then row, column and channel. */
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

/** What becomes of the tiles of a segment: maps of columns and rows, positions from one tile to the next, and where what they make lies from a tile's address on. */
export interface TileMap {
  readonly down: Matrix;
  readonly across: Matrix;
  readonly stepDown: number;
  readonly stepAcross: number;
  readonly at: Square['at'];
}

/** Where mapped tiles lie: bytes from one to the next, and what four channels further on are. */
export interface TileLayout {
  readonly tile: number;
  /** Pushes the byte offset of the channel in a local, a multiple of four. */
  readonly channel: (f: FunctionBuilder, channel: Local) => void;
}

/** Maps the tiles of a segment in a band to the address in `target`, which is left behind the last tile. `pushChannels` pushes the number of channels. */
export function mapTiles(f: FunctionBuilder, maps: LinearMaps, segment: Segment, map: TileMap, band: Band, source: Local, layout: TileLayout, target: Local, between: Local, pushChannels: () => void): void {
  const v = (): Local => f.local(I32);
  const [down, across, channel, row, from, to] = [v(), v(), v(), v(), v(), v()];
  const position = (r: number, c: number): number => (r * band.columns + c) * band.stride;
  const { stepDown, stepAcross } = map;
  f.get(source).i32(position(stepDown / segment.down.results * segment.down.first, stepAcross / segment.across.results * segment.across.first)).op(op.i32add).set(row);
  f.i32(0).set(down);
  f.count(down, () => f.i32(segment.rows), 1, () => {
    const tile = f.local(I32);
    f.get(row).set(tile);
    f.i32(0).set(across);
    f.count(across, () => f.i32(segment.across.count), 1, () => {
      f.get(tile).set(from);
      f.i32(0).set(channel);
      f.count(channel, pushChannels, 4, () => {
        f.get(target);
        layout.channel(f, channel);
        f.op(op.i32add).set(to);
        maps.square(map.down, map.across, { base: from, at: position }, { base: to, at: map.at }, between);
        f.get(from).i32(16).op(op.i32add).set(from);
      });
      f.get(target).i32(layout.tile).op(op.i32add).set(target);
      f.get(tile).i32(position(0, stepAcross)).op(op.i32add).set(tile);
    });
    f.get(row).i32(position(stepDown, 0)).op(op.i32add).set(row);
  });
}
