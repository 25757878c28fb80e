/**
 * Small constant matrices applied to vectors of lanes, as in minimal filtering: rows that differ only in signs share
 * their sums, as do columns.
 */
import type { FunctionBuilder, Local } from './binary.js';
import { I32, V128, op, simd } from './binary.js';

/** Row-major. */
export type Matrix = readonly (readonly number[])[];

export const transpose = (m: Matrix): Matrix => m[0].map((_, c) => m.map((row) => row[c]));

/** Vectors of four lanes in memory, some in each of several lines: where they lie, in bytes from an address. */
interface Lines {
  readonly base: Local;
  readonly at: (line: number, entry: number) => number;
}

/** A square of them. */
export interface Square {
  readonly base: Local;
  readonly at: (row: number, column: number) => number;
}

const turned = ({ base, at }: Square): Lines => ({ base, at: (line, entry) => at(entry, line) });
const isOne = (m: Matrix): boolean => m.length === 1 && m[0].length === 1 && m[0][0] === 1;

/** Constants in locals, and sums of products of them with vectors. */
export class LinearMaps {
  private readonly constants = new Map<number, Local>();

  /** Sets aside what the matrices need; call it outside of the loops that apply them. */
  constructor(private readonly f: FunctionBuilder, private readonly relaxed: boolean, matrices: readonly Matrix[]) {
    for (const k of new Set(matrices.flat(2))) {
      if (k === 0 || Math.abs(k) === 1) continue;
      const local = f.local(V128);
      f.f32x4(k).set(local);
      this.constants.set(k, local);
    }
  }

  /** target = down * source * across', by way of `between`, which has room for `down`'s rows by `across`'s columns. */
  square(down: Matrix, across: Matrix, source: Square, target: Square, between: Local): void {
    if (isOne(across)) { this.lines(down, 1, turned(source), turned(target)); return; }
    if (isOne(down)) { this.lines(across, 1, source, target); return; }
    const half: Square = { base: between, at: (row, column) => 16 * (row * across[0].length + column) };
    this.lines(down, across[0].length, turned(source), turned(half));
    this.lines(across, down.length, half, target);
  }

  /** Maps each of `count` lines. Those at equal distances are one loop. */
  private lines(matrix: Matrix, count: number, source: Lines, target: Lines): void {
    const { f } = this;
    const entries = [matrix[0].length, matrix.length];
    const steps = (line: number): readonly (number | null)[] => [source, target].map(({ at }, n) => {
      const step = at(line + 1, 0) - at(line, 0);
      for (let entry = 1; entry < entries[n]; entry++) if (at(line + 1, entry) - at(line, entry) !== step) return null;
      return step;
    });
    const map = (first: number, from: Local, to: Local): void => {
      const x = matrix[0].map((_, entry) => {
        const local = f.local(V128);
        f.get(from).loadV(simd.load, source.at(first, entry)).set(local);
        return local;
      });
      this.apply(matrix, x).forEach((value, entry) => f.get(to).get(value).storeV(target.at(first, entry)));
    };
    for (let first = 0, end = 1; first < count; first = end, end = first + 1) {
      const step = first + 1 < count ? steps(first) : [null];
      const [read, written] = step;
      while (end < count && steps(end - 1).every((s, n) => s !== null && s === step[n])) end++;
      if (end - first === 1 || read === null || written === null) {
        map(first, source.base, target.base);
        continue;
      }
      const [from, to, line] = [f.local(I32), f.local(I32), f.local(I32)];
      f.get(source.base).set(from).get(target.base).set(to).i32(0).set(line);
      f.count(line, () => f.i32(end - first), 1, () => {
        map(first, from, to);
        f.get(from).i32(read).op(op.i32add).set(from).get(to).i32(written).op(op.i32add).set(to);
      });
    }
  }

  /** matrix * x, in locals that may be those of `x`. */
  private apply(matrix: Matrix, x: readonly Local[]): readonly Local[] {
    const { f } = this;
    const columns = alike(transpose(matrix));
    if (columns.length > 0) {
      // x, with sums and differences of paired entries.
      const parts = columns.flatMap(([a, b]) => [[a, b, simd.f32add], [a, b, simd.f32sub]] as const);
      const more = parts.map(([a, b, code]) => {
        const local = f.local(V128);
        f.get(x[a]).get(x[b]).simd(code).set(local);
        return local;
      });
      const used = new Set(columns.flat());
      const wide = matrix.map((row) => [...row.map((k, c) => (used.has(c) ? 0 : k)), ...parts.map(([a, b, code]) => ((row[a] === row[b]) === (code === simd.f32add) ? row[a] : 0))]);
      return wide.map((row) => this.sum(row, [...x, ...more]));
    }
    const out: Local[] = [];
    const pairs = alike(matrix);
    for (const [a, b] of pairs) {
      const same = this.sum(matrix[a].map((k, c) => (k === matrix[b][c] ? k : 0)), x);
      const opposite = this.sum(matrix[a].map((k, c) => (k === matrix[b][c] ? 0 : k)), x);
      [[a, simd.f32add], [b, simd.f32sub]].forEach(([row, code]) => {
        out[row] = f.local(V128);
        f.get(same).get(opposite).simd(code).set(out[row]);
      });
    }
    matrix.forEach((row, r) => { if (!pairs.some((p) => p.includes(r))) out[r] = this.sum(row, x); });
    return out;
  }

  private sum(row: readonly number[], x: readonly Local[]): Local {
    const { f } = this;
    const terms = row.map((k, c) => ({ k, x: x[c] })).filter(({ k }) => k !== 0);
    // One that needs no product first.
    const first = Math.max(0, terms.findIndex(({ k }) => k === 1));
    const [head] = terms.splice(first, 1);
    if (head.k === 1 && terms.length === 0) return head.x;
    const local = f.local(V128);
    f.get(head.x);
    if (head.k === -1) f.simd(simd.f32neg); else if (head.k !== 1) f.get(this.constant(head.k)).simd(simd.f32mul);
    f.set(local);
    for (const term of terms) {
      if (Math.abs(term.k) === 1) f.get(local).get(term.x).simd(term.k > 0 ? simd.f32add : simd.f32sub);
      else if (this.relaxed) f.get(term.x).get(this.constant(term.k)).get(local).simd(simd.relaxedMadd);
      else f.get(local).get(term.x).get(this.constant(term.k)).simd(simd.f32mul).simd(simd.f32add);
      f.set(local);
    }
    return local;
  }

  private constant(k: number): Local {
    const known = this.constants.get(k);
    if (known === undefined) throw new RangeError(`${k} was not set aside`);
    return known;
  }
}

/** Disjoint pairs of rows that differ, but only in signs, and not in all of them. */
function alike(matrix: Matrix): readonly (readonly [number, number])[] {
  const pairs: [number, number][] = [];
  for (let a = 0; a < matrix.length; a++) {
    if (pairs.some((p) => p.includes(a))) continue;
    const b = matrix.findIndex((row, r) => {
      if (r <= a || pairs.some((p) => p.includes(r)) || row.some((k, c) => Math.abs(k) !== Math.abs(matrix[a][c]))) return false;
      const signs = new Set(row.map((k, c) => k * matrix[a][c]).filter((k) => k !== 0).map(Math.sign));
      return signs.size === 2;
    });
    if (b >= 0) pairs.push([a, b]);
  }
  return pairs;
}
