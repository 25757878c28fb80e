/**
 * Elaborations: a builder for one program, and the scopes of all modules over it.
 */
import type { LoadedProgram } from '../api.js';
import type { ProgramBuilder } from '../tensor/builder.js';
import { add, index, int, mul } from '../tensor/scalar.js';
import type { TensorId } from '../tensor/scalar.js';
import type { Context, Store } from './context.js';
import { sourceOnce } from './input-tensor.js';
import { moduleScopes } from './module-scopes.js';
import type { Scope } from './scope.js';
import { stepNames } from './step-names.js';
import type { Lengths } from './step-names.js';
import { axisOf } from './value.js';
import type { IndexVariable } from './value.js';

/** One elaboration: a builder, a context and the scopes of all modules over it. */
export interface Session {
  readonly c: Context;
  readonly scope: Scope;
  readonly root: Scope;
}

const origin = (name: string): { span: null; name: string } => ({ span: null, name });

/** With `chunk`, the program sees so many examples of the batch at a time: those of number `clock.chunk`. */
export function openProgram(loaded: LoadedProgram, builder: ProgramBuilder, store: Store, lengths: Lengths, batch: number, training: boolean, chunk: number | null = null, entry: 'batch' | 'embed' | 'plan' = training ? 'batch' : 'embed'): Session {
  const seed = builder.source('clock.seed', 'clock', 'i32', [], origin('seed'));
  const step = builder.source('clock.step', 'clock', 'i32', [], origin('step'));
  const example = builder.source(`${entry}.example`, 'batch', 'i32', [batch], origin('example'));
  const variable = { id: 1_000_000, name: 'batch', axis: axisOf(chunk ?? batch, 'B'), implicit: true };
  const c: Context = {
    builder, training, store, seed, step, batch: chunk === null ? { variable, example } : chunkOf(builder, variable, example, chunk), counter: 0, calls: [], applications: new Map(), epochSteps: lengths.epochSteps,
  };
  return sessionOf(loaded, c, lengths);
}

function chunkOf(builder: ProgramBuilder, variable: IndexVariable, examples: TensorId, size: number): Context['batch'] {
  const number = builder.source('clock.chunk', 'clock', 'i32', [], origin('chunk'));
  const first = mul(builder.read(number, []), int(size));
  const example = builder.comprehension('i32', [size], null, builder.read(examples, [add(first, index(0))]), origin('example'));
  return { variable, example, within: { first, size: builder.tensor(examples).shape[0] } };
}

/** A context with the scopes of all modules over it. */
export function sessionOf(loaded: LoadedProgram, c: Context, lengths: Lengths): Session {
  const scopes = moduleScopes(loaded, stepNames(c, lengths));
  return { c, scope: scopes.main, root: scopes.root };
}

/** The same program under evaluation conditions (`training` false), so that what only `represent` owns is discovered too. */
export function reopen(s: Session, loaded: LoadedProgram, lengths: Lengths, batch: number, entry: 'embed' | 'plan'): Session {
  const variable = { id: 1_500_000, name: 'batch', axis: axisOf(batch, 'B'), implicit: true };
  const example = sourceOnce(s.c.builder, `${entry}.example`, 'batch', 'i32', [batch]);
  return sessionOf(loaded, { ...s.c, training: false, batch: { variable, example }, counter: 600_000, applications: new Map() }, lengths);
}
