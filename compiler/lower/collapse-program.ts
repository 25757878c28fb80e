/**
 * Elaborates a model's objectives alone, for analyses: with every network's output replaced by a source of its shape, or with the
 * networks kept. No weight is allocated: parameters are the drawings of their initial values, which nobody evaluates.
 */
import { dependencyFinder } from '../check/dependencies.js';
import type { DataInfo, LoadedProgram } from '../api.js';
import { ProgramBuilder } from '../tensor/builder.js';
import type { Program, Tensor } from '../tensor/program.js';
import { visit } from '../tensor/scalar.js';
import type { TensorId } from '../tensor/scalar.js';
import type { Context, ParameterInfo, Store } from './context.js';
import { elaborateModel, rootFrame } from './model.js';
import type { Objective } from './model.js';
import { assignedByStages, stagesOf } from './stage-programs.js';
import { DiscoveringStore, nodeOf } from './store.js';
import { inputTensor } from './input-tensor.js';
import { openProgram } from './session.js';
import { sourceOver } from './source-over.js';
import { standIns } from './stand-ins.js';
import { entryOf, modelSettings, selectModel, settingNames, sortOverrides } from './training-spec.js';
import { elementOf, ensureMaterialized, ensureRead } from './tensor-value.js';
import { axisOf } from './value.js';
import type { NetValue, TensorValue, Value } from './value.js';

/** What the analyses know of a model: which one, with which settings, on what data. */
export interface ObjectivesRequest {
  readonly model: string | null;
  readonly set: Readonly<Record<string, string>>;
  readonly data: DataInfo;
}

/** One application of a network. */
export interface Application {
  /** Of the network, or of the target. */
  readonly name: string;
  /** The network whose weights it has, or follows. */
  readonly of: string;
  /** Its output, the batch first: a source where networks are replaced. Null when it is not one tensor. */
  readonly output: TensorId | null;
  readonly target: boolean;
  /** How many views of an example went through it together. */
  readonly together: number;
  /** By a stage, not by the objective. */
  readonly staged: boolean;
  /** Tensors it was applied to. */
  readonly inputs: readonly TensorId[];
  /** The tensors it made: `from` and all before `to`. */
  readonly from: TensorId;
  readonly to: TensorId;
}

export interface ObjectivesProgram {
  readonly program: Program;
  readonly objectives: readonly Objective[];
  /** The scalar of each objective. */
  readonly terms: readonly TensorId[];
  readonly applications: readonly Application[];
  /** What states and memories become after a step, by name; empty where networks are kept. */
  readonly updates: ReadonlyMap<string, TensorId>;
  /** Memories and states that every step writes: sources. Those that nothing writes hold their initial value, and are none. */
  readonly memories: ReadonlySet<TensorId>;
  /** Initial values of everything that is trained. */
  readonly weights: ReadonlySet<TensorId>;
  /** Initial values of matrices outside networks, prototypes for instance. */
  readonly matrices: ReadonlySet<TensorId>;
  /** Tables of whole numbers that a stage computes from networks' outputs over the data set: assignments to clusters. */
  readonly clusterings: ReadonlySet<TensorId>;
  /** What a stage computes from the inputs over the data set, without a network. */
  readonly precomputed: ReadonlySet<TensorId>;
  /** Sources that are the model's inputs. */
  readonly inputs: ReadonlySet<TensorId>;
  readonly parameters: readonly ParameterInfo[];
  readonly batch: number;
}

export function elaborateObjectives(loaded: LoadedProgram, request: ObjectivesRequest, batch: number, networks: 'replaced' | 'kept'): ObjectivesProgram {
  const source = selectModel(loaded, request.model);
  const builder = new ProgramBuilder('objectives');
  const discovering = new DiscoveringStore();
  const updates = new Map<string, TensorId>();
  const store = statesAsSources(discovering, builder, networks === 'replaced' ? updates : null);
  const lengths = { batch, steps: 100, epochSteps: 10, examples: Math.max(batch, request.data.examples) };
  const opened = openProgram(loaded, builder, store, lengths, batch, true);
  const applications: Application[] = [];
  let staged = false;
  const c: Context = {
    ...opened.c,
    // Outputs are replaced anyway.
    ...(networks === 'replaced' ? { standIn: standIns() } : {}),
    onApplication: (net, value, args, from) => {
      const to = builder.nextId;
      const seen = networks === 'replaced' ? replace(builder, applications.length, opened.c, net, value) : value;
      applications.push({
        name: nameOf(net), of: net.target?.of ?? net.name, output: outputOf(opened.c, seen, net), target: net.target !== null, staged, together: Math.max(1, ...args.map(viewsIn)),
        inputs: args.flatMap((a) => (a.kind === 'tensor' ? readTensors(a) : [])), from, to,
      });
      return seen;
    },
    // What is inferred depends on networks' outputs, which are not what networks give here: it is a free value too.
    ...(networks === 'replaced' ? { replaceLatent: (name, element, axes, over) => sourceOver(builder, `latent.${name}`, element, axes, over) } : {}),
  };
  discovering.context = c;
  const frame = rootFrame(c, opened.scope, 'train');
  const overrides = sortOverrides(source, request.set, settingNames(c, frame, entryOf(source.train, 'optimizer')), settingNames(c, frame, entryOf(source.train, 'schedule')));
  const settings = modelSettings(c, frame, source, overrides);
  const model = elaborateModel(c, source.model, opened.scope, settings, 'objectives', (input, k) => inputTensor(c, request.data.inputs, input, k, 'batch', lengths.examples));
  staged = true;
  const assigned = assignedByStages({ c, model }, stagesOf(source.model.body), lengths.examples);
  const inputs = new Set(builder.tensors.flatMap((t) => (t.kind === 'source' && t.name.startsWith('batch.') && t.name !== 'batch.example' ? [t.id] : [])));
  const { clusterings, precomputed } = stageResults(builder.tensors, assigned, new Set(applications.map((a) => a.output)), inputs);
  const tensors = withInitialValues(builder, discovering, (name) => store.written.has(name) || assigned.has(name));
  const memories = new Set(tensors.flatMap((t) => (t.kind === 'source' && store.written.has(t.name) ? [t.id] : [])));
  const matrices = new Set([...discovering.parameters.values()].flatMap((q) => (q.info.shape.length >= 2 ? [q.initial] : [])));
  const weights = new Set([...discovering.parameters.values()].map((q) => q.initial));
  return {
    updates, memories, weights, clusterings, precomputed, matrices, program: { ...builder.build(), tensors }, objectives: model.objectives, terms: model.objectives.map((o) => nodeOf(o.value)), applications, inputs,
    parameters: [...discovering.parameters.values()].map((p) => p.info), batch,
  };
}

/** Which tables stages compute from networks' outputs, and which from the inputs alone. */
function stageResults(tensors: readonly Tensor[], assigned: ReturnType<typeof assignedByStages>, outputs: ReadonlySet<TensorId | null>, inputs: ReadonlySet<TensorId>): { clusterings: ReadonlySet<TensorId>; precomputed: ReadonlySet<TensorId> } {
  const find = dependencyFinder(tensors);
  const clusterings = new Set<TensorId>();
  const precomputed = new Set<TensorId>();
  for (const t of tensors) {
    const by = t.kind === 'source' && t.name.startsWith('table.') ? assigned.get(t.name) : undefined;
    const passed = by !== undefined && [...find(by.value).all].some((s) => { const from = tensors[s]; return from.kind === 'source' && from.name.startsWith('stage.'); });
    if (!passed) continue;
    const rows = by.rows.flatMap((r) => [...find(r).all]);
    if (rows.some((s) => outputs.has(s))) {
      if (t.kind === 'source' && t.element === 'i32') clusterings.add(t.id);
    } else if (rows.some((s) => inputs.has(s))) precomputed.add(t.id);
  }
  return { clusterings, precomputed };
}

/** States that nothing writes are what they were at first. */
function withInitialValues(b: ProgramBuilder, discovering: DiscoveringStore, isWritten: (name: string) => boolean): readonly Tensor[] {
  return b.tensors.map((t): Tensor => {
    const known = t.kind === 'source' && t.role === 'state' && !isWritten(t.name) ? discovering.states.get(t.name) : undefined;
    return known === undefined ? t : { kind: 'comprehension', id: t.id, element: t.element, shape: t.shape, reduce: null, body: b.identity(known.initial), origin: t.origin };
  });
}

const nameOf = (net: NetValue): string => net.target?.name ?? net.name;

/** The output of an application in memory, the batch first. */
function outputOf(c: Context, value: Value, net: NetValue): TensorId | null {
  if (value.kind !== 'tensor' || value.element !== 'f32') return null;
  const [first] = readTensors(ensureMaterialized(c, value, nameOf(net), { file: '', start: 0, end: 0 }));
  return first ?? null;
}

/** States and memories as sources, so that the analysis says what they hold; `updates` takes what they become. */
function statesAsSources(discovering: DiscoveringStore, b: ProgramBuilder, updates: Map<string, TensorId> | null): Store & { readonly written: ReadonlySet<string> } {
  const states = new Map<string, TensorValue>();
  const written = new Set<string>();
  return {
    written,
    parameter: (info, target, initial, span) => discovering.parameter(info, target, initial, span),
    state: (info, initial, span) => {
      const known = states.get(info.name);
      if (known !== undefined) return known;
      discovering.state(info, initial, span);
      const id = b.source(info.name, 'state', info.element, info.shape, { span: null, name: info.name });
      const value: TensorValue = { kind: 'tensor', element: info.element, axes: info.shape.map((n) => axisOf(n)), free: new Map(), at: (i) => b.read(id, i) };
      states.set(info.name, value);
      return value;
    },
    updateState: (name, value, span) => {
      const { context } = discovering;
      written.add(name);
      if (updates !== null && context !== null && value.free.size === 0) updates.set(name, nodeOf(ensureRead(context, value, name, span)));
    },
    target: () => undefined,
  };
}

/**
 * The output of a network as a source of the same shape: the batch first, then what it is mapped over, then its own axes. Views of
 * an example that went through it together are all the same.
 */
function replace(b: ProgramBuilder, position: number, c: Context, net: NetValue, value: Value): Value {
  if (value.kind !== 'tensor') return value;
  const free = new Map(value.free);
  if (c.batch !== null) free.set(c.batch.variable.id, c.batch.variable);
  const outer = [...free.values()].sort((x, y) => x.id - y.id);
  const apart = value.axes.map((a) => a.views !== true);
  const one = sourceOver(b, `network.${position}.${nameOf(net)}`, 'f32', value.axes.filter((_, k) => apart[k]), outer.filter((v) => v.axis.views !== true));
  return { ...one, axes: value.axes, at: (i) => one.at(i.filter((_, k) => apart[k])) };
}

/** How many views lie side by side in an argument. */
function viewsIn(v: Value): number {
  return v.kind === 'tensor' ? [...v.axes, ...[...v.free.values()].map((x) => x.axis)].reduce((n, a) => (a.views === true ? n * a.size : n), 1) : 1;
}

/** Every tensor an argument reads. */
function readTensors(v: TensorValue): TensorId[] {
  const found: TensorId[] = [];
  visit(elementOf(v), (s) => { if (s.kind === 'read') found.push(s.tensor); });
  return found;
}
