/**
 * Mixed precision: arithmetic stays f32, but large tensors that one kernel writes and others read are kept as f16, rounded when they are
 * stored and widened when they are read (Micikevicius et al., 2018, arXiv:1710.03740). These are what networks compute: activations and
 * their gradients, that is results of maps and products which come after a parameter or enter a product. Kept as they are:
 *
 * - what outlives the step: parameters (the master weights), states, outputs, new values of sources;
 * - gradients of parameters, the partial sums they are made of, and everything that comes after them;
 * - results of reductions and segmented sums (statistics, norms, logsumexp), and operands of routines, which want all their digits;
 * - values that may pass the largest f16 by what they are: exponentials, powers (`growthOf`);
 * - small tensors, which save nothing.
 *
 * Products read parameters in f32: a copy in f16 would cost more bytes to make than the two or three kernels that read it save. They are
 * marked where units that multiply 16-bit numbers may be used (`ContractKernel.half`): where no operand may pass the largest f16 and
 * nothing comes after gradients of parameters.
 */
import { sizeOf, updateInputs } from '../tensor/program.js';
import type { Program } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { basesOf, innerScalarsOf, readersOf, tensorsIn, tensorsRead } from './draft.js';
import type { Draft, FuseContext } from './draft.js';
import type { ContractKernel, Kernel, Reduction } from './kernel.js';
import type { Growth, GrowthContext } from './value-growth.js';
import { growthOf, wider } from './value-growth.js';

/** Tensors with fewer elements stay f32. */
const fewestElements = 2048;

/** A tensor at most this many times as large as the parameter whose gradient alone it goes into is a partial sum of it. */
const partialSums = 8;

export function narrowStorage(draft: Draft, context: FuseContext): Draft {
  if (context.half !== true) return draft;
  const { program, kernels } = draft;
  const kept = keptWhole(draft);
  const parts = packedParts(program);
  const operands = productOperands(kernels);
  const late = comesAfter(draft, (id) => program.tensors[id].kind === 'pack' || parts.has(id), parts);
  const weighty = comesAfter(draft, (id) => basesOf(program, id).some((b) => b.kind === 'source' && (b.role === 'parameters' || b.name.startsWith('target.'))), new Set());
  const { growth, tops } = growthOfTensors(draft);
  const readers = readersOf(kernels);
  /** Whether it only goes into parameters' gradients of about its own size. */
  const isPartial = (id: TensorId): boolean => {
    const users = readers.get(id) ?? [];
    return users.length > 0 && users.every((k) => k.stores.every((s) => parts.has(s.tensor) && partialSums * sizeOf(program.tensors[s.tensor].shape) >= sizeOf(program.tensors[id].shape)));
  };
  const narrow = new Set<TensorId>();
  for (const kernel of kernels) {
    if (kernel.kind === 'reduce' || kernel.kind === 'scatter' || kernel.kind === 'routine' || (kernel.kind === 'online' && kernel.combine.kind === 'reduce')) continue;
    for (const { tensor: id } of kernel.stores) {
      const tensor = program.tensors[id];
      if (tensor.kind !== 'comprehension' || tensor.element !== 'f32' || sizeOf(tensor.shape) < fewestElements) continue;
      if (kept.has(id) || late.has(id) || growth.get(id) === 'wide' || isPartial(id)) continue;
      if (weighty.has(id) || operands.has(id)) narrow.add(id);
    }
  }
  return {
    program: { ...program, tensors: program.tensors.map((t) => (narrow.has(t.id) ? { ...t, element: 'f16' as const } : t)) },
    kernels: kernels.map((k) => (k.kind === 'contract' && mayBeRounded(k, growth, tops, late) ? { ...k, half: true } : k)),
  };
}

/** Whether a product may multiply its operands in 16 bits. */
function mayBeRounded(kernel: ContractKernel, growth: ReadonlyMap<TensorId, Growth>, tops: ReadonlySet<TensorId>, late: ReadonlySet<TensorId>): boolean {
  const context: GrowthContext = { read: (s) => growth.get(s.tensor) ?? 'plain', accumulator: () => 'plain', isTop: (s) => s.kind === 'read' && tops.has(s.tensor) };
  return [...tensorsRead(kernel)].every((id) => !late.has(id)) && [kernel.left, kernel.right].every((s) => growthOf(s, context) !== 'wide');
}

/** What the host or the next step reads, what others are views of, and what routines take. */
function keptWhole({ program, kernels }: Draft): ReadonlySet<TensorId> {
  const kept = new Set<TensorId>([...program.outputs.map((o) => o.tensor), ...program.updates.flatMap(updateInputs)]);
  for (const t of program.tensors) {
    if (t.kind === 'window') kept.add(t.of);
    if (t.kind === 'pack') t.parts.forEach((p) => kept.add(p));
  }
  for (const k of kernels) if (k.kind === 'routine') for (const id of tensorsRead(k)) kept.add(id);
  return kept;
}

const packedParts = (program: Program): ReadonlySet<TensorId> => new Set(program.tensors.flatMap((t) => (t.kind === 'pack' ? t.parts : [])));

/** What products read to multiply. */
function productOperands(kernels: readonly Kernel[]): ReadonlySet<TensorId> {
  const found = new Set<TensorId>();
  for (const k of kernels) {
    if (k.kind === 'contract' || k.kind === 'online') for (const id of tensorsIn(innerScalarsOf(k))) found.add(id);
  }
  return found;
}

/** Computed tensors that need what `starts` holds of, directly or through others; `and` are among them. */
function comesAfter({ kernels }: Draft, starts: (id: TensorId) => boolean, and: ReadonlySet<TensorId>): ReadonlySet<TensorId> {
  const found = new Set(and);
  for (const k of kernels) {
    if ([...tensorsRead(k)].some((id) => found.has(id) || starts(id))) for (const s of k.stores) found.add(s.tensor);
  }
  return found;
}

/** How large the tensors get that kernels compute, in the kernels' order, and which hold a maximum or logsumexp. */
function growthOfTensors({ kernels }: Draft): { readonly growth: ReadonlyMap<TensorId, Growth>; readonly tops: ReadonlySet<TensorId> } {
  const growth = new Map<TensorId, Growth>();
  const tops = new Set<TensorId>();
  const of = (id: TensorId): Growth => growth.get(id) ?? 'plain';
  const isTopReduction = (r: Reduction): boolean => r.op === 'logsumexp' || r.op === 'max';
  for (const kernel of kernels) {
    const reductions = kernel.kind === 'reduce' ? kernel.reductions : kernel.kind === 'online' && kernel.combine.kind === 'reduce' ? kernel.combine.reductions : null;
    const isTop = (s: Scalar): boolean => (s.kind === 'read' ? tops.has(s.tensor) : s.kind === 'accumulator' && reductions !== null && isTopReduction(reductions[s.slot]));
    const inner: GrowthContext = { read: (s) => of(s.tensor), accumulator: () => 'plain', isTop };
    const results = resultGrowth(kernel, inner);
    const outer: GrowthContext = { ...inner, accumulator: (slot) => results[slot] ?? 'plain' };
    const memo = new Map<Scalar, Growth>();
    for (const s of kernel.stores) {
      growth.set(s.tensor, growthOf(s.value, outer, memo));
      if (isTop(s.value)) tops.add(s.tensor);
    }
  }
  return { growth, tops };
}

/** Of the kernel's accumulators. Sums of what is not wide are plain: a network's sums are, its averages by construction. */
function resultGrowth(kernel: Kernel, context: GrowthContext): readonly Growth[] {
  const sum = (...s: readonly Scalar[]): Growth => s.reduce<Growth>((g, x) => wider(g, growthOf(x, context)), 'plain');
  switch (kernel.kind) {
    case 'map': return [];
    case 'reduce': return kernel.reductions.map((r) => resultOf(r, context));
    case 'contract': return [sum(kernel.left, kernel.right)];
    case 'online': {
      const products = kernel.scores.map((s) => sum(s.left, s.right));
      const scores = { ...context, accumulator: (slot: number) => products[slot] };
      return kernel.combine.kind === 'reduce'
        ? kernel.combine.reductions.map((r) => resultOf(r, scores))
        : kernel.combine.products.map((m) => wider(growthOf(m.weight, scores), growthOf(m.value, scores)));
    }
    case 'scatter': return [sum(kernel.value)];
    case 'routine': return ['plain'];
  }
}

function resultOf(r: Reduction, context: GrowthContext): Growth {
  switch (r.op) {
    case 'logsumexp': case 'argmax': case 'any': case 'all': return 'plain';
    case 'prod': case 'deviations': return 'wide';
    case 'sum': case 'max': case 'min': return wider('plain', growthOf(r.body, context));
  }
}
