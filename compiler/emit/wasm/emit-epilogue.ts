/** The end of a product's task: the sums of a block of rows and columns go through the kernel's stores. */
import type { ContractKernel } from '../../fuse/kernel.js';
import type { Context } from './context.js';
import type { Local } from './binary.js';
import { I32 } from './binary.js';
import type { Expressions } from './expressions.js';
import type { Node } from './graph.js';
import { lowerScalar, slotOf, storeAddress } from './lower-scalar.js';

/** A range of rows or columns: their variable, their first and the end, in locals. */
export interface Range {
  readonly variable: Node;
  readonly begin: Local;
  readonly end: Local;
}

/** Stores all results of a block. `axes` are the kernel's variables at a row and column, `address` where the sum lies. */
export function emitEpilogue(e: Expressions, context: Context, { stores, extents }: ContractKernel, rows: Range, columns: Range, axes: readonly Node[], address: Node): void {
  const { f, graph } = e;
  const sum = graph.load('f32', address, null);
  const memo = new Map();
  const items = stores.map((s) => ({
    address: storeAddress(graph, context.memory, s.tensor, extents, axes.slice(0, extents.length)),
    value: lowerScalar(graph, context.memory, { axes, accumulators: [sum] }, s.value, memo),
    element: slotOf(context.memory, s.tensor).element,
  }));
  const roots = items.flatMap((s) => [s.value, s.address]);
  const [r, c] = [f.local(I32), f.local(I32)];
  f.get(rows.begin).set(r);
  e.loop(rows.variable, r, () => f.get(rows.end), 1, roots, () => {
    f.get(columns.begin).set(c);
    e.vectorLoop(columns.variable, c, null, () => f.get(columns.end), roots, () => e.store(items));
  });
}
