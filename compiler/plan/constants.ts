/** The tables a plan comes with: what a session writes once, before anything runs. */
import { expandRuns } from '../tensor/runs.js';
import type { Plan } from './plan.js';

/** The constants of a plan by the names of their sources. */
export function constantsOf(plan: Plan): readonly { readonly name: string; readonly values: Int32Array }[] {
  return Object.entries(plan.sources).flatMap(([name, { runs }]) => (runs === undefined ? [] : [{ name, values: expandRuns(runs) }]));
}
