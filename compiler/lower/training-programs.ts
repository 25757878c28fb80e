/**
 * Builds the programs of a training run: `init` draws what is owned, `step` is one update, `embed` represents examples.
 * The first elaboration discovers parameters and states; the others read them where the layout puts them.
 */
import type { CompileTrainingOptions, LoadedProgram, TargetOptions, TrainingSpec } from '../api.js';
import type { Manifest, ModelInput, PlanEntry } from '../plan/manifest.js';
import { ProgramBuilder } from '../tensor/builder.js';
import type { Program } from '../tensor/program.js';
import { stackTwins, unstacked } from '../tensor/stack-twins.js';
import type { Stacked } from '../tensor/stack-twins.js';
import { add, binary, float, index, int, mul, select } from '../tensor/scalar.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import type { FunctionDeclaration, Input } from '../../grammar/ast.js';
import type { Span } from '../../grammar/span.js';
import { dropDead } from '../tensor/simplify.js';
import { OutputWatch } from './compared-outputs.js';
import type { Context, Store } from './context.js';
import { fail } from './context.js';
import { finishStep } from './finish-step.js';
import { openLossScale } from './loss-scale.js';
import { elaborateModel, rootFrame } from './model.js';
import type { ElaboratedModel } from './model.js';
import { moduleScopes } from './module-scopes.js';
import { absentInputs, elaboratePlan, planOf } from './plan-program.js';
import { applyOptimizer, optimizerOf } from './optimizer.js';
import type { Optimizer } from './optimizer.js';
import { assignGroups, groupName, groupsOf } from './parameter-groups.js';
import type { Scope } from './scope.js';
import { stepNames } from './step-names.js';
import type { Lengths } from './step-names.js';
import { buildStages, discoverStages, stagesOf } from './stage-programs.js';
import { DiscoveringStore, nodeOf, PlacedStore } from './store.js';
import type { Layout } from './store.js';
import { initialTarget } from './targets.js';
import { close, constantTensor, ensureWhole, materialize, orderedFree, reshape, sumOf, tensorOfNode } from './tensor-value.js';
import { entryOf, modelSettings, readTraining, selectModel, settingNames, sortOverrides } from './training-spec.js';
import type { Overrides, TrainingSource } from './training-spec.js';
import { buildVirtualStep } from './virtual-batch.js';
import type { IndexVariable, TensorValue, Value } from './value.js';
import { axisOf } from './value.js';
import { buildViews } from './view-program.js';

export interface TrainingPrograms {
  /** With a virtual batch also `encode`, `backward` and `update`, around `step`; those of the stages, by the names in the manifest; `views` and `plan` where there are such. */
  readonly programs: Readonly<Record<string, Program>> & { readonly init: Program; readonly step: Program; readonly embed: Program };
  readonly manifest: Manifest;
}

/** One elaboration: a builder, a context and the scopes of all modules over it. */
export interface Session {
  readonly c: Context;
  readonly scope: Scope;
  readonly root: Scope;
}

/** Stacked tensors beyond this size are not made: with so much work in each twin nothing is gained. */
const mostStackedBytes = 2 ** 29;

const origin = (name: string): { span: null; name: string } => ({ span: null, name });

export function buildTraining(loaded: LoadedProgram, options: CompileTrainingOptions): TrainingPrograms {
  const source = selectModel(loaded, options.model);
  const spec = readTraining(loaded, options);
  const batch = spec.chunk < spec.batch ? spec.batch : Math.min(spec.batch, options.data.examples);
  if (batch > options.data.examples) return fail(null, 'SSL2009', entryOf(source.train, 'virtual_batch')?.span ?? source.model.name.span, { name: 'virtual_batch', expected: `at most the ${options.data.examples} examples of the data`, found: `${batch}` });
  const lengths = { batch, steps: options.steps, epochSteps: Math.max(1, Math.floor(options.data.examples / batch)), examples: options.data.examples };

  // init: discover everything that is owned, and draw it
  const discovering = new DiscoveringStore();
  const init = openNamed(loaded, 'init', discovering, lengths, batch, true);
  discovering.context = init.c;
  const overrides = overridesOf(init, source, options);
  const settings = modelSettings(init.c, rootFrame(init.c, init.scope, 'train'), source, overrides);
  const inputs = (s: Session, kind: 'resident' | 'batch' | 'embed' | typeof absentInputs) => (input: Input, k: number): TensorValue => inputTensor(s.c, options.data.inputs, input, k, kind, lengths.examples);
  const stages = stagesOf(source.model.body);
  const acting = planOf(source.model);
  const discover = (s: Session, kind: 'resident' | 'batch' | 'embed'): void => {
    elaborateModel(s.c, source.model, s.scope, settings, 'objectives', inputs(s, kind));
    const quiet = reopen(s, loaded, lengths, options.embedBatch, 'embed');
    const model = elaborateModel(quiet.c, source.model, quiet.scope, settings, 'representation', inputs(quiet, 'embed'));
    discoverStages({ c: quiet.c, model }, stages, lengths.examples);
    if (acting === null) return;
    const seen = reopen(s, loaded, lengths, 1, 'plan');
    elaboratePlan(seen.c, elaborateModel(seen.c, source.model, seen.scope, settings, 'plan', inputs(seen, absentInputs)), acting);
  };
  discover(init, options.resident ? 'resident' : 'batch');
  const optimizer = source.train === null ? null : optimizerFor(init, source, overrides);
  const group = assignGroups(groupsOf(source.train), [...discovering.parameters.values()].map((p) => p.info));
  const layout = discovering.layout((p) => ({ group: group.get(p.path) ?? null, decayed: !(optimizer?.skips(p) ?? false) }));
  if (optimizer !== null) discoverOptimizer(init, optimizer, layout);
  if (spec.precision === 'f16') openLossScale(init.c, source.model.name.span);
  const full: Layout = { ...layout, states: [...discovering.states.values()].map((s) => s.info) };
  finishInit(init.c.builder, discovering, full);

  const trained: StepParts = {
    loaded, source, settings, overrides, layout: full, lengths, target: options.target, spec,
    inputs: (c) => (input, k) => inputTensor(c, options.data.inputs, input, k, options.resident ? 'resident' : 'batch', lengths.examples),
  };
  const { model, reports, compared, programs } = spec.chunk < batch ? buildVirtualStep(trained) : buildStep(trained);

  // embed
  const embedBuilder = new ProgramBuilder('embed');
  const embedStore = new PlacedStore(embedBuilder, full, false);
  const embed = openProgram(loaded, embedBuilder, embedStore, lengths, options.embedBatch, false);
  const unnumbered = withoutNumbers(embed.c);
  embedStore.context = unnumbered;
  const represented = elaborateModel(unnumbered, source.model, embed.scope, settings, 'representation', inputs(embed, 'embed'));
  const embeddingSize = finishEmbed(unnumbered, represented, source);

  // stages
  const staged = buildStages({
    stages, examples: lengths.examples, layout: full,
    open: (b, placed) => {
      const s = openProgram(loaded, b, placed, lengths, options.embedBatch, false);
      placed.context = s.c;
      return { c: s.c, model: elaborateModel(s.c, source.model, s.scope, settings, 'stages', inputs(s, 'embed')) };
    },
    discover: (c, fresh) => {
      const s = sessionOf(loaded, c, lengths);
      discover(s, 'embed');
      const own = source.train === null ? null : optimizerFor(s, source, overrides);
      if (own !== null) discoverOptimizer(s, own, layout);
      fresh.context = c;
    },
  });

  const viewBuilder = new ProgramBuilder('views');
  const viewStore = new PlacedStore(viewBuilder, full, false);
  const opened = openProgram(loaded, viewBuilder, viewStore, lengths, options.embedBatch, false);
  viewStore.context = opened.c;
  const views = buildViews({ ...opened, source, settings, inputs: inputs(opened, 'embed'), embed: embedBuilder.build(), size: embeddingSize, finish: finishEmbed });

  // plan
  const planBuilder = new ProgramBuilder('plan');
  const planned = acting === null || options.episodes === undefined ? null : buildPlan(acting, options.episodes);
  function buildPlan(d: FunctionDeclaration, episodes: number): PlanEntry {
    const planStore = new PlacedStore(planBuilder, full, false);
    const played = openProgram(loaded, planBuilder, planStore, lengths, episodes, false, null, 'plan');
    planStore.context = played.c;
    const { entry, actions } = elaboratePlan(played.c, elaborateModel(played.c, source.model, played.scope, settings, 'plan', inputs(played, absentInputs)), d);
    planBuilder.output('actions', actions);
    return entry;
  }

  const manifest: Manifest = {
    model: spec.model, settings: spec.settings, inputs: options.data.inputs, batch, chunk: Math.min(spec.chunk, batch), embedBatch: options.embedBatch, embeddingSize, steps: options.steps,
    parameters: [
      ...full.parameters.map((p) => ({ path: p.path, arena: 'parameters', offset: p.offset, shape: p.shape })),
      ...full.targets.flatMap((t) => t.parameters.map((p) => ({ path: t.info.name + p.path.slice(t.info.of.length), arena: `target.${t.info.name}`, offset: p.offset, shape: p.shape }))),
    ],
    targets: full.targets.map(({ info }) => ({ name: info.name, of: info.of, when: info.when, buffers: info.buffers })),
    states: full.states.map((s) => ({ name: s.name, shape: s.shape })),
    stages: staged.entries,
    objectives: model.objectives.map((o) => ({ name: o.name, role: o.role })),
    monitors: model.monitors.map((m) => m.name),
    codes: model.monitors.flatMap((m) => (m.codes === null ? [] : [{ report: m.name, size: Math.min(m.codes, batch) }])),
    reports,
    compared,
    views: views?.names ?? [],
    trivial: options.trivial ?? null,
    ...(planned === null ? {} : { plan: planned }),
  };
  return { programs: { init: init.c.builder.build(), ...programs, embed: embedBuilder.build(), ...(views === null ? {} : { views: views.program }), ...staged.programs, ...(planned === null ? {} : { plan: planBuilder.build() }) }, manifest };
}

/** What the programs of a step are made from. */
export interface StepParts {
  readonly loaded: LoadedProgram;
  readonly source: TrainingSource;
  readonly spec: TrainingSpec;
  readonly settings: ReadonlyMap<string, Value>;
  readonly overrides: Overrides;
  readonly layout: Layout;
  readonly lengths: Lengths;
  readonly target: TargetOptions;
  readonly inputs: (c: Context) => (input: Input, position: number) => TensorValue;
}

export interface BuiltStep {
  readonly programs: Readonly<Record<string, Program>> & { readonly step: Program };
  readonly model: ElaboratedModel;
  readonly reports: readonly string[];
  readonly compared: Manifest['compared'];
}

function buildStep({ loaded, source, spec, settings, overrides, layout, lengths, target, inputs }: StepParts): BuiltStep {
  const builder = new ProgramBuilder('step');
  const store = new PlacedStore(builder, layout, true);
  const step = openProgram(loaded, builder, store, lengths, lengths.batch, true);
  const watch = new OutputWatch();
  const s: Session = { ...step, c: { ...step.c, onApplication: (net, value, _inputs, from) => { watch.seen(step.c, net, value, from); return value; } } };
  store.context = s.c;
  const model = elaborateModel(s.c, source.model, s.scope, settings, 'objectives', inputs(s.c));
  const { reports, compared } = finishStep(s, model, source, overrides, layout, store, target, watch, spec.precision);
  return { programs: { step: builder.build() }, model, reports, compared };
}

function openNamed(loaded: LoadedProgram, name: string, store: Store, lengths: Lengths, batch: number, training: boolean): Session {
  return openProgram(loaded, new ProgramBuilder(name), store, lengths, batch, training);
}

/** With `chunk`, the program sees so many examples of the batch at a time: those of number `clock.chunk`. */
export function openProgram(loaded: LoadedProgram, builder: ProgramBuilder, store: Store, lengths: Lengths, batch: number, training: boolean, chunk: number | null = null, entry: 'batch' | 'embed' | 'plan' = training ? 'batch' : 'embed'): Session {
  const seed = builder.source('clock.seed', 'clock', 'i32', [], origin('seed'));
  const step = builder.source('clock.step', 'clock', 'i32', [], origin('step'));
  const example = builder.source(`${entry}.example`, 'batch', 'i32', [batch], origin('example'));
  const variable = { id: 1_000_000, name: 'batch', axis: axisOf(chunk ?? batch, 'B'), implicit: true };
  const c: Context = {
    builder, training, store, seed, step, batch: chunk === null ? { variable, example } : chunkOf(builder, variable, example, chunk), counter: 0, calls: [], applications: new Map(), epochSteps: lengths.epochSteps,
  };
  return sessionOf(loaded, c, lengths);
}

function chunkOf(builder: ProgramBuilder, variable: IndexVariable, examples: TensorId, size: number): Context['batch'] {
  const number = builder.source('clock.chunk', 'clock', 'i32', [], origin('chunk'));
  const first = mul(builder.read(number, []), int(size));
  const example = builder.comprehension('i32', [size], null, builder.read(examples, [add(first, index(0))]), origin('example'));
  return { variable, example, within: { first, size: builder.tensor(examples).shape[0] } };
}

function sessionOf(loaded: LoadedProgram, c: Context, lengths: Lengths): Session {
  const scopes = moduleScopes(loaded, stepNames(c, lengths));
  return { c, scope: scopes.main, root: scopes.root };
}

/** The same program under evaluation conditions (`training` false), so that what only `represent` owns is discovered too. */
function reopen(s: Session, loaded: LoadedProgram, lengths: Lengths, batch: number, entry: 'embed' | 'plan'): Session {
  const variable = { id: 1_500_000, name: 'batch', axis: axisOf(batch, 'B'), implicit: true };
  const example = sourceOnce(s.c.builder, `${entry}.example`, 'batch', 'i32', [batch]);
  return sessionOf(loaded, { ...s.c, training: false, batch: { variable, example }, counter: 600_000, applications: new Map() }, lengths);
}

export function inputTensor(c: Context, inputs: readonly ModelInput[], input: Input, k: number, kind: 'resident' | 'batch' | 'embed' | typeof absentInputs, examples: number): TensorValue {
  const batch = c.batch;
  const info = inputs.find((i) => i.name === input.name.text) ?? inputs[k];
  if (info === undefined || batch === null) {
    return fail(c, 'SSL2002', input.span, { callee: 'the data set', expected: `${inputs.length} inputs (${inputs.map((i) => i.name).join(', ')}) at most`, found: k + 1 });
  }
  const size = batch.within?.size ?? batch.variable.axis.size;
  const at = batch.within === undefined ? index(batch.variable.id) : add(batch.within.first, index(batch.variable.id));
  const free = new Map([[batch.variable.id, batch.variable]]);
  const axes = info.shape.map((n) => axisOf(n));
  const source = (name: string, role: 'data' | 'batch', rows: number): TensorId => sourceOnce(c.builder, name, role, info.element, [rows, ...info.shape]);
  if (kind === 'resident') {
    const data = source(`data.${info.name}`, 'data', examples);
    const order = sourceOnce(c.builder, 'batch.order', 'batch', 'i32', [size]);
    return { kind: 'tensor', element: info.element, axes, free, at: (i) => c.builder.read(data, [c.builder.read(order, [at]), ...i]) };
  }
  // Of a batch in chunks, only the chunk at hand is sent.
  if (batch.within !== undefined) {
    const rows = source(`chunk.${info.name}`, 'batch', batch.variable.axis.size);
    return { kind: 'tensor', element: info.element, axes, free, at: (i) => c.builder.read(rows, [index(batch.variable.id), ...i]) };
  }
  const rows = source(`${kind}.${info.name}`, 'batch', size);
  return { kind: 'tensor', element: info.element, axes, free, at: (i) => c.builder.read(rows, [at, ...i]) };
}

function sourceOnce(b: ProgramBuilder, name: string, role: 'data' | 'batch', element: 'f32' | 'i32' | 'u8' | 'bool', shape: readonly number[]): TensorId {
  const known = b.tensors.find((t) => t.kind === 'source' && t.name === name);
  return known?.id ?? b.source(name, role, element, shape, origin(name));
}

export function overridesOf(s: Session, source: TrainingSource, options: Pick<CompileTrainingOptions, 'set'>): Overrides {
  const frame = rootFrame(s.c, s.scope, 'train');
  return sortOverrides(source, options.set, settingNames(s.c, frame, entryOf(source.train, 'optimizer')), settingNames(s.c, frame, entryOf(source.train, 'schedule')));
}

export const optimizerFor = (s: Session, source: TrainingSource, overrides: Overrides): Optimizer | null => optimizerOf(s.c, rootFrame({ ...s.c, batch: null }, s.scope, 'train'), source, overrides);

/** Elaborates the optimizer once on dummies, so that its states are known and start at their declared values. */
export function discoverOptimizer(s: Session, optimizer: Optimizer, layout: Layout): void {
  const zero = (n: readonly number[]): TensorValue => tensorOfNode(s.c, s.c.builder.comprehension('f32', n, null, float(0), origin('zero')));
  applyOptimizer(s.c, s.root, optimizer, layout, {
    flat: () => ({ w: zero([layout.size]), g: zero([layout.size]) }),
    part: (p) => ({ w: zero(p.shape), g: zero(p.shape) }),
  });
}

export function finishInit(b: ProgramBuilder, store: DiscoveringStore, layout: Layout): void {
  const initial = (path: string): TensorId => store.parameters.get(path)?.initial ?? (0 as TensorId);
  if (layout.parameters.length > 0) {
    const flat = b.source('parameters', 'parameters', 'f32', [layout.size], origin('parameters'));
    b.update(flat, b.pack(layout.parameters.map((p) => initial(p.path)), origin('parameters'), layout.parameters.map((p) => p.offset)));
  }
  for (const t of layout.targets) {
    const flat = b.source(`target.${t.info.name}`, 'state', 'f32', [t.size], origin(t.info.name));
    b.update(flat, initialTarget(b, t, initial));
  }
  for (const [name, s] of store.states) {
    b.update(b.source(name, 'state', s.info.element, s.info.shape, origin(name)), s.initial);
  }
}

/** A scalar that a step reports. */
export interface Reported {
  readonly name: string;
  readonly value: TensorValue;
}

/** The loss, and what is reported of the model: the loss, its terms, the monitors, how far apart the compared outputs lie. */
export function lossOf(c: Context, model: ElaboratedModel, source: TrainingSource, watch: OutputWatch): { readonly total: TensorId; readonly reported: readonly Reported[]; readonly compared: Manifest['compared'] } {
  const { span, text } = source.model.name;
  if (model.objectives.length === 0) return fail(c, 'SSL3003', span, { model: text });
  const total = materialize(c, model.objectives.map((o) => o.value).reduce((x, y) => sumOf(c, span, x, y)), 'loss', span);
  const outputs = watch.compared(c, nodeOf(total)).map((o) => ({ ...o, name: `std.${o.net}` }));
  return {
    total: nodeOf(total),
    reported: [{ name: 'loss', value: total }, ...model.objectives.map((o) => ({ name: o.name, value: o.value })), ...model.monitors, ...outputs.map(({ name, value }) => ({ name, value }))],
    compared: outputs.map(({ net, name, size }) => ({ net, report: name, size })),
  };
}

/** The rates of the optimizer and of the groups with their own. */
export function ratesOf(c: Context, optimizer: Optimizer, source: TrainingSource): readonly Reported[] {
  const rates = [{ name: 'rate', rate: optimizer.rate }, ...optimizer.groups.map((g) => ({ name: `rate.${groupName(g)}`, rate: g.settings.get('rate') ?? optimizer.rate }))];
  return rates.flatMap(({ name, rate }) => {
    if (rate.kind === 'tensor') return [{ name, value: materialize(c, rate, name, source.model.name.span) }];
    return rate.kind === 'number' ? [{ name, value: constantTensor(float(rate.value)) }] : [];
  });
}

/** All of them in one vector. */
export function reportVector(b: ProgramBuilder, reported: readonly Reported[], stacked: Stacked): TensorId {
  const values = reported.map((r) => stacked.scalar(r.value.at([])));
  const body = values.reduce<Scalar>((rest, v, k) => (k === 0 ? v : select(binary('eq', index(0), int(k)), v, rest)), float(0));
  return b.comprehension('f32', [values.length], null, body, origin('reports'));
}

/** A window of the flat arena for every parameter, those that were read and those that were not. */
export function parameterWindows(b: ProgramBuilder, layout: Layout, store: PlacedStore): TensorId[] {
  return layout.parameters.map((p) => store.windows.get(p.path) ?? b.window(store.flat(), p.offset, p.shape, origin(p.path)));
}

/** Twin computations become one, before they are differentiated; `twins` switches it off. */
export function stackObjectives(b: ProgramBuilder, roots: readonly TensorId[], target: TargetOptions): Stacked {
  return target.disabled.includes('twins') ? unstacked : stackTwins(b, roots, Math.min(target.maxBindingBytes, mostStackedBytes));
}

const unnumberedSource = 'embed.unnumbered';

/** Examples that are embedded have no number in the training set. */
function withoutNumbers(c: Context): Context {
  const { batch } = c;
  return batch === null ? c : { ...c, batch: { ...batch, unnumbered: c.builder.source(unnumberedSource, 'batch', 'i32', [batch.variable.axis.size], origin('id')) } };
}

function representSpan(source: TrainingSource): Span | null {
  return source.model.body.find((s) => s.kind === 'represent')?.span ?? null;
}

export function finishEmbed(c: Context, model: ElaboratedModel, source: TrainingSource): number {
  const r = model.representation;
  const span = source.model.name.span;
  if (r === null || c.batch === null) return fail(c, 'SSL3004', span, { model: source.model.name.text });
  const size = r.axes.reduce((n, a) => n * a.size, 1);
  const flat = r.axes.length === 1 ? r : reshape(c, span, r, [size]);
  const whole = close({ ...flat, free: new Map([[c.batch.variable.id, c.batch.variable], ...flat.free]) }, [c.batch.variable]);
  if (orderedFree(whole).length > 0) return fail(c, 'SSL2001', span, { expected: 'one embedding for each example', found: 'more' });
  c.builder.output('embedding', nodeOf(ensureWhole(c, whole, 'embedding', span)));
  if (dropDead(c.builder.build()).tensors.some((t) => t.kind === 'source' && t.name === unnumberedSource)) {
    return fail(c, 'SSL3011', representSpan(source) ?? span, { model: source.model.name.text });
  }
  return size;
}
