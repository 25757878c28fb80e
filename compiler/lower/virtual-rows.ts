/**
 * Rows of lazy parameters under a virtual batch. A program that differentiates leaves which rows it read, and what reached each, in memory:
 * the coupled part once, the networks for every chunk. The update takes all of them together, so that a row moves once a step by the sum
 * over the whole batch, and rows that no chunk read do not move. It takes the memory of the rows that a step reads, not that of the tables.
 */
import type { ProgramBuilder } from '../tensor/builder.js';
import { binary, int } from '../tensor/scalar.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { rowGradient } from './row-gradients.js';
import type { RowGradient, RowsOfPlace } from './row-gradients.js';
import type { LazyParameter } from './store.js';

/** What one place leaves: so many rows in each of so many chunks. */
interface Left {
  readonly parameter: LazyParameter;
  readonly name: string;
  readonly chunks: number;
  readonly count: number;
}

export type RowsLeft = readonly Left[];

const origin = (name: string): { span: null; name: string } => ({ span: null, name });

function sourcesOf(b: ProgramBuilder, { parameter, name, chunks, count }: Left): RowsOfPlace {
  const source = (what: string, element: 'f32' | 'i32', shape: readonly number[]): TensorId => b.source(`${what}.${name}`, 'batch', element, [chunks, count, ...shape], origin(name));
  return { keys: source('rows', 'i32', []), gradient: source('gradient', 'f32', parameter.shape.slice(1)) };
}

/** Leaves the rows of these places; `chunk` is which of `chunks` this program is run for. */
export function leaveRows(b: ProgramBuilder, by: string, places: readonly (readonly [LazyParameter, readonly RowsOfPlace[]])[], chunk: Scalar, chunks: number): RowsLeft {
  if (places.length === 0) return [];
  const here = b.comprehension('i32', [1], null, chunk, origin('chunk'));
  return places.flatMap(([parameter, list]) => list.map((place, k): Left => {
    const [count] = b.tensor(place.keys).shape;
    const left: Left = { parameter, name: `${by}.${parameter.path}.${k}`, chunks, count };
    const sources = sourcesOf(b, left);
    for (const what of ['keys', 'gradient'] as const) b.update(sources[what], b.window(place[what], 0, [1, ...b.tensor(place[what]).shape], origin(left.name)), here);
    return left;
  }));
}

/** The gradients of the rows that all programs left. */
export function gradientOfRowsLeft(b: ProgramBuilder, all: RowsLeft): ReadonlyMap<LazyParameter, RowGradient> {
  const parameters = [...new Set(all.map((left) => left.parameter))];
  return new Map(parameters.map((p) => [p, rowGradient(b, p, all.filter((left) => left.parameter === p).map((left) => {
    const { keys, gradient } = sourcesOf(b, left);
    const rows = left.chunks * left.count;
    return { keys: b.window(keys, 0, [rows], origin(left.name)), gradient: b.window(gradient, 0, [rows, ...p.shape.slice(1)], origin(left.name)) };
  }))]));
}

/** Which chunk begins with this example of the batch. */
export const chunkOf = (first: Scalar, chunk: number): Scalar => binary('idiv', first, int(chunk));
