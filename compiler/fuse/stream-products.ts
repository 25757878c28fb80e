/**
 * Products that never reach memory. A similarity matrix S = A B' that is only reduced along its rows or columns,
 * multiplied by another matrix, or read at few points is computed again by each of its users, tile by tile (online
 * softmax: Milakov and Gimelshein, 2018; attention: Rabe and Staats, 2021). This holds for NT-Xent, InfoNCE, and
 * cross-entropy over a vocabulary, forward and backward.
 *
 * It pays where S is normalised along an axis: at least one user must be a logsumexp, max, min or argmax. Other chains
 * of products (layers of a network) are cheaper with S in memory.
 */
import type { Program, ReduceOperator } from '../tensor/program.js';
import { sizeOf } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { visit } from '../tensor/scalar.js';
import type { Draft, FuseContext } from './draft.js';
import { readersOf, scalarsOf, tensorsRead, tensorsTouched } from './draft.js';
import { inlinable, inlineKernel, pinnedTensors } from './inline-maps.js';
import type { ContractKernel, Kernel } from './kernel.js';
import { contractKernelOf } from './classify-contractions.js';
import { streamConsumer } from './stream-consumer.js';
import { rematerializePoints } from './stream-points.js';
import { dropUnused, orderKernels } from './schedule-kernels.js';

export function streamProducts(draft: Draft, context: FuseContext): Draft {
  let current = draft;
  let readers = readersOf(draft.kernels);
  let present = new Set(draft.kernels);
  for (const kernel of draft.kernels) {
    if (!present.has(kernel)) continue;
    const product = productOf(current.program, kernel);
    if (product === null || !mayBeNormalised(product.stores[0].tensor, readers)) continue;
    const streamed = streamProduct(current, kernel, product, context);
    if (streamed === null) continue;
    current = streamed;
    readers = readersOf(current.kernels);
    present = new Set(current.kernels);
  }
  return current;
}

/** Whether a normalising reduction reads the matrix or a map made of it: most products are done with here. */
function mayBeNormalised(matrix: TensorId, readers: ReadonlyMap<TensorId, readonly Kernel[]>): boolean {
  const family = new Set<TensorId>([matrix]);
  for (const tensor of family) {
    for (const user of readers.get(tensor) ?? []) {
      if (user.kind === 'reduce' && user.reductions.some((r) => isNormalising(r.op))) return true;
      if (user.kind === 'map') for (const s of user.stores) family.add(s.tensor);
    }
  }
  return false;
}

const isNormalising = (op: ReduceOperator): boolean => op === 'logsumexp' || op === 'max' || op === 'min' || op === 'argmax';

/** A kernel that only computes a matrix of products. */
function productOf(program: Program, kernel: Kernel): ContractKernel | null {
  const contract = kernel.kind === 'contract' ? kernel : kernel.kind === 'reduce' ? contractKernelOf(kernel) : null;
  if (contract === null || contract.batch.length > 0 || contract.stores.length !== 1) return null;
  const tensor = program.tensors[contract.stores[0].tensor];
  if (tensor.element !== 'f32' || tensor.shape.join() !== contract.extents.join()) return null;
  return pinnedTensors(program).has(tensor.id) ? null : contract;
}

/** The draft without the product's matrix, or null when one of its users needs it in memory. */
function streamProduct(draft: Draft, kernel: Kernel, product: ContractKernel, context: FuseContext): Draft | null {
  const matrix = product.stores[0].tensor;
  const inlined = inlineSameSize(draft, matrix);
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
  return { program, kernels: dropUnused(program, orderKernels(program, kernels)) };
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
    for (const i of s.at) visit(i, (n) => { if (n.kind === 'index') variables.add(n.axis); });
    return [...variables].reduce((n, v) => n * kernel.extents[v], 1) === points;
  };
  for (const s of scalarsOf(kernel)) visit(s, (n) => { if (n.kind === 'read' && family.has(n.tensor) && covers(n)) whole = true; });
  return whole;
}

function normalises(kernel: Kernel, matrix: TensorId): boolean {
  if (kernel.kind !== 'reduce' || !tensorsRead(kernel).has(matrix)) return false;
  return kernel.reductions.some((r) => {
    if (!isNormalising(r.op)) return false;
    let found = false;
    visit(r.body, (n) => { if (n.kind === 'read' && n.tensor === matrix) found = true; });
    return found;
  });
}
