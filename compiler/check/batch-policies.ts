/**
 * What the layers of a network that look at the batch, such as batch norm, have before them: the examples of one view, when views go
 * through the network one after the other, or those of several, when they go through it together (`joint`).
 */
import type { Application, ObjectivesProgram } from '../lower/collapse-program.js';
import type { CouplingPoint } from './coupling.js';

export interface BatchPolicy {
  readonly network: string;
  /** The functions inside it in which examples meet. */
  readonly layers: readonly string[];
  /** Views of an example that they see together. */
  readonly together: number;
}

/** Of every network with such layers, in the order of their first use. `functionOf` names the function a point lies in. */
export function batchPolicies(p: ObjectivesProgram, points: readonly CouplingPoint[], functionOf: (point: CouplingPoint) => string): BatchPolicy[] {
  const first = new Map<string, Application>();
  for (const a of p.applications) if (!first.has(a.name)) first.set(a.name, a);
  return [...first.values()].flatMap((a): BatchPolicy[] => {
    const layers = [...new Set(points.filter((x) => x.tensor >= a.from && x.tensor < a.to).map(functionOf))];
    return layers.length === 0 ? [] : [{ network: a.name, layers, together: a.together }];
  });
}
