/** The points of a minimal filter as loops over its two lines: which tiles of a piece have each, and how many products are added up there. */
import type { FunctionBuilder, Local } from './binary.js';
import { I32, op } from './binary.js';
import type { LineFilter, LineTile } from './line-filter.js';
import { slotsAt } from './line-filter.js';
import type { Square } from './linear-maps.js';
import type { Filter } from './minimal-filter.js';
import type { Pieces } from './tile-data.js';

export const pointCount = ([down, across]: Filter['lines']): number => down.points * across.points;
/** Products of a point at most. */
export const mostSlots = ([down, across]: Filter['lines']): number => down.slots * across.slots;

/** Where products of the lines lie when points are `point` bytes apart and those of a point, all there are one after the other, `slot` bytes. */
export function placesOfProducts([down, across]: Filter['lines'], strides: { readonly point: number; readonly slot: number }): Square['at'] {
  return (d, a) => {
    const [one, other] = [down.products[d], across.products[a]];
    return (one.point * across.points + other.point) * strides.point + (one.slot * slotsAt(across, other.point) + other.slot) * strides.slot;
  };
}

/** As `at`, of what a tile has by itself. */
export const amongOf = (at: Square['at'], rows: readonly number[], columns: readonly number[]): Square['at'] => (r, c) => at(rows[r], columns[c]);

/** A point, in locals: its number, how many products are added up there, and the tiles that have it. */
export interface PointLocals {
  readonly point: Local;
  readonly slots: Local;
  readonly begin: Local;
  readonly end: Local;
}

/** Runs `body` at every point of a piece of so many pictures. */
export function forEachPoint(f: FunctionBuilder, { lines: [down, across] }: Filter, { segments }: Pieces, pictures: Local, body: (at: PointLocals) => void): void {
  const v = (): Local => f.local(I32);
  const [point, slots, begin, end, d, a, all] = [v(), v(), v(), v(), v(), v(), v()];
  const tiles = segments.reduce((n, s) => n + s.tiles, 0);
  const lower = segments.filter((s) => s.down === down.tiles[1]);
  const narrow = segments.find((s) => s.across === across.tiles[1]);
  f.get(pictures).i32(tiles).op(op.i32mul).set(all);
  f.i32(0).set(point);
  f.count(point, () => f.i32(down.points * across.points), 1, () => {
    f.get(point).i32(across.points).op(op.i32divU).set(d);
    f.get(point).i32(across.points).op(op.i32remU).set(a);
    pushSlots(f, down, d);
    pushSlots(f, across, a);
    f.op(op.i32mul).set(slots);
    f.i32(0).set(begin);
    f.get(all).set(end);
    if (down.tiles.length > 1) {
      // Segments: lower, whole, narrow, lower and narrow.
      hasPoint(f, down, down.tiles[1], d);
      f.op(op.i32eqz).if(() => {
        f.get(pictures).i32(lower[0].tiles).op(op.i32mul).set(begin);
        f.get(all).get(pictures).i32(lower.slice(1).reduce((n, s) => n + s.tiles, 0)).op(op.i32mul).op(op.i32sub).set(end);
      });
    }
    if (narrow !== undefined) {
      hasPoint(f, across, narrow.across, a);
      f.op(op.i32eqz).if(() => f.get(pictures).i32(narrow.before).op(op.i32mul).set(end));
    }
    body({ point, slots, begin, end });
  });
}

function pushSlots(f: FunctionBuilder, line: LineFilter, at: Local): void {
  if (line.slots === line.lastSlots) f.i32(line.slots);
  else f.i32(line.lastSlots).i32(line.slots).get(at).i32(line.points - 1).op(op.i32eq).op(op.select);
}

/** Pushes whether a tile has the point in a local: it has some of the first, and infinity. */
function hasPoint(f: FunctionBuilder, line: LineFilter, tile: LineTile, at: Local): void {
  f.get(at).i32(tile.points.length - 1).op(op.i32ltS).get(at).i32(line.points - 1).op(op.i32eq).op(op.i32or);
}
