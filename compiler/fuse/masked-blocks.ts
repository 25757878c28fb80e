/**
 * Blocks of pairs that a mask leaves nothing of. Where the scores of an online kernel are chosen by a condition on the indices, as under a
 * causal mask, `if j <= i { score } else { -1e9 }`, it is known of most blocks of rows and streamed columns without looking at them that
 * the condition fails everywhere in them. There a reduction takes the same value for every pair, and a weight is the same down its rows or
 * its columns: no score of the block is needed, and where the weights are zero nothing of the block is.
 *
 * What is known: a comparison of affine forms of the row and the streamed column, and `and`, `or`, `not` of such. The condition is any
 * `select` of the scores' scalars; what it is for is not asked. The row and the streamed column are one axis each.
 */
import type { Scalar } from '../tensor/scalar.js';
import { add, affineOf, binary, boolean, cast, index, indexVariables, int, mul, rewrite, sub, substitute, unary, visit } from '../tensor/scalar.js';
import { holds } from '../tensor/holds.js';
import type { ReduceOperator } from '../tensor/program.js';
import { sizeAlong, sizeOf } from '../tensor/program.js';
import { createInterner } from '../tensor/structure.js';
import { loopExtents } from './inline-maps.js';
import type { OnlineKernel } from './kernel.js';

/** Variables of a block, behind those of the kernel: its first and last row, and its first and last streamed column. */
export interface BlockVariables {
  readonly rows: readonly [first: number, last: number];
  readonly streamed: readonly [first: number, last: number];
}

export interface MaskedBlocks {
  readonly variables: BlockVariables;
  /** Over the batch and these variables: nothing is left of the block. */
  readonly masked: Scalar;
  /**
   * What the reductions take in place of such a block, over batch, rows and the block's variables; or what the weights of each product are, over
   * the batch and either the rows or the streamed column.
   */
  readonly values: readonly Scalar[];
}

/** The masked blocks of a kernel, or null where no mask is known. */
export function maskedBlocks(kernel: OnlineKernel): MaskedBlocks | null {
  const all = loopExtents(kernel);
  const p = kernel.extents.length;
  const wide = (axes: readonly number[]): readonly number[] => axes.filter((a) => all[a] > 1);
  const [rows, streamed] = [wide(kernel.rows), wide(kernel.streamedExtents.map((_, i) => p + i))];
  if (rows.length !== 1 || streamed.length !== 1) return null;
  const [row, column] = [rows[0], streamed[0]];
  const variables: BlockVariables = { rows: [all.length, all.length + 1], streamed: [all.length + 2, all.length + 3] };
  const { combine } = kernel;
  const operators = combine.kind === 'reduce' ? combine.reductions.map((r) => r.op) : [];
  if (!operators.every(takesEqual)) return null;
  const bodies = combine.kind === 'reduce' ? combine.reductions.map((r) => r.body) : combine.products.map((m) => m.weight);
  const place = (v: number, end: 0 | 1): Scalar | null =>
    (v === row ? index(variables.rows[end]) : v === column ? index(variables.streamed[end]) : kernel.batch.includes(v) ? index(v) : all[v] === 1 ? int(0) : null);
  const fitting = (values: readonly Scalar[]): boolean => values.every((s) => {
    const used = indexVariables(s);
    if ((s.holds & holds.accumulator) !== 0) return false;
    return combine.kind === 'reduce' ? !used.has(column) : !(used.has(row) && used.has(column));
  });
  const interner = createInterner();
  const found: { readonly masked: Scalar; readonly values: readonly Scalar[]; readonly name: string }[] = [];
  for (const condition of conditionsOf(bodies)) {
    for (const holdsThere of [false, true]) {
      const masked = throughout(condition, holdsThere, place);
      if (isFalse(masked)) continue;
      const values = bodies.map((s) => assuming(s, condition, holdsThere));
      if (!fitting(values)) continue;
      found.push({ masked, values, name: values.map((s) => interner.id(s)).join() });
    }
  }
  if (found.length === 0) return null;
  // Further masks add to the first where they leave the same.
  const [{ values, name }] = found;
  const masked = found.filter((m) => m.name === name).reduce<Scalar>((any, m) => binary('or', any, m.masked), boolean(false));
  const count = add(sub(index(variables.streamed[1]), index(variables.streamed[0])), int(1));
  return { variables, masked, values: values.map((s, k) => (combine.kind === 'reduce' ? valueOfEqual(operators[k], s, count) : s)) };
}

/** The conditions by which values are chosen. */
function conditionsOf(bodies: readonly Scalar[]): readonly Scalar[] {
  const found = new Set<Scalar>();
  const seen = new Set<Scalar>();
  for (const body of bodies) visit(body, (s) => { if (s.kind === 'select') found.add(s.condition); else if (s.kind === 'cast' && s.x.type === 'bool') found.add(s.x); }, seen);
  return [...found];
}

const isFalse = (s: Scalar): boolean => s.kind === 'const' && s.value === 0;

/** The scalar where the condition is known. */
function assuming(s: Scalar, condition: Scalar, value: boolean): Scalar {
  return rewrite(s, (n) => n, new Map([[condition, boolean(value)]]));
}

/** A scalar that is true only where `condition` is `value` for all pairs of a block. `place` gives the first or last index of a variable. */
function throughout(condition: Scalar, value: boolean, place: (v: number, end: 0 | 1) => Scalar | null): Scalar {
  if (condition.kind === 'const') return boolean((condition.value !== 0) === value);
  if (condition.kind === 'unary' && condition.op === 'not') return throughout(condition.x, !value, place);
  if (condition.kind !== 'binary') return boolean(false);
  const { op, a, b } = condition;
  if (op === 'and' || op === 'or') {
    const [left, right] = [throughout(a, value, place), throughout(b, value, place)];
    return binary((op === 'and') === value ? 'and' : 'or', left, right);
  }
  if (a.type !== 'i32') return boolean(false);
  /** The least or greatest of a - b in the block. */
  const end = (most: boolean): Scalar | null => {
    const form = affineOf(sub(a, b));
    if (form === null) return null;
    let sum: Scalar = int(form.constant);
    for (const [v, k] of form.coefficients) {
      const at = place(v, (k > 0) === most ? 1 : 0);
      if (at === null) return null;
      sum = add(sum, mul(at, int(k)));
    }
    return sum;
  };
  const [least, most] = [end(false), end(true)];
  if (least === null || most === null) return boolean(false);
  const zero = int(0);
  switch (op) {
    case 'lt': return value ? binary('lt', most, zero) : binary('ge', least, zero);
    case 'le': return value ? binary('le', most, zero) : binary('gt', least, zero);
    case 'gt': return value ? binary('gt', least, zero) : binary('le', most, zero);
    case 'ge': return value ? binary('ge', least, zero) : binary('lt', most, zero);
    // Equal throughout is no block of more than one pair.
    case 'eq': case 'ne': return (op === 'ne') === value ? binary('or', binary('gt', least, zero), binary('lt', most, zero)) : boolean(false);
    default: return boolean(false);
  }
}

/** What a reduction of a block takes in place of its `count` elements, all of which are `value`. */
function valueOfEqual(op: EqualOperator, value: Scalar, count: Scalar): Scalar {
  switch (op) {
    case 'sum': return mul(value, cast(value.type, count));
    case 'logsumexp': return add(value, unary('log', cast('f32', count)));
    case 'max': case 'min': case 'any': case 'all': case 'argmax': return value;
  }
}

/** Reductions that take many equal elements as one. */
type EqualOperator = Exclude<ReduceOperator, 'prod' | 'deviations'>;

const takesEqual = (op: ReduceOperator): op is EqualOperator => op !== 'prod' && op !== 'deviations';

/** Blocks along each side that are looked at to say what a mask leaves. */
const mostBlocks = 32;

/** The part of all pairs whose scores are computed, in blocks of this size, larger ones where there would be many; 1 where no mask is known. */
export function partLeft(kernel: OnlineKernel, least: number): number {
  const mask = maskedBlocks(kernel);
  if (mask === null || kernel.batch.some((v) => indexVariables(mask.masked).has(v))) return 1;
  const [height, width] = [sizeAlong(kernel.rows, kernel.extents), sizeOf(kernel.streamedExtents)];
  const block = Math.max(least, Math.ceil(Math.max(height, width) / mostBlocks));
  let left = 0;
  for (let i = 0; i < height; i += block) {
    for (let j = 0; j < width; j += block) {
      const [lastRow, lastColumn] = [Math.min(i + block, height) - 1, Math.min(j + block, width) - 1];
      const ends = new Map([[mask.variables.rows[0], i], [mask.variables.rows[1], lastRow], [mask.variables.streamed[0], j], [mask.variables.streamed[1], lastColumn]]);
      const masked = substitute(mask.masked, (v) => int(ends.get(v) ?? 0));
      if (isFalse(masked)) left += (lastRow - i + 1) * (lastColumn - j + 1);
    }
  }
  return left / (height * width);
}
