/**
 * The objectives of a model, elaborated once for each choice of settings and batch: what keeps a model from collapsing is decided by
 * looking at few of them again and again. A choice that the model refuses is refused every time.
 */
import type { LoadedProgram } from '../api.js';
import { elaborateObjectives } from '../lower/collapse-program.js';
import type { ObjectivesProgram, ObjectivesRequest } from '../lower/collapse-program.js';

/** The objectives with these overrides at this batch, networks replaced. */
export type Elaborate = (set: ObjectivesRequest['set'], batch: number) => ObjectivesProgram;

export function rememberObjectives(loaded: LoadedProgram, request: ObjectivesRequest, elaborate: typeof elaborateObjectives = elaborateObjectives): Elaborate {
  const known = new Map<string, ObjectivesProgram>();
  return (set, batch) => {
    const key = JSON.stringify([batch, set]);
    const before = known.get(key);
    if (before !== undefined) return before;
    const objectives = elaborate(loaded, { ...request, set }, batch, 'replaced');
    known.set(key, objectives);
    return objectives;
  };
}
