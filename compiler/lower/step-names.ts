/** The names a running step provides: in scope everywhere, one table for all who elaborate. */
import { cast } from '../tensor/scalar.js';
import type { Context } from './context.js';
import { constantTensor } from './tensor-value.js';
import type { Value } from './value.js';

/** Lengths of a training, for schedules and `train` blocks. */
export interface Lengths {
  readonly batch: number;
  readonly steps: number;
  readonly epochSteps: number;
  readonly examples: number;
}

/** Where there is no training to speak of (`call`, a `train` block being read): every length is 1. */
export const unitLengths: Lengths = { batch: 1, steps: 1, epochSteps: 1, examples: 1 };

/**
 * `step` is the clock as an f32 scalar; the others are known while compiling. `decayed` is what an optimizer's `skip` makes of it
 * for the parameters at hand, else 1.
 */
export function stepNames(c: Pick<Context, 'builder' | 'step' | 'training'>, lengths: Lengths): Map<string, Value> {
  const number = (value: number): Value => ({ kind: 'number', value, integer: Number.isInteger(value) });
  return new Map<string, Value>([
    ['training', { kind: 'boolean', value: c.training }],
    ['pi', number(Math.PI)],
    ['step', constantTensor(cast('f32', c.builder.read(c.step, [])))],
    ['steps', number(lengths.steps)],
    ['epochs', number(lengths.steps / lengths.epochSteps)],
    ['batch', number(lengths.batch)],
    ['examples', number(lengths.examples)],
    ['decayed', number(1)],
  ]);
}
