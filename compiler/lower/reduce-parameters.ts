/**
 * Reductions over whole parameters (norms, for trust ratios) where an optimizer runs on all of them at once: the parameters lie side
 * by side along one axis, and `sum[*S](w^2)` is a value for each. However many there are, it takes two reductions: one over
 * pieces of at most so many elements, each within a parameter, and one over the pieces of each parameter. Where pieces lie, and
 * which parameter an element belongs to, are tables that the plan holds. The order of summation is fixed.
 */
import type { Span } from '../../grammar/span.js';
import { bug } from '../../grammar/diagnostics/report.js';
import { alignElements } from '../tensor/builder.js';
import type { ProgramBuilder } from '../tensor/builder.js';
import { neutralOf, sizeOf } from '../tensor/program.js';
import type { ReduceOperator } from '../tensor/program.js';
import { add, binary, cast, div, float, index, int, mul, rewrite, select, sub, substitute } from '../tensor/scalar.js';
import type { Scalar, ScalarType, TensorId } from '../tensor/scalar.js';
import type { Run } from '../tensor/runs.js';
import type { Context, SharedAxis } from './context.js';
import { convertTensor, elementwise } from './tensor-value.js';
import type { TensorValue } from './value.js';

/** Reductions whose value follows from those of pieces; `var` from two of them. */
export const pieceReductions: ReadonlySet<string> = new Set(['sum', 'max', 'min', 'mean', 'prod', 'logsumexp', 'any', 'all', 'var']);

/** Elements that begin at multiples of this belong to one parameter. */
const block = alignElements(1);
/** Elements of a piece: at least so many, so that pieces are few; and no parameter has many more pieces than the second. */
const pieceElements = 4096;
const mostPieces = 1024;

/** Where pieces begin, and from which to which element of them they count: a piece at the end of the axis begins earlier than it counts. */
interface Pieces {
  readonly length: number;
  readonly start: readonly Run[];
  readonly from: readonly Run[];
  readonly to: readonly Run[];
  /** For each parameter: its first piece, how many it has, how many elements. */
  readonly first: readonly number[];
  readonly counts: readonly number[];
  readonly sizes: readonly number[];
}

/** Whether `v` is a scalar of each parameter, seen at every element of it: it has their axis, which belongs to no `*S` then. */
export function isValueOfEach(c: Context, v: TensorValue): boolean {
  return c.parametersAlong !== undefined && v.axes.length === 1 && v.axes[0].size === c.parametersAlong.size && v.axes[0].group === null;
}

/** The value for each parameter, seen at every element of it; null when `v` is not over the parameters. */
export function reduceParameters(c: Context, span: Span, name: string, v: TensorValue, positions: readonly number[]): TensorValue | null {
  const along = c.parametersAlong;
  const isAlong = (k: number): boolean => v.axes[k].group !== null && v.axes[k].size === along?.size;
  if (along === undefined || !positions.some(isAlong) || !pieceReductions.has(name)) return null;
  if (v.axes.length > 1) return bug('a parameter with an axis of its own');
  const of = (op: ReduceOperator, x: TensorValue): TensorValue => reducePieces(c, span, name, op, x, along);
  switch (name) {
    case 'mean': return perElement(c, span, along, of('sum', v), 0);
    case 'var': {
      const x = convertTensor(v, 'f32');
      const mean = perElement(c, span, along, of('sum', x), 0);
      return perElement(c, span, along, of('sum', elementwise(c, span, [x, mean], 'f32', ([a, b]) => mul(sub(a, b), sub(a, b)))), 1);
    }
    case 'sum': case 'max': case 'min': case 'prod': case 'logsumexp': case 'any': case 'all': return of(name, v);
    default: return null;
  }
}

/** A sum divided by the number of elements, less `fewer` where more are left. */
function perElement(c: Context, span: Span, along: SharedAxis, sum: TensorValue, fewer: number): TensorValue {
  const table = tablesOf(c.builder, along);
  const size: TensorValue = { ...sum, element: 'i32', at: ([i]) => c.builder.read(table.parameters, [int(2), parameterAt(c.builder, along, i)]) };
  return elementwise(c, span, [convertTensor(sum, 'f32'), size], 'f32', ([x, n]) => div(x, cast('f32', binary('max', sub(n, int(fewer)), int(1)))));
}

/** The number of the parameter that an element of the axis belongs to. */
export function parameterAt(b: ProgramBuilder, along: SharedAxis, element: Scalar): Scalar {
  return b.read(tablesOf(b, along).owner, [binary('idiv', element, int(block))]);
}

function reducePieces(c: Context, span: Span, name: string, op: ReduceOperator, v: TensorValue, along: SharedAxis): TensorValue {
  const b = c.builder;
  const type: ScalarType = op === 'any' || op === 'all' ? 'bool' : v.element === 'i32' && op !== 'logsumexp' ? 'i32' : 'f32';
  const whole = convertTensor(v, type);
  if (whole.free.size > 0) return bug('an optimizer without a batch');
  const element = (i: Scalar): Scalar => recomputed(b, whole.at([i]), along.size);
  const { pieces, starts, parameters, count } = tablesOf(b, along);
  const neutral = cast(type, float(neutralOf(op)));
  const origin = { span, name };
  // The table is known to lie inside, which these bounds say to whoever reads the index.
  const start = binary('min', binary('max', b.read(starts, [int(0), index(0)]), int(0)), int(along.size - pieces.length));
  const counts = binary('and', binary('ge', index(1), b.read(starts, [int(1), index(0)])), binary('lt', index(1), b.read(starts, [int(2), index(0)])));
  const partial = b.comprehension(type, [count], { op, extents: [pieces.length] }, select(counts, element(add(start, index(1))), neutral), origin);
  const most = Math.max(...pieces.counts);
  const mine = binary('lt', index(1), b.read(parameters, [int(1), index(0)]));
  const each = most === 1 ? partial : b.comprehension(type, [along.parameters.length], { op, extents: [most] },
    select(mine, b.read(partial, [add(b.read(parameters, [int(0), index(0)]), index(1))]), neutral), origin);
  return { kind: 'tensor', element: type, axes: v.axes.map((a) => ({ ...a, group: null, label: null })), free: new Map(), at: ([i]) => b.read(each, [parameterAt(b, along, i)]) };
}

/**
 * An element with what maps along the axis give written out. What is reduced reads weights, gradients and moments, which lie in memory; the
 * update needs the same maps once more, and to keep them would take an arena and a pass over it for each.
 */
export function recomputed(b: ProgramBuilder, s: Scalar, size: number): Scalar {
  return rewrite(s, (n) => {
    if (n.kind !== 'read' || n.otherwise !== null) return n;
    const made = b.tensor(n.tensor);
    if (made.kind !== 'comprehension' || made.reduce !== null || made.shape.length !== 1 || made.shape[0] !== size) return n;
    const [at] = n.at;
    return recomputed(b, substitute(made.body, () => at), size);
  });
}

interface Tables {
  readonly pieces: Pieces;
  readonly count: number;
  /** i32 [3, pieces]: start, from, to. */
  readonly starts: TensorId;
  /** i32 [3, parameters]: first piece, pieces, elements. */
  readonly parameters: TensorId;
  /** i32 [blocks]: the parameter of each block. */
  readonly owner: TensorId;
}

const tablesOfProgram = new WeakMap<ProgramBuilder, { readonly along: SharedAxis; readonly tables: Tables }>();

/** The tables of a program; it has one arena. */
function tablesOf(b: ProgramBuilder, along: SharedAxis): Tables {
  const made = tablesOfProgram.get(b);
  if (made !== undefined && made.along === along) return made.tables;
  const tables = makeTables(b, along);
  tablesOfProgram.set(b, { along, tables });
  return tables;
}

function makeTables(b: ProgramBuilder, along: SharedAxis): Tables {
  const pieces = findPieces(along);
  const count = pieces.counts.reduce((n, k) => n + k, 0);
  const origin = (name: string): { span: null; name: string } => ({ span: null, name });
  const singles = (values: readonly number[]): Run[] => values.map((first) => ({ first, step: 0, count: 1 }));
  const blocks = along.parameters.map(({ shape }, k): Run => ({ first: k, step: 0, count: alignElements(sizeOf(shape)) / block }));
  return {
    pieces, count,
    starts: b.constant('optimizer.pieces', [3, count], [...pieces.start, ...pieces.from, ...pieces.to], origin('pieces of parameters')),
    parameters: b.constant('optimizer.parameters', [3, along.parameters.length], singles([...pieces.first, ...pieces.counts, ...pieces.sizes]), origin('parameters')),
    owner: b.constant('optimizer.owner', [along.size / block], blocks, origin('parameter of an element')),
  };
}

function findPieces({ size, parameters }: SharedAxis): Pieces {
  const sizes = parameters.map((p) => sizeOf(p.shape));
  const largest = Math.max(...sizes);
  const length = Math.min(alignElements(largest), Math.max(pieceElements, alignElements(Math.ceil(largest / mostPieces))));
  const start: Run[] = [];
  const from: Run[] = [];
  const to: Run[] = [];
  const first: number[] = [];
  const counts: number[] = [];
  let next = 0;
  parameters.forEach(({ offset }, k) => {
    const whole = Math.floor(sizes[k] / length);
    const rest = sizes[k] - whole * length;
    first.push(next);
    counts.push(whole + (rest > 0 ? 1 : 0));
    next += counts[k];
    if (whole > 0) {
      start.push({ first: offset, step: length, count: whole });
      from.push({ first: 0, step: 0, count: whole });
      to.push({ first: length, step: 0, count: whole });
    }
    if (rest === 0) return;
    const at = offset + whole * length;
    const early = Math.max(0, at - (size - length));
    start.push({ first: at - early, step: 0, count: 1 });
    from.push({ first: early, step: 0, count: 1 });
    to.push({ first: early + rest, step: 0, count: 1 });
  });
  return { length, start, from, to, first, counts, sizes };
}
