/**
 * The gradient of a strided convolution reads only where an index divides by the stride. Splitting the row axis and the
 * summed axis that meet in such a condition by their remainders gives one smaller product per phase of the row axis,
 * without the multiplications by zero.
 */
import type { ContractKernel } from '../../fuse/kernel.js';
import { affineOf, visit } from '../../tensor/scalar.js';
import { Graph } from './graph.js';
import type { Node } from './graph.js';
import type { Memory } from './lower-scalar.js';
import { lowerScalar } from './lower-scalar.js';

/** An axis counts `step * i + start` for i below its new extent. */
export interface AxisPart {
  readonly step: number;
  readonly start: number;
}

/** A product over parts of the axes; axes without an entry are whole. */
export interface Phase {
  readonly parts: ReadonlyMap<number, AxisPart>;
  /** Extents of all axes, parallel then summed. */
  readonly extents: readonly number[];
}

interface Condition {
  readonly parallel: number;
  readonly summed: number;
  readonly modulus: number;
}

/** Conditions `mod(affine, s) = 0` over one parallel and one summed axis. */
function conditionsOf(kernel: ContractKernel): Condition[] {
  const p = kernel.extents.length;
  const found = new Map<string, Condition>();
  for (const root of [kernel.left, kernel.right]) {
    visit(root, (s) => {
      if (s.kind !== 'binary' || s.op !== 'eq' || s.b.kind !== 'const' || s.b.value !== 0) return;
      const m = s.a;
      if (m.kind !== 'binary' || m.op !== 'mod' || m.b.kind !== 'const' || m.b.value < 2 || m.b.value > 8) return;
      const affine = affineOf(m.a);
      if (affine === null) return;
      const axes = [...affine.coefficients.keys()];
      const parallel = axes.filter((a) => a < p);
      const summed = axes.filter((a) => a >= p);
      if (parallel.length !== 1 || summed.length !== 1) return;
      found.set(`${parallel[0]} ${summed[0]}`, { parallel: parallel[0], summed: summed[0], modulus: m.b.value });
    });
  }
  // An axis in two conditions cannot be split twice.
  const list = [...found.values()];
  return list.filter((c) => list.every((d) => d === c || (d.parallel !== c.parallel && d.summed !== c.summed)));
}

/** The phases of a product: one with everything whole where there is nothing to split. */
export function phasesOf(kernel: ContractKernel, memory: Memory): Phase[] {
  const all = [...kernel.extents, ...kernel.reduceExtents];
  const whole: Phase[] = [{ parts: new Map(), extents: all }];
  const conditions = conditionsOf(kernel).filter((c) => all[c.parallel] >= c.modulus);
  if (conditions.length === 0) return whole;
  const phases: Phase[] = [];
  const visitPhases = (i: number, parts: ReadonlyMap<number, AxisPart>): boolean => {
    if (i === conditions.length) {
      const live: ReadonlyMap<number, AxisPart>[] = [];
      const visitSums = (j: number, sums: ReadonlyMap<number, AxisPart>): void => {
        if (j === conditions.length) {
          if (!vanishes(kernel, memory, all, sums)) live.push(sums);
          return;
        }
        const c = conditions[j];
        for (let start = 0; start < Math.min(c.modulus, all[c.summed]); start++) visitSums(j + 1, new Map([...sums, [c.summed, { step: c.modulus, start }]]));
      };
      visitSums(0, parts);
      // Rows that nothing reaches still want their epilogue: any part of the sum gives zeros.
      if (live.length > 1) return false;
      const chosen = live[0] ?? new Map([...parts, ...conditions.map((c) => [c.summed, { step: c.modulus, start: 0 }] as const)]);
      phases.push({ parts: chosen, extents: all.map((e, a) => { const part = chosen.get(a); return part === undefined ? e : Math.ceil((e - part.start) / part.step); }) });
      return true;
    }
    const c = conditions[i];
    for (let start = 0; start < c.modulus; start++) if (!visitPhases(i + 1, new Map([...parts, [c.parallel, { step: c.modulus, start }]]))) return false;
    return true;
  };
  return visitPhases(0, new Map()) ? phases : whole;
}

/** Whether the product is zero for these parts, whatever the rest. */
function vanishes(kernel: ContractKernel, memory: Memory, all: readonly number[], parts: ReadonlyMap<number, AxisPart>): boolean {
  const graph = new Graph();
  const axes = all.map((extent, a): Node => {
    const part = parts.get(a);
    if (part === undefined) return graph.variable('i32', 0, extent - 1);
    return graph.linear([[graph.variable('i32', 0, Math.ceil((extent - part.start) / part.step) - 1), part.step]], part.start);
  });
  return [kernel.left, kernel.right].some((s) => {
    const n = lowerScalar(graph, memory, { axes, accumulators: [] }, s);
    return n.op === 'const' && n.value === 0;
  });
}
