/**
 * Checks that a kernel program is legal: variables in range, types agree, each tensor written once before it is
 * read (sources may be overwritten, once), the axes of contractions and online products split as their class says, and updates done.
 */
import { bug } from '../../grammar/diagnostics/report.js';
import type { Program } from '../tensor/program.js';
import { isComputed, routineRank, sizeOf } from '../tensor/program.js';
import { holds } from '../tensor/holds.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { indexVariables, scalarTypeOf, visitWhere } from '../tensor/scalar.js';
import { basesOf, tensorsRead } from './draft.js';
import { loopExtents } from './inline-maps.js';
import { chainOfKernel, operandAxes } from './kernel.js';
import type { Kernel, KernelProgram } from './kernel.js';

/** Throws a bug that names the kernel when something is wrong. */
export function verifyKernels(kernels: KernelProgram): void {
  const { program } = kernels;
  const written = new Set<TensorId>();
  const names = new Set<string>();
  const materialized = new Set(kernels.materialized);
  verifyLaunches(kernels);
  for (const kernel of kernels.kernels) {
    const fail = (what: string): never => bug(`kernel ${kernel.name} of ${kernels.name}: ${what}`);
    if (names.has(kernel.name)) fail('its name is taken');
    names.add(kernel.name);
    verifyKernel(program, kernel, fail);
    for (const id of tensorsRead(kernel)) {
      if (!materialized.has(id)) fail(`reads tensor ${id}, which has no memory`);
      for (const base of basesOf(program, id)) {
        if (base.kind !== 'source' && !written.has(base.id)) fail(`reads ${base.origin.name} before it is written`);
      }
    }
    for (const s of kernel.stores) {
      if (written.has(s.tensor)) fail(`writes ${program.tensors[s.tensor].origin.name} again`);
      if (!materialized.has(s.tensor)) fail(`writes tensor ${s.tensor}, which has no memory`);
      written.add(s.tensor);
    }
  }
  for (const o of program.outputs) {
    for (const base of basesOf(program, o.tensor)) {
      if (base.kind !== 'source' && !written.has(base.id)) bug(`output ${o.name} of ${kernels.name} is never written`);
    }
  }
  for (const u of program.updates) {
    if (u.source !== u.value && !written.has(u.source)) bug(`update of ${program.tensors[u.source].origin.name} in ${kernels.name} is missing`);
  }
}

/** Launches list all kernels in order, and no kernel reads or writes what another of its launch writes, unless it runs behind it; tails come last. Kernels of a chain have as much to be cut. */
function verifyLaunches(verified: KernelProgram): void {
  const { name, program, kernels, launches, chains } = verified;
  const chainOf = chainOfKernel(verified);
  const tails = new Set(verified.tails);
  const runsBehind = (k: number, other: number): boolean => other < k && (tails.has(k) || (chainOf.get(k) !== undefined && chainOf.get(k) === chainOf.get(other)));
  if (launches.flat().some((k, i) => k !== i) || launches.flat().length !== kernels.length) bug(`the launches of ${name} are not its kernels in order`);
  for (const { cut, members } of chains) {
    const sizes = members.map(({ kernel, outer, inner, grain = 1 }) => (cut === 'points' ? [outer] : [outer, inner]).map((axes) => axes.map((a, k) => loopExtents(kernels[kernel])[a] / (axes === inner && k === axes.length - 1 ? grain : 1)).join()).join(' of '));
    if (sizes.some((s) => s !== sizes[0])) bug(`the kernels of a chain of ${name} have ${sizes.join(' and ')} to be cut into tasks`);
  }
  const bases = (ids: Iterable<TensorId>): Set<TensorId> => new Set([...ids].flatMap((id) => basesOf(program, id).map((b) => b.id)));
  for (const launch of launches) {
    if (launch.length < 2) continue;
    const first = launch.findIndex((k) => tails.has(k));
    if (first === 0 || (first > 0 && launch.slice(first).some((k) => !tails.has(k) || chainOf.has(k)))) bug(`the tails of a launch of ${name} do not come last`);
    const writes = launch.map((k) => bases(kernels[k].stores.map((s) => s.tensor)));
    launch.forEach((k, i) => {
      const reads = bases(tensorsRead(kernels[k]));
      for (const id of [...reads, ...writes[i]]) {
        const parallel = (j: number): boolean => j !== i && !tails.has(launch[j]) && !runsBehind(k, launch[j]);
        if (writes.some((w, j) => w.has(id) && (parallel(j) || (j !== i && writes[i].has(id))))) bug(`kernel ${kernels[k].name} of ${name} touches ${program.tensors[id].origin.name} while another kernel writes it`);
      }
    });
  }
}

/** What holds of one kernel by itself. */
export function verifyKernel(program: Program, kernel: Kernel, fail: (what: string) => never): void {
  const p = kernel.extents.length;
  const points = sizeOf(kernel.extents);
  if (kernel.stores.length === 0) fail('it stores nothing');
  const limits = variableLimits(kernel);
  const check = (what: string, s: Scalar, variables: (v: number) => boolean, accumulators: number): void => {
    for (const v of indexVariables(s)) if (!variables(v)) fail(`${what} uses variable ${v}`);
    visitWhere(holds.accumulator | holds.read, s, (n) => {
      if (n.kind === 'accumulator' && (n.slot < 0 || n.slot >= accumulators)) fail(`${what} uses accumulator ${n.slot}`);
      if (n.kind === 'read' && n.at.length !== program.tensors[n.tensor].shape.length) fail(`${what} reads ${program.tensors[n.tensor].origin.name} with ${n.at.length} indices`);
      if (n.kind === 'read' && n.type !== scalarTypeOf(program.tensors[n.tensor].element)) fail(`${what} reads ${program.tensors[n.tensor].origin.name} as ${n.type}`);
    });
  };
  const parallel = (v: number): boolean => v < p;
  const all = (v: number): boolean => v < limits.all;
  for (const s of kernel.stores) {
    const tensor = program.tensors[s.tensor];
    if (tensor.kind !== 'source' && !isComputed(tensor)) fail(`it stores to a ${tensor.kind}`);
    if (s.row !== undefined) {
      if (kernel.kind !== 'map' || kernel.stores.some((o) => o.row !== s.row)) fail('it stores some of its results by row');
      if (kernel.extents.slice(1).join() !== tensor.shape.slice(1).join()) fail(`it stores rows [${kernel.extents.slice(1).join()}] of ${tensor.origin.name}`);
      check('a row', s.row, (v) => v === 0, 0);
    } else if (sizeOf(tensor.shape) !== points) fail(`it has ${points} points for the ${sizeOf(tensor.shape)} elements of ${tensor.origin.name}`);
    if (scalarTypeOf(tensor.element) !== s.value.type) fail(`it stores ${s.value.type} to ${tensor.origin.name}`);
    check('a store', s.value, parallel, limits.accumulators);
  }
  switch (kernel.kind) {
    case 'map': return;
    case 'reduce':
      for (const r of kernel.reductions) check('a reduction', r.body, all, 0);
      return;
    case 'contract': {
      checkAxes(kernel.extents.length, [...kernel.batch, ...kernel.rows, ...kernel.columns], fail);
      check('left', kernel.left, (v) => all(v) && !kernel.columns.includes(v), 0);
      check('right', kernel.right, (v) => all(v) && !kernel.rows.includes(v), 0);
      if (kernel.left.type !== 'f32' || kernel.right.type !== 'f32') fail('its operands are not f32');
      return;
    }
    case 'scatter': {
      const keyed = new Set(kernel.keys.map((k) => k.axis));
      if (keyed.size === 0 || keyed.size !== kernel.keys.length || ![...keyed].every(parallel)) fail('its keys are not for different axes');
      const free = (v: number): boolean => all(v) && !keyed.has(v);
      for (const k of kernel.keys) {
        check('a key', k.value, free, 0);
        if (k.value.type !== 'i32') fail(`a key is ${k.value.type}`);
      }
      check('the value', kernel.value, free, 0);
      storesResult(kernel, fail);
      return;
    }
    case 'routine': {
      const leading = p - routineRank(kernel.op);
      kernel.operands.forEach((operand, i) => {
        const own = operandAxes(kernel.op, i).map((a) => p + a);
        check('an operand', operand, (v) => v < leading || own.includes(v), 0);
      });
      storesResult(kernel, fail);
      return;
    }
    case 'online': {
      const streamed = (v: number): boolean => v >= p && v < p + kernel.streamedExtents.length;
      const inner = (v: number): boolean => v >= p + kernel.streamedExtents.length && v < limits.all;
      const shared = (v: number): boolean => kernel.batch.includes(v);
      checkAxes(kernel.extents.length, [...kernel.batch, ...kernel.rows, ...kernel.columns], fail);
      if (kernel.scores.length === 0) fail('it streams nothing');
      for (const score of kernel.scores) {
        const { left, right } = score;
        if (!score.inner.every(inner)) fail('a score sums over more than inner axes');
        check('left', left, (v) => shared(v) || kernel.rows.includes(v) || score.inner.includes(v), 0);
        check('right', right, (v) => shared(v) || streamed(v) || score.inner.includes(v), 0);
        if (left.type !== 'f32' || right.type !== 'f32') fail('its operands are not f32');
      }
      if (kernel.combine.kind === 'reduce') {
        if (kernel.columns.length > 0) fail('an online reduction has columns');
        for (const r of kernel.combine.reductions) {
          if (r.op === 'deviations') fail('it sums deviations of scores');
          check('a reduction', r.body, (v) => parallel(v) || streamed(v), kernel.scores.length);
        }
      } else {
        if (kernel.combine.products.length === 0) fail('it sums nothing');
        for (const m of kernel.combine.products) {
          check('a weight', m.weight, (v) => shared(v) || kernel.rows.includes(v) || streamed(v), kernel.scores.length);
          check('a value', m.value, (v) => shared(v) || kernel.columns.includes(v) || streamed(v), 0);
        }
      }
      return;
    }
  }
}

function storesResult(kernel: Kernel, fail: (what: string) => never): void {
  if (kernel.stores.length !== 1 || kernel.stores[0].value.kind !== 'accumulator') fail('it stores more than its result');
}

function checkAxes(count: number, axes: readonly number[], fail: (what: string) => never): void {
  if (axes.length !== count || new Set(axes).size !== count) fail(`its axes ${axes.join(', ')} are not a split of ${count}`);
}

function variableLimits(kernel: Kernel): { readonly all: number; readonly accumulators: number } {
  const p = kernel.extents.length;
  switch (kernel.kind) {
    case 'map': return { all: p, accumulators: 0 };
    case 'reduce': return { all: p + kernel.reduceExtents.length, accumulators: kernel.reductions.length };
    case 'contract': return { all: p + kernel.reduceExtents.length, accumulators: 1 };
    case 'scatter': return { all: p + kernel.reduceExtents.length, accumulators: 1 };
    case 'routine': return { all: p + kernel.ownExtents.length, accumulators: 1 };
    case 'online': return {
      all: p + kernel.streamedExtents.length + kernel.innerExtents.length,
      accumulators: (kernel.combine.kind === 'reduce' ? kernel.combine.reductions : kernel.combine.products).length,
    };
  }
}

/** Tensors that hold every element of a shape: for tests that nothing of a size exists. */
export function materializedOfSize(kernels: KernelProgram, elements: number): readonly TensorId[] {
  return kernels.materialized.filter((id) => sizeOf(kernels.program.tensors[id].shape) >= elements && isComputed(kernels.program.tensors[id]));
}

