/** What a tensor depends on, and whether a gradient can flow there: reads inside `stop` count only as stopped. */
import { bug } from '../../grammar/diagnostics/report.js';
import type { Tensor } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { operands } from '../tensor/scalar.js';

export interface Dependencies {
  /** Sources reached along at least one path without `stop`. */
  readonly live: ReadonlySet<TensorId>;
  /** Sources reached along at least one path through `stop`. */
  readonly stopped: ReadonlySet<TensorId>;
  /** All sources reached. */
  readonly all: ReadonlySet<TensorId>;
}

/** A function that gives the sources behind any tensor of a program, each tensor looked at once. */
export function dependencyFinder(tensors: readonly Tensor[]): (id: TensorId) => Dependencies {
  const memo = new Map<TensorId, Dependencies>();
  const of = (id: TensorId, reads: ReturnType<typeof readsOfTensor>): Dependencies => {
    const live = new Set<TensorId>();
    const stopped = new Set<TensorId>();
    const all = new Set<TensorId>();
    for (const r of reads) {
      const d = memo.get(r.tensor) ?? bug('a dependency that was not looked at');
      d.all.forEach((s) => all.add(s));
      if (r.stopped) d.all.forEach((s) => stopped.add(s));
      else { d.live.forEach((s) => live.add(s)); d.stopped.forEach((s) => stopped.add(s)); }
    }
    if (tensors[id].kind === 'source') { live.add(id); all.add(id); }
    return { live, stopped, all };
  };
  // Without recursion: rounds of a fixed-point block lie behind one another.
  return (wanted) => {
    const pending = [wanted];
    for (let id = pending.at(-1); id !== undefined; id = pending.at(-1)) {
      const reads = memo.has(id) ? [] : readsOfTensor(tensors[id]);
      const missing = reads.flatMap((r) => (memo.has(r.tensor) ? [] : [r.tensor]));
      if (missing.length > 0) { pending.push(...missing); continue; }
      if (!memo.has(id)) memo.set(id, of(id, reads));
      pending.pop();
    }
    return memo.get(wanted) ?? bug('a tensor that was not looked at');
  };
}

/** Tensors on the way from `root` down, sources among them: those on a path without `stop`, and those on a path through one. */
export function reachedFrom(tensors: readonly Tensor[], root: TensorId): { readonly live: ReadonlySet<TensorId>; readonly stopped: ReadonlySet<TensorId> } {
  const live = new Set<TensorId>([root]);
  const stopped = new Set<TensorId>();
  for (let id = root; id >= 0; id--) {
    for (const [mine, isStopped] of [[live, false], [stopped, true]] as const) {
      if (!mine.has(id)) continue;
      for (const r of readsOfTensor(tensors[id])) (isStopped || r.stopped ? stopped : live).add(r.tensor);
    }
  }
  return { live, stopped };
}

/** What a tensor reads, and whether inside `stop`. */
export function readsOfTensor(t: Tensor): readonly { readonly tensor: TensorId; readonly stopped: boolean }[] {
  const plain = (of: readonly TensorId[]): { tensor: TensorId; stopped: boolean }[] => of.map((tensor) => ({ tensor, stopped: false }));
  switch (t.kind) {
    case 'source': return [];
    case 'window': return plain([t.of]);
    case 'pack': return plain(t.parts);
    case 'routine': return plain(t.inputs);
    case 'comprehension': return readsOf(t.body);
  }
}

/** Every tensor a scalar reads, with whether the read lies inside `stop` or an index (no gradient either way). */
function readsOf(root: Scalar): { tensor: TensorId; stopped: boolean }[] {
  const found: { tensor: TensorId; stopped: boolean }[] = [];
  const seen = { live: new Set<Scalar>(), stopped: new Set<Scalar>() };
  const walk = (s: Scalar, stopped: boolean): void => {
    const visited = stopped ? seen.stopped : seen.live;
    if (visited.has(s)) return;
    visited.add(s);
    if (s.kind === 'read') {
      found.push({ tensor: s.tensor, stopped });
      s.at.forEach((i) => walk(i, true));
      if (s.otherwise !== null) walk(s.otherwise, stopped);
      return;
    }
    const inside = stopped || (s.kind === 'unary' && (s.op === 'stop' || s.op === 'floor' || s.op === 'ceil' || s.op === 'round'));
    operands(s).forEach((o) => walk(o, inside));
  };
  walk(root, false);
  return found;
}
