/**
 * Sorting of rows that fit the memory of a workgroup, a workgroup a row, by a network of comparisons (Batcher, 1968): of N elements each takes part in
 * log2(N) (log2(N) + 1) / 2 of them, whatever their order. Equal keys are in the order of their places, so the network, which keeps no
 * order by itself, sorts stably; what fills a row up to a power of two has the largest key and places behind the row.
 */
import type { RoutineKernel } from '../../fuse/kernel.js';
import { sizeOf } from '../../tensor/program.js';
import type { Emitter } from './kernel-text.js';
import { batchFrame, ownFrame } from './routine-frames.js';
import type { ScheduleLimits } from './schedule.js';

/** Rows for which counting is as fast. */
const shortest = 65;
const bytesOfElement = 8;

const filled = (n: number): number => 2 ** Math.ceil(Math.log2(n));

/** Whether a row of n elements is sorted in a workgroup. Software adapters run few threads, which had better not wait. */
export function sortsInWorkgroup(n: number, { software, maxWorkgroupStorageBytes }: ScheduleLimits): boolean {
  return !software && n >= shortest && bytesOfElement * filled(n) <= maxWorkgroupStorageBytes;
}

export const emitSortedRow: Emitter<RoutineKernel> = (kernel, writer, limits) => {
  const [n] = kernel.ownExtents;
  const [operand] = kernel.operands;
  const size = filled(n);
  const threads = Math.min(256, limits.maxWorkgroupInvocations, size / 2);
  const body = writer.root.body;
  if (operand.type === 'f32') writer.helpers.add('order_f32');
  body.items.push('let batch = group;');
  const batch = batchFrame(kernel, writer, body);

  const load = writer.nested(body, `for (var at = thread; at < ${size}; at += ${threads})`);
  load.body.items.push(`let place = min(at, ${n - 1});`);
  const own = ownFrame(kernel, writer, load.body, ['place']);
  const value = writer.value(operand, writer.environment(batch, load, own));
  load.body.items.push(`sort_keys[at] = select(0x7fffffff, ${operand.type === 'f32' ? `order_f32(${value})` : value}, at < ${n});`, 'sort_places[at] = at;');
  body.items.push('workgroupBarrier();');

  const runs = writer.nested(body, `for (var run = 2; run <= ${size}; run *= 2)`);
  const gaps = writer.nested(runs.body, 'for (var gap = run / 2; gap > 0; gap /= 2)');
  const pairs = writer.nested(gaps.body, `for (var pair = thread; pair < ${size / 2}; pair += ${threads})`);
  pairs.body.items.push(
    'let low = (pair / gap) * 2 * gap + pair % gap;', 'let high = low + gap;',
    'let low_key = sort_keys[low];', 'let high_key = sort_keys[high];', 'let low_place = sort_places[low];', 'let high_place = sort_places[high];',
    'let after = low_key > high_key || (low_key == high_key && low_place > high_place);',
    // Runs rise and fall by turns, so that two of them are one that rises and then falls.
    'if (after == ((low & run) == 0)) {', '  sort_keys[low] = high_key;', '  sort_keys[high] = low_key;', '  sort_places[low] = high_place;', '  sort_places[high] = low_place;', '}',
  );
  gaps.body.items.push('workgroupBarrier();');

  const store = writer.nested(body, `for (var at = thread; at < ${n}; at += ${threads})`);
  writer.store(store.body, kernel.stores[0].tensor, `batch * ${n} + at`, 'sort_places[at]', 'i32');
  const rows = sizeOf(kernel.extents) / n;
  return { threads, groups: rows, shared: [`var<workgroup> sort_keys: array<i32, ${size}>;`, `var<workgroup> sort_places: array<i32, ${size}>;`], builtins: [], features: [] };
};
