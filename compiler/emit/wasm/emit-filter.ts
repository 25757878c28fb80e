/**
 * Convolutions by minimal filtering (`minimal-filter.ts`). The first tasks map the weights to their points, once for all, in
 * panels in shared memory; every other task has some bands of tiles: it maps their data, multiplies point by point, and maps the
 * products back to positions, whose sums go the way of any product's.
 *
 * Where the weights' points would not stay in the cache it is the other way round: the first tasks of a group of pieces map its data, and every
 * other task has some columns, whose weights it maps for itself and multiplies with all of the group.
 */
import type { ContractKernel } from '../../fuse/kernel.js';
import { loopExtents } from '../../fuse/inline-maps.js';
import { sizeAlong } from '../../tensor/program.js';
import type { FunctionBuilder, Local } from './binary.js';
import { I32, op } from './binary.js';
import type { Context } from './context.js';
import { arrive, awaitAll, taskFunction, whenLast } from './context.js';
import type { FilterLayout } from './filter-layout.js';
import { filterLayout } from './filter-layout.js';
import { filterSteps } from './filter-steps.js';
import type { Filter } from './minimal-filter.js';
import type { Shares, SlicesCut } from './nest.js';
import type { FilterSchedule } from './schedule.js';

/** Columns of weights that one of the first tasks maps. */
const packColumns = 32;

/** Counters of a launch: tasks that have mapped weights, tasks that are done with them, and of each group those that have mapped data. */
const packedCounter = 0;
const doneCounter = 1;
const firstGroup = 2;

export function emitFilter(context: Context, name: string, kernel: ContractKernel, filter: Filter, schedule: FilterSchedule, cut: SlicesCut | null): Shares {
  const layout = filterLayout(kernel, filter, schedule, cut);
  context.needs.scratch = Math.max(context.needs.scratch, layout.workerBytes);
  context.needs.partials = Math.max(context.needs.partials, layout.sharedBytes);
  return layout.groupPieces === null ? weightsFirst(context, name, kernel, filter, layout) : dataFirst(context, name, kernel, filter, layout, layout.groupPieces);
}

const clear = (context: Context, f: FunctionBuilder, counter: number): void => { f.i32(context.countersBase + 4 * counter).i32(0).atomicStore(); };

/** All weights, and then the pieces of pictures, with the columns of a block. */
function weightsFirst(context: Context, name: string, kernel: ContractKernel, filter: Filter, layout: FilterLayout): Shares {
  const { pictureAxes, lead, span, spans, pieces, columnBlock, depth } = layout;
  const [B, pictures, N] = [lead, pictureAxes, filter.otherChannels].map((axes) => sizeAlong(axes, loopExtents(kernel)));
  const rowTasks = pieces.count;
  const leftOver = pictures - (spans - 1) * span;
  const last = pieces.bands > 1 ? leftOver * pieces.bands : Math.ceil(leftOver / pieces.pictures);
  const columnTasks = Math.ceil(N / columnBlock);
  const tasks = B * ((spans - 1) * rowTasks + last) * columnTasks;
  const packTasks = Math.ceil(N / packColumns);
  taskFunction(context, name, (t) => {
    const { f, task } = t;
    const v = (): Local => f.local(I32);
    f.get(task).i32(packTasks).op(op.i32ltS).if(() => {
      const [from, end] = [v(), v()];
      f.get(task).i32(packColumns).op(op.i32mul).tee(from).i32(packColumns).op(op.i32add).tee(end).i32(N).get(end).i32(N).op(op.i32ltS).op(op.select).set(end);
      const steps = filterSteps(context, kernel, filter, layout, t);
      steps.mapWeights(from, () => f.get(end), false);
      arrive(context, f, () => f.i32(packedCounter));
    }, () => {
      // task = ((b * spans + span) * column tasks + column task) * row tasks + row task, after those that map weights
      const steps = filterSteps(context, kernel, filter, layout, t);
      const [own, key, number] = [v(), v(), v()];
      f.get(task).i32(packTasks).op(op.i32sub).tee(own).i32(rowTasks).op(op.i32divU).set(key);
      f.get(key).i32(columnTasks).op(op.i32remU).set(number);
      steps.setColumns(number);
      f.get(key).i32(columnTasks).op(op.i32divU).set(number);
      steps.setSpan(number);
      f.get(own).i32(rowTasks).op(op.i32remU).set(own);
      steps.setPiece(own);
      steps.mapData(steps.pushOwn);
      awaitAll(context, f, () => f.i32(packedCounter), () => f.i32(packTasks));
      steps.multiply(steps.pushOwn, () => f.get(steps.firstColumn).i32(depth * 4).op(op.i32mul).i32(context.partialsBase).op(op.i32add));
      whenLast(context, f, () => f.i32(doneCounter), tasks, () => clear(context, f, packedCounter));
    });
  });
  return { tasks: packTasks + tasks, ahead: packTasks, each: rowTasks * columnTasks, last: last * columnTasks, spans };
}

/** Groups of pieces, one after the other, each with a counter of its own: the data of its pieces, then the blocks of columns. */
function dataFirst(context: Context, name: string, kernel: ContractKernel, filter: Filter, layout: FilterLayout, groupPieces: number): Shares {
  const { pieces, columnBlock, leftBytes } = layout;
  const columnTasks = Math.ceil(sizeAlong(filter.otherChannels, loopExtents(kernel)) / columnBlock);
  const groups = Math.ceil(pieces.count / groupPieces);
  const groupTasks = groupPieces + columnTasks;
  const lastPieces = pieces.count - (groups - 1) * groupPieces;
  taskFunction(context, name, (t) => {
    const { f, task } = t;
    const v = (): Local => f.local(I32);
    const [group, own, size, zero, piece, pieceEnd, counter] = [v(), v(), v(), v(), v(), v(), v()];
    f.get(task).i32(groupTasks).op(op.i32divU).set(group);
    f.get(task).i32(groupTasks).op(op.i32remU).set(own);
    f.i32(groupPieces).i32(lastPieces).get(group).i32(groups - 1).op(op.i32ltS).op(op.select).set(size);
    f.get(group).i32(groupPieces).op(op.i32mul).tee(piece).get(size).op(op.i32add).set(pieceEnd);
    f.get(group).i32(firstGroup).op(op.i32add).set(counter);
    const pushPoints = (): void => { f.get(piece).i32(leftBytes).op(op.i32mul).i32(context.partialsBase).op(op.i32add); };
    f.get(own).i32(groupPieces).op(op.i32ltS).if(() => {
      f.get(own).get(size).op(op.i32ltS).if(() => {
        const steps = filterSteps(context, kernel, filter, layout, t);
        f.get(piece).get(own).op(op.i32add).set(piece);
        steps.setSpan(zero);
        steps.setPiece(piece);
        steps.mapData(pushPoints);
        arrive(context, f, () => f.get(counter));
      });
    }, () => {
      const steps = filterSteps(context, kernel, filter, layout, t);
      f.get(own).i32(groupPieces).op(op.i32sub).set(own);
      steps.setColumns(own);
      steps.mapWeights(steps.firstColumn, steps.pushColumnEnd, true);
      steps.setSpan(zero);
      awaitAll(context, f, () => f.get(counter), () => f.get(size));
      f.count(piece, () => f.get(pieceEnd), 1, () => {
        steps.setPiece(piece);
        steps.multiply(pushPoints, steps.pushOwn);
      });
      whenLast(context, f, () => f.i32(doneCounter), groups * columnTasks, () => { for (let g = 0; g < groups; g++) clear(context, f, firstGroup + g); });
    });
  });
  return { tasks: groups * groupTasks, ahead: 0, each: groups * groupTasks, last: groups * groupTasks, spans: 1 };
}
