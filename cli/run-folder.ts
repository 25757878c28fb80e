/** A run folder: the spec that was trained, and the facts needed to open it again. */
import { existsSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { missing } from './failure.js';
import type { Context } from './outcome.js';

/** `run.json`. */
export interface RunFacts {
  readonly version: 1;
  /** Of the program that made it. */
  readonly sslc: string;
  readonly model: string;
  readonly steps: number;
  readonly seed: number;
  /** Where relative paths of its data start. */
  readonly dataRoot: string;
  /** Data must lie below `dataRoot`: the model came as a spec. */
  readonly confined: boolean;
  readonly device: string;
}

export interface RunFolder {
  /** As the user named it. */
  readonly shown: string;
  readonly directory: string;
  readonly spec: string;
  readonly facts: RunFacts;
}

/** Opens the folder of a run; without one, says how runs are made. */
export function openRun(context: Context, shown: string): RunFolder {
  const directory = resolve(context.terminal.directory, shown);
  if (!existsSync(directory)) missing(`${shown}: no such run`, 'runs are made by `sslc train FILE`');
  const factsPath = join(directory, 'run.json');
  if (!existsSync(factsPath) || !existsSync(join(directory, 'spec.json'))) missing(`${shown}: not a run folder`, 'expected a folder made by `sslc train`, with run.json and spec.json in it');
  return { shown, directory, spec: relative(context.terminal.directory, join(directory, 'spec.json')), facts: readFacts(shown, readFileSync(factsPath, 'utf8')) };
}

function readFacts(shown: string, text: string): RunFacts {
  let value: unknown = null;
  try {
    value = JSON.parse(text);
  } catch { /* said below */ }
  if (!isFacts(value)) return missing(`${shown}/run.json: expected the facts of a run, found something else`, 'was it made by another version of sslc?');
  return value;
}

function isFacts(value: unknown): value is RunFacts {
  if (typeof value !== 'object' || value === null) return false;
  const { version, sslc, model, steps, seed, dataRoot, confined, device } = value as Readonly<Record<string, unknown>>;
  return version === 1 && typeof confined === 'boolean' && [sslc, model, dataRoot, device].every((v) => typeof v === 'string') && [steps, seed].every((v) => typeof v === 'number');
}

/** `runs/MODEL`, or the first of `runs/MODEL-2`, ... that is not there. */
export function freshRunFolder(context: Context, model: string): string {
  for (let n = 1; ; n++) {
    const shown = join('runs', n === 1 ? model : `${model}-${n}`);
    if (!existsSync(resolve(context.terminal.directory, shown))) return shown;
  }
}
