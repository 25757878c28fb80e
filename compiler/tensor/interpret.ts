/**
 * Runs a tensor program in float64 on the host, slowly and obviously: the oracle that every kernel and every
 * gradient is tested against. Integers wrap at 32 bits; reads of data-dependent indices are clamped axis by axis
 * as on every target; any other read outside its tensor is our bug and throws.
 */
import { bug } from '../../grammar/diagnostics/report.js';
import { roundToHalf } from './half.js';
import { evaluateRoutine } from './interpret-routine.js';
import { compileScalar } from './interpret-scalar.js';
import type { Comprehension, Program, Tensor } from './program.js';
import { neutralOf, sizeOf } from './program.js';
import { expandRuns } from './runs.js';
import type { TensorId } from './scalar.js';

/** Numbers as a caller has them: a typed array or a plain one, row-major. */
export type NumberArray = ArrayLike<number>;

export interface InterpretOptions {
  /** Keep every tensor's value and return it in `values`. */
  readonly values?: boolean;
}

export interface Interpretation {
  readonly outputs: Map<string, Float64Array>;
  /** Every source by name, after updates. */
  readonly sources: Map<string, Float64Array>;
  /** Every tensor by id (empty unless asked for). */
  readonly values: Map<TensorId, Float64Array>;
}

/** Evaluates a program on the values of its sources. Every source needs one. */
export function interpret(program: Program, inputs: Readonly<Record<string, NumberArray>>, options: InterpretOptions = {}): Interpretation {
  const values: (Float64Array | undefined)[] = new Array<Float64Array | undefined>(program.tensors.length);
  const valueOf = (id: TensorId): Float64Array => values[id] ?? bug(`tensor %${id} is read before it is computed`);
  for (const tensor of program.tensors) values[tensor.id] = evaluate(tensor, program, inputs, valueOf);
  const outputs = new Map(program.outputs.map((o) => [o.name, valueOf(o.tensor)] as const));
  const sources = new Map<string, Float64Array>();
  for (const tensor of program.tensors) if (tensor.kind === 'source') sources.set(tensor.name, valueOf(tensor.id));
  for (const update of program.updates) {
    const source = program.tensors[update.source];
    if (source.kind !== 'source') return bug(`update of %${update.source}, which is not a source`);
    sources.set(source.name, update.rows === null ? valueOf(update.value) : withRows(valueOf(update.source), valueOf(update.value), valueOf(update.rows)));
  }
  const kept = new Map<TensorId, Float64Array>();
  if (options.values === true) for (const tensor of program.tensors) kept.set(tensor.id, valueOf(tensor.id));
  return { outputs, sources, values: kept };
}

/** A copy of `whole` with some rows replaced; a row's number that is none writes nothing. */
export function withRows(whole: Float64Array, rows: Float64Array, numbers: Float64Array): Float64Array {
  const result = Float64Array.from(whole);
  const size = numbers.length === 0 ? 0 : rows.length / numbers.length;
  numbers.forEach((n, r) => { if (n >= 0 && (n + 1) * size <= whole.length) result.set(rows.subarray(r * size, (r + 1) * size), n * size); });
  return result;
}

function evaluate(tensor: Tensor, program: Program, inputs: Readonly<Record<string, NumberArray>>, valueOf: (id: TensorId) => Float64Array): Float64Array {
  const size = sizeOf(tensor.shape);
  switch (tensor.kind) {
    case 'source': {
      if (tensor.runs !== undefined) return Float64Array.from(expandRuns(tensor.runs));
      if (!Object.hasOwn(inputs, tensor.name)) return bug(`no value given for source "${tensor.name}"`);
      const given = inputs[tensor.name];
      if (given.length !== size) return bug(`source "${tensor.name}" has ${size} elements, ${given.length} given`);
      return Float64Array.from(given);
    }
    case 'window':
      return valueOf(tensor.of).subarray(tensor.offset, tensor.offset + size);
    case 'pack': {
      const packed = new Float64Array(size);
      tensor.parts.forEach((part, i) => packed.set(valueOf(part), tensor.offsets[i]));
      return packed;
    }
    case 'routine':
      return evaluateRoutine(tensor, tensor.inputs.map(valueOf));
    case 'comprehension':
      return evaluateComprehension(tensor, program, valueOf);
  }
}

/** Loops over output indices, then reduction indices; each loop first computes what changes with its index. */
function evaluateComprehension(tensor: Comprehension, program: Program, valueOf: (id: TensorId) => Float64Array): Float64Array {
  const rank = tensor.shape.length;
  const extents = [...tensor.shape, ...(tensor.reduce?.extents ?? [])];
  const body = compileScalar(tensor.body, extents, (id) => ({ shape: program.tensors[id].shape, value: valueOf(id) }));
  const out = new Float64Array(sizeOf(tensor.shape));
  const store = storeOf(tensor);
  let at = 0;
  const reducer = tensor.reduce === null ? null : reducerOf(tensor.reduce.op);
  const value = body.value;
  const reduceLoop = (axis: number): void => {
    if (axis === extents.length) return reducer?.(value());
    for (let i = 0; i < extents[axis]; i++) {
      body.enter(axis, i);
      reduceLoop(axis + 1);
    }
  };
  const sumLoop = (axis: number): number => {
    if (axis === extents.length) return value();
    let sum = 0;
    const extent = extents[axis];
    const innermost = axis === extents.length - 1;
    for (let i = 0; i < extent; i++) {
      body.enter(axis, i);
      sum += innermost ? value() : sumLoop(axis + 1);
    }
    return sum;
  };
  const outputLoop = (axis: number): void => {
    if (axis < rank) {
      for (let i = 0; i < extents[axis]; i++) {
        body.enter(axis, i);
        outputLoop(axis + 1);
      }
    } else if (reducer === null) {
      out[at++] = store(value());
    } else if (tensor.reduce?.op === 'sum') {
      out[at++] = store(sumLoop(rank));
    } else {
      reduceLoop(rank);
      out[at++] = store(reducer.finish());
    }
  };
  body.enter(-1, 0);
  outputLoop(0);
  return out;
}

function storeOf(tensor: Comprehension): (x: number) => number {
  switch (tensor.element) {
    case 'f32': return (x) => x;
    case 'f16': return roundToHalf;
    case 'i32': return (x) => x | 0;
    case 'u8': return (x) => x & 255;
    case 'bool': return (x) => (x !== 0 ? 1 : 0);
  }
}

/** Takes elements one by one; `finish` gives the result and starts over. */
interface Reducer {
  (x: number): void;
  finish(): number;
}

function reducerOf(op: NonNullable<Comprehension['reduce']>['op']): Reducer {
  const neutral = neutralOf(op);
  const fold = (step: (state: number, x: number) => number): Reducer => {
    let state = neutral;
    const take = (x: number): void => { state = step(state, x); };
    return Object.assign(take, { finish: () => { const result = state; state = neutral; return result; } });
  };
  switch (op) {
    case 'sum': return fold((s, x) => s + x);
    case 'prod': return fold((s, x) => s * x);
    case 'any': return fold((s, x) => (s !== 0 || x !== 0 ? 1 : 0));
    case 'all': return fold((s, x) => (s !== 0 && x !== 0 ? 1 : 0));
    case 'min': return fold((s, x) => Math.min(s, x));
    case 'max': return fold((s, x) => Math.max(s, x));
    case 'deviations': {
      // Welford, 1962: the mean so far, and the squared deviations from it.
      let count = 0;
      let mean = 0;
      let squares = 0;
      const take = (x: number): void => {
        count++;
        const before = x - mean;
        mean += before / count;
        squares += before * (x - mean);
      };
      return Object.assign(take, {
        finish: () => {
          const result = squares;
          count = 0;
          mean = 0;
          squares = 0;
          return result;
        },
      });
    }
    case 'logsumexp': {
      // m + log(sum exp(x - m)), with the running maximum m.
      let maximum = neutral;
      let sum = 0;
      const take = (x: number): void => {
        if (x <= maximum) sum += Math.exp(x - maximum);
        else { sum = sum * Math.exp(maximum - x) + 1; maximum = x; }
      };
      return Object.assign(take, {
        finish: () => {
          const result = sum === 0 ? neutral : maximum + Math.log(sum);
          maximum = neutral;
          sum = 0;
          return result;
        },
      });
    }
    case 'argmax': {
      let best = -Infinity;
      let position = 0;
      let count = 0;
      const take = (x: number): void => {
        if (x > best) { best = x; position = count; }
        count++;
      };
      return Object.assign(take, {
        finish: () => {
          const result = position;
          best = -Infinity;
          position = 0;
          count = 0;
          return result;
        },
      });
    }
  }
}
