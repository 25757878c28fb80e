/**
 * Products consumed on the fly: for every row, the scores against streamed columns are reduced (a softmax's logsumexp) or
 * weigh a second product (attention, and the gradients of similarity losses) without ever being stored.
 */
import { loopExtents } from '../../fuse/inline-maps.js';
import type { OnlineKernel } from '../../fuse/kernel.js';
import { sizeOf } from '../../tensor/program.js';
import { accumulatorRule } from './accumulators.js';
import { chooseOnline } from './choose-schedule.js';
import { pointOf } from './contract-shape.js';
import { openLoops } from './emit-contract.js';
import { linearIndex } from './emit-reduce.js';
import type { Emitter } from './kernel-text.js';
import { writeStores } from './kernel-text.js';
import { emitOnlineLanes } from './emit-online-lanes.js';
import { emitOnlineTiles } from './emit-online-tiles.js';
import type { OnlineSchedule } from './schedule.js';
import type { BlockEnds } from './skip-masked.js';
import { skipProduct, skipReductions } from './skip-masked.js';
import { countFrame } from './stage.js';
import type { KernelText } from './kernel-text.js';
import { ofProduct } from './names.js';
import type { KernelWriter } from './writer.js';

export const emitOnline: Emitter<OnlineKernel> = (kernel, writer, limits) => {
  const schedule = chooseOnline(kernel, limits, writer.elementOf);
  switch (schedule.kind) {
    case 'registers': return emitOnlineRegisters(kernel, writer, schedule);
    case 'tiles': return emitOnlineTiles(kernel, writer, schedule);
    case 'lanes': return emitOnlineLanes(kernel, writer, schedule);
  }
};

/** A thread a row and strip of columns. */
function emitOnlineRegisters(kernel: OnlineKernel, writer: KernelWriter, schedule: Extract<OnlineSchedule, { kind: 'registers' }>): KernelText {
  const rank = kernel.extents.length;
  const rowAxes = [...kernel.batch, ...kernel.rows];
  const rowExtents = rowAxes.map((a) => kernel.extents[a]);
  const columnExtents = kernel.columns.map((a) => kernel.extents[a]);
  const rows = sizeOf(rowExtents);
  const columns = sizeOf(columnExtents);
  const chunk = schedule.columns;
  const chunks = Math.ceil(columns / chunk);
  const { threads } = schedule;
  const body = writer.root.body;
  body.items.push(`let strip = group * ${threads} + thread;`, `if (strip >= ${rows * chunks}) { return; }`, `let column_base = (strip % ${chunks}) * ${chunk};`);
  const row = countFrame(writer, body, 'row', `strip / ${chunks}`, null, rowAxes, rowExtents);

  const { combine } = kernel;
  const rules = combine.kind === 'reduce' ? combine.reductions.map((r) => accumulatorRule(r.op, r.body.type)) : [];
  rules.forEach((rule) => rule.helpers.forEach((h) => writer.helpers.add(h)));
  const nameOf = (k: number) => (c: number): string => `${rules[k].components[c].suffix}_${k}_acc`;
  rules.forEach((rule, k) => rule.components.forEach((c, i) => body.items.push(`var ${nameOf(k)(i)} = ${c.start};`)));
  const products = combine.kind === 'contract' ? combine.products : [];
  products.forEach((_, m) => body.items.push(`var ${ofProduct('sums', m)}: array<f32, ${chunk}>;`));

  const streamed = openLoops(writer, body, kernel.streamedExtents, rank, 'r');
  const place = linearIndex(kernel.streamedExtents);
  const ownRow = `row % ${sizeOf(kernel.rows.map((a) => kernel.extents[a]))}`;
  const ends: BlockEnds = { rows: [ownRow, ownRow], streamed: [place, place] };
  const outer = [row, ...streamed.loops];
  if (combine.kind === 'reduce') skipReductions(kernel, writer, streamed.block, ends, outer, rules, (block, each) => each(writer.frame(block), block, nameOf));
  else skipProduct(kernel, writer, streamed.block, ends, outer, { rows: (block) => [writer.frame(block)], streamed: (block) => [writer.frame(block)] }, (_, found) => `(${found})`);
  kernel.scores.forEach((_, k) => streamed.block.items.push(`var score_sum_${k} = 0.0;`));
  // Scores over the same axes are summed in one loop.
  const all = loopExtents(kernel);
  for (const first of new Set(kernel.scores.map((s) => s.inner[0]))) {
    const together = kernel.scores.flatMap((s, k) => (s.inner[0] === first ? [{ ...s, k }] : []));
    const inner = openLoops(writer, streamed.block, together[0].inner.map((axis) => all[axis]), first, 'd');
    const products = writer.environment(row, ...streamed.loops, ...inner.loops);
    const operands = together.map((s) => ({ k: s.k, left: writer.value(s.left, products), right: writer.value(s.right, products) }));
    for (const { k, left, right } of operands) inner.block.items.push(`score_sum_${k} += (${left}) * (${right});`);
  }

  const scored = writer.frame(streamed.block);
  kernel.scores.forEach((_, k) => {
    scored.block.items.push(`let score_${k} = score_sum_${k};`);
    scored.accumulators.set(k, `score_${k}`);
  });
  const environment = writer.environment(row, ...streamed.loops, scored);
  if (combine.kind === 'reduce') {
    const values = combine.reductions.map((r) => writer.variable(r.body, environment, 'value'));
    combine.reductions.forEach((_, k) => scored.body.items.push(...rules[k].update(nameOf(k), values[k], place)));
    const last = writer.frame(body);
    rules.forEach((rule, k) => {
      last.block.items.push(`let total_${k} = ${rule.result(nameOf(k))};`);
      last.accumulators.set(k, `total_${k}`);
    });
    // A reduction's result does not depend on columns; with column axes in the stores every one is written.
    const loop = writer.nested(body, `for (var j = 0; j < ${chunk}; j++)`);
    const column = countFrame(writer, loop.body, 'column', 'column_base + j', null, kernel.columns, columnExtents);
    column.block.items.splice(1, 0, `if (column >= ${columns}) { break; }`);
    const here = writer.environment(row, last, column);
    writeStores(kernel.stores, writer, here, loop.body, writer.value(pointOf(kernel.extents), here));
  } else {
    const weights = products.map((m) => writer.variable(m.weight, environment, 'weight'));
    const addLoop = writer.nested(streamed.block, `for (var j = 0; j < ${chunk}; j++)`);
    const addend = countFrame(writer, addLoop.body, 'column', 'column_base + j', columns % chunk === 0 ? null : columns, kernel.columns, columnExtents);
    const place = writer.environment(row, ...streamed.loops, scored, addend);
    const values = products.map((m) => writer.value(m.value, place));
    values.forEach((value, m) => addLoop.body.items.push(`${ofProduct('sums', m)}[j] += ${weights[m]} * (${value});`));
    const loop = writer.nested(body, `for (var j = 0; j < ${chunk}; j++)`);
    const column = countFrame(writer, loop.body, 'column', 'column_base + j', null, kernel.columns, columnExtents);
    column.block.items.splice(1, 0, `if (column >= ${columns}) { break; }`, ...products.map((_, m) => `let ${ofProduct('total', m)} = ${ofProduct('sums', m)}[j];`));
    products.forEach((_, m) => column.accumulators.set(m, ofProduct('total', m)));
    const here = writer.environment(row, column);
    writeStores(kernel.stores, writer, here, loop.body, writer.value(pointOf(kernel.extents), here));
  }
  return { threads, groups: Math.ceil((rows * chunks) / threads), shared: [], builtins: [], features: [] };
}
