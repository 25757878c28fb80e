/**
 * A step whose batch is larger than what is in memory at a time, with exactly the gradient of the whole batch (GradCache: Gao et
 * al., 2021, arXiv:2101.06983). Networks see a chunk of examples; what mixes examples sees all their outputs at once:
 *
 *   encode, for every chunk    network outputs of the chunk are written into sources `boundary.N`; running statistics move
 *   step, once                 the loss of the whole batch from these; writes d loss / d boundary into `gradient.N` and the
 *                              gradient of parameters used outside of networks into `gradient.parameters`
 *   backward, for every chunk  the networks again, and the product of `gradient.N` with their derivatives, added to the latter
 *   update, once               optimizer, targets, reports
 *
 * Of lazy parameters, step and backward leave the rows that they read (`virtual-rows.ts`).
 *
 * Draws are functions of the example, so both passes over a chunk see the same views. A network is a boundary when its inputs hold
 * a row for each example; if the network itself mixes examples (batch norm), it does so within a chunk, and that must be asked for.
 */
import { bug } from '../../grammar/diagnostics/report.js';
import { ProgramBuilder } from '../tensor/builder.js';
import { analyseCoupling } from '../tensor/coupling.js';
import type { Program } from '../tensor/program.js';
import { dependencies, tensorsRead } from '../tensor/renumber.js';
import { unstacked } from '../tensor/stack-twins.js';
import { add, float, index, int, mul, sub } from '../tensor/scalar.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { OutputWatch } from './compared-outputs.js';
import type { Context } from './context.js';
import { fail } from './context.js';
import { gradientNorm } from './gradient-norm.js';
import { differentiatePlaces, readRows } from './lazy-parameters.js';
import { elaborateModel } from './model.js';
import type { ElaboratedModel } from './model.js';
import { applyOptimizer } from './apply-optimizer.js';
import { nodeOf, PlacedStore } from './store.js';
import { close, constantTensor, elementOf, ensureRead, tensorOfNode } from './tensor-value.js';
import { openProgram } from './session.js';
import type { Session } from './session.js';
import { lossOf, optimizerFor, parameterWindows, ratesOf, reportVector, stackObjectives } from './step-parts.js';
import type { BuiltStep, Reported, StepParts } from './step-parts.js';
import type { IndexVariable, NetValue, TensorValue, Value } from './value.js';
import { chunkOf, gradientOfRowsLeft, leaveRows } from './virtual-rows.js';
import type { RowsLeft } from './virtual-rows.js';

/** The output of one application of a network, kept for the whole batch. Applications are counted in order. */
interface Boundary {
  readonly application: number;
  /** The whole batch's, batch first. */
  readonly shape: readonly number[];
  readonly source: TensorId;
  /** Whether a gradient reaches it: not that of a target. */
  readonly learns: boolean;
}

const origin = (name: string): { span: null; name: string } => ({ span: null, name });
const boundaryName = (application: number): string => `boundary.${application}`;
const gradientName = (b: Boundary): string => `gradient.${b.application}`;
const flatGradient = 'gradient.parameters';

/** The free variables of a network's output, the batch first. */
function outerOf(c: Context, value: TensorValue): IndexVariable[] {
  const free = new Map(value.free);
  if (c.batch !== null) free.set(c.batch.variable.id, c.batch.variable);
  return [...free.values()].sort((x, y) => x.id - y.id);
}

export function buildVirtualStep(parts: StepParts): BuiltStep {
  const { spec, source, layout } = parts;
  for (const { info } of layout.targets) {
    if (info.when === 'before' && info.buffers !== 'own') return fail(null, 'SSL4001', source.model.name.span, { feature: `target \`${info.name}\` with \`when: "before"\` and running statistics that follow, under a virtual batch,`, help: 'use `when: "after"`, or `buffers: "own"`' });
  }
  const whole = buildCoupled(parts);
  const encode = buildEncode(parts, whole);
  const backward = buildBackward(parts, whole);
  const update = buildUpdate(parts, whole, [...whole.rows, ...backward.rows], spec.chunk);
  return { programs: { encode, step: whole.program, backward: backward.program, update: update.program }, model: whole.model, reports: update.reports, compared: whole.compared };
}

interface Coupled {
  readonly program: Program;
  readonly model: ElaboratedModel;
  readonly reports: readonly string[];
  readonly compared: BuiltStep['compared'];
  /** Those the coupled part reads. */
  readonly boundaries: readonly Boundary[];
  readonly applications: number;
  /** What it leaves of lazy parameters. */
  readonly rows: RowsLeft;
  /** Networks and targets whose states the chunks move. */
  readonly networks: ReadonlySet<string>;
}

/** Is this the state of a layer of one of these networks? */
const ownedBy = (networks: ReadonlySet<string>, state: string): boolean => [...networks].some((n) => state === `state.${n}` || state.startsWith(`state.${n}.`));

/** The coupled part: the whole batch, with the outputs of networks read from memory. */
function buildCoupled(parts: StepParts): Coupled {
  const { loaded, source, spec, settings, layout, lengths, target } = parts;
  const b = new ProgramBuilder('step');
  const networks = new Set<string>();
  const store = new PlacedStore(b, layout, true, (name) => !ownedBy(networks, name));
  const opened = openProgram(loaded, b, store, lengths, lengths.batch, true);
  const coupling = analyseCoupling(b, (s) => s.role === 'batch');
  const boundaries: Boundary[] = [];
  let applications = 0;
  const watch = new OutputWatch();
  const onApplication = (net: NetValue, value: Value, args: readonly Value[], from: TensorId): Value => {
    const application = applications++;
    const batch = opened.c.batch ?? bug('a step without a batch');
    // `independent`: of the batch; else whether every row is the work of one example.
    const kindOf = (v: TensorValue): 'independent' | 'rows' | 'coupled' => {
      const found = coupling.scalar(elementOf(v));
      return found.kind === 'rows' && found.axis !== batch.variable.id ? 'coupled' : found.kind;
    };
    const inputs = args.flatMap((a) => (a.kind === 'tensor' ? [kindOf(a)] : []));
    if (inputs.includes('coupled') || !inputs.includes('rows')) {
      watch.seen(opened.c, net, value, from);
      return value;
    }
    const name = net.target?.name ?? net.name;
    if (value.kind !== 'tensor' || value.element !== 'f32') return fail(opened.c, 'SSL4001', source.model.name.span, { feature: `a virtual batch with the network \`${name}\`, which returns something other than one tensor of floats,`, help: null });
    const mixes = kindOf(value) !== 'rows';
    if (mixes && spec.batchNorm === null) return fail(opened.c, 'SSL3020', source.model.name.span, { network: name, chunk: spec.chunk, batch: lengths.batch });
    networks.add(name);
    const outer = outerOf(opened.c, value);
    const shape = [...outer.map((v) => v.axis.size), ...value.axes.map((a) => a.size)];
    const id = b.source(boundaryName(application), 'batch', 'f32', shape, origin(name));
    boundaries.push({ application, shape, source: id, learns: net.target === null });
    const leading = outer.map((v) => index(v.id));
    const read: TensorValue = { kind: 'tensor', element: 'f32', axes: value.axes, free: new Map(outer.map((v) => [v.id, v])), at: (i) => b.read(id, [...leading, ...i]) };
    watch.stored(opened.c, net, read, id);
    return read;
  };
  const s: Session = { ...opened, c: { ...opened.c, onApplication } };
  store.context = s.c;
  const model = elaborateModel(s.c, source.model, s.scope, settings, 'objectives', parts.inputs(s.c));
  const { total, reported, compared } = lossOf(s.c, model, source, watch);
  const roots = [total, ...store.values(), ...reported.flatMap((r) => tensorsRead(r.value.at([])))];
  // Rows that are read of lazy parameters are tensors by themselves, which must stay so.
  const stacked = layout.lazy.length > 0 ? unstacked : stackObjectives(b, roots, target);
  const read = reachable(b, roots);
  const used = boundaries.filter((x) => read.has(x.source));

  b.backward = true;
  const wrt = parameterWindows(b, layout, store);
  const learning = used.filter((x) => x.learns);
  const { dense, rest, places } = differentiatePlaces(b, store, layout, stacked.tensor(total), wrt, source.model.name.span, (id) => read.has(id), learning.map((x) => x.source));
  learning.forEach((x, k) => b.update(b.source(gradientName(x), 'batch', 'f32', x.shape, origin('gradient')), rest[k]));
  const rows = leaveRows(b, 'step', places, int(0), 1);
  if (wrt.length > 0) b.update(gradientSource(b, layout.size), b.pack(dense, origin('gradient'), layout.parameters.map((p) => p.offset)));
  store.commit(stacked.tensor);
  b.update(reportSource(b, reported.length), reportVector(b, reported, stacked));
  return { program: b.build(), model, reports: reported.map((r) => r.name), compared, boundaries: used, applications, rows, networks };
}

/** What the coupled part reports, until the update has the rest. */
const reportSource = (b: ProgramBuilder, count: number): TensorId => b.source('reports.step', 'batch', 'f32', [count], origin('reports'));

const gradientSource = (b: ProgramBuilder, size: number): TensorId => b.source(flatGradient, 'batch', 'f32', [size], origin('gradient'));

function reachable(b: ProgramBuilder, roots: readonly TensorId[]): ReadonlySet<TensorId> {
  const found = new Set<TensorId>();
  const pending = [...roots];
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    if (found.has(id)) continue;
    found.add(id);
    pending.push(...dependencies(b.tensor(id)));
  }
  return found;
}

interface ChunkOfModel {
  readonly b: ProgramBuilder;
  readonly store: PlacedStore;
  /** Position in the batch of the chunk's first example. */
  readonly first: Scalar;
  /** A chunk's rows of each boundary. */
  readonly rows: readonly TensorId[];
}

/** The model on one chunk. */
function elaborateChunk(parts: StepParts, name: string, whole: Coupled): ChunkOfModel {
  const { loaded, source, spec, settings, layout, lengths } = parts;
  const b = new ProgramBuilder(name);
  const store = new PlacedStore(b, layout, true, (state) => ownedBy(whole.networks, state));
  const opened = openProgram(loaded, b, store, lengths, lengths.batch, true, spec.chunk);
  const outputs = new Map<number, TensorId>();
  const wanted = new Set(whole.boundaries.map((x) => x.application));
  let applications = 0;
  const onApplication = (_net: NetValue, value: Value): Value => {
    const application = applications++;
    if (!wanted.has(application) || value.kind !== 'tensor') return value;
    const outer = outerOf(opened.c, value);
    const whole = close({ ...value, free: new Map(outer.map((v) => [v.id, v])) }, outer);
    outputs.set(application, nodeOf(ensureRead(opened.c, whole, boundaryName(application), source.model.name.span)));
    return value;
  };
  const c: Context = { ...opened.c, onApplication };
  store.context = c;
  elaborateModel(c, source.model, opened.scope, settings, 'objectives', parts.inputs(c));
  if (applications !== whole.applications) bug(`${applications} networks are applied to a chunk and ${whole.applications} to a batch`);
  const rows = whole.boundaries.map((x) => outputs.get(x.application) ?? bug(`boundary ${x.application} is missing in a chunk`));
  return { b, store, first: c.batch?.within?.first ?? bug('a chunk without a place'), rows };
}

/** Writes a chunk's rows of every boundary, and moves the running statistics of its networks. */
function buildEncode(parts: StepParts, whole: Coupled): Program {
  const { b, store, first, rows } = elaborateChunk(parts, 'encode', whole);
  const stacked = stackObjectives(b, [...rows, ...store.values()], parts.target);
  const moved = reachable(b, rows);
  for (const t of b.tensors) {
    if (t.kind === 'source' && moved.has(t.id) && store.updates.has(t.name) && ownedBy(whole.networks, t.name)) {
      return fail(null, 'SSL4001', parts.source.model.name.span, { feature: `a virtual batch with \`${t.name}\`, a state that its network reads and moves in the same pass,`, help: null });
    }
  }
  whole.boundaries.forEach((x, k) => {
    const all = b.source(boundaryName(x.application), 'batch', 'f32', x.shape, origin(boundaryName(x.application)));
    const rest = x.shape.slice(1).map((_, d) => index(d + 1));
    const value = b.read(stacked.tensor(rows[k]), [sub(index(0), first), ...rest], b.read(all, [index(0), ...rest]));
    b.update(all, b.comprehension('f32', x.shape, null, value, origin(boundaryName(x.application))));
  });
  store.commit(stacked.tensor);
  return b.build();
}

/** Adds a chunk's share to the gradient: the derivative of sum(boundary * its gradient), with the latter held fixed. */
function buildBackward(parts: StepParts, whole: Coupled): { readonly program: Program; readonly rows: RowsLeft } {
  const { layout, lengths, source, spec } = parts;
  const { b, store, first, rows } = elaborateChunk(parts, 'backward', whole);
  const terms = whole.boundaries.flatMap((x, k): Scalar[] => {
    if (!x.learns) return [];
    const all = b.source(gradientName(x), 'batch', 'f32', x.shape, origin('gradient'));
    const shape = b.tensor(rows[k]).shape;
    const rest = shape.slice(1).map((_, d) => index(d + 1));
    const mine = b.comprehension('f32', shape, null, b.read(all, [add(first, index(0)), ...rest]), origin(gradientName(x)));
    return [b.read(b.comprehension('f32', [], { op: 'sum', extents: shape }, mul(b.identity(rows[k]), b.identity(mine)), origin(gradientName(x))), [])];
  });
  const surrogate = b.comprehension('f32', [], null, terms.reduce((x, y) => add(x, y), float(0)), origin('chunk'));
  const stacked = layout.lazy.length > 0 ? unstacked : stackObjectives(b, [surrogate], parts.target);
  const read = reachable(b, [stacked.tensor(surrogate)]);
  b.backward = true;
  const { dense, places } = differentiatePlaces(b, store, layout, stacked.tensor(surrogate), parameterWindows(b, layout, store), source.model.name.span, (id) => read.has(id));
  const left = leaveRows(b, 'backward', places, chunkOf(first, spec.chunk), lengths.batch / spec.chunk);
  if (layout.parameters.length > 0) {
    const sum = gradientSource(b, layout.size);
    const packed = b.pack(dense, origin('gradient'), layout.parameters.map((p) => p.offset));
    b.update(sum, b.comprehension('f32', [layout.size], null, add(b.identity(sum), b.identity(packed)), origin('gradient')));
  }
  return { program: b.build(), rows: left };
}

/** The optimizer on the gradient that came together, then the targets; and the reports of the whole step. */
function buildUpdate(parts: StepParts, whole: Coupled, left: RowsLeft, chunk: number): { readonly program: Program; readonly reports: readonly string[] } {
  const { loaded, source, settings, layout, lengths } = parts;
  const b = new ProgramBuilder('update');
  const store = new PlacedStore(b, layout, true);
  const s = openProgram(loaded, b, store, lengths, lengths.batch, true, chunk);
  store.context = s.c;
  // For the targets and their momenta; what the model computes and updates, other programs do.
  elaborateModel(s.c, source.model, s.scope, settings, 'objectives', parts.inputs(s.c));
  store.forgetUpdates();
  const before = reportSource(b, whole.reports.length);
  const reported: Reported[] = whole.reports.map((name, k) => ({ name, value: constantTensor(b.read(before, [int(k)])) }));
  const optimizer = optimizerFor(s, source, parts.overrides);
  if (optimizer !== null && layout.parameters.length + layout.lazy.length > 0) {
    const dense = layout.parameters.length > 0 ? [gradientSource(b, layout.size)] : [];
    const [gradient] = dense;
    const rows = gradientOfRowsLeft(b, left);
    reported.push({ name: 'gradient_norm', value: tensorOfNode(s.c, gradientNorm(b, [...dense, ...[...rows.values()].map((r) => r.gradient)])) });
    const wrt = parameterWindows(b, layout, store);
    const next = applyOptimizer(s.c, s.root, optimizer, layout, {
      flat: () => ({ w: tensorOfNode(s.c, store.flat()), g: tensorOfNode(s.c, gradient) }),
      part: (p, k) => ({ w: tensorOfNode(s.c, wrt[k]), g: tensorOfNode(s.c, b.window(gradient, p.offset, p.shape, origin(`grad ${p.path}`))) }),
      rows: (p) => readRows(s.c, store, p, { dense: [], rows }),
    });
    if (next !== null) {
      b.update(store.flat(), next);
      store.moveTargets(next, (id) => id);
    }
    reported.push(...ratesOf(s.c, optimizer, source));
  }
  store.commit((id) => id);
  b.output('reports', reportVector(b, reported, unstacked));
  return { program: b.build(), reports: reported.map((r) => r.name) };
}
