/**
 * Online kernels on a GPU. A workgroup keeps a block of rows and streams the other side 64 columns at a time: scores come
 * out of a staged product, 4 x 4 a thread, and are taken in at once. Reductions are kept a row and thread and merged across
 * the row's sixteen threads at the end, always in the same order; for a second product the weights go through workgroup memory.
 */
import { loopExtents } from '../../fuse/inline-maps.js';
import type { OnlineKernel, Score } from '../../fuse/kernel.js';
import { sizeOf } from '../../tensor/program.js';
import type { Scalar } from '../../tensor/scalar.js';
import { accumulatorRule } from './accumulators.js';
import { pointOf } from './contract-shape.js';
import type { KernelText } from './kernel-text.js';
import { writeStores } from './kernel-text.js';
import { ofProduct } from './names.js';
import type { OnlineSchedule } from './schedule.js';
import type { BlockEnds, OwnPlaces } from './skip-masked.js';
import { skipProduct, skipReductions } from './skip-masked.js';
import { streamedBlock } from './schedule.js';
import type { StagedOperand } from './stage.js';
import { countFrame, loadStage, planStage, stepCount, storeStage } from './stage.js';
import type { Block, Frame, KernelWriter } from './writer.js';

const depth = 16;
const across = 16;
const four = [0, 1, 2, 3] as const;

/** What both kinds of combination need of the scoring part. */
interface Scoring {
  readonly writer: KernelWriter;
  readonly kernel: OnlineKernel;
  readonly schedule: Extract<OnlineSchedule, { kind: 'tiles' }>;
  readonly threads: number;
  readonly rowCount: number;
  readonly streamedCount: number;
  readonly columnCount: number;
  readonly tileAxes: readonly number[];
  readonly tileExtents: readonly number[];
  readonly shared: Frame;
  readonly rows: readonly Frame[];
}

export function emitOnlineTiles(kernel: OnlineKernel, writer: KernelWriter, schedule: Extract<OnlineSchedule, { kind: 'tiles' }>): KernelText {
  const { blockRows, blockColumns } = schedule;
  const sharedAxes = kernel.batch;
  const tileAxes = kernel.rows;
  const extentsOf = (axes: readonly number[]): number[] => axes.map((axis) => kernel.extents[axis]);
  const tileExtents = extentsOf(tileAxes);
  const rowCount = sizeOf(tileExtents);
  const columnCount = sizeOf(extentsOf(kernel.columns));
  const rowTiles = Math.ceil(rowCount / blockRows);
  const columnTiles = kernel.combine.kind === 'contract' ? Math.ceil(columnCount / blockColumns) : 1;
  const threads = (blockRows / 4) * across;
  const body = writer.root.body;
  body.items.push(
    `let row_base = ((group / ${columnTiles}) % ${rowTiles}) * ${blockRows};`, `let column_base = (group % ${columnTiles}) * ${blockColumns};`,
    `let across = thread % ${across};`, `let down = thread / ${across};`,
  );
  const shared = countFrame(writer, body, 'shared_row', `group / ${rowTiles * columnTiles}`, null, sharedAxes, extentsOf(sharedAxes));
  const rows = four.map((i) => countFrame(writer, body, `row_${i}`, `row_base + down * 4 + ${i}`, rowCount % blockRows === 0 ? null : rowCount, tileAxes, tileExtents));
  const scoring: Scoring = {
    writer, kernel, schedule, threads, rowCount, streamedCount: sizeOf(kernel.streamedExtents), columnCount, tileAxes, tileExtents, shared, rows,
  };
  const memory = kernel.combine.kind === 'reduce' ? emitReductions(scoring, kernel.combine, body) : emitSecondProduct(scoring, kernel.combine, body);
  const tiles = [`var<workgroup> left_tile: array<vec4f, ${depth * (blockRows / 4)}>;`, `var<workgroup> right_tile: array<vec4f, ${depth * Math.max(streamedBlock, blockColumns) / 4}>;`];
  return { threads, groups: sizeOf(extentsOf(sharedAxes)) * rowTiles * columnTiles, shared: [...tiles, ...memory], builtins: [], features: [] };
}

/**
 * Opens the loop over blocks of streamed columns, which `skip` may leave, and computes `scores_K_I` (a vector of four columns) for the thread's rows.
 */
function emitScores(s: Scoring, body: Block, skip: (loop: Block, ends: BlockEnds) => void): Frame {
  const { writer, kernel, threads } = s;
  const rank = kernel.extents.length;
  const streamedAxes = kernel.streamedExtents.map((_, i) => rank + i);
  const all = loopExtents(kernel);
  const lastOf = ({ inner }: Score): number => inner[inner.length - 1];
  const left = (scalar: Scalar, slot: number): StagedOperand => ({ name: `left_${slot}`, tile: 'left_tile', scalar, size: s.rowCount, block: s.schedule.blockRows, axes: s.tileAxes, extents: s.tileExtents, base: 'row_base' });
  const right = (scalar: Scalar, slot: number): StagedOperand => ({ name: `right_${slot}`, tile: 'right_tile', scalar, size: s.streamedCount, block: streamedBlock, axes: streamedAxes, extents: kernel.streamedExtents, base: 'j0' });
  const leftStages = kernel.scores.map((score, slot) => planStage(writer, body, left(score.left, slot), threads, depth, lastOf(score)));
  const loop = writer.nested(body, `for (var j0 = 0; j0 < ${s.streamedCount}; j0 += ${streamedBlock})`);
  const end = (base: string, size: number, count: number): string => (count % size === 0 ? `${base} + ${size - 1}` : `min(${base} + ${size}, ${count}) - 1`);
  skip(loop.body, { rows: ['row_base', end('row_base', s.schedule.blockRows, s.rowCount)], streamed: ['j0', end('j0', streamedBlock, s.streamedCount)] });
  kernel.scores.forEach((score, slot) => {
    const rightStage = planStage(writer, loop.body, right(score.right, slot), threads, depth, lastOf(score));
    four.forEach((i) => loop.body.items.push(`var score_${slot}_${i} = vec4f();`));
    const extents = score.inner.map((axis) => all[axis]);
    const steps = writer.nested(loop.body, `for (var k0 = 0; k0 < ${sizeOf(extents)}; k0 += ${depth})`);
    const count = stepCount(steps.body, 'k', 'k0', sizeOf(extents), depth, score.inner, extents);
    const stores = [leftStages[slot], rightStage].flatMap((stage) => storeStage(stage, loadStage(writer, stage, count, [s.shared])));
    steps.body.items.push('workgroupBarrier();', ...stores, 'workgroupBarrier();');
    const products = writer.nested(steps.body, `for (var k = 0; k < ${depth}; k++)`);
    products.body.items.push(`let a = left_tile[k * ${s.schedule.blockRows / 4} + down];`, `let b = right_tile[k * ${streamedBlock / 4} + across];`);
    four.forEach((i) => products.body.items.push(`score_${slot}_${i} = fma(vec4f(a.${'xyzw'[i]}), b, score_${slot}_${i});`));
    four.forEach((i) => loop.body.items.push(`let scores_${slot}_${i} = score_${slot}_${i};`));
  });
  return loop;
}

/** Opens a loop over the thread's four columns of a block, in which `streamed` is known. */
function openColumns({ writer, kernel, streamedCount }: Scoring, loop: Frame): Frame {
  const each = writer.nested(loop.body, 'for (var c = 0; c < 4; c++)');
  return countFrame(writer, each.body, 'streamed', 'j0 + across * 4 + c', streamedCount % streamedBlock === 0 ? null : streamedCount, kernel.streamedExtents.map((_, i) => kernel.extents.length + i), kernel.streamedExtents);
}

/** The thread's row `i`, once more: frames hold what is computed where they are opened. */
const rowFrame = (s: Scoring, block: Block, i: number): Frame =>
  countFrame(s.writer, block, `masked_row_${i}`, `row_base + down * 4 + ${i}`, s.rowCount % s.schedule.blockRows === 0 ? null : s.rowCount, s.tileAxes, s.tileExtents);

/** The thread's column `c` of the block. */
const streamedFrame = (s: Scoring, block: Block, c: number): Frame =>
  countFrame(s.writer, block, `masked_column_${c}`, `j0 + across * 4 + ${c}`, s.streamedCount % streamedBlock === 0 ? null : s.streamedCount, s.kernel.streamedExtents.map((_, i) => s.kernel.extents.length + i), s.kernel.streamedExtents);

/** The frame in which the scores of the thread's row `i` and the streamed column are known. */
function scoredFrame(writer: KernelWriter, kernel: OnlineKernel, block: Block, i: number): Frame {
  const scored = writer.frame(block);
  kernel.scores.forEach((_, slot) => {
    scored.block.items.push(`let score_of_${slot}_${i} = scores_${slot}_${i}[c];`);
    scored.accumulators.set(slot, `score_of_${slot}_${i}`);
  });
  return scored;
}

const isInside = (s: Scoring): string | null => (s.streamedCount % streamedBlock === 0 ? null : `j0 + across * 4 + c < ${s.streamedCount}`);

function emitReductions(s: Scoring, combine: Extract<OnlineKernel['combine'], { kind: 'reduce' }>, body: Block): string[] {
  const { writer, kernel } = s;
  const rules = combine.reductions.map((r) => accumulatorRule(r.op, r.body.type));
  rules.forEach((rule) => rule.helpers.forEach((h) => writer.helpers.add(h)));
  const nameOf = (k: number, row: number) => (c: number): string => `${rules[k].components[c].suffix}_${k}_row_${row}`;
  rules.forEach((rule, k) => four.forEach((i) => rule.components.forEach((c, n) => body.items.push(`var ${nameOf(k, i)(n)} = ${c.start};`))));
  const loop = emitScores(s, body, (block, ends) => skipReductions(kernel, writer, block, ends, [s.shared], rules, (masked, each) => {
    const first = writer.nested(masked, 'if (across == 0)');
    four.forEach((i) => each(rowFrame(s, first.body, i), first.body, (k) => nameOf(k, i)));
  }));
  const streamed = openColumns(s, loop);
  const inside = isInside(s);
  const place = inside === null ? writer.frame(streamed.body) : writer.nested(streamed.body, `if (${inside})`);
  four.forEach((i) => {
    const scored = scoredFrame(writer, kernel, place.body, i);
    const environment = writer.environment(s.shared, s.rows[i], loop, streamed, scored);
    const values = combine.reductions.map((r) => writer.variable(r.body, environment, 'value'));
    combine.reductions.forEach((_, k) => place.body.items.push(...rules[k].update(nameOf(k, i), values[k], 'streamed')));
  });
  const memory: string[] = [];
  const parts = (k: number, c: number): string => `${rules[k].components[c].suffix}_${k}_parts`;
  const each = (f: (k: number, c: number, i: number) => string): string[] =>
    rules.flatMap((rule, k) => rule.components.flatMap((_, c) => four.map((i) => f(k, c, i))));
  rules.forEach((rule, k) => rule.components.forEach((component, c) => memory.push(`var<workgroup> ${parts(k, c)}: array<${component.type}, ${s.threads * 4}>;`)));
  body.items.push(...each((k, c, i) => `${parts(k, c)}[thread * 4 + ${i}] = ${nameOf(k, i)(c)};`), 'workgroupBarrier();');
  const tree = writer.nested(body, `for (var half = ${across / 2}; half > 0; half /= 2)`);
  const merge = writer.nested(tree.body, 'if (across < half)');
  rules.forEach((rule, k) => four.forEach((i) => {
    const mine = nameOf(k, i);
    const theirs = (c: number): string => `${mine(c)}_other`;
    rule.components.forEach((_, c) => merge.body.items.push(`let ${theirs(c)} = ${parts(k, c)}[(thread + half) * 4 + ${i}];`));
    merge.body.items.push(...rule.merge(mine, theirs), ...rule.components.map((_, c) => `${parts(k, c)}[thread * 4 + ${i}] = ${mine(c)};`));
  }));
  tree.body.items.push('workgroupBarrier();');
  const last = writer.nested(body, 'if (across == 0)');
  four.forEach((i) => {
    const row = writer.nested(last.body, `if (row_base + down * 4 + ${i} < ${s.rowCount})`);
    rules.forEach((rule, k) => {
      row.block.items.push(`let total_${k} = ${rule.result(nameOf(k, i))};`);
      row.accumulators.set(k, `total_${k}`);
    });
    kernel.columns.forEach((axis) => row.axes.set(axis, '0'));
    const environment = writer.environment(s.shared, s.rows[i], last, row);
    writeStores(kernel.stores, writer, environment, row.body, writer.value(pointOf(kernel.extents), environment));
  });
  return memory;
}

function emitSecondProduct(s: Scoring, combine: Extract<OnlineKernel['combine'], { kind: 'contract' }>, body: Block): string[] {
  const { writer, kernel } = s;
  const { blockRows, blockColumns } = s.schedule;
  const rank = kernel.extents.length;
  const streamedAxes = kernel.streamedExtents.map((_, i) => rank + i);
  const columnExtents = kernel.columns.map((axis) => kernel.extents[axis]);
  const chunks = blockColumns / streamedBlock;
  const sum = (m: number, i: number, q: number): string => `${ofProduct('sum', m)}_${i}_${q}`;
  const each = (visit: (m: number, i: number, q: number) => void): void => combine.products.forEach((_, m) => four.forEach((i) => { for (let q = 0; q < chunks; q++) visit(m, i, q); }));
  each((m, i, q) => body.items.push(`var ${sum(m, i, q)} = vec4f();`));
  const top: Block = { items: [], indent: body.indent };
  body.items.push(top);
  let looksAtWeights = false;
  const own: OwnPlaces = { rows: (block) => four.map((i) => rowFrame(s, block, i)), streamed: (block) => four.map((c) => streamedFrame(s, block, c)) };
  const loop = emitScores(s, body, (block, ends) => {
    looksAtWeights = skipProduct(kernel, writer, block, ends, [s.shared], own, (masked, found) => {
      masked.items.push(`if (${found}) { atomicStore(&some_weight, j0 + 1); }`, 'workgroupBarrier();', 'if (thread == 0) { some_block = atomicLoad(&some_weight); }');
      return '(workgroupUniformLoad(&some_block) == j0 + 1)';
    });
  });
  const inside = isInside(s);
  combine.products.forEach((product, m) => {
    // The weights of one product stand where those of the product before were read.
    if (m > 0) loop.body.items.push('workgroupBarrier();');
    const streamed = openColumns(s, loop);
    const value: StagedOperand = { name: ofProduct('value', m), tile: 'right_tile', scalar: product.value, size: s.columnCount, block: blockColumns, axes: kernel.columns, extents: columnExtents, base: 'column_base' };
    const valueStage = planStage(writer, top, value, s.threads, depth, rank + streamedAxes.length - 1);
    const weights = four.map((i) => {
      const scored = scoredFrame(writer, kernel, streamed.body, i);
      const weight = writer.variable(product.weight, writer.environment(s.shared, s.rows[i], loop, streamed, scored), 'weight');
      return inside === null ? weight : `select(0.0, ${weight}, ${inside})`;
    });
    streamed.body.items.push(`weight_tile[(across * 4 + c) * ${blockRows / 4} + down] = vec4f(${weights.join(', ')});`);
    const steps = writer.nested(loop.body, `for (var s0 = 0; s0 < ${streamedBlock}; s0 += ${depth})`);
    const count = stepCount(steps.body, 's', 'j0 + s0', s.streamedCount, streamedBlock, streamedAxes, kernel.streamedExtents);
    const stores = storeStage(valueStage, loadStage(writer, valueStage, count, [s.shared]));
    steps.body.items.push('workgroupBarrier();', ...stores, 'workgroupBarrier();');
    const products = writer.nested(steps.body, `for (var k = 0; k < ${depth}; k++)`);
    products.body.items.push(`let a = weight_tile[(s0 + k) * ${blockRows / 4} + down];`);
    for (let q = 0; q < chunks; q++) {
      products.body.items.push(`let b_${q} = right_tile[k * ${blockColumns / 4} + across${q === 0 ? '' : ` + ${q * across}`}];`);
      four.forEach((i) => products.body.items.push(`${sum(m, i, q)} = fma(vec4f(a.${'xyzw'[i]}), b_${q}, ${sum(m, i, q)});`));
    }
  });
  combine.products.forEach((_, m) => body.items.push(`var ${ofProduct('sums', m)}: array<vec4f, ${4 * chunks}>;`));
  each((m, i, q) => body.items.push(`${ofProduct('sums', m)}[${i * chunks + q}] = ${sum(m, i, q)};`));
  const rowLoop = writer.nested(body, 'for (var i = 0; i < 4; i++)');
  const row = countFrame(writer, rowLoop.body, 'row', 'row_base + down * 4 + i', null, s.tileAxes, s.tileExtents);
  row.block.items.splice(1, 0, `if (row >= ${s.rowCount}) { break; }`);
  const columnLoop = writer.nested(rowLoop.body, `for (var j = 0; j < ${4 * chunks}; j++)`);
  const column = countFrame(writer, columnLoop.body, 'column', `column_base + (j / 4) * ${streamedBlock} + across * 4 + j % 4`, null, kernel.columns, columnExtents);
  column.block.items.splice(1, 0, `if (column >= ${s.columnCount}) { break; }`, ...combine.products.map((_, m) => `let ${ofProduct('total', m)} = ${ofProduct('sums', m)}[i * ${chunks} + j / 4][j % 4];`));
  combine.products.forEach((_, m) => column.accumulators.set(m, ofProduct('total', m)));
  const environment = writer.environment(s.shared, row, column);
  writeStores(kernel.stores, writer, environment, columnLoop.body, writer.value(pointOf(kernel.extents), environment));
  // The last block in which a thread found a weight, counted from 1: nothing has to be cleared.
  const findings = looksAtWeights ? ['var<workgroup> some_weight: atomic<i32>;', 'var<workgroup> some_block: i32;'] : [];
  return [`var<workgroup> weight_tile: array<vec4f, ${streamedBlock * (blockRows / 4)}>;`, ...findings];
}
