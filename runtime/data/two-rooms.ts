/**
 * Walks through two rooms, made when they are asked for: example n is a pure function of its number. Each is a layout of its
 * own, a start, and actions that keep roughly to a direction; a third of them are led through the door. What is seen is a
 * window of a longer walk, so that many are at a wall and few at the door, as in the world's own data. The classes, for
 * evaluation, are the cells of a 4 x 4 grid in which the window begins.
 */
import type { HostArray } from '../device/device.js';
import { splitMix } from '../train/data-order.js';
import { count, type DataSet, type Split } from './data-set.js';
import type { Environment, Episode } from './environment.js';
import { drawPicture, drawPlace, drawRooms, drawTask, drawWalls, move, side, type Place, type Random, type Rooms } from './two-rooms-world.js';
import { bug } from '../../grammar/diagnostics/report.js';

export interface TwoRoomsOptions {
  /** Pixels on a side of a picture. */
  readonly size: number;
  /** Pictures of a walk, one after the other; one action fewer. */
  readonly frames: number;
  /** Actions of a whole walk, of which the pictures show a window. */
  readonly steps: number;
  /** Length of an action, on average, in units of the world (65 on a side). */
  readonly stride: number;
  readonly examples: number;
}

const cells = 4;
const testExamples = 4096;
/** Streams of random numbers that have nothing in common: training, test, episodes. */
const streams = { train: 1, test: 2, episodes: 3 } as const;

export function openTwoRooms(options: TwoRoomsOptions): DataSet {
  const { size, frames, examples } = options;
  return {
    info: {
      examples,
      inputs: [{ name: 'x', element: 'u8', shape: [frames, size, size, 2] }, { name: 'action', element: 'f32', shape: [frames - 1, 2] }],
      classes: cells * cells,
    },
    train: walks(options, examples, streams.train),
    test: walks(options, testExamples, streams.test),
    classNames: Array.from({ length: cells * cells }, (_, i) => `row ${Math.floor(i / cells) + 1}, column ${(i % cells) + 1}`),
    paired: false,
    skipped: { count: 0, names: [] },
    warnings: [],
    environment: twoRoomsEnvironment(options),
    description: `Walks through two rooms, ${count(examples)} to train on and ${count(testExamples)} held out, ${frames} pictures of ${size} x ${size} each`,
  };
}

/** Random numbers of one example of a stream. */
function randomOf(stream: number, number: number): Random {
  const mix = splitMix(Math.imul(stream, 0x9e3779b1) ^ Math.imul(number + 1, 0x85ebca6b));
  mix();
  return () => mix() / 4294967296;
}

const normal = (random: Random): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** A length of mean 1 and deviation 0.4, between 0.2 and 1.8, times the stride. */
function drawLength(stride: number, random: Random): number {
  for (;;) {
    const length = 1 + 0.4 * normal(random);
    if (length >= 0.2 && length <= 1.8) return stride * length;
  }
}

/** Actions that turn a little at every step: by angles of deviation 0.45. */
function drawActions(number: number, first: number, stride: number, random: Random): Place[] {
  let angle = first;
  return Array.from({ length: number }, (_, k) => {
    if (k > 0) angle += 0.45 * normal(random);
    const length = drawLength(stride, random);
    return { x: length * Math.cos(angle), y: length * Math.sin(angle) };
  });
}

interface Walk {
  readonly rooms: Rooms;
  readonly start: Place;
  readonly actions: readonly Place[];
}

/** What is seen of walk number `number`. */
function drawWindow(options: TwoRoomsOptions, stream: number, number: number): Walk {
  const random = randomOf(stream, number);
  const { rooms, start, actions } = drawWalk(options, random);
  const seen = options.frames - 1;
  const from = Math.floor(random() * (actions.length - seen + 1));
  const place = actions.slice(0, from).reduce((at, a) => move(rooms, at, a.x, a.y), start);
  return { rooms, start: place, actions: actions.slice(from, from + seen) };
}

/** A whole walk: about a third lead through the door at some step. */
function drawWalk({ frames, steps: wanted, stride }: TwoRoomsOptions, random: Random): Walk {
  const rooms = drawRooms(random);
  const steps = Math.max(wanted, frames - 1);
  if (random() >= 0.35) {
    const start = drawPlace(rooms, random);
    return { rooms, start, actions: drawActions(steps, 2 * Math.PI * random(), stride, random) };
  }
  // From the door both ways; the way before it is walked in reverse.
  const door = { x: rooms.wall, y: rooms.door + 6 * (random() - 0.5) };
  const before = Math.floor(random() * (steps + 1));
  const angle = (random() - 0.5) * (Math.PI / 2) + (random() < 0.5 ? Math.PI : 0);
  const after = drawActions(steps - before, angle, stride, random);
  const earlier = drawActions(before, angle + Math.PI, stride, random);
  const start = earlier.reduce((at, a) => move(rooms, at, a.x, a.y), door);
  return { rooms, start, actions: [...earlier.map((a) => ({ x: -a.x, y: -a.y })).reverse(), ...after] };
}

function walks(options: TwoRoomsOptions, examples: number, stream: number): Split {
  const { size, frames } = options;
  const picture = size * size * 2;
  let labels: Int32Array | null = null;
  return {
    examples,
    resident: false,
    input: (name) => bug(`walks are made as they are read, and \`${name}\` is not in memory`),
    rows: async (indices, into) => {
      for (let i = 0; i < indices.length; i++) {
        const walk = drawWindow(options, stream, indices[i]);
        if ('action' in into) into['action'].set(walk.actions.flatMap((a) => [a.x / options.stride, a.y / options.stride]), i * (frames - 1) * 2);
        if ('x' in into) writePictures(walk, size, into['x'], i * frames * picture);
      }
    },
    get labels() {
      return (labels ??= Int32Array.from({ length: examples }, (_, i) => {
        const { start } = drawWindow(options, stream, i);
        const cell = (v: number): number => Math.min(cells - 1, Math.floor((v / side) * cells));
        return cell(start.y) * cells + cell(start.x);
      }));
    },
    exampleNames: null,
  };
}

function writePictures({ rooms, start, actions }: Walk, size: number, into: HostArray, at: number): void {
  if (!(into instanceof Uint8Array)) return bug('pictures are bytes');
  const walls = drawWalls(rooms, size);
  let place = start;
  for (let t = 0; t <= actions.length; t++) {
    if (t > 0) place = move(rooms, place, actions[t - 1].x, actions[t - 1].y);
    drawPicture(place, walls, size, into, at + t * size * size * 2);
  }
}

/** Longest action and how close counts, as in the published evaluation (2.45 at a stride of 1; 4.5 units), which allows twice as many steps. */
const [longest, near] = [2.45, 4.5];

/** From one room to a place in the other; actions are in strides. */
function twoRoomsEnvironment({ size, stride }: TwoRoomsOptions): Environment {
  const steps = Math.ceil(100 / stride);
  return {
    actionSize: 2,
    steps,
    task: `from one room to a place in the other, less than ${near} of ${side} units from it after ${steps} actions`,
    episode: (number) => {
      const random = randomOf(streams.episodes, number);
      const rooms = drawRooms(random);
      const { start, goal } = drawTask(rooms, random);
      const walls = drawWalls(rooms, size);
      const picture = (place: Place): Uint8Array => {
        const out = new Uint8Array(size * size * 2);
        drawPicture(place, walls, size, out, 0);
        return out;
      };
      let place = start;
      let angle = 2 * Math.PI * random();
      const distance = (): number => Math.hypot(place.x - goal.x, place.y - goal.y);
      const episode: Episode = {
        goal: picture(goal),
        observe: () => picture(place),
        act: (action) => {
          const scale = stride * Math.min(1, longest / Math.max(1e-6, Math.hypot(action[0], action[1])));
          place = move(rooms, place, scale * action[0], scale * action[1]);
        },
        randomAction: () => {
          angle += 0.45 * normal(random);
          const length = drawLength(1, random);
          return [length * Math.cos(angle), length * Math.sin(angle)];
        },
        distance,
        reached: () => distance() < near,
      };
      return episode;
    },
  };
}
