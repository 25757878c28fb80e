/**
 * Small constant matrices applied to vectors of lanes, as in minimal filtering: rows that differ only in signs share
 * their sums, as do columns.
 */
import type { FunctionBuilder, Local } from './binary.js';
import { V128, simd } from './binary.js';

/** Row-major. */
export type Matrix = readonly (readonly number[])[];

export const transpose = (m: Matrix): Matrix => m[0].map((_, c) => m.map((row) => row[c]));

/** Rows last to first. */
export const reversed = (m: Matrix): Matrix => m.map((row) => [...row].reverse());

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

  /** matrix * x * matrix' of a square of vectors: `load(r, c)` pushes one, `store(r, c, value)` takes one. */
  both(matrix: Matrix, load: (row: number, column: number) => void, store: (row: number, column: number, value: Local) => void): void {
    const { f } = this;
    const size = matrix[0].length;
    const half: (readonly Local[])[] = [];
    for (let c = 0; c < size; c++) {
      const x = Array.from({ length: size }, (_, r) => {
        const local = f.local(V128);
        load(r, c);
        f.set(local);
        return local;
      });
      half.push(this.apply(matrix, x));
    }
    for (let r = 0; r < matrix.length; r++) this.apply(matrix, half.map((column) => column[r])).forEach((value, c) => store(r, c, value));
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
