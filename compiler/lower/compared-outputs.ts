/**
 * How far apart the outputs lie that the loss compares: of every network whose output enters an objective, as the collapse check
 * replaces it. A projector may collapse behind a healthy encoder, and what `represent` gives does not show it.
 *
 * `std.NET` is sqrt((1 - s) / D), s the mean squared cosine of all pairs among the first examples of the batch: 1 / sqrt(D) when the
 * outputs use all directions, 0 when they lie on one line through the origin, be they all equal or, behind a batch norm, on two sides.
 */
import type { ProgramBuilder } from '../tensor/builder.js';
import { dependencies } from '../tensor/renumber.js';
import { binary, div, float, index, int, mul, select, sub, unary } from '../tensor/scalar.js';
import type { TensorId } from '../tensor/scalar.js';
import type { Context } from './context.js';
import { close, constantTensor, firstView } from './tensor-value.js';
import type { NetValue, TensorValue, Value } from './value.js';

/** Most examples that are compared. */
const most = 64;

/** Outputs of fewer dimensions may well lie on a line. */
const fewestDimensions = 8;

/** Below this product of squared lengths, outputs have no direction and count as equal. */
const nothing = 1e-30;

interface Output {
  readonly net: string;
  /** Null for outputs that are not looked at; what lies behind them is not either. */
  readonly value: TensorValue | null;
  readonly owns: (id: TensorId) => boolean;
}

export interface ComparedOutput {
  readonly net: string;
  readonly size: number;
  readonly value: TensorValue;
}

/** Collects what networks give while a model is elaborated. */
export class OutputWatch {
  private readonly outputs: Output[] = [];

  /** An application whose output is made of the tensors from `from` on. */
  seen(c: Context, net: NetValue, value: Value, from: TensorId): void {
    const to = c.builder.nextId;
    this.add(c, net, value, (id) => id >= from && id < to && c.builder.tensor(id).kind === 'comprehension');
  }

  /** An output that is read from a source. */
  stored(c: Context, net: NetValue, value: Value, source: TensorId): void {
    this.add(c, net, value, (id) => id === source);
  }

  private add(c: Context, net: NetValue, output: Value, owns: Output['owns']): void {
    const batch = c.batch?.variable;
    const value = output.kind === 'tensor' ? firstView(output) : output;
    const counts = value.kind === 'tensor' && value.element === 'f32' && value.axes.length === 1 && value.axes[0].size >= fewestDimensions && batch !== undefined && batch.axis.size >= 2 && value.free.has(batch.id);
    // Slow copies follow: what they give says nothing that their network does not.
    this.outputs.push({ net: net.name, value: counts && net.target === null ? value : null, owns });
  }

  /** Of every network whose output enters the loss directly, not through another network's, the deviation of the first such output. */
  compared(c: Context, loss: TensorId): readonly ComparedOutput[] {
    const entering = new Set<Output>();
    const visited = new Set<TensorId>();
    const pending = [loss];
    for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
      if (visited.has(id)) continue;
      visited.add(id);
      const at = id;
      const owner = this.outputs.find((o) => o.owns(at));
      if (owner === undefined) pending.push(...dependencies(c.builder.tensor(id)));
      else entering.add(owner);
    }
    const names = new Set<string>();
    return this.outputs.flatMap(({ net, value }, k): ComparedOutput[] => {
      if (value === null || names.has(net) || !entering.has(this.outputs[k])) return [];
      names.add(net);
      return [{ net, size: value.axes[0].size, value: deviation(c, net, value) }];
    });
  }
}

function deviation(c: Context, net: string, value: TensorValue): TensorValue {
  const b: ProgramBuilder = c.builder;
  const origin = { span: null, name: `std.${net}` };
  const batch = c.batch?.variable;
  const others = [...value.free.values()].filter((v) => v !== batch && v.id !== batch?.id);
  const whole = close(value, batch === undefined ? others : [batch, ...others]);
  const rows = Math.min(most, batch?.axis.size ?? 1);
  const size = value.axes[0].size;
  // Of what a network is mapped over beside the batch, the first.
  const z = b.comprehension('f32', [rows, size], null, whole.at([index(0), ...others.map(() => int(0)), index(1)]), origin);
  const products = b.comprehension('f32', [rows, rows], { op: 'sum', extents: [size] }, mul(b.read(z, [index(0), index(2)]), b.read(z, [index(1), index(2)])), origin);
  const product = b.identity(products);
  const lengths = mul(b.read(products, [index(0), index(0)]), b.read(products, [index(1), index(1)]));
  const squared = select(binary('lt', lengths, float(nothing)), float(1), div(mul(product, product), binary('max', lengths, float(nothing))));
  const total = b.comprehension('f32', [], { op: 'sum', extents: [rows, rows] }, squared, origin);
  const apart = binary('max', sub(float(1), mul(b.read(total, []), float(1 / rows ** 2))), float(0));
  return constantTensor(unary('sqrt', mul(apart, float(1 / size))));
}
