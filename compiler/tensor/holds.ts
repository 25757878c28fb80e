/**
 * What occurs in a scalar, found once when it is made: a set of bits, of which an operation has those of its operands and its
 * own. Compiling walks the same scalars again and again for one kind of node; a walk that knows what it looks for leaves out
 * every part without it.
 */
import type { BinaryOperator, ScalarType, UnaryOperator } from './scalar.js';

/** Axes below this have a bit each; there are more only while a program is elaborated. */
const countedAxes = 23;

export const holds = {
  /** Every scalar. */
  anything: 1 << 30,
  read: 1 << 24,
  draw: 1 << 25,
  accumulator: 1 << 26,
  /** The operator `stop`. */
  stop: 1 << 27,
  /** What must not be computed twice without need: draws, powers, transcendental functions and roots. */
  costly: 1 << 28,
  /** An index variable whose axis has no bit of its own. */
  highAxis: 1 << countedAxes,
  /** Any index variable. */
  index: (1 << (countedAxes + 1)) - 1,
} as const;

/** The bit of an index variable. */
export function holdsOfAxis(axis: number): number {
  return axis >= 0 && axis < countedAxes ? 1 << axis : holds.highAxis;
}

const transcendental: ReadonlySet<UnaryOperator> = new Set(['exp', 'log', 'log1p', 'sin', 'cos', 'tanh', 'erf', 'sqrt']);

export function holdsOfUnary(op: UnaryOperator): number {
  return op === 'stop' ? holds.stop : transcendental.has(op) ? holds.costly : 0;
}

export function holdsOfBinary(op: BinaryOperator, type: ScalarType): number {
  return (op === 'pow' || op === 'atan2') && type !== 'i32' ? holds.costly : 0;
}

const sets = new Map<number, ReadonlySet<number>>();

/** The axes of the index variables, or null when not all of them have a bit. */
export function axesIn(held: number): ReadonlySet<number> | null {
  if ((held & holds.highAxis) !== 0) return null;
  const key = held & holds.index;
  let axes = sets.get(key);
  if (axes === undefined) {
    axes = new Set(Array.from({ length: countedAxes }, (_, axis) => axis).filter((axis) => (key >> axis) & 1));
    sets.set(key, axes);
  }
  return axes;
}
