/**
 * Moves costly arithmetic that varies along few of a kernel's axes into a small map of its own: the inverse deviation of
 * a channel is not computed for every pixel, nor a bias correction for every weight. Equal pieces of different kernels
 * become one tensor. The small maps usually end as epilogues of the reductions they read.
 */
import type { Program } from '../tensor/program.js';
import { sizeOf } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { index, indexVariables, operands, read, rebuild, substitute, visit } from '../tensor/scalar.js';
import { createInterner } from '../tensor/structure.js';
import type { Draft, FuseContext } from './draft.js';
import { appendTensor, mapScalars, mergeOrigins, tensorsTouched } from './draft.js';
import { costOf } from './inline-scalar.js';
import { loopExtents } from './inline-maps.js';
import type { Kernel } from './kernel.js';
import { orderKernels } from './schedule-kernels.js';

/** How many times fewer points the piece must have than the loops around it. */
const leastSaving = 16;

export function hoistInvariants(draft: Draft, context: FuseContext): Draft {
  const interner = createInterner();
  const known = new Map<string, TensorId>();
  const added: Kernel[] = [];
  let program: Program = draft.program;
  const kernels = draft.kernels.map((kernel) => {
    if (kernel.kind !== 'map' && kernel.kind !== 'reduce') return kernel;
    const extents = loopExtents(kernel);
    const points = sizeOf(extents);
    const before = { program, added: added.length, known: new Map(known) };
    const memo = new Map<Scalar, Scalar>();
    const hoist = (s: Scalar): Scalar => {
      const done = memo.get(s);
      if (done !== undefined) return done;
      const result = hoistable(s, extents, points) ? temporaryFor(s) : hoistOperands(s);
      memo.set(s, result);
      return result;
    };
    const hoistOperands = (s: Scalar): Scalar => {
      const old = operands(s);
      const fresh = old.map(hoist);
      return fresh.some((o, i) => o !== old[i]) ? rebuild(s, fresh) : s;
    };
    const temporaryFor = (s: Scalar): Scalar => {
      const variables = [...indexVariables(s)].sort((a, b) => a - b);
      const shape = variables.map((v) => extents[v]);
      const body = substitute(s, (v) => index(variables.indexOf(v)));
      const key = `${shape.join()} ${interner.id(body)}`;
      let id = known.get(key);
      if (id === undefined) {
        const name = nameOf(program, body) ?? kernel.origins[kernel.origins.length - 1].name;
        const origin = { span: kernel.origins[kernel.origins.length - 1].span, name };
        const next = appendTensor(program, (t) => ({ kind: 'comprehension', id: t, element: 'f32', shape, reduce: null, body, origin }));
        program = next.program;
        id = next.id;
        known.set(key, id);
        added.push({ kind: 'map', name: '', origins: mergeOrigins([origin]), extents: shape, stores: [{ tensor: id, value: body }] });
      }
      return read(id, variables.map(index), 'f32');
    };
    const hoisted = mapScalars(kernel, hoist);
    if (tensorsTouched(hoisted).size <= Math.max(context.maxBindings, tensorsTouched(kernel).size)) return hoisted;
    // Too many tensors to bind: as if nothing had been hoisted here.
    program = before.program;
    added.length = before.added;
    known.clear();
    for (const [k, v] of before.known) known.set(k, v);
    return kernel;
  });
  return { program, kernels: orderKernels(program, [...added, ...kernels]) };
}

function hoistable(s: Scalar, extents: readonly number[], points: number): boolean {
  if (s.type !== 'f32' || s.kind === 'read' || s.kind === 'const') return false;
  const own = [...indexVariables(s)].reduce((n, v) => n * extents[v], 1);
  if (own * leastSaving > points || !costOf(s).expensive) return false;
  let fit = true;
  visit(s, (n) => { if (n.kind === 'accumulator') fit = false; });
  return fit;
}

/** `of variance`: the first tensor the piece reads names it. */
function nameOf(program: Program, body: Scalar): string | null {
  let found: string | null = null;
  visit(body, (n) => { if (found === null && n.kind === 'read') found = `of ${program.tensors[n.tensor].origin.name}`; });
  return found;
}
