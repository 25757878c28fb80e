/**
 * On GPUs, few results with long sums leave most of the cores idle: gradients of weights, statistics of channels, norms of all
 * parameters. Such a sum is taken in parts, to memory; a second kernel adds the parts, always in the same order, and stores what
 * the first one would have. The parts are tensors like others, so memory is planned for them and counted.
 *
 * The parts are pieces of equal length of the axes that are summed over, outermost first. Squared deviations D from the mean of
 * all come from those from the means of the parts, of n elements each with sum S: sum D + (deviations of S) / n (Chan, Golub and
 * LeVeque, 1979).
 */
import { sizeOf } from '../tensor/program.js';
import type { Origin, Program, ReduceOperator } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { accumulator, add, float, index, int, mul, read, rewriteAccumulators, substitute } from '../tensor/scalar.js';
import { chooseParts } from './choose-parts.js';
import type { Parts } from './choose-parts.js';
import { appendTensor, tensorsTouched } from './draft.js';
import type { Draft, FuseContext } from './draft.js';
import type { ContractKernel, Kernel, ReduceKernel, Reduction } from './kernel.js';

const separable: ReadonlySet<ReduceOperator> = new Set(['sum', 'prod', 'max', 'min', 'deviations']);

export function splitLongSums(draft: Draft, context: FuseContext): Draft {
  if (context.manyCores !== true) return draft;
  let { program } = draft;
  const kernels = draft.kernels.flatMap((kernel): readonly Kernel[] => {
    if (!isSeparable(kernel)) return [kernel];
    const parts = chooseParts(program, kernel);
    if (parts === null) return [kernel];
    const split = splitKernel(program, kernel, parts);
    if ([split.first, split.second].some((k) => tensorsTouched(k).size > Math.max(context.maxBindings, tensorsTouched(kernel).size))) return [kernel];
    program = split.program;
    return [split.first, split.second];
  });
  return { program, kernels };
}

function isSeparable(kernel: Kernel): kernel is ContractKernel | ReduceKernel {
  return kernel.kind === 'contract' || (kernel.kind === 'reduce' && kernel.reductions.every((r) => separable.has(r.op) && r.body.type === 'f32'));
}

/** The kernel that takes the parts, with an axis in front for each axis that is cut, and the kernel that adds them. */
function splitKernel(before: Program, kernel: ContractKernel | ReduceKernel, parts: Parts): { readonly program: Program; readonly first: Kernel; readonly second: Kernel } {
  const rank = kernel.extents.length;
  const cut = parts.flatMap((pieces, axis) => (pieces > 1 ? [{ axis, pieces }] : []));
  const rest = kernel.reduceExtents.map((n, axis) => n / parts[axis]);
  const place = (variable: number): Scalar => {
    const shifted = index(variable + cut.length);
    const piece = cut.findIndex((c) => c.axis === variable - rank);
    if (piece < 0) return shifted;
    return rest[variable - rank] === 1 ? index(piece) : add(mul(index(piece), int(rest[variable - rank])), shifted);
  };
  // One memo, so that what is shared stays shared.
  const memo = new Map<Scalar, Scalar>();
  const moved = (s: Scalar): Scalar => substitute(s, place, memo);
  const shape = [...cut.map((c) => c.pieces), ...kernel.extents];
  const at = [...cut.map((_, piece) => index(rank + piece)), ...kernel.extents.map((_, i) => index(i))];
  const last = kernel.origins[kernel.origins.length - 1];
  const origin: Origin = { span: last.span, name: `parts of ${last.name}` };
  let program = before;
  const toMemory = ({ op, body }: Reduction): TensorId => {
    const next = appendTensor(program, (id) => ({ kind: 'comprehension', id, element: 'f32', shape, reduce: { op, extents: rest }, body, origin }));
    program = next.program;
    return next.id;
  };
  const base = { name: '', origins: kernel.origins };
  if (kernel.kind === 'contract') {
    const shift = (axes: readonly number[]): readonly number[] => axes.map((a) => a + cut.length);
    const [left, right] = [moved(kernel.left), moved(kernel.right)];
    const tensor = toMemory({ op: 'sum', body: mul(left, right) });
    const first: Kernel = {
      ...kernel, ...base, extents: shape, reduceExtents: rest, batch: [...cut.keys(), ...shift(kernel.batch)], rows: shift(kernel.rows), columns: shift(kernel.columns), left, right,
      stores: [{ tensor, value: accumulator('f32', 0) }],
    };
    const second: Kernel = { ...base, kind: 'reduce', extents: kernel.extents, reduceExtents: cut.map((c) => c.pieces), reductions: [{ op: 'sum', body: read(tensor, at, 'f32') }], stores: kernel.stores };
    return { program, first, second };
  }
  const taken = withSums(kernel.reductions).map(({ op, body }) => ({ op, body: moved(body) }));
  const tensors = taken.map(toMemory);
  const first: Kernel = { ...kernel, ...base, extents: shape, reduceExtents: rest, reductions: taken, stores: tensors.map((tensor, slot) => ({ tensor, value: accumulator('f32', slot) })) };
  const added: Reduction[] = taken.map(({ op }, slot) => ({ op: op === 'deviations' ? 'sum' : op, body: read(tensors[slot], at, 'f32') }));
  const results = kernel.reductions.map((r, slot): Scalar => {
    if (r.op !== 'deviations') return accumulator('f32', slot);
    const sums = taken.findIndex((t) => t.op === 'sum' && t.body === taken[slot].body);
    const between = added.push({ op: 'deviations', body: read(tensors[sums], at, 'f32') }) - 1;
    return add(accumulator('f32', slot), mul(accumulator('f32', between), float(1 / sizeOf(rest))));
  });
  const known = new Map<Scalar, Scalar>();
  const stores = kernel.stores.map((s) => ({ tensor: s.tensor, value: rewriteAccumulators(s.value, ({ slot }) => results[slot], known) }));
  return { program, first, second: { ...base, kind: 'reduce', extents: kernel.extents, reduceExtents: cut.map((c) => c.pieces), reductions: added, stores } };
}

/** The reductions, with the sum of whatever deviations are taken of. */
function withSums(reductions: readonly Reduction[]): readonly Reduction[] {
  const missing = reductions.filter((r) => r.op === 'deviations' && !reductions.some((o) => o.op === 'sum' && o.body === r.body));
  return [...reductions, ...missing.map(({ body }): Reduction => ({ op: 'sum', body }))];
}
