/** The world of two rooms, its walks as data, and the playing of episodes. */
import { describe, expect, it } from 'vitest';
import type { PlanEntry } from '../../compiler/plan/manifest.js';
import type { Plan } from '../../compiler/plan/plan.js';
import type { Environment } from '../../runtime/data/environment.js';
import { openTwoRooms } from '../../runtime/data/two-rooms.js';
import { drawPicture, drawWalls, move, type Rooms } from '../../runtime/data/two-rooms-world.js';
import type { HostArray, Session } from '../../runtime/device/device.js';
import { pixelFeatures } from '../../runtime/evaluate/embed.js';
import { playEpisodes } from '../../runtime/evaluate/episodes.js';

const rooms: Rooms = { wall: 32, door: 20 };

describe('the world', () => {
  it.each([
    ['nothing in the way', { x: 10, y: 10 }, [3, -2], { x: 13, y: 8 }],
    ['the wall: half a unit before it', { x: 28, y: 40 }, [10, 0], { x: 30, y: 40 }],
    ['the wall from the other side', { x: 36, y: 40 }, [-10, 0], { x: 34, y: 40 }],
    ['the door, through it', { x: 28, y: 20 }, [10, 0], { x: 38, y: 20 }],
    ['the side of the door', { x: 32, y: 20 }, [0, 10], { x: 32, y: 23.5 }],
    ['the border', { x: 10, y: 10 }, [-10, 0], { x: 4.5, y: 10 }],
    ['the wall, at once', { x: 30, y: 40 }, [1, 0], { x: 30, y: 40 }],
  ])('moves into %s', (_, from, [dx, dy], to) => {
    const end = move(rooms, from, dx, dy);
    expect(end.x).toBeCloseTo(to.x, 9);
    expect(end.y).toBeCloseTo(to.y, 9);
  });

  it('shows the dot in one channel, the wall with its door in the other', () => {
    const pixels = 65;
    const picture = new Uint8Array(pixels * pixels * 2);
    drawPicture({ x: 10, y: 50 }, drawWalls(rooms, pixels), pixels, picture, 0);
    const at = (x: number, y: number, c: number): number => picture[(y * pixels + x) * 2 + c];
    expect(at(10, 50, 0)).toBe(255);
    expect(at(12, 50, 0)).toBe(Math.floor(255 * Math.exp(-0.5)));
    expect(at(32, 40, 1)).toBe(255);
    expect(at(32, 20, 1)).toBe(0);
    expect(at(20, 20, 1)).toBe(0);
    expect(at(4, 30, 1)).toBe(255);
    expect(at(60, 30, 1)).toBe(255);
  });
});

describe('walks', () => {
  const options = { size: 16, frames: 5, steps: 12, stride: 2.5, examples: 50 };
  const data = openTwoRooms(options);
  const read = async (split: typeof data.train, indices: number[]): Promise<{ x: Uint8Array; action: Float32Array }> => {
    const into = { x: new Uint8Array(indices.length * 5 * 16 * 16 * 2), action: new Float32Array(indices.length * 4 * 2) };
    await split.rows(indices, into);
    return into;
  };

  it('are the same whenever they are read, and others in the held-out split', async () => {
    const both = await read(data.train, [3, 7]);
    const one = await read(data.train, [7]);
    expect([...both.action.slice(8)]).toEqual([...one.action]);
    expect(both.x.slice(both.x.length / 2)).toEqual(one.x);
    expect([...(await read(data.test ?? data.train, [7])).action]).not.toEqual([...one.action]);
  });

  it('stand as their first picture where raw pixels are a baseline', async () => {
    const { x } = await read(data.train, [0, 1]);
    const features = await pixelFeatures(data.train, data.info.inputs[0], 2);
    const picture = 16 * 16 * 2;
    expect(features).toMatchObject({ rows: 2, size: picture });
    const second = x.subarray(x.length / 2, x.length / 2 + picture);
    second.forEach((v, i) => expect(features.values[picture + i]).toBeCloseTo(v / 255, 6));
  });

  it('have actions of 0.2 to 1.8 strides and classes by where they begin', async () => {
    const { action } = await read(data.train, Array.from({ length: 50 }, (_, i) => i));
    for (let i = 0; i < action.length; i += 2) {
      const length = Math.hypot(action[i], action[i + 1]);
      expect(length).toBeGreaterThan(0.199);
      expect(length).toBeLessThan(1.801);
    }
    expect(data.train.labels?.every((l) => l >= 0 && l < 16)).toBe(true);
  });

  it('are windows of longer walks, which are oftener at a wall, where the picture stays the same', async () => {
    const still = async (steps: number): Promise<number> => {
      const walks = 60;
      const into = { x: new Uint8Array(walks * 5 * 16 * 16 * 2), action: new Float32Array(walks * 4 * 2) };
      await openTwoRooms({ ...options, steps, examples: walks }).train.rows(Array.from({ length: walks }, (_, i) => i), into);
      const picture = (n: number): string => into.x.subarray(n * 512, (n + 1) * 512).join();
      return Array.from({ length: walks * 5 }, (_, n) => n).filter((n) => n % 5 > 0 && picture(n) === picture(n - 1)).length;
    };
    expect(await still(40)).toBeGreaterThan(2 * await still(4));
  });

  it('come with episodes from one room to the other, the same every time', () => {
    const world = data.environment;
    if (world === undefined) throw new Error('no world');
    const [first, again] = [world.episode(4), world.episode(4)];
    expect(first.observe()).toEqual(again.observe());
    expect(first.goal).toEqual(again.goal);
    expect(first.reached()).toBe(false);
    const before = first.distance();
    first.act([0, 0]);
    expect(first.distance()).toBeCloseTo(before, 9);
  });
});

/** A line: the goal lies where a byte says, actions move by at most one. */
const line: Environment = {
  actionSize: 1, steps: 9, task: 'a place on a line',
  episode: (number) => {
    let place = 100;
    const goal = 105 + number;
    return {
      goal: Uint8Array.of(goal), observe: () => Uint8Array.of(place), act: (a) => { place += Math.sign(a[0]); }, randomAction: () => [0],
      distance: () => Math.abs(place - goal), reached: () => place === goal,
    };
  },
};

/** A session whose plan walks towards the goal and says, in its second action, what it was given. */
function walker(log: number[]): Session {
  const written = new Map<string, HostArray>();
  let actions: HostArray = new Float32Array(0);
  const slot = { arena: 0, offset: 0, bytes: 0, element: 'f32' as const, shape: [], role: 'batch' as const };
  const sources = Object.fromEntries(['clock.step', 'plan.now', 'plan.goal', 'plan.before', 'plan.example'].map((n) => [n, slot]));
  const plan: Plan = { version: 1, arenas: [], sources, entries: {}, code: { target: 'wgsl', kernels: [] } as unknown as Plan['code'] };
  return {
    plan,
    write: (name, values) => { written.set(name, values.slice()); },
    run: async () => {
      const [now, goal, before] = ['plan.now', 'plan.goal', 'plan.before'].map((n) => written.get(n) ?? []);
      log.push(before[0]);
      actions = Float32Array.from([...goal].flatMap((g, n) => [Math.sign(g - now[n]), (written.get('clock.step')?.[0] ?? 0) + 1]));
    },
    readSource: async () => new Float32Array(0),
    readOutput: async () => actions,
    finish: async () => undefined,
    close: async () => undefined,
  };
}

it('episodes are planned anew at every step, from what is left of the plan before', async () => {
  const plan: PlanEntry = { inputs: ['now', 'goal', 'before'].map((name) => ({ name, element: name === 'before' ? 'f32' : 'u8', shape: name === 'before' ? [2, 1] : [1] })), steps: 2, actionSize: 1, episodes: 6 };
  const log: number[] = [];
  const played = await playEpisodes({ session: walker(log), plan, environment: line });
  // Goals 5 to 10 away, 9 steps: only the last is out of reach. Those that arrive stay, since the sign of 0 is 0.
  expect(played.planned).toEqual({ rate: 5 / 6, distance: 1 / 6 });
  expect(played.random).toEqual({ rate: 0, distance: 7.5 });
  expect(log).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
});
