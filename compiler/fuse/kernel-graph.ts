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
  private readonly readers = new Map<TensorId, Set<number>>();

  constructor(readonly program: Program, kernels: readonly Kernel[]) {
    this.nodes = [...kernels];
    this.needs = dependencies(program, kernels).map((s) => new Set(s));
    kernels.forEach((k, i) => this.noteReads(k, i));
  }

  private noteReads(kernel: Kernel, i: number): void {
    for (const id of tensorsRead(kernel)) {
      for (const seen of [id, ...basesOf(this.program, id).map((b) => b.id)]) {
        const set = this.readers.get(seen) ?? new Set();
        set.add(i);
        this.readers.set(seen, set);
      }
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
      if (seen.has(i)) continue;
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
    this.nodes[into] = merged;
    this.nodes[gone] = null;
    for (const n of this.needs[gone]) this.needs[into].add(n);
    this.needs[into].delete(into);
    this.needs[into].delete(gone);
    this.needs[gone] = new Set();
    for (const set of this.needs) if (set.delete(gone)) set.add(into);
    this.needs[into].delete(into);
    for (const set of this.readers.values()) {
      set.delete(gone);
      set.delete(into);
    }
    this.noteReads(merged, into);
  }
}

/** Memory ranges a kernel binds once updates are in place: a new value shares the range of its source. */
export function bindingsOf(program: Program, kernel: Kernel, without: ReadonlySet<TensorId> = new Set()): number {
  const homes = new Map(program.updates.map((u) => [u.value, u.source]));
  return new Set([...tensorsTouched(kernel)].filter((t) => !without.has(t)).map((t) => homes.get(t) ?? t)).size;
}
