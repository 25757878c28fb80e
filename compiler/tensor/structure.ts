/**
 * Structural equality of scalars. An interner gives each structure one number and one shared node, so that equal
 * expressions become equal objects (which the rest of the compiler takes as one computation) and can be compared
 * without walking them twice.
 */
import type { Scalar } from './scalar.js';
import { operands, rebuild } from './scalar.js';

export interface Interner {
  /** The same number for the same structure. */
  readonly id: (s: Scalar) => number;
  /** The first node seen with this structure, its operands interned too. */
  readonly intern: (s: Scalar) => Scalar;
}

/** A new, empty interner. */
export function createInterner(): Interner {
  const byKey = new Map<string, { readonly id: number; readonly node: Scalar }>();
  const known = new Map<Scalar, { readonly id: number; readonly node: Scalar }>();
  const visit = (s: Scalar): { readonly id: number; readonly node: Scalar } => {
    const seen = known.get(s);
    if (seen !== undefined) return seen;
    const before = operands(s);
    const after = before.map(visit);
    const key = `${labelOf(s)}(${after.map((o) => o.id).join(',')})`;
    let entry = byKey.get(key);
    if (entry === undefined) {
      const node = after.some((o, i) => o.node !== before[i]) ? sameWith(s, after.map((o) => o.node)) : s;
      entry = { id: byKey.size, node };
      byKey.set(key, entry);
    }
    known.set(s, entry);
    known.set(entry.node, entry);
    return entry;
  };
  return { id: (s) => visit(s).id, intern: (s) => visit(s).node };
}

/** The node with other operands, kept exactly as it is otherwise (`rebuild` would fold). */
function sameWith(s: Scalar, ops: readonly Scalar[]): Scalar {
  switch (s.kind) {
    case 'unary': case 'cast': return { ...s, x: ops[0] };
    case 'binary': return { ...s, a: ops[0], b: ops[1] };
    case 'select': return { ...s, condition: ops[0], a: ops[1], b: ops[2] };
    default: return rebuild(s, ops);
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
