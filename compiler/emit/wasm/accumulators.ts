/** The running state of each reduction operator, in one value or four lanes: start, take an element, merge, finish. */
import { neutralOf } from '../../tensor/program.js';
import type { ReduceOperator } from '../../tensor/program.js';
import type { ScalarType } from '../../tensor/scalar.js';
import type { FunctionBuilder, Local, ValueType } from './binary.js';
import { F32, I32, V128, op, simd } from './binary.js';
import { mergeDeviations, pushDeviations, takeDeviation } from './deviations.js';
import type { MathFunctions } from './math.js';

/** Types of the words a state has: logsumexp keeps a maximum and a sum, argmax a maximum and its position, deviations their shift and two sums. */
export function wordTypes(reduce: ReduceOperator, type: ScalarType): readonly ('f32' | 'i32')[] {
  const value = type === 'f32' ? 'f32' : 'i32';
  switch (reduce) {
    case 'logsumexp': return ['f32', 'f32'];
    case 'argmax': return [value, 'i32'];
    case 'deviations': return ['f32', 'f32', 'f32'];
    case 'any': case 'all': return ['i32'];
    default: return [value];
  }
}

/** Type of the finished value. */
export function resultType(reduce: ReduceOperator, type: ScalarType): ScalarType {
  return reduce === 'argmax' ? 'i32' : reduce === 'any' || reduce === 'all' ? 'bool' : type;
}

export interface State {
  readonly reduce: ReduceOperator;
  readonly real: boolean;
  readonly lanes: boolean;
  /** Whether the lanes are parts of one result. A logsumexp's lanes then share their maximum, which seldom grows. */
  readonly joined: boolean;
  readonly words: readonly Local[];
}

export function makeState(f: FunctionBuilder, reduce: ReduceOperator, type: ScalarType, lanes: boolean, joined = false): State {
  const types = wordTypes(reduce, type);
  return { reduce, real: type === 'f32', lanes, joined, words: types.map((t): Local => f.local(lanes ? V128 : t === 'f32' ? F32 : I32)) };
}

/** The value each word starts from. bool words are masks in lanes and 0 or 1 alone. */
export function resetState(f: FunctionBuilder, s: State): void {
  const start = s.reduce === 'all' && s.lanes ? -1 : neutralOf(s.reduce);
  const push = (real: boolean, value: number): void => {
    if (real) { if (s.lanes) f.f32x4(value); else f.f32(value); return; }
    const whole = Math.max(-2147483648, Math.min(2147483647, value));
    if (s.lanes) f.i32x4([whole]); else f.i32(whole);
  };
  push(s.real && s.reduce !== 'any' && s.reduce !== 'all', start);
  f.set(s.words[0]);
  for (const word of s.words.slice(1)) {
    push(s.reduce !== 'argmax', 0);
    f.set(word);
  }
}

/** Takes one element, in `value` (and its position in `position` for argmax). */
export function takeElement(f: FunctionBuilder, math: MathFunctions, s: State, value: Local, position: () => void): void {
  const [a, b] = s.words;
  switch (s.reduce) {
    case 'logsumexp': {
      const exp = math.elementary('exp');
      if (s.lanes) {
        const m = f.local(V128);
        // The maximum seldom grows: rescale only then.
        f.get(value).get(a).simd(simd.f32gt).simd(simd.anyTrue).if(() => {
          f.get(a).get(value).simd(simd.f32max).set(m);
          if (s.joined) for (const lanes of [[2, 3, 0, 1], [1, 0, 3, 2]] as const) f.get(m).get(m).get(m).shuffle(lanes).simd(simd.f32max).set(m);
          f.get(b).get(a).get(m).simd(simd.f32sub).call(exp).simd(simd.f32mul).set(b);
          f.get(m).set(a);
        });
        f.get(b).get(value).get(a).simd(simd.f32sub);
        math.exp(f);
        f.simd(simd.f32add).set(b);
      } else {
        const m = f.local(F32);
        f.get(value).get(a).op(op.f32gt).if(() => {
          f.get(a).get(value).op(op.f32max).set(m);
          f.get(b).get(a).get(m).op(op.f32sub).simd(simd.f32splat).call(exp).lane(simd.f32extract, 0).op(op.f32mul).set(b);
          f.get(m).set(a);
        });
        f.get(b).get(value).get(a).op(op.f32sub).simd(simd.f32splat).call(exp).lane(simd.f32extract, 0).op(op.f32add).set(b);
      }
      return;
    }
    case 'argmax': {
      const greater = f.local(s.lanes ? V128 : I32);
      f.get(value).get(a);
      if (s.lanes) f.simd(s.real ? simd.f32gt : simd.i32gtS); else f.op(s.real ? op.f32gt : op.i32gtS);
      f.set(greater);
      const choose = (push: () => void, word: Local): void => {
        push();
        f.get(word).get(greater);
        if (s.lanes) f.simd(simd.bitselect); else f.op(op.select);
        f.set(word);
      };
      choose(() => f.get(value), a);
      choose(position, b);
      return;
    }
    case 'deviations': takeDeviation(f, s, value); return;
    default:
      f.get(a).get(value);
      combineWord(f, s);
      f.set(a);
  }
}

/** [x, y] -> combined, for operators of one word. */
function combineWord(f: FunctionBuilder, s: State): void {
  const code = (real4: number, whole4: number, real: number, whole: number | null): void => {
    if (s.lanes) { f.simd(s.real ? real4 : whole4); return; }
    if (s.real) { f.op(real); return; }
    if (whole !== null) { f.op(whole); return; }
    const [x, y] = [f.local(I32), f.local(I32)];
    f.set(y).set(x).get(x).get(y).get(x).get(y).op(s.reduce === 'max' ? op.i32gtS : op.i32ltS).op(op.select);
  };
  switch (s.reduce) {
    case 'sum': code(simd.f32add, simd.i32add, op.f32add, op.i32add); return;
    case 'prod': code(simd.f32mul, simd.i32mul, op.f32mul, op.i32mul); return;
    case 'max': code(simd.f32max, simd.i32maxS, op.f32max, null); return;
    case 'min': code(simd.f32min, simd.i32minS, op.f32min, null); return;
    case 'any': if (s.lanes) f.simd(simd.or); else f.op(op.i32or); return;
    case 'all': if (s.lanes) f.simd(simd.and); else f.op(op.i32and); return;
    case 'logsumexp': case 'argmax': case 'deviations': return;
  }
}

/** Merges `from` into `into`, both of the same form; deviations are about the same shift. */
export function mergeStates(f: FunctionBuilder, math: MathFunctions, into: State, from: State): void {
  const [a, b] = into.words;
  const [x, y] = from.words;
  switch (into.reduce) {
    case 'logsumexp': {
      const exp = math.elementary('exp');
      const m = f.local(into.lanes ? V128 : F32);
      const scaled = (max: Local, sum: Local): void => {
        f.get(sum).get(max).get(m);
        if (into.lanes) f.simd(simd.f32sub).call(exp).simd(simd.f32mul);
        else f.op(op.f32sub).simd(simd.f32splat).call(exp).lane(simd.f32extract, 0).op(op.f32mul);
      };
      f.get(a).get(x);
      if (into.lanes) f.simd(simd.f32max); else f.op(op.f32max);
      f.set(m);
      scaled(a, b);
      scaled(x, y);
      if (into.lanes) f.simd(simd.f32add); else f.op(op.f32add);
      f.set(b).get(m).set(a);
      return;
    }
    case 'argmax': {
      const better = f.local(into.lanes ? V128 : I32);
      const t = into.lanes;
      f.get(x).get(a);
      if (t) f.simd(into.real ? simd.f32gt : simd.i32gtS); else f.op(into.real ? op.f32gt : op.i32gtS);
      f.get(x).get(a);
      if (t) f.simd(into.real ? simd.f32eq : simd.i32eq); else f.op(into.real ? op.f32eq : op.i32eq);
      f.get(y).get(b);
      if (t) f.simd(simd.i32ltS).simd(simd.and).simd(simd.or); else f.op(op.i32ltS).op(op.i32and).op(op.i32or);
      f.set(better);
      for (const [p, q] of [[a, x], [b, y]]) {
        f.get(q).get(p).get(better);
        if (t) f.simd(simd.bitselect); else f.op(op.select);
        f.set(p);
      }
      return;
    }
    case 'deviations': mergeDeviations(f, into, from); return;
    default:
      f.get(a).get(x);
      combineWord(f, into);
      f.set(a);
  }
}

/** Merges the four lanes of `from` (in order) into the single state `into`. */
export function mergeLanes(f: FunctionBuilder, math: MathFunctions, into: State, from: State): void {
  if (from.joined && from.reduce === 'logsumexp') {
    const whole: State = { ...into, words: [f.local(F32), f.local(F32)] };
    f.get(from.words[0]).lane(simd.f32extract, 0).set(whole.words[0]);
    for (let k = 0; k < 4; k++) {
      f.get(from.words[1]).lane(simd.f32extract, k);
      if (k > 0) f.op(op.f32add);
    }
    f.set(whole.words[1]);
    mergeStates(f, math, into, whole);
    return;
  }
  const lane: State = { ...into, words: into.words.map((_, i) => f.local(isReal(into, i) ? F32 : I32)) };
  for (let k = 0; k < 4; k++) {
    from.words.forEach((w, i) => {
      f.get(w).lane(isReal(into, i) ? simd.f32extract : simd.i32extract, k);
      if (into.reduce === 'any' || into.reduce === 'all') f.i32(1).op(op.i32and);
      f.set(lane.words[i]);
    });
    mergeStates(f, math, into, lane);
  }
}

/** Whether word i is f32. */
export function isReal(s: State, i: number): boolean {
  if (s.reduce === 'logsumexp' || s.reduce === 'deviations') return true;
  if (s.reduce === 'any' || s.reduce === 'all') return false;
  return i === 0 && s.real;
}

/** Pushes the finished value of a state that has taken `count` elements. */
export function finishState(f: FunctionBuilder, math: MathFunctions, s: State, count: number): void {
  switch (s.reduce) {
    case 'logsumexp':
      f.get(s.words[0]).get(s.words[1]);
      if (s.lanes) f.call(math.elementary('log')).simd(simd.f32add);
      else f.simd(simd.f32splat).call(math.elementary('log')).lane(simd.f32extract, 0).op(op.f32add);
      return;
    case 'argmax': f.get(s.words[1]); return;
    case 'deviations': pushDeviations(f, s, count); return;
    default: f.get(s.words[0]);
  }
}

/** The type of a local for a finished value. */
export function finishedLocal(f: FunctionBuilder, type: ScalarType, lanes: boolean): Local {
  const t: ValueType = lanes ? V128 : type === 'f32' ? F32 : I32;
  return f.local(t);
}
