/**
 * Products that never reach memory. A similarity matrix S = A B' that is only reduced along its rows or columns,
 * multiplied by another matrix, or read at few points is computed again by each of its users, tile by tile (online
 * softmax: Milakov and Gimelshein, 2018; attention: Rabe and Staats, 2021). This holds for NT-Xent, InfoNCE,
 * cross-entropy over a vocabulary and attention, forward and backward.
 *
 * It pays where S is normalised along an axis: at least one user must be a logsumexp, max, min or argmax. Other chains
 * of products (layers of a network) are cheaper with S in memory. A product that only weighs such scores (the gradient
 * of attention's weights) is streamed beside them. Small batched products stay in memory: computing them again takes
 * longer than reading them, and they are no burden.
 */
import type { Program, ReduceOperator } from '../tensor/program.js';
import { sizeAlong, sizeOf } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { accumulator, index, indexVariables, mul, read, rewriteAccumulators, visitReads } from '../tensor/scalar.js';
import type { Draft, FuseContext } from './draft.js';
import { appendTensor, innerScalarsOf, readersOf, scalarsOf, tensorsIn, tensorsRead, tensorsTouched } from './draft.js';
import { inlinable, inlineKernel, pinnedTensors } from './inline-maps.js';
import type { ContractKernel, Kernel, OnlineKernel } from './kernel.js';
import { contractKernelOf } from './classify-contractions.js';
import { streamConsumer } from './stream-consumer.js';
import { rematerializePoints } from './stream-points.js';
import { dropUnused, orderKernels } from './schedule-kernels.js';

export function streamProducts(draft: Draft, context: FuseContext): Draft {
  // Twice: a product may come before the scores it weighs.
  let current = draft;
  for (let round = 0; round < 2; round++) {
    const next = streamOnce(current, context);
    if (next === current) return current;
    // Users take the places of what they stream, so the order holds meanwhile.
    current = { program: next.program, kernels: dropUnused(next.program, orderKernels(next.program, next.kernels)) };
  }
  return current;
}

function streamOnce(draft: Draft, context: FuseContext): Draft {
  let current = draft;
  let readers = readersOf(draft.kernels);
  let present = new Set(draft.kernels);
  for (const kernel of draft.kernels) {
    if (!present.has(kernel)) continue;
    const product = productOf(current.program, kernel);
    if (product === null || !mayBeNormalised(product, readers)) continue;
    const streamed = streamProduct(current, kernel, product, context);
    if (streamed === null) continue;
    current = streamed;
    readers = readersOf(current.kernels);
    present = new Set(current.kernels);
  }
  return current;
}

/** Whether a normalising reduction reads the matrix or a map made of it, or a kernel that streams as many scores: most products are done with here. */
function mayBeNormalised({ stores, extents }: ContractKernel, readers: ReadonlyMap<TensorId, readonly Kernel[]>): boolean {
  const family = new Set<TensorId>([stores[0].tensor]);
  for (const tensor of family) {
    for (const user of readers.get(tensor) ?? []) {
      if (user.kind === 'online' && scoreCount(user) === sizeOf(extents)) return true;
      if (user.kind === 'reduce' && user.reductions.some((r) => isNormalising(r.op))) return true;
      if (user.kind === 'map') for (const s of user.stores) family.add(s.tensor);
    }
  }
  return false;
}

const scoreCount = ({ batch, rows, extents, streamedExtents }: OnlineKernel): number =>
  sizeAlong([...batch, ...rows], extents) * sizeOf(streamedExtents);

/** Whether a reduction normalises the scores it is over, or takes one of them. */
export const isNormalising = (op: ReduceOperator): boolean => op === 'logsumexp' || op === 'max' || op === 'min' || op === 'argmax';

/** A kernel that only computes a matrix of products. */
function productOf(program: Program, kernel: Kernel): ContractKernel | null {
  const contract = kernel.kind === 'contract' ? kernel : kernel.kind === 'reduce' ? contractKernelOf(kernel) : null;
  if (contract === null || contract.stores.length !== 1) return null;
  const tensor = program.tensors[contract.stores[0].tensor];
  if (tensor.element !== 'f32' || tensor.shape.join() !== contract.extents.join()) return null;
  return pinnedTensors(program).has(tensor.id) || isBetterKept(contract) ? null : contract;
}

/** Whether the matrices of a batch are no larger than what they are products of: storing them at most doubles the memory, and saves computing them again. */
function isBetterKept({ batch, rows, columns, extents, reduceExtents }: ContractKernel): boolean {
  const [down, across] = [sizeAlong(rows, extents), sizeAlong(columns, extents)];
  return sizeAlong(batch, extents) > 1 && down * across <= (down + across) * sizeOf(reduceExtents);
}

/** The draft without the product's matrix, or null when one of its users needs it in memory. */
function streamProduct(draft: Draft, kernel: Kernel, product: ContractKernel, context: FuseContext): Draft | null {
  const matrix = product.stores[0].tensor;
  const inlined = inlineSameSize(finishApart(draft, matrix), matrix);
  if (!inlined.kernels.some((k) => normalises(k, matrix))) return null;
  let program = inlined.program;
  const kernels: Kernel[] = [];
  for (const user of inlined.kernels) {
    if (user === kernel) continue;
    if (!tensorsRead(user).has(matrix)) {
      kernels.push(user);
      continue;
    }
    const points = rematerializePoints(program, product, user);
    if (points === null) return null;
    program = points.program;
    const streamed = tensorsRead(points.user).has(matrix) ? streamConsumer(program, product, points.user) : { program, kernels: [points.user] };
    if (streamed === null) return null;
    program = streamed.program;
    const made = [...points.added, ...streamed.kernels];
    if (made.some((k) => tensorsTouched(k).size > context.maxBindings)) return null;
    kernels.push(...made);
  }
  return { program, kernels };
}

/** Products of the matrix's size that read it in their stores (a gradient times the weights) keep their sums, and maps finish them. */
function finishApart(draft: Draft, matrix: TensorId): Draft {
  const points = sizeOf(draft.program.tensors[matrix].shape);
  let program = draft.program;
  const kernels = draft.kernels.flatMap((kernel): readonly Kernel[] => {
    if (kernel.kind !== 'contract' || kernel.stores.length !== 1 || sizeOf(kernel.extents) !== points || !tensorsRead(kernel).has(matrix)) return [kernel];
    if (tensorsIn(innerScalarsOf(kernel)).has(matrix)) return [kernel];
    const [store] = kernel.stores;
    const { origin } = program.tensors[store.tensor];
    const reduce = { op: 'sum' as const, extents: kernel.reduceExtents };
    const sum = appendTensor(program, (id) => ({ kind: 'comprehension', id, element: 'f32', shape: kernel.extents, reduce, body: mul(kernel.left, kernel.right), origin }));
    program = sum.program;
    const here = read(sum.id, kernel.extents.map((_, i) => index(i)), 'f32');
    const value = rewriteAccumulators(store.value, () => here);
    return [
      { ...kernel, stores: [{ tensor: sum.id, value: accumulator('f32', 0) }] },
      { kind: 'map', name: '', origins: kernel.origins, extents: kernel.extents, stores: [{ tensor: store.tensor, value }] },
    ];
  });
  return { program, kernels };
}

/** Maps over the matrix move into their users, however often they are evaluated there. */
function inlineSameSize(draft: Draft, matrix: TensorId): Draft {
  const pinned = pinnedTensors(draft.program);
  const family = new Set<TensorId>([matrix]);
  const points = sizeOf(draft.program.tensors[matrix].shape);
  const kernels: (Kernel | null)[] = [...draft.kernels];
  for (let i = 0; i < kernels.length; i++) {
    const producer = kernels[i];
    if (producer === null || ![...tensorsRead(producer)].some((t) => family.has(t))) continue;
    const map = inlinable(draft, producer, pinned);
    if (map === null || sizeOf(producer.extents) !== points || !readsWhole(producer, family, points)) continue;
    family.add(map.tensor);
    kernels.forEach((k, j) => {
      if (k !== null && j !== i && tensorsRead(k).has(map.tensor)) kernels[j] = inlineKernel(draft.program, k, producer, map.tensor, map.body);
    });
    kernels[i] = null;
  }
  return { ...draft, kernels: kernels.filter((k): k is Kernel => k !== null) };
}

/** Whether a map reads the matrix (or what was made of it) at as many points as it has. */
function readsWhole(kernel: Kernel, family: ReadonlySet<TensorId>, points: number): boolean {
  let whole = false;
  const covers = (s: Extract<Scalar, { kind: 'read' }>): boolean => {
    const variables = new Set<number>();
    for (const i of s.at) for (const v of indexVariables(i)) variables.add(v);
    return [...variables].reduce((n, v) => n * kernel.extents[v], 1) === points;
  };
  for (const s of scalarsOf(kernel)) visitReads(s, (n) => { if (family.has(n.tensor) && covers(n)) whole = true; });
  return whole;
}

/** Whether a kernel normalises the matrix, or weighs scores with it as they are computed. */
function normalises(kernel: Kernel, matrix: TensorId): boolean {
  if (kernel.kind === 'online') return tensorsRead(kernel).has(matrix);
  if (kernel.kind !== 'reduce' || !tensorsRead(kernel).has(matrix)) return false;
  return kernel.reductions.some((r) => isNormalising(r.op) && tensorsIn([r.body]).has(matrix));
}
