/**
 * Moves costly arithmetic that varies along few of a kernel's axes into a small map of its own: the inverse deviation of
 * a channel is not computed for every pixel, nor a bias correction for every weight. Equal pieces of different kernels
 * become one tensor. The small maps usually end as epilogues of the reductions they read. What depends on the loops only through
 * a table that the plan holds, such as the number of the parameter that a weight belongs to, varies along the table's numbers.
 */
import type { Program } from '../tensor/program.js';
import { sizeOf } from '../tensor/program.js';
import { holds } from '../tensor/holds.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { index, indexVariables, operands, read, rebuild, substitute, visitReads } from '../tensor/scalar.js';
import { rangeOfRuns } from '../tensor/runs.js';
import { createInterner } from '../tensor/structure.js';
import type { Interner } from '../tensor/structure.js';
import type { Draft, FuseContext } from './draft.js';
import { appendTensor, isConstant, mapScalars, mergeOrigins, scalarsOf, tensorsRead, tensorsTouched } from './draft.js';
import { costOf } from './inline-scalar.js';
import { loopExtents } from './inline-maps.js';
import type { Kernel } from './kernel.js';
import { orderKernels } from './schedule-kernels.js';

type Read = Extract<Scalar, { kind: 'read' }>;

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
    const hasTables = [...tensorsRead(kernel)].some((id) => isConstant(program, id));
    if (!hasTables && scalarsOf(kernel).every((s) => (s.holds & holds.costly) === 0)) return kernel;
    const before = { program, added: added.length, known: new Map(known) };
    const memo = new Map<Scalar, Scalar>();
    const hoist = (s: Scalar): Scalar => {
      if (!hasTables && (s.holds & holds.costly) === 0) return s;
      const done = memo.get(s);
      if (done !== undefined) return done;
      const result = hoistable(s, extents, points) ? temporaryFor(s) : temporaryThroughTable(s) ?? hoistOperands(s);
      memo.set(s, result);
      return result;
    };
    const hoistOperands = (s: Scalar): Scalar => {
      const old = operands(s);
      const fresh = old.map(hoist);
      return fresh.some((o, i) => o !== old[i]) ? rebuild(s, fresh) : s;
    };
    const temporaryThroughTable = (s: Scalar): Scalar | null => {
      const table = hasTables ? tableOf(program, s, interner) : null;
      return table === null || table.size * leastSaving > points ? null : temporary(table.body, [table.size], [table.entry]);
    };
    const temporaryFor = (s: Scalar): Scalar => {
      const variables = [...indexVariables(s)].sort((a, b) => a - b);
      return temporary(substitute(s, (v) => index(variables.indexOf(v))), variables.map((v) => extents[v]), variables.map(index));
    };
    const temporary = (body: Scalar, shape: readonly number[], at: readonly Scalar[]): Scalar => {
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
      return read(id, at, 'f32');
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
  return own * leastSaving <= points && (s.holds & holds.costly) !== 0 && (s.holds & holds.accumulator) === 0;
}

/**
 * For a scalar that varies only with one entry of a table of whole numbers 0 .. size - 1: it over those numbers. Null where a look into a tensor
 * would cost as much.
 */
function tableOf(program: Program, s: Scalar, interner: Interner): { readonly body: Scalar; readonly size: number; readonly entry: Scalar } | null {
  if (s.type !== 'f32' || s.kind === 'read' || s.kind === 'const') return null;
  const entries: Read[] = [];
  let only = true;
  const memo = new Map<Scalar, Scalar>();
  const over = (n: Scalar): Scalar => {
    const done = memo.get(n);
    if (done !== undefined || !only) return done ?? n;
    let made: Scalar;
    if (n.kind === 'read' && isConstant(program, n.tensor)) {
      only = entries.every((e) => interner.id(e) === interner.id(n));
      entries.push(n);
      made = index(0);
    } else if (n.kind === 'index' || n.kind === 'accumulator' || n.kind === 'draw') {
      only = false;
      made = n;
    } else made = rebuild(n, operands(n).map(over));
    memo.set(n, made);
    return made;
  };
  const body = over(s);
  if (!only || entries.length === 0) return null;
  const [entry] = entries;
  const tensor = program.tensors[entry.tensor];
  const { low, high } = rangeOfRuns(tensor.kind === 'source' ? tensor.runs ?? [] : []);
  const { reads, expensive } = costOf(body);
  return low < 0 || (reads.length < 2 && !expensive) ? null : { body, size: high + 1, entry };
}

/** `of variance`: the first tensor the piece reads names it. */
function nameOf(program: Program, body: Scalar): string | null {
  let found: string | null = null;
  visitReads(body, (n) => { if (found === null) found = `of ${program.tensors[n.tensor].origin.name.replace(/^of /, '')}`; });
  return found;
}
