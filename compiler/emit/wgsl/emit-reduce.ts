/**
 * Reductions. `points` points a workgroup with `lanes` threads each: one lane is the row-a-thread form; more lanes take
 * every lanes-th element and are merged through workgroup memory, halving, or by subgroups of whatever size and then one by
 * one, always in the same order.
 */
import type { ReduceKernel } from '../../fuse/kernel.js';
import { sizeOf } from '../../tensor/program.js';
import type { Scalar } from '../../tensor/scalar.js';
import { voteOfReads } from '../../fuse/vote-of-reads.js';
import type { Component } from './accumulators.js';
import { accumulatorRule } from './accumulators.js';
import { chooseReduce } from './choose-schedule.js';
import type { Emitter } from './kernel-text.js';
import { writeStores } from './kernel-text.js';
import type { Block, Frame } from './writer.js';

export const emitReduce: Emitter<ReduceKernel> = (kernel, writer, limits) => {
  const rank = kernel.extents.length;
  const points = sizeOf(kernel.extents);
  const length = sizeOf(kernel.reduceExtents);
  const axes = kernel.extents.map((_, i) => i);
  const reduceAxes = kernel.reduceExtents.map((_, i) => rank + i);
  const rules = kernel.reductions.map((r) => accumulatorRule(r.op, r.body.type));
  rules.forEach((rule) => rule.helpers.forEach((h) => writer.helpers.add(h)));
  const nameOf = (k: number) => (c: number): string => `${rules[k].components[c].suffix}_${k}_${typeSuffix(rules[k].components[c])}acc`;
  const components = rules.flatMap((rule, k) => rule.components.map((component, c) => ({ ...component, name: nameOf(k)(c) })));
  const { points: perGroup, lanes, merge } = chooseReduce(kernel, limits, writer.elementOf);
  const threads = perGroup * lanes;
  const groups = Math.ceil(points / perGroup);
  const body = writer.root.body;

  const frame = writer.frame(body, { name: 'point', axes, extents: kernel.extents });
  const laneFirst = lanes > 1 && reductionIsContiguous(kernel.reductions.map((r) => r.body), rank + kernel.reduceExtents.length - 1, rank - 1);
  if (lanes === 1) {
    frame.block.items.push(`let point = group * ${perGroup} + thread;`, `if (point >= ${points}) { return; }`);
  } else {
    frame.block.items.push(
      perGroup === 1 ? 'let lane = thread;' : laneFirst ? `let lane = thread % ${lanes};` : `let lane = thread / ${perGroup};`,
      perGroup === 1 ? 'let place = group;' : `let place = group * ${perGroup} + ${laneFirst ? `thread / ${lanes}` : `thread % ${perGroup}`};`,
      `let point = min(place, ${points - 1});`,
    );
  }
  writer.bindDecoded(frame, 'point', axes, kernel.extents, 'i');
  components.forEach((c) => body.items.push(`var ${c.name} = ${c.start};`));

  const loops: Frame[] = [];
  let position: string;
  if (lanes === 1) {
    let block = body;
    reduceAxes.forEach((axis, i) => {
      if (kernel.reduceExtents[i] === 1) { frame.axes.set(axis, '0'); return; }
      const name = `r${i}`;
      const loop = writer.loop(block, name, kernel.reduceExtents[i]);
      loop.axes.set(axis, name);
      loops.push(loop);
      block = loop.body;
    });
    position = linearIndex(kernel.reduceExtents);
  } else {
    const loop = writer.nested(body, `for (var r = lane; r < ${length}; r += ${lanes})`);
    writer.bindDecoded(loop, 'r', reduceAxes, kernel.reduceExtents, 'r');
    loops.push({ ...loop, linear: { name: 'r', axes: reduceAxes, extents: kernel.reduceExtents } });
    position = 'r';
  }
  const inner = loops.length === 0 ? writer.frame(body) : loops[loops.length - 1];
  const environment = writer.environment(frame, ...(loops.length === 0 ? [inner] : loops));
  const values = kernel.reductions.map((r) => writer.variable(r.body, environment, 'value'));
  kernel.reductions.forEach((_, k) => inner.body.items.push(...rules[k].update(nameOf(k), values[k], position)));

  const memory = lanes === 1 ? [] : components.map((c) => `var<workgroup> ${c.name}_parts: array<${c.type}, ${merge === 'subgroups' ? threads / 4 : threads}>;`);
  const takeIn = (block: Block, k: number, from: string): void => {
    const mine = nameOf(k);
    const theirs = (c: number): string => `${mine(c)}_other`;
    rules[k].components.forEach((_, c) => block.items.push(`let ${theirs(c)} = ${mine(c)}_parts[${from}];`));
    block.items.push(...rules[k].merge(mine, theirs));
  };
  if (merge === 'subgroups') {
    rules.forEach((rule, k) => body.items.push(...rule.across(nameOf(k))));
    writer.nested(body, 'if (subgroup_lane == 0u)').body.items.push(...components.map((c) => `${c.name}_parts[subgroup] = ${c.name};`));
    body.items.push('workgroupBarrier();');
  } else if (lanes > 1) {
    body.items.push(...components.map((c) => `${c.name}_parts[thread] = ${c.name};`), 'workgroupBarrier();');
    const step = laneFirst ? 1 : perGroup;
    const tree = writer.nested(body, `for (var half = ${lanes / 2}; half > 0; half /= 2)`);
    const lower = writer.nested(tree.body, 'if (lane < half)');
    lower.body.items.push(`let other = thread + half${step === 1 ? '' : ` * ${step}`};`);
    kernel.reductions.forEach((_, k) => {
      takeIn(lower.body, k, 'other');
      lower.body.items.push(...rules[k].components.map((_c, c) => `${nameOf(k)(c)}_parts[thread] = ${nameOf(k)(c)};`));
    });
    tree.body.items.push('workgroupBarrier();');
  }
  const last = lanes > 1 ? writer.nested(body, `if (lane == 0 && place < ${points})`) : writer.frame(body);
  if (merge === 'subgroups') {
    // The first thread need not be of the first subgroup: it starts anew and takes in all of them in their order.
    last.block.items.push(...components.map((c) => `${c.name} = ${c.start};`));
    const each: Block = { items: [], indent: last.block.indent + 1 };
    kernel.reductions.forEach((_, k) => takeIn(each, k, 's'));
    last.block.items.push('for (var s = 0u; s < subgroups; s++) {', each, '}');
  }
  rules.forEach((rule, k) => {
    last.block.items.push(`let total_${k} = ${rule.result(nameOf(k))};`);
    last.accumulators.set(k, `total_${k}`);
  });
  writeStores(kernel.stores, writer, writer.environment(frame, last), last.body, 'point');
  return {
    threads, groups, shared: memory,
    builtins: merge === 'subgroups' ? ['@builtin(subgroup_invocation_id) subgroup_lane: u32', '@builtin(subgroup_id) subgroup: u32', '@builtin(num_subgroups) subgroups: u32'] : [],
    features: merge === 'subgroups' ? ['subgroups'] : [],
  };
};

/** Memory of workgroups is called by what it is made of, so that kernels beside one another may use the same. */
const typeSuffix = ({ type }: Component): string => (type === 'f32' ? '' : `${type}_`);

/** The row-major position of r0, r1, ... */
export function linearIndex(extents: readonly number[]): string {
  let stride = 1;
  const terms: string[] = [];
  for (let i = extents.length - 1; i >= 0; i--) {
    if (extents[i] > 1) terms.unshift(stride === 1 ? `r${i}` : `r${i} * ${stride}`);
    stride *= extents[i];
  }
  return terms.length === 0 ? '0' : terms.length === 1 ? terms[0] : `(${terms.join(' + ')})`;
}

/** Whether most reads have the reduction's last axis, rather than the last parallel axis, as their fastest index. */
function reductionIsContiguous(bodies: readonly Scalar[], reduceAxis: number, parallelAxis: number): boolean {
  const seen = new Set<Scalar>();
  return bodies.reduce((sum, body) => sum + voteOfReads(body, (along) => (along.has(reduceAxis) ? 1 : along.has(parallelAxis) ? -1 : 0), seen), 0) >= 0;
}
