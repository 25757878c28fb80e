/**
 * Products on software adapters with subgroups. There a load costs as much as twenty multiplications, whatever it loads, so
 * each lane loads few values and the subgroup's lanes pass them around: `shared` values a lane of one operand are broadcast to
 * all lanes, `own` values a lane of the other stay where they are, and a lane sums shared x size x own products.
 */
import type { ContractKernel } from '../../fuse/kernel.js';
import type { Scalar } from '../../tensor/scalar.js';
import { visit } from '../../tensor/scalar.js';

export interface LanesSchedule {
  readonly kind: 'lanes';
  /** Lanes of a subgroup, which is a workgroup. */
  readonly size: number;
  /** Whose values stay with their lanes; those of the other side are broadcast. */
  readonly spread: 'rows' | 'columns';
  readonly shared: number;
  readonly own: number;
}

/** Nanoseconds on one core, measured on lavapipe: a load of one value a lane, a broadcast, a product of all lanes. */
const costs = { load: 6, broadcast: 0.3, product: 0.25, arithmetic: 0.3, guard: 1.5 } as const;
/** Workgroups that run side by side are counted in teams of so many. */
const team = 4;
/** More sums than this make kernels that take long to compile. */
const mostSums = 128;

/** What evaluating an operand once a step costs. */
function operandCost(operand: Scalar): number {
  let cost = 0;
  visit(operand, (s) => {
    switch (s.kind) {
      case 'read': cost += costs.load + (s.otherwise === null ? 0 : costs.guard); break;
      case 'unary': case 'binary': case 'select': case 'cast': if (s.type !== 'i32') cost += costs.arithmetic; break;
      case 'draw': cost += 10 * costs.load; break;
      case 'const': case 'index': case 'accumulator': break;
    }
  });
  return cost;
}

export function scheduleLanes(kernel: ContractKernel, shape: { readonly batch: number; readonly rows: number; readonly columns: number }, size: number): LanesSchedule {
  const [left, right] = [operandCost(kernel.left), operandCost(kernel.right)];
  let best: LanesSchedule = { kind: 'lanes', size, spread: 'columns', shared: 1, own: 1 };
  let least = Infinity;
  for (const spread of ['columns', 'rows'] as const) {
    const [broadcast, kept] = spread === 'columns' ? [shape.rows, shape.columns] : [shape.columns, shape.rows];
    const [broadcastCost, keptCost] = spread === 'columns' ? [left, right] : [right, left];
    for (const shared of [1, 2, 4]) {
      for (const own of [1, 2, 4, 8]) {
        const sums = shared * size * own;
        if (sums > mostSums) continue;
        const groups = shape.batch * Math.ceil(broadcast / (shared * size)) * Math.ceil(kept / (own * size));
        const step = shared * broadcastCost + own * keptCost + shared * size * costs.broadcast + sums * costs.product;
        const time = Math.ceil(groups / team) * step;
        if (time < least) [least, best] = [time, { kind: 'lanes', size, spread, shared, own }];
      }
    }
  }
  return best;
}

/**
 * Online products on such adapters: a subgroup has shared x size rows and streams own x size columns at a time; of a second
 * product it has columns x size columns.
 */
export interface OnlineLanesSchedule {
  readonly kind: 'lanes';
  readonly size: number;
  readonly shared: number;
  readonly own: number;
  readonly columns: number;
}

/** `columns` is null without a second product. */
export function scheduleOnlineLanes(rows: number, columns: number | null, size: number): OnlineLanesSchedule {
  if (columns === null) return { kind: 'lanes', size, shared: rows > 4 * size ? 2 : 1, own: 4, columns: 1 };
  const wanted = Math.ceil(columns / size);
  return { kind: 'lanes', size, shared: wanted <= 4 && rows > 4 * size ? 2 : 1, own: 2, columns: Math.min(16, wanted) };
}
