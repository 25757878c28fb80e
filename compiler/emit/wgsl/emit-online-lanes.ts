/**
 * Online kernels on software adapters with subgroups. A subgroup keeps a block of rows and streams the other side, some
 * columns a lane at a time: the rows' values are loaded once and broadcast to the lanes, which have the scores of their
 * columns. Reductions are kept a row and lane and merged across the lanes at the end; for a second product each lane has some
 * of its columns, and the weights are passed around.
 */
import { loopExtents } from '../../fuse/inline-maps.js';
import type { OnlineKernel } from '../../fuse/kernel.js';
import { sizeOf } from '../../tensor/program.js';
import { accumulatorRule } from './accumulators.js';
import { pointOf } from './contract-shape.js';
import { openLoops } from './emit-contract.js';
import type { KernelText } from './kernel-text.js';
import { writeStores } from './kernel-text.js';
import { laneSums } from './lane-sums.js';
import { ofProduct } from './names.js';
import type { OnlineLanesSchedule } from './schedule-lanes.js';
import type { BlockEnds, OwnPlaces } from './skip-masked.js';
import { skipProduct, skipReductions } from './skip-masked.js';
import { countFrame } from './stage.js';
import type { Block, Environment, Frame, KernelWriter } from './writer.js';

const upTo = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i);

interface Rows {
  readonly count: number;
  readonly block: number;
  readonly axes: readonly number[];
  readonly extents: readonly number[];
  readonly shared: Frame;
}

export function emitOnlineLanes(kernel: OnlineKernel, writer: KernelWriter, schedule: OnlineLanesSchedule): KernelText {
  const { size } = schedule;
  const { batch: sharedAxes, rows: axes } = kernel;
  const extentsOf = (of: readonly number[]): number[] => of.map((axis) => kernel.extents[axis]);
  const block = schedule.shared * size;
  const rowTiles = Math.ceil(sizeOf(extentsOf(axes)) / block);
  const columnTiles = kernel.combine.kind === 'contract' ? Math.ceil(sizeOf(extentsOf(kernel.columns)) / (schedule.columns * size)) : 1;
  const body = writer.root.body;
  body.items.push(
    'let lane = i32(subgroup_lane);',
    `let row_base = ((group / ${columnTiles}) % ${rowTiles}) * ${block};`, `let column_base = (group % ${columnTiles}) * ${schedule.columns * size};`,
  );
  const shared = countFrame(writer, body, 'shared_row', `group / ${rowTiles * columnTiles}`, null, sharedAxes, extentsOf(sharedAxes));
  const rows: Rows = { count: sizeOf(extentsOf(axes)), block, axes, extents: extentsOf(axes), shared };
  const agree = kernel.combine.kind === 'contract' && emitSecondProduct(kernel, kernel.combine, writer, schedule, rows, body);
  if (kernel.combine.kind === 'reduce') emitReductions(kernel, kernel.combine, writer, schedule, rows, body);
  return {
    threads: size, groups: sizeOf(extentsOf(sharedAxes)) * rowTiles * columnTiles, shared: [],
    builtins: ['@builtin(subgroup_invocation_id) subgroup_lane: u32'], features: ['subgroups'], ...(agree ? { agree } : {}),
  };
}

/** What is known where a score is used: of row `e` (a loop's counter) and of each of the lane's columns. */
interface Scored {
  readonly loop: Frame;
  readonly each: Frame;
  readonly columns: readonly { readonly environment: Environment; readonly inside: string | null }[];
}

/** Opens the loop over blocks of streamed columns, computes `scores_K[e * own + c]`, and opens a loop over the rows e. */
function emitScores(kernel: OnlineKernel, writer: KernelWriter, schedule: OnlineLanesSchedule, rows: Rows, body: Block, skip: (loop: Block, ends: BlockEnds, own: OwnPlaces) => void): Scored {
  const { size, shared, own } = schedule;
  const rank = kernel.extents.length;
  const streamedAxes = kernel.streamedExtents.map((_, i) => rank + i);
  const streamedCount = sizeOf(kernel.streamedExtents);
  const ragged = streamedCount % (own * size) !== 0;
  const clamp = rows.count % rows.block === 0 ? null : rows.count;
  const mine = upTo(shared).map((v) => countFrame(writer, body, `row_${v}`, `row_base + lane${v === 0 ? '' : ` + ${v * size}`}`, clamp, rows.axes, rows.extents));
  const loop = writer.loop(body, 'j0', streamedCount, own * size);
  const end = (base: string, step: number, count: number): string => (count % step === 0 ? `${base} + ${step - 1}` : `min(${base} + ${step}, ${count}) - 1`);
  const places = (name: string, base: string, count: number, clampTo: number | null, axes: readonly number[], extents: readonly number[]) => (block: Block): readonly Frame[] =>
    upTo(count).map((v) => countFrame(writer, block, `masked_${name}_${v}`, `${base} + lane${v === 0 ? '' : ` + ${v * size}`}`, clampTo, axes, extents));
  skip(loop.body, { rows: ['row_base', end('row_base', rows.block, rows.count)], streamed: ['j0', end('j0', own * size, streamedCount)] },
    { rows: places('row', 'row_base', shared, clamp, rows.axes, rows.extents), streamed: places('column', 'j0', own, ragged ? streamedCount : null, streamedAxes, kernel.streamedExtents) });
  const streamed = upTo(own).map((c) => countFrame(writer, loop.body, `streamed_${c}`, `j0 + lane${c === 0 ? '' : ` + ${c * size}`}`, ragged ? streamedCount : null, streamedAxes, kernel.streamedExtents));
  const all = loopExtents(kernel);
  kernel.scores.forEach(({ inner: axes, left, right }, slot) => {
    const score = laneSums(`score_${slot}`, rows.block, own);
    score.declare(loop.body);
    const inner = openLoops(writer, loop.body, axes.map((axis) => all[axis]), axes[0], 'd');
    const lefts = mine.map((frame) => writer.variable(left, writer.environment(rows.shared, frame, loop, ...inner.loops), 'left'));
    const rights = streamed.map((frame) => writer.variable(right, writer.environment(rows.shared, loop, frame, ...inner.loops), 'right'));
    const kept = score.own(inner.block, rights);
    lefts.forEach((value, v) => upTo(size).forEach((l) => { inner.block.items.push(...score.add(v * size + l, `subgroupBroadcast(${value}, ${l}u)`, kept)); }));
    loop.body.items.push(`var scores_${slot}: array<f32, ${rows.block * own}>;`);
    for (const e of upTo(rows.block)) for (const c of upTo(own)) loop.body.items.push(`scores_${slot}[${e * own + c}] = ${score.part(e, c)};`);
  });
  const each = writer.nested(loop.body, `for (var e = 0; e < ${rows.block}; e++)`);
  const row = countFrame(writer, each.body, 'row', 'row_base + e', clamp, rows.axes, rows.extents);
  const columns = streamed.map((frame, c) => {
    const scored = writer.frame(each.body);
    kernel.scores.forEach((_, slot) => {
      scored.block.items.push(`let score_of_${slot}_${c} = scores_${slot}[e * ${own} + ${c}];`);
      scored.accumulators.set(slot, `score_of_${slot}_${c}`);
    });
    return { environment: writer.environment(rows.shared, loop, frame, each, row, scored), inside: ragged ? `j0 + lane + ${c * size} < ${streamedCount}` : null };
  });
  return { loop, each, columns };
}

function emitReductions(kernel: OnlineKernel, combine: Extract<OnlineKernel['combine'], { kind: 'reduce' }>, writer: KernelWriter, schedule: OnlineLanesSchedule, rows: Rows, body: Block): void {
  const rules = combine.reductions.map((r) => accumulatorRule(r.op, r.body.type));
  rules.forEach((rule) => rule.helpers.forEach((h) => writer.helpers.add(h)));
  const array = (k: number, c: number): string => `${rules[k].components[c].suffix}_${k}_rows`;
  rules.forEach((rule, k) => rule.components.forEach((component, c) => {
    body.items.push(`var ${array(k, c)}: array<${component.type}, ${rows.block}>;`);
    writer.nested(body, `for (var e = 0; e < ${rows.block}; e++)`).body.items.push(`${array(k, c)}[e] = ${component.start};`);
  }));
  const ofRow = (k: number) => (c: number): string => `${array(k, c)}[e]`;
  const { each, columns } = emitScores(kernel, writer, schedule, rows, body, (loop, ends) => skipReductions(kernel, writer, loop, ends, [rows.shared], rules, (masked, take) => {
    const first = writer.nested(writer.nested(masked, 'if (lane == 0)').body, `for (var e = 0; e < ${rows.block}; e++)`);
    const row = countFrame(writer, first.body, 'masked_row', 'row_base + e', rows.count % rows.block === 0 ? null : rows.count, rows.axes, rows.extents);
    take(row, first.body, ofRow);
  }));
  columns.forEach(({ environment, inside }, c) => {
    const values = combine.reductions.map((r) => writer.variable(r.body, environment, 'value'));
    const place = inside === null ? each.body : writer.nested(each.body, `if (${inside})`).body;
    combine.reductions.forEach((_, k) => place.items.push(...rules[k].update(ofRow(k), values[k], `streamed_${c}`)));
  });
  const last = writer.nested(body, `for (var e = 0; e < ${rows.block}; e++)`);
  const local = (k: number) => (c: number): string => `${rules[k].components[c].suffix}_${k}_acc`;
  rules.forEach((rule, k) => {
    rule.components.forEach((_, c) => last.body.items.push(`var ${local(k)(c)} = ${ofRow(k)(c)};`));
    last.body.items.push(...rule.across(local(k)));
  });
  const store = writer.nested(last.body, `if (lane == 0 && row_base + e < ${rows.count})`);
  const row = countFrame(writer, store.body, 'row', 'row_base + e', null, rows.axes, rows.extents);
  rules.forEach((rule, k) => {
    row.block.items.push(`let total_${k} = ${rule.result(local(k))};`);
    row.accumulators.set(k, `total_${k}`);
  });
  kernel.columns.forEach((axis) => row.axes.set(axis, '0'));
  const environment = writer.environment(rows.shared, store, row);
  writeStores(kernel.stores, writer, environment, store.body, writer.value(pointOf(kernel.extents), environment));
}

/** Gives whether lanes agree on the way by what they find. */
function emitSecondProduct(kernel: OnlineKernel, combine: Extract<OnlineKernel['combine'], { kind: 'contract' }>, writer: KernelWriter, schedule: OnlineLanesSchedule, rows: Rows, body: Block): boolean {
  const { size, own } = schedule;
  const rank = kernel.extents.length;
  const columnExtents = kernel.columns.map((axis) => kernel.extents[axis]);
  const columnCount = sizeOf(columnExtents);
  const streamedCount = sizeOf(kernel.streamedExtents);
  const columns = upTo(schedule.columns).map((m) => countFrame(writer, body, `column_${m}`, `column_base + lane${m === 0 ? '' : ` + ${m * size}`}`,
    columnCount % (schedule.columns * size) === 0 ? null : columnCount, kernel.columns, columnExtents));
  let looks = false;
  const sums = combine.products.map((_, m) => laneSums(ofProduct('sum', m), rows.block, schedule.columns));
  for (const sum of sums) sum.declare(body);
  const scored = emitScores(kernel, writer, schedule, rows, body, (loop, ends, places) => {
    looks = skipProduct(kernel, writer, loop, ends, [rows.shared], places, (_, found) => `subgroupAny(${found})`);
  });
  // Weights take the scores' places, and where there are too few, their own.
  const weightsOf = (m: number): string => (m < kernel.scores.length ? `scores_${m}` : ofProduct('weights', m));
  combine.products.forEach((_, m) => { if (m >= kernel.scores.length) body.items.push(`var ${weightsOf(m)}: array<f32, ${rows.block * own}>;`); });
  scored.columns.forEach(({ environment, inside }, c) => {
    const weights = combine.products.map((m) => writer.variable(m.weight, environment, 'weight'));
    weights.forEach((weight, m) => scored.each.body.items.push(`${weightsOf(m)}[e * ${own} + ${c}] = ${inside === null ? weight : `select(0.0, ${weight}, ${inside})`};`));
  });
  const strip = writer.loop(scored.loop.body, 'c', own);
  combine.products.forEach((_, m) => upTo(rows.block).forEach((e) => strip.body.items.push(`let ${ofProduct(`weight_of_${e}`, m)} = ${weightsOf(m)}[${e * own} + c];`)));
  const from = writer.loop(strip.body, 'l', size);
  const streamed = countFrame(writer, from.body, 'streamed', `j0 + c * ${size} + l`, streamedCount % (own * size) === 0 ? null : streamedCount, kernel.streamedExtents.map((_, i) => rank + i), kernel.streamedExtents);
  combine.products.forEach((product, m) => {
    const values = columns.map((column) => writer.variable(product.value, writer.environment(rows.shared, column, scored.loop, strip, from, streamed), 'value'));
    const kept = sums[m].own(from.body, values);
    upTo(rows.block).forEach((e) => from.body.items.push(...sums[m].add(e, `subgroupShuffle(${ofProduct(`weight_of_${e}`, m)}, u32(l))`, kept)));
  });

  sums.forEach((sum, m) => {
    body.items.push(`var ${ofProduct('sums', m)}: array<f32, ${rows.block * schedule.columns}>;`);
    for (const e of upTo(rows.block)) for (const c of upTo(schedule.columns)) body.items.push(`${ofProduct('sums', m)}[${e * schedule.columns + c}] = ${sum.part(e, c)};`);
  });
  const rowLoop = writer.nested(body, `for (var i = 0; i < ${rows.block}; i++)`);
  const row = countFrame(writer, rowLoop.body, 'row', 'row_base + i', null, rows.axes, rows.extents);
  row.block.items.splice(1, 0, `if (row >= ${rows.count}) { break; }`);
  const columnLoop = writer.nested(rowLoop.body, `for (var j = 0; j < ${schedule.columns}; j++)`);
  const column = countFrame(writer, columnLoop.body, 'column', `column_base + j * ${size} + lane`, null, kernel.columns, columnExtents);
  column.block.items.splice(1, 0, `if (column >= ${columnCount}) { break; }`, ...sums.map((_, m) => `let ${ofProduct('total', m)} = ${ofProduct('sums', m)}[i * ${schedule.columns} + j];`));
  sums.forEach((_, m) => column.accumulators.set(m, ofProduct('total', m)));
  const environment = writer.environment(rows.shared, row, column);
  writeStores(kernel.stores, writer, environment, columnLoop.body, writer.value(pointOf(kernel.extents), environment));
  return looks;
}
