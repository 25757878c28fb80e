/**
 * Programs that train what a model represents further, with labels: the networks that `represent` uses under a classifier, which is a
 * model of its own, written in `.ssl` (`std.fine_tuning`): inputs `h`, the representation, and `label`. Both are elaborated into one
 * program, so parameters and running statistics keep the names they have in the model's checkpoints.
 *
 * Entries: `init`; `step` (reads `batch.INPUT` and `batch.label`, output `reports`: the loss); `embed` (the classifier's scores, running
 * statistics). Slow copies that are represented are networks like others here: they learn.
 */
import type { CompileFineTuningOptions, LoadedProgram } from '../api.js';
import type { Manifest } from '../plan/manifest.js';
import type { Input, ModelDeclaration, Statement } from '../../grammar/ast.js';
import { bug } from '../../grammar/diagnostics/report.js';
import { ProgramBuilder } from '../tensor/builder.js';
import { differentiate } from '../tensor/differentiate.js';
import type { Program } from '../tensor/program.js';
import { index } from '../tensor/scalar.js';
import { unstacked } from '../tensor/stack-twins.js';
import type { Store } from './context.js';
import { fail } from './context.js';
import { elaborateModel, rootFrame } from './model.js';
import { neededPart } from './needed-part.js';
import type { ElaboratedModel } from './model.js';
import { moduleScopes } from './module-scopes.js';
import { applyOptimizer } from './apply-optimizer.js';
import { stepNames } from './step-names.js';
import { DiscoveringStore, PlacedStore } from './store.js';
import type { Layout } from './store.js';
import { reshape, tensorOfNode } from './tensor-value.js';
import { finishEmbed } from './finish-embed.js';
import { finishInit } from './finish-init.js';
import { unreadRows } from './lazy-parameters.js';
import { inputTensor } from './input-tensor.js';
import { openProgram } from './session.js';
import type { Session } from './session.js';
import { discoverOptimizer, lossOf, optimizerFor, overridesOf, parameterWindows, reportVector } from './step-parts.js';
import { entryOf, modelSettings, readTraining, selectModel } from './training-spec.js';
import type { TrainingSource } from './training-spec.js';
import type { TensorValue, Value } from './value.js';
import { OutputWatch } from './compared-outputs.js';

export interface FineTuningPrograms {
  readonly programs: Readonly<Record<'init' | 'step' | 'embed', Program>>;
  readonly manifest: Manifest;
  /** Optimizer and schedule as they are written, for people. */
  readonly recipe: string;
}

const origin = (name: string): { span: null; name: string } => ({ span: null, name });

/** The model and the classifier in one program. */
interface Joined {
  /** Of the model. */
  readonly s: Session;
  /** Of the classifier: its names, and where an optimizer looks for `step`. */
  readonly head: Session;
  readonly classifier: ElaboratedModel;
}

export function buildFineTuning(loaded: LoadedProgram, tuning: LoadedProgram, options: CompileFineTuningOptions): FineTuningPrograms {
  const source = selectModel(loaded, options.model);
  const represented: TrainingSource = { ...source, model: representedPart(source.model) };
  const top = selectModel(tuning, null);
  const { classes } = options.data;
  if (classes === null) return bug('fine-tuning without classes');
  const set = { classes: `${classes}`, ...(options.rate === null ? {} : { 'optimizer.rate': `${options.rate}` }) };
  const lengths = { batch: options.batch, steps: options.steps, epochSteps: options.epochSteps, examples: options.data.examples };

  const join = (name: string, store: (b: ProgramBuilder) => Store & { context: Session['c'] | null }, training: boolean, wanted: 'objectives' | 'representation'): Joined => {
    const b = new ProgramBuilder(name);
    const placed = store(b);
    const s = openProgram(loaded, b, placed, lengths, training ? options.batch : options.embedBatch, training);
    placed.context = s.c;
    const scopes = moduleScopes(tuning, stepNames(s.c, lengths));
    const head: Session = { c: s.c, scope: scopes.main, root: scopes.root };
    const settings = modelSettings(s.c, rootFrame(s.c, s.scope, 'train'), source, overridesOf(s, source, options));
    const inputs = (input: Input, k: number): TensorValue => inputTensor(s.c, options.data.inputs, input, k, training ? 'batch' : 'embed', lengths.examples);
    const h = representationOf(s, elaborateModel(s.c, represented.model, s.scope, settings, 'representation', inputs), source);
    const given = (input: Input): TensorValue => (input.name.text === 'label' ? labels(s, training) : h);
    const classifier = elaborateModel(s.c, top.model, head.scope, headSettings(head, top, set), wanted, given);
    return { s, head, classifier };
  };

  // init
  const discovering = new DiscoveringStore();
  const init = join('init', () => discovering, true, 'objectives');
  const overrides = overridesOf(init.head, top, { set });
  const optimizer = optimizerFor(init.head, top, overrides) ?? bug('the classifier has no optimizer');
  const laid = discovering.layout((p) => ({ group: null, decayed: !optimizer.skips(p), lazy: false }));
  discoverOptimizer(init.head, optimizer, laid);
  const layout: Layout = { ...laid, states: [...discovering.states.values()].map((x) => x.info) };
  finishInit(init.s.c.builder, discovering, layout);

  const embed = join('embed', (b) => new PlacedStore(b, layout, false), false, 'representation');
  const size = finishEmbed(embed.s.c, embed.classifier, top);
  const spec = readTraining(loaded, { model: options.model, set: options.set });
  const manifest: Manifest = {
    model: spec.model, settings: spec.settings, inputs: options.data.inputs, batch: options.batch, chunk: options.batch, embedBatch: options.embedBatch, embeddingSize: size, steps: options.steps,
    parameters: layout.parameters.map((p) => ({ path: p.path, arena: 'parameters', offset: p.offset, shape: p.shape })),
    targets: [], states: layout.states.map((x) => ({ name: x.name, shape: x.shape })), stages: [], monitors: [], codes: [], views: [], compared: [], trivial: null,
    objectives: embed.classifier.objectives.map((o) => ({ name: o.name, role: o.role })), reports: ['loss'],
  };
  return { programs: { init: init.s.c.builder.build(), step: buildStep(), embed: embed.s.c.builder.build() }, manifest, recipe: recipeOf(tuning, top, options.rate) };

  function buildStep(): Program {
    let store: PlacedStore | null = null;
    const { s, head, classifier } = join('step', (b) => (store = new PlacedStore(b, layout, true)), true, 'objectives');
    const placed: PlacedStore = store ?? bug('a program without a store');
    const b = s.c.builder;
    const { total, reported } = lossOf(s.c, classifier, top, new OutputWatch());
    b.backward = true;
    const wrt = parameterWindows(b, layout, placed);
    const gradients = differentiate(b, total, wrt);
    const packed = b.pack(gradients, origin('gradient'), layout.parameters.map((p) => p.offset));
    const own = optimizerFor(head, top, overridesOf(head, top, { set })) ?? bug('the classifier has no optimizer');
    const next = applyOptimizer(s.c, head.root, own, layout, {
      flat: () => ({ w: tensorOfNode(s.c, placed.flat()), g: tensorOfNode(s.c, packed) }),
      part: (_, k) => ({ w: tensorOfNode(s.c, wrt[k]), g: tensorOfNode(s.c, gradients[k]) }),
      rows: (p) => unreadRows(s.c, p),
    });
    if (next !== null) b.update(placed.flat(), next);
    placed.commit((id) => id);
    b.output('reports', reportVector(b, reported.slice(0, 1), unstacked));
    return b.build();
  }
}

function recipeOf(tuning: LoadedProgram, top: TrainingSource, rate: number | null): string {
  const written = (['optimizer', 'schedule'] as const).flatMap((key) => {
    const span = entryOf(top.train, key)?.span;
    const text = span === undefined ? undefined : tuning.modules.get(span.file)?.source.text.slice(span.start, span.end);
    return text === undefined ? [] : [`${key} ${text.replace(/\s+/g, ' ')}`];
  });
  return [...written, ...(rate === null ? [] : [`rate ${rate} instead`])].join(', ');
}

function headSettings(head: Session, top: TrainingSource, set: Readonly<Record<string, string>>): Map<string, Value> {
  return modelSettings(head.c, rootFrame(head.c, head.scope, 'train'), top, overridesOf(head, top, { set }));
}

/** One vector for each example. */
function representationOf(s: Session, model: ElaboratedModel, source: TrainingSource): TensorValue {
  const span = source.model.name.span;
  const r = model.representation ?? fail(s.c, 'SSL3004', span, { model: source.model.name.text });
  return r.axes.length === 1 ? r : reshape(s.c, span, r, [r.axes.reduce((n, a) => n * a.size, 1)]);
}

/** The class of each example; in use there are none, and nothing looks at them. */
function labels(s: Session, training: boolean): TensorValue {
  const variable = s.c.batch?.variable ?? bug('a program without a batch');
  const b = s.c.builder;
  const id = b.source(training ? 'batch.label' : 'embed.label', 'batch', 'i32', [variable.axis.size], origin('label'));
  return { kind: 'tensor', element: 'i32', axes: [], free: new Map([[variable.id, variable]]), at: () => b.read(id, [index(variable.id)]) };
}

/**
 * What the representation needs of a model; the rest would apply its networks too, to views for instance, and move their running
 * statistics. A slow copy becomes a network of the same name.
 */
export function representedPart(model: ModelDeclaration): ModelDeclaration {
  return { ...model, body: neededPart(model.body, 'representation').map(plainNet) };
}

function plainNet(s: Statement): Statement {
  if (s.kind !== 'target') return s;
  const followed = s.value.kind === 'call' ? s.value.arguments[0]?.value : undefined;
  return followed === undefined ? fail(null, 'SSL4001', s.span, { feature: 'fine-tuning a slow copy that is not declared as `ema(NETWORK, ...)`', help: null }) : { kind: 'net', span: s.span, name: s.name, value: followed };
}
