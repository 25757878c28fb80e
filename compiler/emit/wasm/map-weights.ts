/** The weights of a filtered convolution, channel by channel, as points in panels (`minimal-filter.ts`). */
import type { ContractKernel } from '../../fuse/kernel.js';
import { sizeAlong } from '../../tensor/program.js';
import type { Local } from './binary.js';
import { I32, op } from './binary.js';
import type { Context } from './context.js';
import type { Expressions } from './expressions.js';
import { mostSlots, placesOfProducts } from './filter-points.js';
import type { Node } from './graph.js';
import { LinearMaps } from './linear-maps.js';
import { lowerScalar } from './lower-scalar.js';
import type { Filter } from './minimal-filter.js';
import { tapsOf } from './minimal-filter.js';
import { decodeGroup } from './nest.js';

/** How mapped weights lie: columns of a panel, bytes between points; and memory of a worker's own for taps, and for maps of them. */
export interface WeightLayout {
  readonly panelColumns: number;
  readonly point: number;
  readonly taps: number;
  readonly between: number;
}

/** Some columns of the weights, and where their panels lie: of a column, given the bytes from a panel to the next. */
export interface WeightColumns {
  readonly from: Local;
  readonly pushEnd: () => void;
  readonly base: (column: Node, ofPanel: number) => Node;
}

/** Some columns of the weights become their points, in panels. */
export function mapWeights(context: Context, kernel: ContractKernel, filter: Filter, layout: WeightLayout, e: Expressions, { from: first, pushEnd, base }: WeightColumns, scratch: Local): void {
  const { f, graph } = e;
  const all = [...kernel.extents, ...kernel.reduceExtents];
  const { lines, lines: [down, across] } = filter;
  const [N, K] = [sizeAlong(filter.otherChannels, all), sizeAlong(filter.dataChannels, all)];
  const maps = new LinearMaps(f, context.relaxed, [down.kernel, across.kernel]);
  const [c, k] = [graph.variable('i32', 0, N - 1), graph.variable('i32', 0, K - 1)];
  const weights = Array.from({ length: tapsOf(lines) }, (_, n) => {
    const axes = all.map(() => graph.int(0));
    decodeGroup(graph, filter.otherChannels, all, c, axes);
    decodeGroup(graph, filter.dataChannels, all, k, axes);
    filter.stencil.reaches.forEach(({ tap, sign }, d) => {
      const at = d === 0 ? Math.floor(n / across.taps) : n % across.taps;
      // Read at position - tap, the last tap comes first.
      if (tap !== null) axes[tap] = graph.int(sign > 0 ? at : lines[d].taps - 1 - at);
    });
    return lowerScalar(graph, context.memory, { axes, accumulators: [] }, filter.stencil.other);
  });
  const width = graph.int(layout.panelColumns);
  const row = layout.panelColumns * 4;
  const address = graph.linear([[base(c, mostSlots(lines) * K * row), 1], [k, row], [graph.binary('mod', 'i32', c, width), 4]]);
  const roots = [...weights, address];
  const [lc, lk, from, to, between] = [f.local(I32), f.local(I32), f.local(I32), f.local(I32), f.local(I32)];
  f.get(scratch).i32(layout.taps).op(op.i32add).set(from).get(scratch).i32(layout.between).op(op.i32add).set(between);
  f.get(first).set(lc);
  e.lanesAlong(c);
  e.loop(c, lc, pushEnd, 4, roots, () => {
    f.i32(0).set(lk);
    e.loop(k, lk, () => f.i32(K), 1, roots, () => {
      e.scalar(address);
      f.set(to);
      weights.forEach((weight, n) => {
        f.get(from);
        e.vector(weight);
        f.storeV(16 * n);
      });
      maps.square(down.kernel, across.kernel, { base: from, at: (i, j) => 16 * (i * across.taps + j) }, { base: to, at: placesOfProducts(lines, { point: layout.point, slot: K * row }) }, between);
    });
  });
  e.lanesAlong(null);
}
