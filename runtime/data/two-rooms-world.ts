/**
 * A square of 65 x 65 units with a border, a wall from top to bottom and a door in it, and a dot that actions move. Sizes
 * are those of the Two-Rooms environment of PLDM (Sobal et al., 2025. arXiv:2502.14819). A move that meets a wall ends
 * half a unit before it. Pictures have two channels, the dot and the walls, at any resolution.
 */

/** Units on a side. */
export const side = 65;
const border = { low: 4, high: 60 } as const;
const [halfWall, halfDoor, stop] = [1.5, 4, 0.5];
/** Width of the dot in pictures: the standard deviation of its light, in units. */
const dotDeviation = 2;

export interface Rooms {
  /** Middle of the wall and of the door in it. */
  readonly wall: number;
  readonly door: number;
}

export interface Place {
  readonly x: number;
  readonly y: number;
}

/** Numbers in [0, 1). */
export type Random = () => number;

const between = (random: Random, low: number, high: number): number => low + random() * (high - low);

export function drawRooms(random: Random): Rooms {
  return { wall: Math.floor(between(random, 20, 45)), door: Math.floor(between(random, 10, 55)) };
}

/** A place anywhere but in the wall. */
export function drawPlace(rooms: Rooms, random: Random): Place {
  for (;;) {
    const place = { x: between(random, border.low + stop, border.high - stop), y: between(random, border.low + stop, border.high - stop) };
    if (Math.abs(place.x - rooms.wall) > halfWall + stop || Math.abs(place.y - rooms.door) < halfDoor - stop) return place;
  }
}

/** Places in different rooms, in either order, with some room around them. */
export function drawTask(rooms: Rooms, random: Random): { readonly start: Place; readonly goal: Place } {
  const padding = 2.6;
  const height = (): number => between(random, border.low + padding, border.high - padding);
  const left = { x: between(random, border.low + padding, rooms.wall - halfWall - padding), y: height() };
  const right = { x: between(random, rooms.wall + halfWall + padding, border.high - padding), y: height() };
  return random() < 0.5 ? { start: left, goal: right } : { start: right, goal: left };
}

/** Where a move from `from` by (dx, dy) ends. */
export function move(rooms: Rooms, from: Place, dx: number, dy: number): Place {
  const length = Math.hypot(dx, dy);
  if (length === 0) return from;
  const walls: readonly (readonly [number, number, number, number])[] = [
    [rooms.wall - halfWall, rooms.wall + halfWall, 0, rooms.door - halfDoor],
    [rooms.wall - halfWall, rooms.wall + halfWall, rooms.door + halfDoor, side],
    [-side, border.low, -side, 2 * side], [border.high, 2 * side, -side, 2 * side],
    [-side, 2 * side, -side, border.low], [-side, 2 * side, border.high, 2 * side],
  ];
  const hit = Math.min(...walls.map(([left, right, top, bottom]) => entry(from.x, dx, left, right, from.y, dy, top, bottom)));
  const share = hit > 1 ? 1 : Math.max(0, hit - stop / length);
  return { x: from.x + share * dx, y: from.y + share * dy };
}

/** The share of the way at which a segment enters a rectangle; infinite when it does not. */
function entry(x: number, dx: number, left: number, right: number, y: number, dy: number, top: number, bottom: number): number {
  const [fromX, toX] = crossing(x, dx, left, right);
  const [fromY, toY] = crossing(y, dy, top, bottom);
  const first = Math.max(fromX, fromY);
  return first <= Math.min(toX, toY) && first >= 0 ? first : Infinity;
}

/** When a point at `x` moving by `dx` lies between two bounds. */
function crossing(x: number, dx: number, low: number, high: number): readonly [number, number] {
  if (dx === 0) return x > low && x < high ? [-Infinity, Infinity] : [Infinity, -Infinity];
  const [a, b] = [(low - x) / dx, (high - x) / dx];
  return a < b ? [a, b] : [b, a];
}

/** Draws the walls once for all frames: the second channel of a picture of `pixels` x `pixels`. */
export function drawWalls(rooms: Rooms, pixels: number): Uint8Array {
  const across = coverage(pixels, rooms.wall - halfWall, rooms.wall + halfWall);
  const door = coverage(pixels, rooms.door - halfDoor, rooms.door + halfDoor);
  const inside = coverage(pixels, border.low + 0.5, border.high - 0.5);
  const frame = coverage(pixels, border.low - 0.5, border.low + 0.5).map((v, i, low) => v + low[pixels - 1 - i]);
  const picture = new Uint8Array(pixels * pixels * 2);
  for (let y = 0; y < pixels; y++) {
    for (let x = 0; x < pixels; x++) {
      const wall = across[x] * (1 - door[y]) * inside[y];
      picture[(y * pixels + x) * 2 + 1] = Math.round(255 * Math.min(1, Math.max(wall, frame[x] * Math.min(1, inside[y] + frame[y]), frame[y] * Math.min(1, inside[x] + frame[x]))));
    }
  }
  return picture;
}

/** How much of each pixel lies between two coordinates. */
function coverage(pixels: number, low: number, high: number): number[] {
  const unit = side / pixels;
  return Array.from({ length: pixels }, (_, i) => Math.max(0, Math.min(high + 0.5, (i + 1) * unit) - Math.max(low + 0.5, i * unit)) / unit);
}

/** Writes a picture of the dot among the walls into `into`, from element `at`. */
export function drawPicture(place: Place, walls: Uint8Array, pixels: number, into: Uint8Array, at: number): void {
  into.set(walls, at);
  const light = (centre: number): Float64Array => Float64Array.from({ length: pixels }, (_, i) => {
    const distance = ((i + 0.5) * side) / pixels - 0.5 - centre;
    return Math.exp(-(distance * distance) / (2 * dotDeviation * dotDeviation));
  });
  const [column, row] = [light(place.x), light(place.y)];
  for (let y = 0; y < pixels; y++) {
    if (row[y] < 1e-3) continue;
    for (let x = 0; x < pixels; x++) into[at + (y * pixels + x) * 2] = Math.floor(255 * row[y] * column[x]);
  }
}
