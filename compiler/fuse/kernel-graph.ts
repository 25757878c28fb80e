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
      for (const seen of [id, ...basesOf(this.program, id).map((b) => b.id)]) {
        const set = this.readers.get(seen) ?? new Set();
        this.readers.set(seen, set);
        f(set);
      }
    }
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

  /** Whether kernel `a` needs `b`, directly or through others. */
  private reaches(starts: readonly number[], target: number): boolean {
    const seen = new Set<number>();
    const stack = [...starts];
    for (let i = stack.pop(); i !== undefined; i = stack.pop()) {
      if (i === target) return true;
      if (this.ranks[i] <= this.ranks[target] || seen.has(i)) continue;
      seen.add(i);
      stack.push(...this.needs[i]);
    }
    return false;
  }

  /** Whether `a` and `b` can be one kernel: no third kernel must run between them. */
  canMerge(a: number, b: number): boolean {
    return !this.reaches([...this.needs[a]].filter((x) => x !== b), b) && !this.reaches([...this.needs[b]].filter((x) => x !== a), a);
  }

  /** Whether one of the two needs the other. */
  related(a: number, b: number): boolean {
    return this.reaches([...this.needs[a]], b) || this.reaches([...this.needs[b]], a);
  }

  /** Whether a kernel other than these reads the tensor. */
  isReadOutside(tensor: TensorId, inside: readonly number[]): boolean {
    return [...(this.readers.get(tensor) ?? [])].some((i) => !inside.includes(i));
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
  return new Set([...tensorsTouched(kernel)].filter((t) => !without.has(t)).map((t) => homes.get(t) ?? t)).size;
}
