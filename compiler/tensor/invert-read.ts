/**
 * Inverts the index map of a read. For `x[at(v)]`, v the variables of a comprehension, the adjoint of x at p sums
 * over all v with at(v) = p. These equations are solved one by one:
 *
 * - a linear equation whose coefficients decode uniquely (every coefficient exceeds what the smaller ones can
 *   reach, as in i*2 + d with d < 2) gives all its variables by division and remainder;
 * - any other linear equation is solved for its variable of the largest extent, so that for x[i*stride + d - pad]
 *   the loop that remains is over d, with a range guard and, for strides, a divisibility guard;
 * - mod(e, n) = p with a variable of extent at most n is e = p modulo n; with a larger one, e = n t + p over a new
 *   loop t; floor(e / n) = p is e = n p + t with t < n; floor and remainder of one e join into e itself;
 * - order[e, v] = p for a permutation along the last axis, and a variable v, is v = inverse[e, p];
 * - what remains (data-dependent indices, equations without unknowns) becomes a condition of the sum.
 */
import { holds } from './holds.js';
import { combine, foldRanges, linearOf, rangeOfLinear, scalarOfLinear } from './index-algebra.js';
import type { Linear } from './index-algebra.js';
import { rangeOf } from './ranges.js';
import type { Range } from './ranges.js';
import { add, binary, boolean, index, indexVariables, int, mul, read, select, sub, substitute, unary, visit, visitWhere } from './scalar.js';
import type { Scalar, TensorId } from './scalar.js';
import { createInterner } from './structure.js';

/** The solution of at(v) = p. The axes of p are the index variables `target + axis`. */
export interface Inversion {
  /** Solved variables as scalars of p and of the loops that remain. */
  readonly solved: ReadonlyMap<number, SolvedVariable>;
  /** Variables still to be summed over, old and new. */
  readonly loops: readonly { readonly variable: number; readonly extent: number }[];
  /** Equations that could not be solved, over p, the loops and the solved variables' scalars. */
  readonly conditions: readonly Scalar[];
}

export interface SolvedVariable {
  readonly extent: number;
  readonly value: Scalar;
  /** A condition without which the value means nothing (divisibility), or null. */
  readonly divisible: Scalar | null;
  /** True when the value can leave 0..extent-1, so the sum must leave such points out. */
  readonly mayLeave: boolean;
  /** True when the value is data, whose reads are clamped and not guarded. */
  readonly fromData: boolean;
}

interface Equation {
  readonly left: Scalar;
  readonly right: Scalar;
}

interface Solution {
  value: Scalar;
  divisible: Scalar | null;
  readonly extent: number;
}

/** The inverse of a tensor whose rows are permutations of 0..n-1, or null for other tensors. */
export type Permutations = (tensor: TensorId) => { readonly inverse: () => TensorId; readonly size: number } | null;

const none: Permutations = () => null;

/**
 * Solves at(v) = p. Variables 0..extents.length-1 are the comprehension's; `target`.. are the axes of p, of sizes
 * `shape`. New loops get numbers from extents.length up.
 */
export function invertRead(at: readonly Scalar[], extents: readonly number[], shape: readonly number[], target: number, permutations: Permutations = none): Inversion {
  const interner = createInterner();
  const loopExtents = new Map<number, number>(extents.map((e, v) => [v, e]));
  const extentOf = (v: number): number | undefined => (v >= target ? shape[v - target] : loopExtents.get(v));
  const fold = (s: Scalar): Scalar => foldRanges(s, extentOf, null, interner);
  const solutions = new Map<number, Solution>();
  const conditions: Scalar[] = [];
  /** Values of variables found by inverting a permutation. */
  const places = new Map<number, Range>();
  let fresh = extents.length;
  let equations: Equation[] = at.map((left, axis) => ({ left, right: index(target + axis) }));

  const isUnknown = (v: number): boolean => v < target && !solutions.has(v);
  const solve = (variable: number, value: Scalar, divisible: Scalar | null): void => {
    const replace = (s: Scalar): Scalar => fold(substitute(s, (v) => (v === variable ? value : null)));
    for (const other of solutions.values()) {
      other.value = replace(other.value);
      if (other.divisible !== null) other.divisible = replace(other.divisible);
    }
    solutions.set(variable, { value: fold(value), divisible: divisible === null ? null : fold(divisible), extent: loopExtents.get(variable) ?? 0 });
    equations = equations.map((e) => ({ left: replace(e.left), right: replace(e.right) }));
    conditions.forEach((c, i) => { conditions[i] = replace(c); });
  };
  const newLoop = (extent: number): number => {
    loopExtents.set(fresh, extent);
    return fresh++;
  };
  const require = (condition: Scalar): void => {
    const folded = fold(condition);
    if (!(folded.kind === 'const' && folded.value !== 0)) conditions.push(folded);
  };

  // Loops of one round are no unknowns.
  extents.forEach((e, v) => { if (e === 1) solve(v, int(0), null); });
  equations = equations.map((e) => ({ left: fold(e.left), right: fold(e.right) }));
  while (equations.length > 0) {
    equations = joinRemainders(equations, require, extentOf, interner.id);
    // The equation with the fewest unknowns first: it may make others simpler.
    // Quotients last: joined with a remainder they are exact, alone they cost a loop.
    const counted = equations.map((e) => ({ e, unknowns: unknownsOf(e.left, isUnknown), last: divisionOf(e.left, 'idiv') === null ? 0 : 1 }));
    const arithmetic = counted.filter((c) => isArithmetic(c.e.left));
    const next = (arithmetic.length > 0 ? arithmetic : counted).reduce((a, b) => (b.last < a.last || (b.last === a.last && b.unknowns < a.unknowns) ? b : a));
    equations = equations.filter((e) => e !== next.e);
    const { left, right } = next.e;
    const linear = linearOf(left, interner);
    const atoms = linear.terms.map((t) => (t.atom.kind === 'index' && isUnknown(t.atom.axis) ? t.atom.axis : null));
    const permuted = solvePermutation(left, right, isUnknown, extentOf, permutations);
    if (permuted !== null) {
      solve(permuted.variable, permuted.value, null);
      places.set(permuted.variable, { low: 0, high: permuted.size - 1 });
    } else if (!isArithmetic(left) || next.unknowns === 0) {
      require(binary('eq', left, right));
    } else if (linear.terms.every((t, i) => atoms[i] !== null || unknownsOf(t.atom, isUnknown) === 0)) {
      const unknown: Linear = { constant: 0, terms: linear.terms.filter((_, i) => atoms[i] !== null) };
      const rest: Linear = { constant: linear.constant, terms: linear.terms.filter((_, i) => atoms[i] === null) };
      const value = scalarOfLinear(combine(linearOf(right, interner), rest, -1, interner));
      const variables = unknown.terms.map((t, i) => ({ variable: atoms.filter((a) => a !== null)[i] ?? 0, coefficient: t.coefficient }))
        .map((t) => ({ ...t, extent: loopExtents.get(t.variable) ?? 0 }));
      if (!decode(variables, value, solve)) solveForLargest(variables, value, solve);
    } else if (decodeAtoms(linear, right, extentOf, (equation) => equations.push(equation))) {
      continue;
    } else if (left.kind === 'binary' && left.op === 'idiv' && left.b.kind === 'const' && left.b.value > 0) {
      equations.push({ left: left.a, right: add(mul(right, left.b), index(newLoop(left.b.value))) });
    } else if (left.kind === 'binary' && left.op === 'mod' && left.b.kind === 'const' && left.b.value > 0) {
      const n = left.b.value;
      const digits = splitRemainder(linearOf(left.a, interner), n, extentOf);
      if (digits !== null) {
        equations.push({ left: digits, right });
        continue;
      }
      const r = rangeOf(right, extentOf);
      if (!(r.low >= 0 && r.high < n)) require(binary('and', binary('ge', right, int(0)), binary('lt', right, int(n))));
      const modular = solveModulo(linearOf(left.a, interner), right, n, isUnknown, loopExtents);
      if (modular !== null) {
        solve(modular.variable, modular.value, null);
      } else {
        const range = rangeOfLinear(linearOf(left.a, interner), extentOf);
        const first = Math.floor(range.low / n);
        const count = Math.floor(range.high / n) - first + 1;
        const t = count === 1 ? int(first) : add(index(newLoop(count)), int(first));
        equations.push({ left: left.a, right: add(mul(t, int(n)), right) });
      }
    } else {
      require(binary('eq', left, right));
    }
  }

  const loops = [...loopExtents].filter(([v]) => !solutions.has(v)).map(([variable, extent]) => ({ variable, extent }));
  const solved = new Map<number, SolvedVariable>();
  for (const [variable, s] of [...solutions].sort(([a], [b]) => a - b)) {
    const range: Range = places.get(variable) ?? rangeOf(s.value, extentOf);
    const always = s.divisible !== null && s.divisible.kind === 'const' && s.divisible.value !== 0;
    solved.set(variable, { extent: s.extent, value: s.value, divisible: always ? null : s.divisible, mayLeave: !(range.low >= 0 && range.high < s.extent), fromData: places.has(variable) || !Number.isFinite(range.low) || !Number.isFinite(range.high) });
  }
  return { solved, loops, conditions };
}

/** order[e..., v] = right, with v an unknown that does not occur in e, and right an index of the permutation. */
function solvePermutation(left: Scalar, right: Scalar, isUnknown: (v: number) => boolean, extentOf: (v: number) => number | undefined, permutations: Permutations): { readonly variable: number; readonly value: Scalar; readonly size: number } | null {
  if (left.kind !== 'read' || left.otherwise !== null) return null;
  const permutation = permutations(left.tensor);
  const last = left.at[left.at.length - 1];
  if (permutation === null || last.kind !== 'index' || !isUnknown(last.axis)) return null;
  const others = left.at.slice(0, -1);
  const range = rangeOf(right, extentOf);
  if (others.some((i) => indexVariables(i).has(last.axis)) || !(range.low >= 0 && range.high < permutation.size)) return null;
  return { variable: last.axis, value: read(permutation.inverse(), [...others, right], 'i32'), size: permutation.size };
}

/** mod(g e + r, g m) = g mod(e, m) + r when 0 <= r < g, r not zero; null when there is no such g. */
function splitRemainder(e: Linear, n: number, extentOf: (v: number) => number | undefined): Scalar | null {
  for (const { coefficient } of e.terms) {
    const g = Math.abs(coefficient);
    if (g === 1 || n % g !== 0 || g === n) continue;
    const rest: Linear = { constant: e.constant - g * Math.floor(e.constant / g), terms: e.terms.filter((t) => t.coefficient % g !== 0) };
    const range = rangeOfLinear(rest, extentOf);
    if (rest.terms.length === 0 || !(range.low >= 0 && range.high < g)) continue;
    const whole: Linear = { constant: Math.floor(e.constant / g), terms: e.terms.flatMap((t) => (t.coefficient % g === 0 ? [{ atom: t.atom, coefficient: t.coefficient / g }] : [])) };
    return add(mul(binary('mod', scalarOfLinear(whole), int(n / g)), int(g)), scalarOfLinear(rest));
  }
  return null;
}

/** sum c_j a_j + constant = right over atoms a_j that are the digits of a mixed-radix number: an equation for each. */
function decodeAtoms(linear: Linear, right: Scalar, extentOf: (v: number) => number | undefined, give: (e: Equation) => void): boolean {
  const sorted = [...linear.terms].sort((a, b) => b.coefficient - a.coefficient);
  if (sorted.length < 2 || sorted[sorted.length - 1].coefficient !== 1) return false;
  let reach = 0;
  for (const t of [...sorted].reverse()) {
    const range = rangeOf(t.atom, extentOf);
    if (range.low < 0 || !Number.isFinite(range.high) || t.coefficient <= reach) return false;
    reach += t.coefficient * range.high;
  }
  let rest = sub(right, int(linear.constant));
  for (const t of sorted) {
    give({ left: t.atom, right: binary('idiv', rest, int(t.coefficient)) });
    rest = binary('mod', rest, int(t.coefficient));
  }
  return true;
}

interface Unknown {
  readonly variable: number;
  readonly coefficient: number;
  readonly extent: number;
}

type Solve = (variable: number, value: Scalar, divisible: Scalar | null) => void;

/** sum c_j v_j = value, when positive coefficients make the solution unique: mixed-radix digits. */
function decode(unknowns: readonly Unknown[], value: Scalar, solve: Solve): boolean {
  const sorted = [...unknowns].sort((a, b) => b.coefficient - a.coefficient);
  if (sorted.length < 2) return false;
  let reach = 0;
  for (const u of [...sorted].reverse()) {
    if (u.coefficient <= reach) return false;
    reach += u.coefficient * (u.extent - 1);
  }
  if (sorted[sorted.length - 1].coefficient !== 1) return false;
  let rest = value;
  const digits = sorted.map((u) => {
    const digit = binary('idiv', rest, int(u.coefficient));
    rest = binary('mod', rest, int(u.coefficient));
    return digit;
  });
  sorted.forEach((u, i) => solve(u.variable, digits[i], null));
  return true;
}

/** Solves for the unknown of the largest extent, then the smallest coefficient, then the first. */
function solveForLargest(unknowns: readonly Unknown[], value: Scalar, solve: Solve): void {
  const best = unknowns.reduce((a, b) =>
    b.extent > a.extent || (b.extent === a.extent && Math.abs(b.coefficient) < Math.abs(a.coefficient)) ? b : a);
  let rest = value;
  for (const u of unknowns) if (u !== best) rest = sub(rest, mul(index(u.variable), int(u.coefficient)));
  if (best.coefficient < 0) rest = unary('neg', rest);
  const k = Math.abs(best.coefficient);
  if (k === 1) solve(best.variable, rest, null);
  else solve(best.variable, binary('idiv', rest, int(k)), binary('eq', binary('mod', rest, int(k)), int(0)));
}

/** A variable of extent at most n with coefficient 1 or -1 in e, from mod(e, n) = right. */
function solveModulo(e: Linear, right: Scalar, n: number, isUnknown: (v: number) => boolean, extents: ReadonlyMap<number, number>): { variable: number; value: Scalar } | null {
  if (!e.terms.every((t) => t.atom.kind === 'index')) return null;
  let best: { variable: number; coefficient: number; extent: number } | null = null;
  for (const t of e.terms) {
    if (t.atom.kind !== 'index' || !isUnknown(t.atom.axis) || Math.abs(t.coefficient) !== 1) continue;
    const extent = extents.get(t.atom.axis) ?? 0;
    if (extent <= n && (best === null || extent > best.extent)) best = { variable: t.atom.axis, coefficient: t.coefficient, extent };
  }
  if (best === null) return null;
  const chosen = best;
  const others: Linear = { constant: e.constant, terms: e.terms.filter((t) => !(t.atom.kind === 'index' && t.atom.axis === chosen.variable)) };
  const difference = sub(right, scalarOfLinear(others));
  return { variable: chosen.variable, value: binary('mod', chosen.coefficient === 1 ? difference : unary('neg', difference), int(n)) };
}

/** Joins idiv(e, n) = p and mod(e, n) = q into e = n p + q; also with idiv(e, m n) for mod(idiv(e, m), n). */
function joinRemainders(equations: readonly Equation[], require: (c: Scalar) => void, extentOf: (v: number) => number | undefined, id: (s: Scalar) => number): Equation[] {
  const list = [...equations];
  for (;;) {
    let joined = false;
    for (let i = 0; i < list.length && !joined; i++) {
      const remainder = divisionOf(list[i].left, 'mod');
      if (remainder === null) continue;
      for (let j = 0; j < list.length; j++) {
        const quotient = divisionOf(list[j].left, 'idiv');
        if (quotient === null || j === i) continue;
        const inner = divisionOf(remainder.of, 'idiv');
        const same = id(quotient.of) === id(remainder.of) && quotient.by === remainder.by;
        const nested = inner !== null && id(inner.of) === id(quotient.of) && quotient.by === inner.by * remainder.by;
        if (!same && !nested) continue;
        const range = rangeOf(list[i].right, extentOf);
        if (!(range.low >= 0 && range.high < remainder.by)) require(binary('and', binary('ge', list[i].right, int(0)), binary('lt', list[i].right, int(remainder.by))));
        const equation: Equation = { left: remainder.of, right: add(mul(list[j].right, int(remainder.by)), list[i].right) };
        list.splice(Math.max(i, j), 1);
        list.splice(Math.min(i, j), 1, equation);
        joined = true;
        break;
      }
    }
    if (!joined) return list;
  }
}

function divisionOf(s: Scalar, op: 'idiv' | 'mod'): { readonly of: Scalar; readonly by: number } | null {
  return s.kind === 'binary' && s.op === op && s.b.kind === 'const' && s.b.value > 0 ? { of: s.a, by: s.b.value } : null;
}

/** Made of index variables, constants, + - * and division alone: no data, no branches. */
function isArithmetic(s: Scalar): boolean {
  let arithmetic = true;
  visit(s, (n) => {
    const fine = n.kind === 'const' || n.kind === 'index' || (n.kind === 'unary' && n.op === 'neg')
      || (n.kind === 'binary' && n.type === 'i32' && (n.op === 'add' || n.op === 'sub' || n.op === 'mul' || n.op === 'idiv' || n.op === 'mod'));
    arithmetic &&= fine;
  });
  return arithmetic;
}

function unknownsOf(s: Scalar, isUnknown: (v: number) => boolean): number {
  const found = new Set<number>();
  visitWhere(holds.index, s, (n) => { if (n.kind === 'index' && isUnknown(n.axis)) found.add(n.axis); });
  return found.size;
}

/** The guard of a solved variable as one condition: divisible and inside 0..extent-1. */
export function guardOf(solved: SolvedVariable): Scalar {
  const inside = solved.mayLeave ? binary('and', binary('ge', solved.value, int(0)), binary('lt', solved.value, int(solved.extent))) : boolean(true);
  return solved.divisible === null ? inside : binary('and', solved.divisible, inside);
}

/** The value of a solved variable for use in guarded reads: -1 where it means nothing. */
export function guardedValue(solved: SolvedVariable): Scalar {
  return solved.divisible === null ? solved.value : select(solved.divisible, solved.value, int(-1));
}
