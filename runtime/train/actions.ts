/** The `every` block of a train declaration: which actions are due after a step, and the options of `knn`. */
import type { Period, TrainingSpec } from '../../compiler/api.js';
import { knnDefaults, type KnnOptions } from '../evaluate/nearest.js';
import { closest, fail } from '../data/problem.js';

export type Action = { readonly kind: 'knn'; readonly options: KnnOptions } | { readonly kind: 'checkpoint' };

export interface Schedule {
  /** What is due once `done` steps are finished. */
  due(done: number): readonly Action[];
  readonly checkpoints: boolean;
}

/** Checks the actions' names and arguments once, before training. */
export function scheduleActions(every: TrainingSpec['every'], stepsPerEpoch: number): Schedule {
  const planned = every.map(({ period, actions }) => ({ steps: inSteps(period, stepsPerEpoch), actions: actions.map(readAction) }));
  return {
    due: (done) => planned.filter((p) => done % p.steps === 0).flatMap((p) => p.actions),
    checkpoints: planned.some((p) => p.actions.some((a) => a.kind === 'checkpoint')),
  };
}

/** The steps of a period, at least 1. */
export function inSteps(period: Period, stepsPerEpoch: number): number {
  return Math.max(1, Math.round(period.unit === 'epochs' ? period.count * stepsPerEpoch : period.count));
}

function readAction(action: TrainingSpec['every'][number]['actions'][number]): Action {
  switch (action.name) {
    case 'checkpoint': {
      const [extra] = Object.keys(action.arguments);
      return extra === undefined ? { kind: 'checkpoint' } : fail('SSL5001', { path: 'checkpoint', problem: `takes no argument \`${extra}\``, help: null });
    }
    case 'knn': return { kind: 'knn', options: readKnnOptions(action.arguments) };
    default: {
      const known = ['knn', 'checkpoint'];
      const near = closest(action.name, known);
      return fail('SSL5001', { path: `every ... { ${action.name} }`, problem: 'expected an action, found a name that is none', help: near === null ? `actions: ${known.join(', ')}` : `did you mean \`${near}\`?` });
    }
  }
}

/** `knn(k: 200, temperature: 0.1, centred: false)`. */
export function readKnnOptions(given: Readonly<Record<string, number | string | boolean>>): KnnOptions {
  const known = ['k', 'temperature', 'centred', 'metric'];
  for (const [key, value] of Object.entries(given)) {
    const good = key === 'metric' ? value === 'cosine' || value === 'euclidean' : key === 'centred' ? typeof value === 'boolean' : typeof value === 'number' && value > 0;
    if (!known.includes(key)) {
      const near = closest(key, known);
      fail('SSL5001', { path: 'knn', problem: `takes no argument \`${key}\``, help: near === null ? `it takes: ${known.join(', ')}` : `did you mean \`${near}\`?` });
    }
    if (!good) fail('SSL5001', { path: 'knn', problem: `expected ${key === 'metric' ? '"cosine" or "euclidean"' : key === 'centred' ? 'true or false' : 'a positive number'} for \`${key}\`, found ${JSON.stringify(value)}`, help: null });
  }
  return {
    metric: given['metric'] === 'euclidean' ? 'euclidean' : 'cosine',
    k: typeof given['k'] === 'number' ? Math.max(1, Math.floor(given['k'])) : knnDefaults.k,
    temperature: typeof given['temperature'] === 'number' ? given['temperature'] : knnDefaults.temperature,
    centred: typeof given['centred'] === 'boolean' ? given['centred'] : knnDefaults.centred,
  };
}
