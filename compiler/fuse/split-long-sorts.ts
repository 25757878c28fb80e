/**
 * On GPUs an argsort counts, for each element, how many come before it: N comparisons. A long one is taken apart into blocks, which are
 * sorted so, and an element's place is then found by searching for it in each other block: with B elements in a block that is
 * B + (N / B) log2 B comparisons instead of N, and B is chosen to make it little. Blocks before the element's own hold what comes
 * before it among equal ones, so the order stays stable.
 *
 *     keys[b, j], beyond the last one greatest;  order[b] = argsort(keys[b]);  sorted[b, j] = keys[b, order[b, j]]
 *     place[b, j] = j + sum over blocks c != b of (elements of c before sorted[b, j]);  result[place[b, j]] = order[b, j] + b B
 */
import type { Origin, Program, Tensor } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { accumulator, add, binary, index, int, mul, read, select, substitute } from '../tensor/scalar.js';
import type { Draft, FuseContext } from './draft.js';
import { appendTensor } from './draft.js';
import type { Kernel, RoutineKernel } from './kernel.js';

/** Elements from which on blocks pay. */
const leastElements = 4096;
const greatest = 2 ** 31 - 1;

export function splitLongSorts(draft: Draft, { target }: FuseContext): Draft {
  if (target !== 'wgsl') return draft;
  let { program } = draft;
  const kernels = draft.kernels.flatMap((kernel): readonly Kernel[] => {
    if (kernel.kind !== 'routine' || kernel.op !== 'argsort' || kernel.extents.length !== 1 || kernel.extents[0] < leastElements || kernel.operands[0].type !== 'i32') return [kernel];
    const split = splitSort(program, kernel);
    program = split.program;
    return split.kernels;
  });
  return { program, kernels };
}

function splitSort(before: Program, kernel: RoutineKernel): { readonly program: Program; readonly kernels: readonly Kernel[] } {
  const { operands: [operand], stores: [{ tensor: result }] } = kernel;
  const [n] = kernel.extents;
  const size = 2 ** Math.round(Math.log2(n * Math.log2(n)) / 2);
  const blocks = Math.ceil(n / size);
  const shape = [blocks, size];
  const [block, place] = [index(0), index(1)];
  const last = kernel.origins[kernel.origins.length - 1];
  const origin = (name: string): Origin => ({ span: last.span, name: `${name} ${last.name}` });
  const kernels: Kernel[] = [];
  let program = before;
  const tensor = (make: (id: TensorId) => Tensor): TensorId => {
    const next = appendTensor(program, make);
    program = next.program;
    return next.id;
  };
  const map = (name: string, value: Scalar): TensorId => {
    const id = tensor((own) => ({ kind: 'comprehension', id: own, element: 'i32', shape, reduce: null, body: value, origin: origin(name) }));
    kernels.push({ kind: 'map', name: '', origins: [origin(name)], extents: shape, stores: [{ tensor: id, value }] });
    return id;
  };
  const at = add(mul(block, int(size)), place);
  const key = substitute(operand, (v) => (v === 1 ? binary('min', at, int(n - 1)) : null));
  const keys = map('keys of blocks of', select(binary('lt', at, int(n)), key, int(greatest)));

  const order = tensor((id) => ({ kind: 'routine', id, op: 'argsort', inputs: [keys], element: 'i32', shape, origin: origin('blocks of') }));
  kernels.push({ kind: 'routine', name: '', origins: [origin('blocks of')], extents: shape, op: 'argsort', ownExtents: [size], operands: [read(keys, [block, index(2)], 'i32')], stores: [{ tensor: order, value: accumulator('i32', 0) }] });
  const sorted = map('sorted blocks of', read(keys, [block, read(order, [block, place], 'i32')], 'i32'));

  const places = tensor((id) => ({ kind: 'comprehension', id, element: 'i32', shape, reduce: { op: 'sum', extents: [blocks] }, body: beforeIn(sorted, size), origin: origin('places of') }));
  kernels.push({
    kind: 'reduce', name: '', origins: [origin('places of')], extents: shape, reduceExtents: [blocks], reductions: [{ op: 'sum', body: beforeIn(sorted, size) }],
    stores: [{ tensor: places, value: add(place, accumulator('i32', 0)) }],
  });

  // Elements of the last block beyond the last one have places beyond it, which are none.
  const flat = tensor((id) => ({ kind: 'window', id, of: places, offset: 0, element: 'i32', shape: [blocks * size], origin: origin('places of') }));
  const own = tensor((id) => ({ kind: 'window', id, of: order, offset: 0, element: 'i32', shape: [blocks * size], origin: origin('blocks of') }));
  const first = mul(binary('idiv', index(0), int(size)), int(size));
  kernels.push({ kind: 'map', name: '', origins: kernel.origins, extents: [blocks * size], stores: [{ tensor: result, value: add(read(own, [index(0)], 'i32'), first), row: read(flat, [index(0)], 'i32') }] });
  return { program, kernels };
}

/** How many elements of sorted block `index(2)` come before element [index(0), index(1)], none of its own block's. */
function beforeIn(sorted: TensorId, size: number): Scalar {
  const [block, other] = [index(0), index(2)];
  const key = read(sorted, [block, index(1)], 'i32');
  const earlier = binary('lt', other, block);
  const comesBefore = (at: Scalar): Scalar => {
    const there = read(sorted, [other, at], 'i32');
    return binary('or', binary('lt', there, key), binary('and', earlier, binary('eq', there, key)));
  };
  let count: Scalar = int(0);
  for (let step = size / 2; step >= 1; step /= 2) count = add(count, select(comesBefore(add(count, int(step - 1))), int(step), int(0)));
  count = add(count, select(comesBefore(count), int(1), int(0)));
  return select(binary('eq', other, block), int(0), count);
}
