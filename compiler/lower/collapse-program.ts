/** Elaborates a model's objectives with every network's output replaced by a source of its shape. */
import type { CollapseRequest } from '../check/collapse.js';
import { dependencyFinder } from '../check/dependencies.js';
import type { LoadedProgram } from '../api.js';
import { ProgramBuilder } from '../tensor/builder.js';
import type { Program } from '../tensor/program.js';
import { index, visit } from '../tensor/scalar.js';
import type { TensorId } from '../tensor/scalar.js';
import type { Context, Store } from './context.js';
import { elaborateModel, rootFrame } from './model.js';
import type { Objective } from './model.js';
import { assignedByStages, stagesOf } from './stage-programs.js';
import { DiscoveringStore, nodeOf } from './store.js';
import { inputTensor, openProgram } from './training-programs.js';
import { entryOf, modelSettings, selectModel, settingNames, sortOverrides } from './training-spec.js';
import { axisOf } from './value.js';
import type { Axis, IndexVariable, NetValue, TensorValue, Value } from './value.js';

/** One application of a network, its output now a source. */
export interface Application {
  readonly name: string;
  readonly source: TensorId;
  readonly target: boolean;
  /** Tensors it was applied to. */
  readonly inputs: readonly TensorId[];
}

export interface CollapseProgram {
  readonly program: Program;
  readonly objectives: readonly Objective[];
  /** The scalar of each objective. */
  readonly terms: readonly TensorId[];
  readonly applications: readonly Application[];
  /** Initial values of matrices outside networks, prototypes for instance. */
  readonly matrices: ReadonlySet<TensorId>;
  /** Tables of whole numbers that a stage computes from networks' outputs over the data set: assignments to clusters. */
  readonly clusterings: ReadonlySet<TensorId>;
  /** Sources that are the model's inputs. */
  readonly inputs: ReadonlySet<TensorId>;
}

export function elaborateForCollapse(loaded: LoadedProgram, request: CollapseRequest, batch: number): CollapseProgram {
  const source = selectModel(loaded, request.model);
  const builder = new ProgramBuilder('collapse');
  const discovering = new DiscoveringStore();
  const store = statesAsSources(discovering, builder);
  const lengths = { batch, steps: 100, epochSteps: 10, examples: Math.max(batch, request.data.examples) };
  const opened = openProgram(loaded, builder, store, lengths, batch, true);
  const applications: Application[] = [];
  const c: Context = {
    ...opened.c,
    replaceOutput: (net, value, args) => replace(builder, applications, opened.c, net, value, args),
    // What is inferred depends on networks' outputs, which are not what networks give here: it is a free value too.
    replaceLatent: (name, element, axes, over) => sourceOver(builder, `latent.${name}`, element, axes, over),
  };
  discovering.context = c;
  const frame = rootFrame(c, opened.scope, 'train');
  const overrides = sortOverrides(source, request.set, settingNames(c, frame, entryOf(source.train, 'optimizer')), settingNames(c, frame, entryOf(source.train, 'schedule')));
  const settings = modelSettings(c, frame, source, overrides);
  const model = elaborateModel(c, source.model, opened.scope, settings, 'objectives', (input, k) => inputTensor(c, request.data.inputs, input, k, 'batch', lengths.examples));
  const stages = stagesOf(source.model.body);
  const assigned = assignedByStages({ c, model }, stages, lengths.examples);
  const inputs = new Set(builder.tensors.flatMap((t) => (t.kind === 'source' && t.name.startsWith('batch.') && t.name !== 'batch.example' ? [t.id] : [])));
  const find = dependencyFinder(builder.tensors);
  const networks = new Set(applications.map((a) => a.source));
  const clusterings = new Set(builder.tensors.flatMap((t) => {
    const by = t.kind === 'source' && t.element === 'i32' && t.name.startsWith('table.') ? assigned.get(t.name) : undefined;
    const passed = by !== undefined && [...find(by.value).all].some((s) => { const from = builder.tensor(s); return from.kind === 'source' && from.name.startsWith('stage.'); });
    return passed && by.rows.some((r) => [...find(r).all].some((s) => networks.has(s))) ? [t.id] : [];
  }));
  const matrices = new Set([...discovering.parameters.values()].flatMap((q) => (q.info.shape.length >= 2 ? [q.initial] : [])));
  return { clusterings, matrices, program: builder.build(), objectives: model.objectives, terms: model.objectives.map((o) => nodeOf(o.value)), applications, inputs };
}

/** States and memories as sources, so that the analysis says what they hold. */
function statesAsSources(discovering: DiscoveringStore, b: ProgramBuilder): Store {
  const states = new Map<string, TensorValue>();
  return {
    parameter: (info, target, initial, span) => discovering.parameter(info, target, initial, span),
    state: (info) => {
      const known = states.get(info.name);
      if (known !== undefined) return known;
      const id = b.source(info.name, 'state', info.element, info.shape, { span: null, name: info.name });
      const value: TensorValue = { kind: 'tensor', element: info.element, axes: info.shape.map((n) => axisOf(n)), free: new Map(), at: (i) => b.read(id, i) };
      states.set(info.name, value);
      return value;
    },
    updateState: () => undefined,
    target: () => undefined,
  };
}

/** The output of a network as a source of the same shape: the batch first, then what it is mapped over, then its own axes. */
function replace(b: ProgramBuilder, applications: Application[], c: Context, net: NetValue, value: Value, args: readonly Value[]): Value {
  if (value.kind !== 'tensor') return value;
  const free = new Map(value.free);
  if (c.batch !== null) free.set(c.batch.variable.id, c.batch.variable);
  const outer = [...free.values()].sort((x, y) => x.id - y.id);
  const name = net.target?.name ?? net.name;
  const output = sourceOver(b, `network.${applications.length}.${name}`, 'f32', value.axes, outer);
  applications.push({ name, source: nodeOf(output), target: net.target !== null, inputs: args.flatMap((a) => (a.kind === 'tensor' ? readTensors(a) : [])) });
  return output;
}

/** A source with one row for each of the variables around. */
function sourceOver(b: ProgramBuilder, name: string, element: 'f32' | 'i32', axes: readonly Axis[], over: readonly IndexVariable[]): TensorValue {
  const id = b.source(name, 'batch', element, [...over.map((v) => v.axis.size), ...axes.map((a) => a.size)], { span: null, name });
  const leading = over.map((v) => index(v.id));
  return { kind: 'tensor', element, axes, free: new Map(over.map((v) => [v.id, v])), at: (i) => b.read(id, [...leading, ...i]) };
}

/** Every tensor an argument reads. */
function readTensors(v: TensorValue): TensorId[] {
  const found: TensorId[] = [];
  visit(v.at(v.axes.map((_, k) => index(2_000_000 + k))), (s) => { if (s.kind === 'read') found.push(s.tensor); });
  return found;
}
