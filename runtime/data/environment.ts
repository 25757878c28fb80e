/**
 * A world to act in: episodes with observations, actions and a goal that is shown as an observation. A data set may come
 * with one; a model that says how to plan is then measured by how often it reaches the goal.
 */
import type { HostArray } from '../device/device.js';

export interface Environment {
  /** Numbers in one action. */
  readonly actionSize: number;
  /** Actions in an episode. */
  readonly steps: number;
  /** What must be reached, and when it counts: for people. */
  readonly task: string;
  /** Episode number n: always the same start and goal. */
  episode(number: number): Episode;
}

export interface Episode {
  /** What the world looks like at the goal. */
  readonly goal: HostArray;
  /** What it looks like now. */
  observe(): HostArray;
  /** Takes one action; what is not possible in the world does not happen. */
  act(action: ArrayLike<number>): void;
  /** An action as the data has them, for the policy that knows nothing. */
  randomAction(): ArrayLike<number>;
  /** How far from the goal, in units of the world, and whether that counts as reached. */
  distance(): number;
  reached(): boolean;
}
