/**
 * Puts the body of a map where its result is read. A guarded read becomes a select whose inner reads are guarded as
 * well; where the body turns the inner fill value into the outer one (relu of 0 is 0) the select is not needed.
 */
import type { Program } from '../tensor/program.js';
import type { ExtentOf } from '../tensor/ranges.js';
import { rangeOf } from '../tensor/ranges.js';
import { holds } from '../tensor/holds.js';
import type { ReadScalar, Scalar, TensorId } from '../tensor/scalar.js';
import { binary, boolean, constant, int, read as readOf, rewriteReads, select, substitute, visit, visitReads } from '../tensor/scalar.js';

/** Replaces every read of `tensor` in `root` by `body` at the read's indices. `extentOf` bounds the variables of `root`. */
export function inlineInto(root: Scalar, tensor: TensorId, body: Scalar, program: Program, extentOf: ExtentOf): Scalar {
  return rewriteReads(root, (s) => (s.tensor === tensor ? inlineRead(s, body, program, extentOf) : s));
}

function inlineRead(read: ReadScalar, body: Scalar, program: Program, extentOf: ExtentOf): Scalar {
  const { shape } = program.tensors[read.tensor];
  const escapes = read.at.map((i, axis) => {
    const range = rangeOf(i, extentOf);
    return !(range.low >= 0 && range.high < shape[axis]);
  });
  if (!escapes.some((e) => e)) return substitute(body, (v) => read.at[v]);
  if (read.otherwise === null) {
    // An index from data is clamped to the tensor, as the read would have been; others are known to lie inside.
    const at = read.at.map((i, axis) => (escapes[axis] && isData(i) ? binary('min', binary('max', i, int(0)), int(shape[axis] - 1)) : i));
    return substitute(body, (v) => at[v]);
  }
  const transparent = fillThrough(read, body, program);
  if (transparent !== null) return substitute(transparent, (v) => read.at[v]);
  let inside: Scalar = boolean(true);
  read.at.forEach((i, axis) => {
    if (!escapes[axis]) return;
    const range = rangeOf(i, extentOf);
    if (range.low < 0) inside = binary('and', inside, binary('ge', i, int(0)));
    if (range.high >= shape[axis]) inside = binary('and', inside, binary('lt', i, int(shape[axis])));
  });
  const guarded = rewriteReads(body, (s) => (s.otherwise === null && s.at.length > 0 ? zeroOutside(s) : s));
  return select(inside, substitute(guarded, (v) => read.at[v]), read.otherwise);
}

const zeroOutside = (s: ReadScalar): Scalar => readOf(s.tensor, s.at, s.type, constant(s.type, 0));

function isData(s: Scalar): boolean {
  // Most indices are plain.
  if (s.kind === 'index' || s.kind === 'const') return false;
  let found = (s.holds & (holds.read | holds.draw)) !== 0;
  if (found) return true;
  visit(s, (n) => { if (n.kind === 'cast' && n.x.type === 'f32') found = true; });
  return found;
}

/**
 * The body with its reads filled so that outside it gives the read's own fill value, or null: all varying reads are at
 * the same indices of tensors of the same shape, and the body of the fill value folds to the fill value.
 */
function fillThrough(read: ReadScalar, body: Scalar, program: Program): Scalar | null {
  const fill = read.otherwise;
  if (fill === null || fill.kind !== 'const') return null;
  const { shape } = program.tensors[read.tensor];
  let plain = (body.holds & holds.draw) === 0;
  visitReads(body, (s) => {
    const same = program.tensors[s.tensor].shape;
    if (s.otherwise !== null || same.length !== shape.length || !s.at.every((i, axis) => i.kind === 'index' && i.axis === axis && same[axis] === shape[axis])) plain = false;
  });
  if (!plain) return null;
  const filled = rewriteReads(body, (s) => constant(s.type, 0));
  if (filled.kind !== 'const' || filled.value !== fill.value) return null;
  return rewriteReads(body, zeroOutside);
}

/** What evaluating a scalar once costs, in additions or so, and whether some of it must not be done twice. */
export interface ScalarCost {
  readonly operations: number;
  readonly expensive: boolean;
  /** Reads that vary with as many elements as the whole body: passes over memory. */
  readonly reads: readonly ReadScalar[];
}

const transcendental: ReadonlySet<string> = new Set(['exp', 'log', 'log1p', 'sin', 'cos', 'tanh', 'erf', 'sqrt']);

export function costOf(root: Scalar): ScalarCost {
  let operations = 0;
  let expensive = false;
  const reads: ReadScalar[] = [];
  visit(root, (s) => {
    switch (s.kind) {
      case 'const': case 'index': case 'accumulator': return;
      case 'read':
        reads.push(s);
        // Lanes that gather load one by one, which is still less than a pass through memory.
        operations += s.at.some(isData) ? 5 : 1;
        return;
      case 'draw': operations += 40; expensive = true; return;
      case 'unary':
        operations += transcendental.has(s.op) ? 8 : 1;
        if (transcendental.has(s.op)) expensive = true;
        return;
      case 'binary':
        if (s.type === 'i32') return;
        operations += s.op === 'pow' || s.op === 'atan2' ? 20 : s.op === 'div' ? 2 : 1;
        if (s.op === 'pow' || s.op === 'atan2') expensive = true;
        return;
      case 'select': case 'cast': operations += 1; return;
    }
  });
  return { operations, expensive, reads };
}
