/** Kernels and who needs whom, kept up to date while kernels are merged. */
import { bug } from '../../grammar/diagnostics/report.js';
import type { Program } from '../tensor/program.js';
import type { TensorId } from '../tensor/scalar.js';
import { basesOf, tensorsRead, tensorsTouched } from './draft.js';
import type { Kernel } from './kernel.js';
import { dependencies } from './schedule-kernels.js';

export class KernelGraph {
  private readonly nodes: (Kernel | null)[];
  private readonly needs: Set<number>[];
  /** The other way round: who needs a kernel. */
  private readonly users: Set<number>[];
  /** More than the rank of everything a kernel needs: bounds searches. */
  private readonly ranks: number[];
  private readonly readers = new Map<TensorId, Set<number>>();

  constructor(readonly program: Program, kernels: readonly Kernel[]) {
    this.nodes = [...kernels];
    this.needs = dependencies(program, kernels).map((s) => new Set(s));
    this.users = kernels.map(() => new Set());
    this.needs.forEach((set, i) => set.forEach((n) => this.users[n].add(i)));
    // Kernels need those before them only, whose ranks are known by then.
    this.ranks = [];
    kernels.forEach((k, i) => {
      let rank = 0;
      for (const n of this.needs[i]) rank = Math.max(rank, this.ranks[n] + 1);
      this.ranks.push(rank);
      this.forReads(k, (set) => set.add(i));
    });
  }

  private forReads(kernel: Kernel, f: (readers: Set<number>) => void): void {
    for (const id of tensorsRead(kernel)) {
      f(this.readersOf(id));
      const { kind } = this.program.tensors[id];
      if (kind === 'window' || kind === 'pack') for (const base of basesOf(this.program, id)) f(this.readersOf(base.id));
    }
  }

  private readersOf(id: TensorId): Set<number> {
    let set = this.readers.get(id);
    if (set === undefined) {
      set = new Set();
      this.readers.set(id, set);
    }
    return set;
  }

  /** Puts a kernel's rank above those it needs, and so on for those that need it. */
  private raise(from: number): void {
    const stack = [from];
    for (let i = stack.pop(); i !== undefined; i = stack.pop()) {
      let rank = this.ranks[i];
      for (const n of this.needs[i]) rank = Math.max(rank, this.ranks[n] + 1);
      if (rank === this.ranks[i] && i !== from) continue;
      this.ranks[i] = rank;
      for (const u of this.users[i]) if (this.ranks[u] <= rank) stack.push(u);
    }
  }

  get size(): number {
    return this.nodes.length;
  }

  at(i: number): Kernel | null {
    return this.nodes[i];
  }

  /** The kernels that are left. */
  kernels(): readonly Kernel[] {
    return this.nodes.filter((k): k is Kernel => k !== null);
  }

  /** Direct needs of a kernel. */
  needsOf(i: number): ReadonlySet<number> {
    return this.needs[i];
  }

  /** Whether `from` needs `target`, directly or through others, and other than directly where only that is asked. */
  private reaches(from: number, target: number, directly = true): boolean {
    // Only kernels of a higher rank can need the target.
    const rank = this.ranks[target];
    const stack: number[] = [];
    for (const n of this.needs[from]) {
      if (n === target) { if (directly) return true; } else if (this.ranks[n] > rank) stack.push(n);
    }
    if (stack.length === 0) return false;
    const seen = new Set<number>();
    for (let i = stack.pop(); i !== undefined; i = stack.pop()) {
      if (seen.has(i)) continue;
      seen.add(i);
      for (const n of this.needs[i]) {
        if (n === target) return true;
        if (this.ranks[n] > rank) stack.push(n);
      }
    }
    return false;
  }

  /** Whether `a` and `b` can be one kernel: no third kernel must run between them. */
  canMerge(a: number, b: number): boolean {
    return !this.reaches(a, b, false) && !this.reaches(b, a, false);
  }

  /** Whether one of the two needs the other. */
  related(a: number, b: number): boolean {
    return this.reaches(a, b) || this.reaches(b, a);
  }

  /** Whether a kernel other than these reads the tensor. */
  isReadOutside(tensor: TensorId, inside: readonly number[]): boolean {
    for (const i of this.readers.get(tensor) ?? []) if (!inside.includes(i)) return true;
    return false;
  }

  /** Puts `merged` in the place of kernel `into`, and removes `gone`. */
  merge(into: number, gone: number, merged: Kernel): void {
    if (into === gone) bug('a kernel cannot merge with itself');
    for (const i of [into, gone]) {
      const old = this.nodes[i];
      if (old !== null) this.forReads(old, (set) => set.delete(i));
    }
    this.nodes[into] = merged;
    this.nodes[gone] = null;
    const replace = (from: Set<number>[], back: Set<number>[]): void => {
      for (const n of from[gone]) {
        back[n].delete(gone);
        if (n === into) continue;
        back[n].add(into);
        from[into].add(n);
      }
      from[gone] = new Set();
    };
    replace(this.needs, this.users);
    replace(this.users, this.needs);
    this.ranks[into] = Math.max(this.ranks[into], this.ranks[gone]);
    this.raise(into);
    this.forReads(merged, (set) => set.add(into));
  }
}

const homesOfProgram = new WeakMap<Program, ReadonlyMap<TensorId, TensorId>>();

/** The source that takes each updated value's place. */
function homesOf(program: Program): ReadonlyMap<TensorId, TensorId> {
  let homes = homesOfProgram.get(program);
  if (homes === undefined) {
    homes = new Map(program.updates.map((u) => [u.value, u.source]));
    homesOfProgram.set(program, homes);
  }
  return homes;
}

/** Memory ranges a kernel binds once updates are in place: a new value shares the range of its source. */
export function bindingsOf(program: Program, kernel: Kernel, without: ReadonlySet<TensorId> = new Set()): number {
  const homes = homesOf(program);
  const bound = new Set<TensorId>();
  for (const t of tensorsTouched(kernel)) if (!without.has(t)) bound.add(homes.get(t) ?? t);
  return bound.size;
}
