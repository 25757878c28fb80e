/**
 * Owned memory, twice: while discovering (the `init` program) parameters are their initial draws; afterwards they are windows of
 * flat sources laid out from what was discovered.
 */
import { bug } from '../../grammar/diagnostics/report.js';
import { alignElements } from '../tensor/builder.js';
import type { ProgramBuilder } from '../tensor/builder.js';
import { sizeOf } from '../tensor/program.js';
import type { TensorId } from '../tensor/scalar.js';
import { index } from '../tensor/scalar.js';
import type { Context, ParameterInfo, StateInfo, Store } from './context.js';
import { fail } from './context.js';
import { convertTensor, ensureWhole, tensorOfNode } from './tensor-value.js';
import { RowReads } from './row-reads.js';
import { followedState, movedState, movedTarget } from './targets.js';
import type { TargetInfo, TensorValue } from './value.js';
import type { Span } from '../../grammar/span.js';

/** Where a parameter lies in the flat arena `parameters`, or a target's. */
export interface PlacedParameter extends ParameterInfo {
  readonly offset: number;
}

/** How an optimizer treats a parameter: the group it lies in, if any, whether `skip` spares it, and whether its rows move only when they are read. */
export interface Treatment {
  readonly group: number | null;
  readonly decayed: boolean;
  readonly lazy: boolean;
}

/** A parameter with a source of its own, whose rows move only when they are read. */
export interface LazyParameter extends ParameterInfo {
  readonly source: string;
  readonly treatment: Treatment;
}

/** A range of the flat arena, in elements. */
export interface Segment extends Omit<Treatment, 'lazy'> {
  readonly from: number;
  readonly to: number;
}

/** A slow copy, and where its parameters lie in its own arena. */
export interface PlacedTarget {
  readonly info: TargetInfo;
  readonly parameters: readonly PlacedParameter[];
  readonly size: number;
}

export interface Layout {
  readonly parameters: readonly PlacedParameter[];
  /** Elements of the flat arena, and its ranges whose parameters an optimizer treats alike. */
  readonly size: number;
  readonly segments: readonly Segment[];
  /** Those that lie in no arena. */
  readonly lazy: readonly LazyParameter[];
  readonly targets: readonly PlacedTarget[];
  readonly states: readonly StateInfo[];
}

/** The path under the followed network of a parameter path under its target. */
function followedPath(path: string, target: TargetInfo): string {
  return target.of + path.slice(target.name.length);
}

/** Whole node of a tensor value that is a plain read of one. */
export function nodeOf(v: TensorValue): TensorId {
  const s = v.at(v.axes.map((_, k) => index(k)));
  return s.kind === 'read' ? s.tensor : bug('expected a tensor in memory');
}

/** Evaluates initial values and remembers what exists. */
export class DiscoveringStore implements Store {
  readonly parameters = new Map<string, { info: ParameterInfo; initial: TensorId }>();
  readonly states = new Map<string, { info: StateInfo; initial: TensorId }>();
  readonly targets = new Map<string, TargetInfo>();
  context: Context | null = null;

  parameter(info: ParameterInfo, target: TargetInfo | null, initial: () => TensorValue, span: Span): TensorValue {
    const c = this.need();
    const path = target === null ? info.path : followedPath(info.path, target);
    const known = this.parameters.get(path);
    if (known !== undefined) {
      if (known.info.shape.join() !== info.shape.join()) {
        return fail(c, 'SSL2003', span, { name: path, expected: `[${known.info.shape.join(', ')}] as in its first use`, found: `[${info.shape.join(', ')}]` });
      }
      return tensorOfNode(c, known.initial);
    }
    const value = ensureWhole(c, initial(), path, span);
    this.parameters.set(path, { info: { ...info, path }, initial: nodeOf(value) });
    return value;
  }

  state(info: StateInfo, initial: () => TensorValue, span: Span): TensorValue {
    const c = this.need();
    const known = this.states.get(info.name);
    if (known !== undefined) return tensorOfNode(c, known.initial);
    const value = ensureWhole(c, initial(), info.name, span);
    this.states.set(info.name, { info, initial: nodeOf(value) });
    return value;
  }

  updateState(): void {
    // Nothing is updated while discovering.
  }

  target(info: TargetInfo): void {
    this.targets.set(info.name, info);
  }

  private need(): Context {
    return this.context ?? bug('store without a context');
  }

  /** Decayed parameters first, then by group, so that few comparisons separate them; otherwise in order of discovery. */
  layout(treatment: (info: ParameterInfo) => Treatment): Layout {
    const all = [...this.parameters.values()].map((p) => ({ info: p.info, ...treatment(p.info) }));
    const ordered = all.filter((p) => !p.lazy).sort((a, b) => Number(b.decayed) - Number(a.decayed) || (a.group ?? -1) - (b.group ?? -1));
    const parameters = place(ordered.map((p) => p.info));
    const size = extent(parameters);
    const segments: Segment[] = [];
    ordered.forEach(({ group, decayed }, k) => {
      const [from, to] = [parameters[k].offset, k + 1 < parameters.length ? parameters[k + 1].offset : size];
      const last = segments.pop();
      if (last !== undefined && last.group === group && last.decayed === decayed) segments.push({ ...last, to });
      else segments.push(...(last === undefined ? [] : [last]), { from, to, group, decayed });
    });
    return {
      parameters, size, segments,
      lazy: all.filter((p) => p.lazy).map(({ info, ...own }) => ({ ...info, source: `parameters.${info.path}`, treatment: own })),
      targets: [...this.targets.values()].map((info) => placeTarget(info, parameters, size)),
      states: [...this.states.values()].map((s) => s.info),
    };
  }
}

/**
 * A target of most of the parameters that follows the weights the step arrives at lies as they do, gaps and all: it then moves in the
 * pass over memory that makes them.
 */
function placeTarget(info: TargetInfo, parameters: readonly PlacedParameter[], size: number): PlacedTarget {
  const followed = parameters.filter((p) => p.path === info.of || p.path.startsWith(`${info.of}.`));
  const own = place(followed);
  return info.when === 'after' && 2 * extent(own) >= size ? { info, parameters: followed, size } : { info, parameters: own, size: extent(own) };
}

function place(parameters: readonly ParameterInfo[]): PlacedParameter[] {
  let offset = 0;
  return parameters.map((p) => {
    const at = offset;
    offset = alignElements(offset + sizeOf(p.shape));
    return { ...p, offset: at };
  });
}

const extent = (ps: readonly PlacedParameter[]): number => (ps.length === 0 ? 0 : alignElements(ps[ps.length - 1].offset + sizeOf(ps[ps.length - 1].shape)));

/** Reads parameters and states from sources, and collects the states' new values in order. */
export class PlacedStore implements Store {
  readonly windows = new Map<string, TensorId>();
  private readonly sources = new Map<string, TensorId>();
  private readonly current = new Map<string, TensorValue>();
  readonly updates = new Map<string, TensorValue>();
  private readonly targetsSeen = new Map<string, TargetInfo>();
  /** Arenas of targets that moved before the step. */
  private readonly moved = new Map<string, TensorId>();
  context: Context | null = null;

  /** `owns` says which of the states a program updates: where several make up a step, each writes its own. */
  constructor(private readonly builder: ProgramBuilder, private readonly layout: Layout, private readonly updating: boolean, private readonly owns: (state: string) => boolean = () => true) {}

  source(name: string, shape: readonly number[], role: 'parameters' | 'state', element: StateInfo['element'] = 'f32'): TensorId {
    const known = this.sources.get(name);
    if (known !== undefined) return known;
    const id = this.builder.source(name, role, element, shape, { span: null, name });
    this.sources.set(name, id);
    return id;
  }

  flat(): TensorId {
    return this.source('parameters', [this.layout.size], 'parameters');
  }

  parameter(info: ParameterInfo, target: TargetInfo | null, _initial: () => TensorValue, span: Span): TensorValue {
    const key = info.path;
    const c = this.context ?? bug('store without a context');
    const known = this.windows.get(key);
    if (known !== undefined) return tensorOfNode(c, known);
    const path = target === null ? key : followedPath(key, target);
    const lazy = this.layout.lazy.find((p) => p.path === path);
    if (lazy !== undefined) return this.lazyParameter(lazy, info, target, span);
    const arena = target === null ? null : this.layout.targets.find((t) => t.info.name === target.name);
    const placed = (arena === null ? this.layout.parameters : arena?.parameters)?.find((p) => p.path === path);
    if (placed === undefined) return bug(`parameter ${path} was not discovered`);
    if (placed.shape.join() !== info.shape.join()) return fail(c, 'SSL2003', span, { name: path, expected: `[${placed.shape.join(', ')}] as in its first use`, found: `[${info.shape.join(', ')}]` });
    const flat = target === null || arena === null || arena === undefined ? this.flat() : this.arenaOf(arena, target);
    const id = this.builder.window(flat, placed.offset, placed.shape, { span, name: key });
    this.windows.set(key, id);
    return tensorOfNode(c, id);
  }

  private lazyParameter(lazy: LazyParameter, info: ParameterInfo, target: TargetInfo | null, span: Span): TensorValue {
    const c = this.context ?? bug('store without a context');
    if (target !== null) return fail(c, 'SSL4001', span, { feature: `a target of \`${lazy.path}\`, whose rows are updated lazily,`, help: 'a target follows every row at every step: take the network out of the group that says `lazy true`, or read the table outside of it' });
    if (lazy.shape.join() !== info.shape.join()) return fail(c, 'SSL2003', span, { name: lazy.path, expected: `[${lazy.shape.join(', ')}] as in its first use`, found: `[${info.shape.join(', ')}]` });
    return tensorOfNode(c, this.source(lazy.source, lazy.shape, 'parameters'));
  }

  gathered(value: TensorValue): TensorValue {
    return this.updating && this.context !== null ? this.reads.gathered(this.context, value, (id) => this.layout.lazy.find((p) => this.sources.get(p.source) === id) ?? null) : value;
  }

  /** The rows of each lazy parameter that were read. */
  readonly reads = new RowReads();

  /** Rows of a source take new values. */
  updateRows(name: string, value: TensorId, rows: TensorId): void {
    const source = this.sources.get(name) ?? bug(`${name} has no source`);
    this.builder.update(source, value, rows);
  }

  state(info: StateInfo, _initial: () => TensorValue): TensorValue {
    const c = this.context ?? bug('store without a context');
    const now = this.current.get(info.name);
    if (now !== undefined) return now;
    const source = this.source(info.name, info.shape, 'state', info.element);
    const slow = [...this.targetsSeen.values()].find((t) => followedState(info.name, t) !== null);
    const early = slow !== undefined && this.updating && slow.when === 'before' ? this.stateTowards(info.name, slow, source, (id) => id) : null;
    const value = tensorOfNode(c, early ?? source);
    this.current.set(info.name, value);
    return value;
  }

  /** The arena a target's weights are read from: where it lay, or where it moved to before the step. */
  private arenaOf(placed: PlacedTarget, info: TargetInfo): TensorId {
    const source = this.source(`target.${info.name}`, [placed.size], 'state');
    if (info.when === 'after' || !this.updating) return source;
    const known = this.moved.get(info.name) ?? movedTarget(this.builder, this.layout, placed, info, source, this.flat());
    this.moved.set(info.name, known);
    return known;
  }

  /** A state of a target as it follows the same state of the followed network; null where it is the target's own. */
  private stateTowards(name: string, info: TargetInfo, source: TensorId, current: (id: TensorId) => TensorId): TensorId | null {
    const followed = info.buffers === 'own' ? undefined : this.layout.states.find((s) => s.name === followedState(name, info));
    if (followed === undefined) return null;
    const now = info.when === 'after' ? this.updates.get(followed.name) : undefined;
    return movedState(this.builder, info, source, now === undefined ? this.source(followed.name, followed.shape, 'state') : current(nodeOf(now)));
  }

  private follows(name: string): boolean {
    return [...this.targetsSeen.values()].some((t) => t.buffers !== 'own' && this.layout.states.some((s) => s.name === followedState(name, t)));
  }

  /** Moves the targets and those of their states that follow; `next` are the weights the step arrives at, `current` the tensor that stands for one now. */
  moveTargets(next: TensorId, current: (id: TensorId) => TensorId): void {
    for (const placed of this.layout.targets) {
      const info = this.targetsSeen.get(placed.info.name) ?? placed.info;
      const source = this.source(`target.${info.name}`, [placed.size], 'state');
      this.builder.update(source, info.when === 'before' ? this.arenaOf(placed, info) : movedTarget(this.builder, this.layout, placed, info, source, next));
      const c = this.context ?? bug('store without a context');
      for (const s of this.layout.states) {
        if (info.buffers === 'own' || followedState(s.name, info) === null) continue;
        const moved = info.when === 'before' ? this.current.get(s.name) : undefined;
        const value = moved === undefined ? this.stateTowards(s.name, info, this.source(s.name, s.shape, 'state'), current) : nodeOf(moved);
        if (value !== null) this.updates.set(s.name, tensorOfNode(c, value));
      }
    }
  }

  updateState(name: string, value: TensorValue, span: Span): void {
    if (!this.updating) return;
    const c = this.context ?? bug('store without a context');
    const source = this.sources.get(name);
    if (source === undefined) return bug(`state ${name} has no source`);
    const { shape, element } = c.builder.tensor(source);
    if (value.axes.map((a) => a.size).join() !== shape.join() || value.free.size > 0) {
      const implicit = [...value.free.values()].some((v) => v.implicit);
      return fail(c, 'SSL2003', span, { name: name.replace(/^(table|memory|state)\./, ''), expected: `[${shape.join(', ')}]`, found: implicit ? 'a value for every example' : `[${value.axes.map((a) => a.size).join(', ')}]` });
    }
    // What the target's own passes say does not count where its states follow another network's.
    if (this.follows(name)) return;
    const stored = ensureWhole(c, convertTensor(value, element === 'i32' ? 'i32' : 'f32'), name, span);
    this.current.set(name, stored);
    this.updates.set(name, stored);
  }

  target(info: TargetInfo): void {
    this.targetsSeen.set(info.name, info);
  }

  /** The collected new values. */
  values(): readonly TensorId[] {
    return [...this.updates].filter(([name]) => this.owns(name)).map(([, value]) => nodeOf(value));
  }

  /** What was to be updated so far is left to other programs. */
  forgetUpdates(): void {
    this.updates.clear();
  }

  /** Writes the collected new values back to their sources. `now` says where a value is by now. */
  commit(now: (id: TensorId) => TensorId): void {
    for (const [name, value] of this.updates) {
      const source = this.sources.get(name);
      if (source !== undefined && this.owns(name)) this.builder.update(source, now(nodeOf(value)));
    }
  }
}
