/**
 * Computes twins as one: the tensors of a group (`find-twins.ts`) become slices of one tensor with a new leading axis,
 *
 *     y_a[o...] = reduce body(x_a, w),  y_b[o...] = reduce body(x_b, w)   ->   Y[v, o...] = reduce body(X[v, ...], w)
 *
 * so that a network applied to two views is one kernel for each layer. Statistics over the batch get the axis too, and stay
 * those of each view; numbers that differ, such as the sites of draws, become a choice by v. Whatever reads one of the
 * twins reads a slice. It runs before differentiation, which then gives stacked gradients, and sums over the twins
 * for what they share.
 *
 * The program only grows: the old tensors stay, and are dropped when nobody needs them.
 */
import { bug } from '../../grammar/diagnostics/report.js';
import type { ProgramBuilder } from './builder.js';
import { findTwins, zipScalars } from './find-twins.js';
import type { TwinGroup } from './find-twins.js';
import { joinSlices } from './join-slices.js';
import { dependencies } from './renumber.js';
import type { Comprehension, Tensor } from './program.js';
import type { ReadScalar, Scalar, TensorId } from './scalar.js';
import { binary, draw, index, int, read, rebuild, rewriteReads, scalarTypeOf, select, substitute } from './scalar.js';

/** What to read in place of the tensors of before. */
export interface Stacked {
  readonly tensor: (id: TensorId) => TensorId;
  /** A scalar with its reads renamed. */
  readonly scalar: (s: Scalar) => Scalar;
}

/** Nothing stacked. */
export const unstacked: Stacked = { tensor: (id) => id, scalar: (s) => s };

/** Stacks the twins among what `roots` need. No stacked tensor is larger than `mostBytes`. */
export function stackTwins(builder: ProgramBuilder, roots: readonly TensorId[], mostBytes: number): Stacked {
  const live = liveTensors(builder, roots);
  const twins = findTwins(live, mostBytes);
  const stacks = new Map<TwinGroup, TensorId>();
  const alone = new Map<TensorId, TensorId>();
  const joins = new Map<string, TensorId>();
  const slices = new Map<TensorId, TensorId>();

  /** `s`, a read with its indices done, from where its tensor is now. */
  const reread = (s: ReadScalar): Scalar => {
    const place = twins.placeOf(s.tensor);
    if (place === null) {
      const tensor = alone.get(twins.representative(s.tensor)) ?? s.tensor;
      return tensor === s.tensor ? s : { ...s, tensor };
    }
    return read(stackOf(place.group), [int(place.position), ...s.at], s.type, s.otherwise);
  };
  const renamed = (s: Scalar): Scalar => rewriteReads(s, reread);

  const stackOf = (group: TwinGroup): TensorId => {
    const known = stacks.get(group);
    if (known !== undefined) return known;
    for (const m of group.members) for (const id of dependencies(m)) make(id);
    const [first] = group.members;
    const shape = [group.members.length, ...first.shape];
    if (group.kind === 'windows') {
      const place = twins.placeOf(group.members[0].of);
      const id = builder.window(place === null ? bug('a reshape of twins without the twins') : stackOf(place.group), 0, shape, first.origin);
      stacks.set(group, id);
      return id;
    }
    const id = stackComprehensions(group.members, shape);
    stacks.set(group, id);
    return id;
  };

  const stackComprehensions = (members: readonly Comprehension[], shape: readonly number[]): TensorId => {
    const [first] = members;
    const body = zipScalars(members.map((m) => substitute(m.body, (v) => index(v + 1))), (nodes, ops) => {
      const node = rebuild(nodes[0], ops);
      if (node.kind === 'draw') return draw(node.lane, { ...node, site: choose(nodes.map((n) => (n.kind === 'draw' ? n.site : int(0)))) });
      if (node.kind !== 'read') return node;
      const tensors = nodes.map((n) => (n.kind === 'read' ? n.tensor : node.tensor));
      if (tensors.every((t) => t === tensors[0])) return reread(node);
      const places = tensors.map(twins.placeOf);
      const [place] = places;
      if (place === null || places.some((p) => p?.group !== place.group)) return read(joinOf(tensors), [index(0), ...node.at], node.type, node.otherwise);
      return read(stackOf(place.group), [choose(places.map((p) => int(p?.position ?? 0))), ...node.at], node.type, node.otherwise);
    });
    return copyWith(builder, { ...first, shape }, body ?? bug('twins of different structure'));
  };

  /** Data made in different ways, side by side. */
  const joinOf = (tensors: readonly TensorId[]): TensorId => {
    const key = tensors.join();
    const known = joins.get(key);
    if (known !== undefined) return known;
    const first = builder.tensor(tensors[0]);
    const values = tensors.map((t) => reread(readAt(builder, t, 1)));
    const body = values.reduceRight((rest, x, v) => select(binary('eq', index(0), int(v)), x, rest));
    const id = builder.comprehension(first.element, [tensors.length, ...first.shape], null, body, first.origin);
    joins.set(key, id);
    return id;
  };

  /** Makes sure that whatever the tensor becomes has been made. */
  const make = (id: TensorId): void => {
    const representative = twins.representative(id);
    const place = twins.placeOf(representative);
    if (place !== null) { stackOf(place.group); return; }
    if (alone.has(representative)) return;
    const tensor = builder.tensor(representative);
    for (const needed of dependencies(tensor)) make(needed);
    alone.set(representative, remade(tensor));
  };

  const remade = (tensor: Tensor): TensorId => {
    switch (tensor.kind) {
      case 'source': return tensor.id;
      case 'window': {
        const of = whole(tensor.of);
        return of === tensor.of ? tensor.id : builder.window(of, tensor.offset, tensor.shape, tensor.origin);
      }
      case 'pack': {
        const parts = tensor.parts.map(whole);
        return parts.every((p, i) => p === tensor.parts[i]) ? tensor.id : builder.pack(parts, tensor.origin, [...tensor.offsets]);
      }
      case 'routine': {
        const inputs = tensor.inputs.map(whole);
        return inputs.every((id, i) => id === tensor.inputs[i]) ? tensor.id : builder.routine(tensor.op, inputs, tensor.origin);
      }
      case 'comprehension': {
        const extents = [...tensor.shape, ...(tensor.reduce?.extents ?? [])];
        const now = renamed(tensor.body);
        const body = now === tensor.body ? now : joinSlices(now, (v) => extents[v], (id) => builder.tensor(id).shape);
        return body === tensor.body ? tensor.id : copyWith(builder, tensor, body);
      }
    }
  };

  /** The tensor by itself: a slice becomes a tensor of its own. */
  const whole = (id: TensorId): TensorId => {
    make(id);
    const place = twins.placeOf(id);
    if (place === null) return alone.get(twins.representative(id)) ?? id;
    const representative = twins.representative(id);
    const known = slices.get(representative);
    if (known !== undefined) return known;
    const tensor = builder.tensor(id);
    const slice = builder.comprehension(tensor.element, tensor.shape, null, reread(readAt(builder, id, 0)), tensor.origin);
    slices.set(representative, slice);
    return slice;
  };

  for (const t of live) make(t.id);
  const isOld = new Set(live.map((t) => t.id));
  return { tensor: (id) => (isOld.has(id) ? whole(id) : id), scalar: renamed };
}

/** The tensor at the variables from `first` on. */
function readAt(builder: ProgramBuilder, tensor: TensorId, first: number): ReadScalar {
  const { element, shape } = builder.tensor(tensor);
  return read(tensor, shape.map((_, i) => index(first + i)), scalarTypeOf(element));
}

function copyWith(builder: ProgramBuilder, tensor: Comprehension, body: Scalar): TensorId {
  return builder.comprehension(tensor.element, tensor.shape, tensor.reduce, body, tensor.origin);
}

/** The scalar of the stacking index v (variable 0) that is `values[v]`. */
function choose(values: readonly Scalar[]): Scalar {
  if (values.every((x) => x.kind === 'const')) {
    const numbers = values.map((x) => (x.kind === 'const' ? x.value : 0));
    if (numbers.every((n) => n === numbers[0])) return int(numbers[0]);
    const step = numbers[1] - numbers[0];
    if (Math.abs(step) < 4096 && numbers.every((n, v) => n === numbers[0] + v * step)) return binary('add', binary('mul', index(0), int(step)), int(numbers[0]));
  }
  return values.slice(0, -1).reduceRight((rest, x, v) => select(binary('eq', index(0), int(v)), x, rest), values[values.length - 1]);
}

/** What the roots need, in order. */
function liveTensors(builder: ProgramBuilder, roots: readonly TensorId[]): readonly Tensor[] {
  const needed = new Set<TensorId>();
  const pending = [...roots];
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    if (needed.has(id)) continue;
    needed.add(id);
    pending.push(...dependencies(builder.tensor(id)));
  }
  return builder.tensors.filter((t) => needed.has(t.id));
}
