/**
 * How often a model's plan reaches the goal of a world's episodes, beside a policy that acts at random. Episodes run beside each
 * other, as many as entry `plan` was compiled for; at every step each plans anew from what it sees, starting from what is
 * left of its plan before, and takes the first action. What counts is where an episode ends.
 */
import type { PlanEntry } from '../../compiler/plan/manifest.js';
import { bug } from '../../grammar/diagnostics/report.js';
import { elementsOf } from '../data/data-set.js';
import type { Environment, Episode } from '../data/environment.js';
import { fail } from '../data/problem.js';
import type { HostArray, Session } from '../device/device.js';

/** Of one policy: the share of episodes that ended at the goal, and how far from it they ended on average. */
export interface Success {
  readonly rate: number;
  readonly distance: number;
}

export interface Episodes {
  readonly episodes: number;
  readonly planned: Success;
  readonly random: Success;
  readonly protocol: string;
}

export interface EpisodeOptions {
  readonly session: Session;
  readonly plan: PlanEntry;
  readonly environment: Environment;
  readonly progress?: (done: number, total: number) => void;
}

/** Plays all episodes to their end with either policy. */
export async function playEpisodes({ session, plan, environment, progress }: EpisodeOptions): Promise<Episodes> {
  const { episodes, actionSize, steps } = plan;
  if (actionSize !== environment.actionSize) {
    return fail('SSL5013', { path: 'the plan', expected: `actions of ${environment.actionSize} numbers`, found: String(actionSize) });
  }
  const start = (): Episode[] => Array.from({ length: episodes }, (_, n) => environment.episode(n));
  const playing = start();
  const [now, goal, before] = plan.inputs;
  writePictures(session, `plan.${goal.name}`, elementsOf(goal) * episodes, playing.map((e) => e.goal));
  let left = new Float32Array(episodes * steps * actionSize);
  if ('plan.example' in session.plan.sources) session.write('plan.example', Int32Array.from({ length: episodes }, (_, n) => n));
  for (let t = 0; t < environment.steps; t++) {
    // The draws of a search are keyed by the step: every step searches anew.
    if ('clock.step' in session.plan.sources) session.write('clock.step', Int32Array.of(t));
    writePictures(session, `plan.${now.name}`, elementsOf(now) * episodes, playing.map((e) => e.observe()));
    if (before !== undefined && `plan.${before.name}` in session.plan.sources) session.write(`plan.${before.name}`, left);
    await session.run('plan');
    const actions = await session.readOutput('plan', 'actions');
    playing.forEach((e, n) => e.act(actions.slice(n * steps * actionSize, n * steps * actionSize + actionSize)));
    left = shifted(actions, plan);
    progress?.(t + 1, environment.steps);
  }
  const lost = start();
  for (let t = 0; t < environment.steps; t++) for (const e of lost) e.act(e.randomAction());
  return {
    episodes, planned: success(playing), random: success(lost),
    protocol: `planning: ${episodes} episodes, ${environment.task}; a plan of ${steps} actions at every step, of which the first is taken; beside actions drawn at random`,
  };
}

/** What is left of each plan when its first action is taken; the last is nothing. */
function shifted(actions: HostArray, { episodes, steps, actionSize }: PlanEntry): Float32Array<ArrayBuffer> {
  const left = new Float32Array(actions.length);
  for (let n = 0; n < episodes; n++) {
    const at = n * steps * actionSize;
    left.set(actions.subarray(at + actionSize, at + steps * actionSize), at);
  }
  return left;
}

function writePictures(session: Session, source: string, elements: number, pictures: readonly HostArray[]): void {
  const size = pictures.reduce((n, p) => n + p.length, 0);
  if (size !== elements) fail('SSL5013', { path: source, expected: `${elements} values`, found: String(size) });
  const all = new Uint8Array(size);
  let at = 0;
  for (const p of pictures) {
    if (!(p instanceof Uint8Array)) bug('pictures are bytes');
    all.set(p, at);
    at += p.length;
  }
  session.write(source, all);
}

function success(ended: readonly Episode[]): Success {
  const reached = ended.filter((e) => e.reached()).length;
  return { rate: reached / ended.length, distance: ended.reduce((d, e) => d + e.distance(), 0) / ended.length };
}
