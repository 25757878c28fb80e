/**
 * Structural equality of scalars. An interner gives each structure one number and one shared node, so that equal
 * expressions become equal objects (which the rest of the compiler takes as one computation) and can be compared
 * without walking them twice.
 */
import { HashTable, hashOfFloat, mix } from './hash-table.js';
import type { BinaryOperator, Scalar, ScalarType, UnaryOperator } from './scalar.js';
import { operands, plainBinary, plainCast, plainSelect, plainUnary, rebuild } from './scalar.js';

export interface Interner {
  /** The same number for the same structure. */
  readonly id: (s: Scalar) => number;
  /** The first node seen with this structure, its operands interned too. */
  readonly intern: (s: Scalar) => Scalar;
}

/** A new, empty interner. */
export function createInterner(): Interner {
  const table = new HashTable<Scalar>(equalAbove);
  const known = new Map<Scalar, number>();
  const visit = (s: Scalar): number => {
    const seen = known.get(s);
    if (seen !== undefined) return seen;
    let hash = hashAbove(s);
    let same = true;
    const before = operands(s);
    for (const o of before) {
      const n = visit(o);
      hash = mix(hash, n);
      same &&= table.at(n) === o;
    }
    const n = table.add(same ? s : sameWith(s, before.map((o) => table.at(visit(o)))), hash);
    known.set(s, n);
    if (table.at(n) !== s) known.set(table.at(n), n);
    return n;
  };
  return { id: visit, intern: (s) => table.at(visit(s)) };
}

/** The node with other operands, kept exactly as it is otherwise (`rebuild` would fold). */
function sameWith(s: Scalar, ops: readonly Scalar[]): Scalar {
  switch (s.kind) {
    case 'unary': return plainUnary(s.op, ops[0]);
    case 'cast': return plainCast(s.type, ops[0]);
    case 'binary': return plainBinary(s.op, ops[0], ops[1]);
    case 'select': return plainSelect(ops[0], ops[1], ops[2]);
    default: return rebuild(s, ops);
  }
}

const types: Record<ScalarType, number> = { f32: 1, i32: 2, bool: 3 };
const operators: Readonly<Record<UnaryOperator | BinaryOperator, number>> = {
  neg: 1, abs: 2, exp: 3, log: 4, log1p: 5, sqrt: 6, sin: 7, cos: 8, tanh: 9, erf: 10, floor: 11, ceil: 12, round: 13, not: 14, stop: 15,
  add: 16, sub: 17, mul: 18, div: 19, idiv: 20, mod: 21, pow: 22, min: 23, max: 24, atan2: 25,
  lt: 26, le: 27, gt: 28, ge: 29, eq: 30, ne: 31, and: 32, or: 33,
};

/** A hash of what tells a node from others besides its operands. */
function hashAbove(s: Scalar): number {
  switch (s.kind) {
    case 'const': return mix(types[s.type], hashOfFloat(s.value));
    case 'index': return mix(5, s.axis);
    case 'read': return mix(7 + types[s.type], s.tensor);
    case 'unary': return mix(11 + types[s.type], operators[s.op]);
    case 'binary': return mix(15 + types[s.type], operators[s.op]);
    case 'select': return mix(19, types[s.type]);
    case 'cast': return mix(23, types[s.type]);
    case 'draw': return mix(29, s.lane);
    case 'accumulator': return mix(31, s.slot);
  }
}

/** Whether two nodes with interned operands are the same structure. */
function equalAbove(a: Scalar, b: Scalar): boolean {
  if (a.type !== b.type) return false;
  switch (a.kind) {
    case 'const': return b.kind === 'const' && Object.is(a.value, b.value);
    case 'index': return b.kind === 'index' && a.axis === b.axis;
    case 'read': return b.kind === 'read' && a.tensor === b.tensor && a.otherwise === b.otherwise && a.at.length === b.at.length && a.at.every((i, d) => i === b.at[d]);
    case 'unary': return b.kind === 'unary' && a.op === b.op && a.x === b.x;
    case 'binary': return b.kind === 'binary' && a.op === b.op && a.a === b.a && a.b === b.b;
    case 'select': return b.kind === 'select' && a.condition === b.condition && a.a === b.a && a.b === b.b;
    case 'cast': return b.kind === 'cast' && a.x === b.x;
    case 'draw': return b.kind === 'draw' && a.lane === b.lane && a.site === b.site && a.seed === b.seed && a.step === b.step && a.example === b.example && a.element === b.element;
    case 'accumulator': return b.kind === 'accumulator' && a.slot === b.slot;
  }
}

/** What tells a node from others besides its operands. */
export function labelOf(s: Scalar): string {
  switch (s.kind) {
    case 'const': return `c ${s.type} ${Object.is(s.value, -0) ? '-0' : String(s.value)}`;
    case 'index': return `i ${s.axis}`;
    case 'read': return `r ${s.tensor} ${s.type} ${s.otherwise === null ? '' : 'else'}`;
    case 'unary': return `u ${s.op} ${s.type}`;
    case 'binary': return `b ${s.op} ${s.type}`;
    case 'select': return `s ${s.type}`;
    case 'cast': return `t ${s.type}`;
    case 'draw': return `d ${s.lane}`;
    case 'accumulator': return `a ${s.slot} ${s.type}`;
  }
}
