/**
 * Runs a kernel program in float64, kernel by kernel: the oracle for fusion (the same results as the tensor program)
 * and for the emitters. Each kernel is written back as the few comprehensions it stands for, and those are interpreted.
 */
import { bug } from '../../grammar/diagnostics/report.js';
import type { NumberArray } from '../tensor/interpret.js';
import { interpret, withRows } from '../tensor/interpret.js';
import { ProgramBuilder } from '../tensor/builder.js';
import type { Program } from '../tensor/program.js';
import { routineRank, sizeOf } from '../tensor/program.js';
import { expandRuns } from '../tensor/runs.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { binary, boolean, cast, float, index, mul, rewrite, select, substitute } from '../tensor/scalar.js';
import { tensorsRead } from './draft.js';
import { loopExtents } from './inline-maps.js';
import { operandAxes } from './kernel.js';
import type { Kernel, KernelProgram, Reduction } from './kernel.js';

export interface KernelInterpretation {
  readonly outputs: Map<string, Float64Array>;
  /** Every source by name, after the run. */
  readonly sources: Map<string, Float64Array>;
}

/** Evaluates the kernels in order on the values of the sources. */
export function interpretKernels(kernels: KernelProgram, inputs: Readonly<Record<string, NumberArray>>): KernelInterpretation {
  const { program } = kernels;
  const memory = new Map<TensorId, Float64Array>();
  for (const t of program.tensors) {
    if (t.kind === 'source') memory.set(t.id, Float64Array.from(t.runs !== undefined ? expandRuns(t.runs) : inputs[t.name] ?? bug(`no value given for source "${t.name}"`)));
  }
  const valueOf = (id: TensorId): Float64Array => valueIn(program, memory, id);
  for (const kernel of kernels.kernels) {
    for (const [id, value] of runKernel(program, kernel, valueOf)) memory.set(id, value);
  }
  const sources = new Map<string, Float64Array>();
  for (const t of program.tensors) if (t.kind === 'source') sources.set(t.name, valueOf(t.id));
  return { outputs: new Map(program.outputs.map((o) => [o.name, valueOf(o.tensor)])), sources };
}

function valueIn(program: Program, memory: ReadonlyMap<TensorId, Float64Array>, id: TensorId): Float64Array {
  const tensor = program.tensors[id];
  switch (tensor.kind) {
    case 'source': case 'comprehension': case 'routine':
      return memory.get(id) ?? bug(`${tensor.origin.name} is read before it is written`);
    case 'window':
      return valueIn(program, memory, tensor.of).subarray(tensor.offset, tensor.offset + sizeOf(tensor.shape));
    case 'pack': {
      const packed = new Float64Array(sizeOf(tensor.shape));
      tensor.parts.forEach((part, i) => packed.set(valueIn(program, memory, part), tensor.offsets[i]));
      return packed;
    }
  }
}

/** What one kernel stores, on the values its tensors have now. */
export function runKernel(program: Program, kernel: Kernel, valueOf: (id: TensorId) => Float64Array): ReadonlyMap<TensorId, Float64Array> {
  const builder = new ProgramBuilder(kernel.name);
  const origin = { span: null, name: kernel.name };
  const inputs: Record<string, Float64Array> = {};
  const local = new Map<TensorId, TensorId>();
  for (const id of tensorsRead(kernel)) {
    const tensor = program.tensors[id];
    inputs[`t${id}`] = valueOf(id);
    local.set(id, builder.source(`t${id}`, 'data', tensor.element, tensor.shape, origin));
  }
  const renames = new Map<Scalar, Scalar>();
  const here = (s: Scalar): Scalar => rewrite(s, (n) => (n.kind === 'read' ? { ...n, tensor: local.get(n.tensor) ?? bug('unknown tensor') } : n), renames);
  const reduced = (r: Reduction, extents: readonly number[]): TensorId => builder.comprehension(r.op === 'argmax' ? 'i32' : r.body.type, kernel.extents, { op: r.op, extents }, r.body, origin);
  const accumulators: TensorId[] = [];
  switch (kernel.kind) {
    case 'map': break;
    case 'reduce':
      for (const r of kernel.reductions) accumulators.push(reduced({ op: r.op, body: here(r.body) }, kernel.reduceExtents));
      break;
    case 'contract':
      accumulators.push(reduced({ op: 'sum', body: mul(here(kernel.left), here(kernel.right)) }, kernel.reduceExtents));
      break;
    case 'online': {
      const p = kernel.extents.length;
      const outer = [...kernel.batch, ...kernel.rows];
      const scoreExtents = [...outer.map((a) => kernel.extents[a]), ...kernel.streamedExtents];
      // In a score's own comprehension: batch and rows first, then streamed, then its inner axes.
      const all = loopExtents(kernel);
      const scores = kernel.scores.map(({ inner, left, right }) => {
        const order = [...outer, ...kernel.streamedExtents.map((_, i) => p + i), ...inner];
        const product = substitute(mul(here(left), here(right)), (v) => index(order.indexOf(v)));
        const score = builder.comprehension('f32', scoreExtents, { op: 'sum', extents: inner.map((v) => all[v]) }, product, origin);
        return builder.read(score, [...outer.map((a) => index(a)), ...kernel.streamedExtents.map((_, i) => index(p + i))]);
      });
      const withScore = (s: Scalar): Scalar => rewrite(here(s), (n) => (n.kind === 'accumulator' ? scores[n.slot] : n));
      const { combine } = kernel;
      if (combine.kind === 'reduce') for (const r of combine.reductions) accumulators.push(reduced({ op: r.op, body: withScore(r.body) }, kernel.streamedExtents));
      else for (const m of combine.products) accumulators.push(reduced({ op: 'sum', body: mul(withScore(m.weight), here(m.value)) }, kernel.streamedExtents));
      break;
    }
    case 'scatter': {
      const hit = kernel.keys.reduce<Scalar>((all, k) => binary('and', all, binary('eq', here(k.value), index(k.axis))), boolean(true));
      accumulators.push(reduced({ op: 'sum', body: select(hit, here(kernel.value), cast(kernel.value.type, float(0))) }, kernel.reduceExtents));
      break;
    }
    case 'routine': {
      const leading = kernel.extents.length - routineRank(kernel.op);
      const inputs = kernel.operands.map((operand, i) => {
        const own = operandAxes(kernel.op, i);
        const place = (v: number): Scalar => index(v < kernel.extents.length ? v : leading + own.indexOf(v - kernel.extents.length));
        return builder.comprehension(operand.type, [...kernel.extents.slice(0, leading), ...own.map((a) => kernel.ownExtents[a])], null, substitute(here(operand), place), origin);
      });
      accumulators.push(builder.routine(kernel.op, inputs, origin));
      break;
    }
  }
  const finish = (s: Scalar): Scalar => rewrite(here(s), (n) => {
    if (n.kind !== 'accumulator') return n;
    const value = builder.identity(accumulators[n.slot]);
    return n.type === value.type ? value : bug(`accumulator ${n.slot} is ${value.type}, not ${n.type}`);
  });
  kernel.stores.forEach((s) => {
    const tensor = program.tensors[s.tensor];
    builder.output(`t${s.tensor}`, builder.comprehension(tensor.element, kernel.extents, null, finish(s.value), origin));
  });
  const [row] = kernel.stores.map((s) => s.row);
  if (row !== undefined) builder.output('row', builder.comprehension('i32', kernel.extents.slice(0, 1), null, here(row), origin));
  const { outputs } = interpret(builder.build(), inputs);
  return new Map(kernel.stores.map((s) => {
    const value = outputs.get(`t${s.tensor}`) ?? bug('store lost');
    if (s.row === undefined) return [s.tensor, value];
    // Of a source the other rows stay; of what is computed all are named.
    const tensor = program.tensors[s.tensor];
    const old = tensor.kind === 'source' ? valueOf(s.tensor) : new Float64Array(sizeOf(tensor.shape)).fill(NaN);
    return [s.tensor, withRows(old, value, outputs.get('row') ?? bug('row lost'))];
  }));
}
