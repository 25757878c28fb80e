/**
 * Segmented sums: a thread owns one index of the axes without keys and a range of rows, goes through the items in order and
 * adds those whose keys lie in its range. Nobody else writes its elements, so nothing is atomic and the sums are always in
 * the same order. Where keys are sorted, a thread searches for the first of its items and goes along rows and items side by side.
 */
import type { ScatterKernel } from '../../fuse/kernel.js';
import { sizeOf } from '../../tensor/program.js';
import { pointOf } from './contract-shape.js';
import type { Emitter } from './kernel-text.js';
import { scatterThreads, sortedRows } from './schedule.js';
import type { Block, Frame } from './writer.js';

export const emitScatter: Emitter<ScatterKernel> = (kernel, writer, limits) => {
  if (kernel.sorted) return emitSorted(kernel, writer, limits);
  const { extents, keys, value } = kernel;
  const { tensor } = kernel.stores[0];
  const keyed = keys.map((k) => k.axis);
  const free = extents.flatMap((_, axis) => (keyed.includes(axis) ? [] : [axis]));
  const freeExtents = free.map((axis) => extents[axis]);
  const keyedExtents = keyed.map((axis) => extents[axis]);
  const rows = sizeOf(keyedExtents);
  const columns = sizeOf(freeExtents);
  const rowsEach = Math.ceil(rows / Math.max(1, Math.min(rows, Math.ceil(scatterThreads(limits) / columns))));
  const ranges = Math.ceil(rows / rowsEach);
  const threads = limits.software ? 8 : 64;
  const body = writer.root.body;
  const point = pointOf(extents);
  const zero = value.type === 'f32' ? '0.0' : '0';

  body.items.push(`let strip = group * ${threads} + thread;`, `if (strip >= ${columns * ranges}) { return; }`);
  const column = writer.frame(body, { name: 'column', axes: free, extents: freeExtents });
  column.block.items.push(`let column = strip % ${columns};`, `let first_row = (strip / ${columns}) * ${rowsEach};`, `let end_row = min(first_row + ${rowsEach}, ${rows});`);
  writer.bindDecoded(column, 'column', free, freeExtents, 'i');
  const rowFrame = (block: Block, header: string, row: string): Frame => {
    const frame = writer.nested(block, header);
    writer.bindDecoded(frame, row, keyed, keyedExtents, 'i');
    return frame;
  };
  if (rowsEach === 1) body.items.push(`var total = ${zero};`);
  else {
    const clear = rowFrame(body, 'for (var row = first_row; row < end_row; row++)', 'row');
    writer.store(clear.body, tensor, writer.value(point, writer.environment(column, clear)), zero, value.type);
  }

  let block = body;
  const items = new Map<number, string>();
  const loops: Frame[] = kernel.reduceExtents.flatMap((size, i) => {
    const axis = extents.length + i;
    if (size === 1) { items.set(axis, '0'); return []; }
    const loop = writer.loop(block, `r${i}`, size);
    loop.axes.set(axis, `r${i}`);
    items.set(axis, `r${i}`);
    block = loop.body;
    return [loop];
  });
  const last = writer.frame(block);
  items.forEach((name, axis) => { if (name === '0') last.axes.set(axis, name); });
  const scan = writer.environment(column, ...loops, last);
  const names = keys.map((k) => writer.variable(k.value, scan, 'key'));
  const inside = names.map((name, i) => `${name} >= 0 && ${name} < ${keyedExtents[i]}`).join(' && ');
  const row = names.reduce((sum, name, i) => (i === 0 ? name : `(${sum}) * ${keyedExtents[i]} + ${name}`), '');
  const test = writer.nested(block, `if (${inside})`);
  test.body.items.push(`let row = ${row};`);
  const hit = rowFrame(test.body, 'if (row >= first_row && row < end_row)', 'row');
  // The items' indices are bound again, so that what they lead to is only read here.
  items.forEach((name, axis) => hit.axes.set(axis, name));
  const here = writer.environment(column, ...loops, last, test, hit);
  const added = writer.value(value, here);
  if (rowsEach === 1) hit.body.items.push(`total += ${added};`);
  else {
    const at = writer.variable(point, here, 'at');
    writer.store(hit.body, tensor, at, `${writer.element(tensor, at)} + (${added})`, value.type);
  }
  if (rowsEach === 1) {
    const own = writer.frame(body);
    writer.bindDecoded(own, 'first_row', keyed, keyedExtents, 'i');
    writer.store(body, tensor, writer.value(point, writer.environment(column, own)), 'total', value.type);
  }
  return { threads, groups: Math.ceil((columns * ranges) / threads), shared: [], builtins: [], features: [] };
};

const emitSorted: Emitter<ScatterKernel> = (kernel, writer, limits) => {
  const { extents, reduceExtents: [items], keys: [key], value } = kernel;
  const free = extents.flatMap((_, axis) => (axis === key.axis ? [] : [axis]));
  const freeExtents = free.map((axis) => extents[axis]);
  const columns = sizeOf(freeExtents);
  const rows = extents[key.axis];
  const rowsEach = sortedRows(sizeOf(extents), rows, limits);
  const strips = columns * Math.ceil(rows / rowsEach);
  const threads = limits.software ? 8 : 64;
  const body = writer.root.body;
  body.items.push(`let strip = group * ${threads} + thread;`, `if (strip >= ${strips}) { return; }`);
  const column = writer.frame(body, { name: 'column', axes: free, extents: freeExtents });
  column.block.items.push(`let column = strip % ${columns};`, `let first_row = (strip / ${columns}) * ${rowsEach};`);
  writer.bindDecoded(column, 'column', free, freeExtents, 'i');
  body.items.push('var item = 0;', `var end = ${items};`);
  const keyIn = (block: Block, at: string, ...outer: readonly Frame[]): string => {
    const frame = writer.frame(block);
    frame.axes.set(extents.length, at);
    return writer.value(key.value, writer.environment(column, ...outer, frame));
  };
  const search = writer.nested(body, 'while (item < end)');
  search.body.items.push('let middle = (item + end) / 2;');
  search.body.items.push(`if (${keyIn(search.body, 'middle', search)} < first_row) { item = middle + 1; } else { end = middle; }`);
  const strip = writer.nested(body, `for (var row = first_row; row < min(first_row + ${rowsEach}, ${rows}); row++)`);
  strip.axes.set(key.axis, 'row');
  strip.body.items.push(`var total = ${value.type === 'f32' ? '0.0' : '0'};`);
  const run = writer.nested(strip.body, `for (; item < ${items}; item++)`);
  run.body.items.push(`if (${keyIn(run.body, 'item', strip, run)} != row) { break; }`);
  const last = writer.frame(run.body);
  last.axes.set(extents.length, 'item');
  run.body.items.push(`total += ${writer.value(value, writer.environment(column, strip, run, last))};`);
  writer.store(strip.body, kernel.stores[0].tensor, writer.value(pointOf(extents), writer.environment(column, strip)), 'total', value.type);
  return { threads, groups: Math.ceil(strips / threads), shared: [], builtins: [], features: [] };
};
