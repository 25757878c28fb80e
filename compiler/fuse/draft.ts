/**
 * What the fusion passes work on: a program and kernels in an order that can be run, not yet named. Every pass
 * takes a draft and gives a draft that computes the same outputs and updates. The helpers here answer what passes ask
 * about kernels: which scalars they hold, which tensors they touch, which memory lies behind a tensor.
 */
import type { Comprehension, Origin, Program, Routine, Source, Tensor } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { visitReads } from '../tensor/scalar.js';
import type { Kernel, Store } from './kernel.js';

export interface Draft {
  readonly program: Program;
  readonly kernels: readonly Kernel[];
}

/** What a pass may know besides the draft. */
export interface FuseContext {
  /** Storage ranges one kernel may bind. */
  readonly maxBindings: number;
  readonly target: 'wasm' | 'wgsl';
  /** Keep large intermediate tensors in 16 bits. */
  readonly half?: boolean;
  /** What a workgroup of a GPU has, for kernels that follow one another in it, and whether units multiply matrices of f32, which products had better have to themselves. */
  readonly workgroup?: { readonly bytes: number; readonly threads: number; readonly matrices: boolean };
  /** A GPU proper: it has far more cores than a software adapter, which small results with long sums leave idle. */
  readonly manyCores?: boolean;
}

export interface FusePass {
  /** The name by which it can be switched off. */
  readonly name: string;
  readonly description: string;
  readonly run: (draft: Draft, context: FuseContext) => Draft;
}

/** The scalars a kernel evaluates, in a fixed order (the order `mapScalars` rebuilds them in). */
export function scalarsOf(kernel: Kernel): readonly Scalar[] {
  return [...innerScalarsOf(kernel), ...kernel.stores.map((s) => s.value), ...kernel.stores.flatMap((s) => (s.row === undefined ? [] : [s.row]))];
}

/** The scalars evaluated inside the reduction: all but the stores' values. */
export function innerScalarsOf(kernel: Kernel): readonly Scalar[] {
  switch (kernel.kind) {
    case 'map': return [];
    case 'reduce': return kernel.reductions.map((r) => r.body);
    case 'contract': return [kernel.left, kernel.right];
    case 'online': return [...kernel.scores.flatMap((s) => [s.left, s.right]), ...(kernel.combine.kind === 'reduce' ? kernel.combine.reductions.map((r) => r.body) : kernel.combine.products.flatMap((m) => [m.weight, m.value]))];
    case 'scatter': return [...kernel.keys.map((k) => k.value), kernel.value];
    case 'routine': return kernel.operands;
  }
}

/** The kernel with every scalar replaced; itself when none is another. */
export function mapScalars(kernel: Kernel, f: (s: Scalar) => Scalar): Kernel {
  let changed = false;
  const mapped = withScalars(kernel, (s) => {
    const made = f(s);
    changed ||= made !== s;
    return made;
  });
  return changed ? mapped : kernel;
}

function withScalars(kernel: Kernel, f: (s: Scalar) => Scalar): Kernel {
  const stores = kernel.stores.map((s): Store => ({ tensor: s.tensor, value: f(s.value), ...(s.row === undefined ? {} : { row: f(s.row) }) }));
  switch (kernel.kind) {
    case 'map': return { ...kernel, stores };
    case 'reduce': return { ...kernel, stores, reductions: kernel.reductions.map((r) => ({ op: r.op, body: f(r.body) })) };
    case 'contract': return { ...kernel, stores, left: f(kernel.left), right: f(kernel.right) };
    case 'online': return {
      ...kernel, stores, scores: kernel.scores.map((s) => ({ ...s, left: f(s.left), right: f(s.right) })),
      combine: kernel.combine.kind === 'reduce'
        ? { kind: 'reduce', reductions: kernel.combine.reductions.map((r) => ({ op: r.op, body: f(r.body) })) }
        : { kind: 'contract', products: kernel.combine.products.map((m) => ({ weight: f(m.weight), value: f(m.value) })) },
    };
    case 'scatter': return { ...kernel, stores, keys: kernel.keys.map((k) => ({ axis: k.axis, value: f(k.value) })), value: f(kernel.value) };
    case 'routine': return { ...kernel, stores, operands: kernel.operands.map(f) };
  }
}

/** The tensors the scalars read, in order of first use. */
export function tensorsIn(scalars: readonly Scalar[]): ReadonlySet<TensorId> {
  const found = new Set<TensorId>();
  const seen = new Set<Scalar>();
  for (const s of scalars) visitReads(s, (n) => { found.add(n.tensor); }, seen);
  return found;
}

/** Kernels never change, so what they read and touch is found once. */
const readsOfKernel = new WeakMap<Kernel, ReadonlySet<TensorId>>();
const touchedByKernel = new WeakMap<Kernel, ReadonlySet<TensorId>>();

/** The tensors a kernel reads. */
export function tensorsRead(kernel: Kernel): ReadonlySet<TensorId> {
  let found = readsOfKernel.get(kernel);
  if (found === undefined) {
    found = tensorsIn(scalarsOf(kernel));
    readsOfKernel.set(kernel, found);
  }
  return found;
}

/** The kernels that read each tensor. */
export function readersOf(kernels: readonly Kernel[]): ReadonlyMap<TensorId, readonly Kernel[]> {
  const readers = new Map<TensorId, Kernel[]>();
  for (const kernel of kernels) {
    for (const id of tensorsRead(kernel)) {
      const list = readers.get(id);
      if (list === undefined) readers.set(id, [kernel]); else list.push(kernel);
    }
  }
  return readers;
}

/** Every tensor a kernel touches: one binding each. */
export function tensorsTouched(kernel: Kernel): ReadonlySet<TensorId> {
  let found = touchedByKernel.get(kernel);
  if (found === undefined) {
    const touched = new Set(tensorsRead(kernel));
    for (const s of kernel.stores) touched.add(s.tensor);
    found = touched;
    touchedByKernel.set(kernel, found);
  }
  return found;
}

/** The sources and computed tensors whose memory a tensor lies in: itself, or what its window or pack is made of. */
export function basesOf(program: Program, id: TensorId): readonly (Source | Comprehension | Routine)[] {
  const tensor = program.tensors[id];
  switch (tensor.kind) {
    case 'source': case 'comprehension': case 'routine': return [tensor];
    case 'window': return basesOf(program, tensor.of);
    case 'pack': return tensor.parts.flatMap((p) => basesOf(program, p));
  }
}

/** Whether a tensor is a table that the plan holds. */
export function isConstant(program: Program, id: TensorId): boolean {
  const tensor = program.tensors[id];
  return tensor.kind === 'source' && tensor.role === 'constant';
}

/** Adds a tensor at the end of a program. */
export function appendTensor(program: Program, make: (id: TensorId) => Tensor): { readonly program: Program; readonly id: TensorId } {
  const id = program.tensors.length as TensorId;
  return { program: { ...program, tensors: [...program.tensors, make(id)] }, id };
}

/** Origins without repeats, first to last. */
export function mergeOrigins(...lists: readonly (readonly Origin[])[]): readonly Origin[] {
  const seen = new Set<string>();
  return lists.flat().filter((o) => {
    const key = `${o.name} ${o.span?.file ?? ''}:${o.span?.start ?? ''}`;
    return seen.has(key) ? false : (seen.add(key), true);
  });
}
