/**
 * Routines on GPUs. Sorting counts, a thread an element, how many come before it, but for rows that a workgroup has room for; in a sorted row a thread searches for the first equal element. A factorisation is a workgroup a matrix,
 * column by column; substitution a thread a right side.
 */
import type { RoutineKernel } from '../../fuse/kernel.js';
import { sizeOf } from '../../tensor/program.js';
import type { Emitter } from './kernel-text.js';
import { emitSortedRow, sortsInWorkgroup } from './emit-sorted-row.js';
import { batchFrame, ownFrame } from './routine-frames.js';
import type { Block, Frame } from './writer.js';

export const emitRoutine: Emitter<RoutineKernel> = (kernel, writer, limits) => {
  switch (kernel.op) {
    case 'argsort': return sortsInWorkgroup(kernel.ownExtents[0], limits) ? emitSortedRow(kernel, writer, limits) : emitCountedRow(kernel, writer, limits);
    case 'first_equal': return emitFirstEqual(kernel, writer, limits);
    case 'cholesky': return emitCholesky(kernel, writer, limits);
    case 'solve': case 'solve_transposed': return emitSolve(kernel, writer, limits);
  }
};

const emitCountedRow: Emitter<RoutineKernel> = (kernel, writer, limits) => {
  const [n] = kernel.ownExtents;
  const [operand] = kernel.operands;
  const points = sizeOf(kernel.extents);
  const threads = limits.software ? 64 : 256;
  const body = writer.root.body;
  if (operand.type === 'f32') writer.helpers.add('order_f32');
  const key = (text: string): string => (operand.type === 'f32' ? `order_f32(${text})` : text);
  body.items.push(`let point = group * ${threads} + thread;`, `if (point >= ${points}) { return; }`, `let batch = point / ${n};`, `let place = point % ${n};`);
  const batch = batchFrame(kernel, writer, body);
  const own = ownFrame(kernel, writer, body, ['place']);
  body.items.push(`let key = ${key(writer.value(operand, writer.environment(batch, own)))};`, 'var rank = 0;');
  const loop = writer.loop(body, 'other', n);
  loop.axes.set(kernel.extents.length, 'other');
  loop.body.items.push(
    `let other_key = ${key(writer.value(operand, writer.environment(batch, loop)))};`,
    'rank += select(0, 1, other_key < key || (other_key == key && other < place));',
  );
  writer.store(body, kernel.stores[0].tensor, `batch * ${n} + rank`, 'place', 'i32');
  return { threads, groups: Math.ceil(points / threads), shared: [], builtins: [], features: [] };
};

const emitFirstEqual: Emitter<RoutineKernel> = (kernel, writer, limits) => {
  const [n] = kernel.ownExtents;
  const [operand] = kernel.operands;
  const points = sizeOf(kernel.extents);
  const threads = limits.software ? 64 : 256;
  const body = writer.root.body;
  body.items.push(`let point = group * ${threads} + thread;`, `if (point >= ${points}) { return; }`, `let batch = point / ${n};`, `let place = point % ${n};`);
  const batch = batchFrame(kernel, writer, body);
  const own = ownFrame(kernel, writer, body, ['place']);
  body.items.push(`let key = ${writer.value(operand, writer.environment(batch, own))};`, 'var first = 0;', 'var end = place;');
  const search = writer.nested(body, 'while (first < end)');
  search.body.items.push('let middle = (first + end) / 2;');
  const there = ownFrame(kernel, writer, search.body, ['middle']);
  search.body.items.push(`if (${writer.value(operand, writer.environment(batch, search, there))} < key) { first = middle + 1; } else { end = middle; }`);
  writer.store(body, kernel.stores[0].tensor, 'point', 'first', 'i32');
  return { threads, groups: Math.ceil(points / threads), shared: [], builtins: [], features: [] };
};

const emitCholesky: Emitter<RoutineKernel> = (kernel, writer) => {
  const [n] = kernel.ownExtents;
  const [operand] = kernel.operands;
  const { tensor } = kernel.stores[0];
  const threads = 64;
  const body = writer.root.body;
  // A start that drivers cannot see is zero keeps them from unrolling; barriers need one that is the same in all threads.
  body.items.push('let batch = group;', 'let first = min(group, 0);', `let base = batch * ${n * n};`);
  const batch = batchFrame(kernel, writer, body);
  const columns = writer.nested(body, `for (var j = first; j < ${n}; j++)`);
  const element = (i: string, j: string): string => writer.element(tensor, `base + ${i} * ${n} + ${j}`);
  const below = writer.nested(columns.body, `for (var i = j + thread; i < ${n}; i += ${threads})`);
  const value = (names: readonly string[]): string => writer.value(operand, writer.environment(batch, columns, below, ownFrame(kernel, writer, below.body, names)));
  const [here, mirrored] = [value(['i', 'j']), value(['j', 'i'])];
  below.body.items.push(`var sum = 0.5 * ((${here}) + (${mirrored}));`);
  writer.nested(below.body, 'for (var k = first; k < j; k++)').body.items.push(`sum -= ${element('i', 'k')} * ${element('j', 'k')};`);
  writer.store(below.body, tensor, `base + i * ${n} + j`, 'sum', 'f32');
  columns.body.items.push('storageBarrier();', `let pivot = sqrt(${element('j', 'j')});`, 'storageBarrier();');
  const scale = writer.nested(columns.body, `for (var i = j + thread; i < ${n}; i += ${threads})`);
  scale.body.items.push(`let divided = ${element('i', 'j')} / pivot;`);
  writer.store(scale.body, tensor, `base + j * ${n} + i`, '0.0', 'f32');
  writer.store(scale.body, tensor, `base + i * ${n} + j`, 'select(divided, pivot, i == j)', 'f32');
  columns.body.items.push('storageBarrier();');
  return { threads, groups: sizeOf(kernel.extents.slice(0, -2)), shared: [], builtins: [], features: [], synchronises: true };
};

const emitSolve: Emitter<RoutineKernel> = (kernel, writer, limits) => {
  const [n, , columns] = kernel.ownExtents;
  const [matrix, right] = kernel.operands;
  const { tensor } = kernel.stores[0];
  const transposed = kernel.op === 'solve_transposed';
  const threads = limits.software ? 8 : 64;
  const points = sizeOf(kernel.extents.slice(0, -2)) * columns;
  const body = writer.root.body;
  body.items.push(
    `let point = group * ${threads} + thread;`, `if (point >= ${points}) { return; }`,
    `let batch = point / ${columns};`, `let column = point % ${columns};`, `let base = batch * ${n * columns} + column;`, 'let first = min(thread, 0);',
  );
  const batch = batchFrame(kernel, writer, body);
  const steps = writer.nested(body, `for (var step = first; step < ${n}; step++)`);
  steps.body.items.push(`let i = ${transposed ? `${n - 1} - step` : 'step'};`);
  const value = (scalar: RoutineKernel['operands'][number], names: readonly (string | null)[], block: Block, ...outer: readonly Frame[]): string =>
    writer.value(scalar, writer.environment(batch, steps, ...outer, ownFrame(kernel, writer, block, names)));
  steps.body.items.push(`var sum = ${value(right, ['i', null, 'column'], steps.body)};`);
  const inner = writer.nested(steps.body, transposed ? `for (var k = i + 1; k < ${n}; k++)` : 'for (var k = first; k < i; k++)');
  inner.body.items.push(`sum -= (${value(matrix, transposed ? ['k', 'i'] : ['i', 'k'], inner.body, inner)}) * ${writer.element(tensor, `base + k * ${columns}`)};`);
  writer.store(steps.body, tensor, `base + i * ${columns}`, `sum / (${value(matrix, ['i', 'i'], steps.body)})`, 'f32');
  return { threads, groups: Math.ceil(points / threads), shared: [], builtins: [], features: [] };
};
