/**
 * Builds the programs of a training run: `init` draws what is owned, `step` is one update, `embed` represents examples.
 * The first elaboration discovers parameters and states; the others read them where the layout puts them.
 */
import type { FunctionDeclaration, Input } from '../../grammar/ast.js';
import type { CompileTrainingOptions, LoadedProgram } from '../api.js';
import type { Manifest, PlanEntry } from '../plan/manifest.js';
import { ProgramBuilder } from '../tensor/builder.js';
import type { Program } from '../tensor/program.js';
import { OutputWatch } from './compared-outputs.js';
import { fail } from './context.js';
import type { Store } from './context.js';
import { finishEmbed, withoutNumbers } from './finish-embed.js';
import { finishInit } from './finish-init.js';
import { finishStep } from './finish-step.js';
import { inputTensor } from './input-tensor.js';
import { openLossScale } from './loss-scale.js';
import { elaborateModel, rootFrame } from './model.js';
import { treatmentOf } from './optimizer.js';
import { assignGroups, groupsOf } from './parameter-groups.js';
import { absentInputs, elaboratePlan, planOf } from './plan-program.js';
import { openProgram, reopen, sessionOf } from './session.js';
import type { Session } from './session.js';
import { buildStages, discoverStages, stagesOf } from './stage-programs.js';
import type { Lengths } from './step-names.js';
import { needsStandIn, standIns } from './stand-ins.js';
import { discoverOptimizer, optimizerFor, overridesOf } from './step-parts.js';
import type { BuiltStep, StepParts } from './step-parts.js';
import { DiscoveringStore, PlacedStore } from './store.js';
import type { Layout } from './store.js';
import { entryOf, modelSettings, readTraining, selectModel } from './training-spec.js';
import type { TensorValue } from './value.js';
import { buildViews } from './view-program.js';
import { buildVirtualStep } from './virtual-batch.js';

export interface TrainingPrograms {
  /** With a virtual batch also `encode`, `backward` and `update`, around `step`; those of the stages, by the names in the manifest; `views` and `plan` where there are such. */
  readonly programs: Readonly<Record<string, Program>> & { readonly init: Program; readonly step: Program; readonly embed: Program };
  readonly manifest: Manifest;
}


/** `discovery`: whether sources stand in for outputs of networks while parameters are discovered. */
export function buildTraining(loaded: LoadedProgram, options: CompileTrainingOptions, discovery: 'whole' | 'stand-ins' = 'stand-ins'): TrainingPrograms {
  const source = selectModel(loaded, options.model);
  const spec = readTraining(loaded, options);
  const batch = spec.chunk < spec.batch ? spec.batch : Math.min(spec.batch, options.data.examples);
  if (batch > options.data.examples) return fail(null, 'SSL2009', entryOf(source.train, 'virtual_batch')?.span ?? source.model.name.span, { name: 'virtual_batch', expected: `at most the ${options.data.examples} examples of the data`, found: `${batch}` });
  const lengths = { batch, steps: options.steps, epochSteps: Math.max(1, Math.floor(options.data.examples / batch)), examples: options.data.examples };

  // init: discover everything that is owned, and draw it
  const discovering = new DiscoveringStore();
  const opening = openNamed(loaded, 'init', discovering, lengths, batch, true);
  const init: Session = discovery === 'whole' ? opening : { ...opening, c: { ...opening.c, standIn: standIns() } };
  discovering.context = init.c;
  const overrides = overridesOf(init, source, options);
  const settings = modelSettings(init.c, rootFrame(init.c, init.scope, 'train'), source, overrides);
  const inputs = (s: Session, kind: 'resident' | 'batch' | 'embed' | typeof absentInputs) => (input: Input, k: number): TensorValue => inputTensor(s.c, options.data.inputs, input, k, kind, lengths.examples);
  const stages = stagesOf(source.model.body);
  const acting = planOf(source.model);
  const discover = (s: Session, kind: 'resident' | 'batch' | 'embed'): void => {
    elaborateModel(s.c, source.model, s.scope, settings, 'objectives', inputs(s, kind));
    const quiet = reopen(s, loaded, lengths, options.embedBatch, 'embed');
    const model = elaborateModel(quiet.c, source.model, quiet.scope, settings, 'discovery', inputs(quiet, 'embed'));
    discoverStages({ c: quiet.c, model }, stages, lengths.examples);
    if (acting === null) return;
    const seen = reopen(s, loaded, lengths, 1, 'plan');
    elaboratePlan(seen.c, elaborateModel(seen.c, source.model, seen.scope, settings, 'plan', inputs(seen, absentInputs)), acting);
  };
  discover(init, options.resident ? 'resident' : 'batch');
  const optimizer = source.train === null ? null : optimizerFor(init, source, overrides);
  const group = assignGroups(groupsOf(source.train), [...discovering.parameters.values()].map((p) => p.info));
  const layout = discovering.layout((p) => treatmentOf(optimizer, group.get(p.path) ?? null, p));
  if (optimizer !== null) discoverOptimizer(init, optimizer, layout);
  if (spec.precision === 'f16') openLossScale(init.c, source.model.name.span);
  const full: Layout = { ...layout, states: [...discovering.states.values()].map((s) => s.info) };
  finishInit(init.c.builder, discovering, full);
  // Initial values that are computed from what a network gives.
  if (needsStandIn(init.c.builder)) return buildTraining(loaded, options, 'whole');

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
  const views = buildViews({ ...opened, source, settings, inputs: inputs(opened, 'embed'), embed: embedBuilder.build(), size: embeddingSize });

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
      ...full.lazy.map((p) => ({ path: p.path, arena: p.source, offset: 0, shape: p.shape })),
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
