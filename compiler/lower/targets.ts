/**
 * Slow copies: target <- momentum * target + (1 - momentum) * followed. `when: "after"` follows the weights the step arrives at;
 * `when: "before"` moves first, and the step already uses what it moved to. `buffers` says what the states of the target's layers
 * (running statistics) do: `own` are moved by its own forward passes, `copy` are those of the followed network, `ema` follow
 * them as the weights do.
 */
import { add, binary, float, index, mul } from '../tensor/scalar.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { sizeOf } from '../tensor/program.js';
import { alignElements } from '../tensor/builder.js';
import type { ProgramBuilder } from '../tensor/builder.js';
import type { Layout, PlacedTarget } from './store.js';
import type { TargetInfo } from './value.js';

const origin = (name: string): { span: null; name: string } => ({ span: null, name });

/** The momentum of a target as a scalar of this program. */
function momentumOf(info: TargetInfo): Scalar {
  return info.momentum.kind === 'tensor' ? info.momentum.at([]) : float(info.momentum.kind === 'number' ? info.momentum.value : 0);
}

const blend = (momentum: Scalar, slow: Scalar, fast: Scalar): Scalar => add(mul(momentum, slow), mul(binary('sub', float(1), momentum), fast));

/** The arena of a target before the first step: copies of the parameters it follows, zeros between and after. */
export function initialTarget(b: ProgramBuilder, target: PlacedTarget, initial: (path: string) => TensorId): TensorId {
  const parts = target.parameters.map((p) => {
    const value = initial(p.path);
    const { shape, origin: from } = b.tensor(value);
    return { offset: p.offset, node: b.comprehension('f32', shape, null, b.identity(value), from) };
  });
  const end = target.parameters.reduce((n, p) => Math.max(n, alignElements(p.offset + sizeOf(p.shape))), 0);
  if (end < target.size) parts.push({ offset: end, node: b.comprehension('f32', [target.size - end], null, float(0), origin(target.info.name)) });
  return b.pack(parts.map((p) => p.node), origin(target.info.name), parts.map((p) => p.offset));
}

/** The arena of a target after it moved towards `followed`, the flat parameters. `info` is the target as this program met it. */
export function movedTarget(b: ProgramBuilder, layout: Layout, target: PlacedTarget, info: TargetInfo, source: TensorId, followed: TensorId): TensorId {
  const momentum = momentumOf(info);
  if (target.size === layout.size) return b.comprehension('f32', [target.size], null, blend(momentum, b.read(source, [index(0)]), b.read(followed, [index(0)])), origin(info.name));
  const parts = runs(target.parameters, layout).map((run) => {
    const fast = b.window(followed, run.from, [run.size], origin(info.of));
    const slow = b.window(source, run.to, [run.size], origin(info.name));
    return { offset: run.to, node: b.comprehension('f32', [run.size], null, blend(momentum, b.read(slow, [index(0)]), b.read(fast, [index(0)])), origin(info.name)) };
  });
  return parts.length === 1 ? parts[0].node : b.pack(parts.map((p) => p.node), origin(info.name), parts.map((p) => p.offset));
}

/** Maximal ranges in which a target's layout and the parameters' differ by a constant. */
function runs(target: PlacedTarget['parameters'], layout: Layout): { from: number; to: number; size: number }[] {
  const result: { from: number; to: number; size: number }[] = [];
  for (const p of target) {
    const from = layout.parameters.find((x) => x.path === p.path)?.offset ?? 0;
    const size = alignElements(sizeOf(p.shape));
    const last = result[result.length - 1];
    if (last !== undefined && last.from + last.size === from && last.to + last.size === p.offset) last.size += size;
    else result.push({ from, to: p.offset, size });
  }
  return result;
}

/** The followed network's name of a state of this target, or null when the state is not the target's. */
export function followedState(name: string, info: TargetInfo): string | null {
  const mine = `state.${info.name}`;
  return name === mine || name.startsWith(`${mine}.`) ? `state.${info.of}${name.slice(mine.length)}` : null;
}

/** A state of a target whose buffers are not its own, given the followed network's. */
export function movedState(b: ProgramBuilder, info: TargetInfo, slow: TensorId, fast: TensorId): TensorId {
  const { shape } = b.tensor(slow);
  const at = shape.map((_, k) => index(k));
  const body = info.buffers === 'copy' ? b.read(fast, at) : blend(momentumOf(info), b.read(slow, at), b.read(fast, at));
  return b.comprehension('f32', shape, null, body, origin(info.name));
}
