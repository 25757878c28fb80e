/**
 * Squared deviations from the mean, summed in one pass. As written, the sum of (x - mean)^2 can only start when the mean is known. With
 * any number s near the elements, here the first of them,
 *
 *     a = sum of (x - s),  b = sum of (x - s)^2;   sum of x = a + n s,  sum of (x - mean)^2 = b - a^2 / n
 *
 * The shift keeps the difference from cancelling: s lies about a deviation from the mean, however far both are from zero. Parts of
 * a result with first elements of their own are moved to the first part's. Chan, Golub and LeVeque, 1983.
 */
import type { State } from './accumulators.js';
import type { FunctionBuilder, Local } from './binary.js';
import { F32, V128, op, simd } from './binary.js';

/** The words of a state: the shift s, then the sums a and b. */
interface Words {
  readonly shift: Local;
  readonly sum: Local;
  readonly squares: Local;
}

const wordsOf = ({ words: [shift, sum, squares] }: State): Words => ({ shift, sum, squares });

const codes = { add: [op.f32add, simd.f32add], sub: [op.f32sub, simd.f32sub], mul: [op.f32mul, simd.f32mul] } as const;

function apply(f: FunctionBuilder, lanes: boolean, ...names: readonly (keyof typeof codes)[]): FunctionBuilder {
  for (const name of names) { if (lanes) f.simd(codes[name][1]); else f.op(codes[name][0]); }
  return f;
}

function pushConstant(f: FunctionBuilder, lanes: boolean, value: number): void {
  if (lanes) f.f32x4(value); else f.f32(value);
}

const real = (f: FunctionBuilder, lanes: boolean): Local => f.local(lanes ? V128 : F32);

export function takeDeviation(f: FunctionBuilder, state: State, value: Local): void {
  const { shift, sum, squares } = wordsOf(state);
  const d = real(f, state.lanes);
  apply(f.get(value).get(shift), state.lanes, 'sub').set(d);
  apply(f.get(sum).get(d), state.lanes, 'add').set(sum);
  apply(f.get(squares).get(d).get(d), state.lanes, 'mul', 'add').set(squares);
}

/** Merges `from` into `into`, which are about the same shift. */
export function mergeDeviations(f: FunctionBuilder, into: State, from: State): void {
  into.words.slice(1).forEach((word, i) => apply(f.get(word).get(from.words[i + 1]), into.lanes, 'add').set(word));
}

/**
 * Merges `from`, which has taken `count` elements about a shift of its own. With d = its shift - ours,
 * sum of (x - s)^2 = its squares + d (2 its sum + count d).
 */
export function mergeShifted(f: FunctionBuilder, into: State, from: State, count: Local): void {
  const { lanes } = into;
  const [ours, its] = [wordsOf(into), wordsOf(from)];
  const [d, moved] = [real(f, lanes), real(f, lanes)];
  apply(f.get(its.shift).get(ours.shift), lanes, 'sub').set(d);
  f.get(count);
  if (lanes) f.simd(simd.f32splat);
  apply(f.get(d), lanes, 'mul').set(moved);
  apply(f.get(ours.squares).get(its.squares).get(d).get(its.sum).get(its.sum), lanes, 'add');
  apply(f.get(moved), lanes, 'add', 'mul', 'add', 'add').set(ours.squares);
  apply(f.get(ours.sum).get(its.sum).get(moved), lanes, 'add', 'add').set(ours.sum);
}

/** Pushes the sum of the `count` elements that the state has taken. */
export function pushTotal(f: FunctionBuilder, state: State, count: number): void {
  const { shift, sum } = wordsOf(state);
  f.get(sum).get(shift);
  pushConstant(f, state.lanes, count);
  apply(f, state.lanes, 'mul', 'add');
}

/** Pushes the sum of the squared deviations of the `count` elements that the state has taken. */
export function pushDeviations(f: FunctionBuilder, state: State, count: number): void {
  const { sum, squares } = wordsOf(state);
  f.get(squares).get(sum).get(sum);
  pushConstant(f, state.lanes, 1 / Math.max(1, count));
  apply(f, state.lanes, 'mul', 'mul', 'sub');
  pushConstant(f, state.lanes, 0);
  if (state.lanes) f.simd(simd.f32max); else f.op(op.f32max);
}
