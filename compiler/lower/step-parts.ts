/**
 * What every form of a step is put together from: the loss, its optimizer, the parameters it differentiates for, and what it reports.
 */
import type { Input } from '../../grammar/ast.js';
import type { CompileTrainingOptions, LoadedProgram, TargetOptions, TrainingSpec } from '../api.js';
import type { Manifest } from '../plan/manifest.js';
import type { ProgramBuilder } from '../tensor/builder.js';
import type { Program } from '../tensor/program.js';
import { binary, float, index, int, select } from '../tensor/scalar.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { stackTwins, unstacked } from '../tensor/stack-twins.js';
import type { Stacked } from '../tensor/stack-twins.js';
import { applyOptimizer } from './apply-optimizer.js';
import type { OutputWatch } from './compared-outputs.js';
import { fail } from './context.js';
import type { Context } from './context.js';
import { rootFrame } from './model.js';
import type { ElaboratedModel } from './model.js';
import { optimizerOf } from './optimizer.js';
import type { Optimizer } from './optimizer.js';
import { groupName } from './parameter-groups.js';
import type { Session } from './session.js';
import type { Lengths } from './step-names.js';
import { unreadRows } from './lazy-parameters.js';
import { nodeOf } from './store.js';
import type { Layout, PlacedStore } from './store.js';
import { constantTensor, materialize, sumOf, tensorOfNode } from './tensor-value.js';
import { entryOf, settingNames, sortOverrides } from './training-spec.js';
import type { Overrides, TrainingSource } from './training-spec.js';
import type { TensorValue, Value } from './value.js';

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

/** The programs of a step, and what of them the manifest tells. */
export interface BuiltStep {
  readonly programs: Readonly<Record<string, Program>> & { readonly step: Program };
  readonly model: ElaboratedModel;
  readonly reports: readonly string[];
  readonly compared: Manifest['compared'];
}

/** Stacked tensors beyond this size are not made: with so much work in each twin nothing is gained. */
const mostStackedBytes = 2 ** 29;

const origin = (name: string): { span: null; name: string } => ({ span: null, name });

/** What the command line sets of the model, its optimizer and its schedule. */
export function overridesOf(s: Session, source: TrainingSource, options: Pick<CompileTrainingOptions, 'set'>): Overrides {
  const frame = rootFrame(s.c, s.scope, 'train');
  return sortOverrides(source, options.set, settingNames(s.c, frame, entryOf(source.train, 'optimizer')), settingNames(s.c, frame, entryOf(source.train, 'schedule')));
}

/** The optimizer of the train block; null where there is none. */
export const optimizerFor = (s: Session, source: TrainingSource, overrides: Overrides): Optimizer | null => optimizerOf(s.c, rootFrame({ ...s.c, batch: null }, s.scope, 'train'), source, overrides);

/** Elaborates the optimizer once on dummies, so that its states are known and start at their declared values. */
export function discoverOptimizer(s: Session, optimizer: Optimizer, layout: Layout): void {
  const zero = (n: readonly number[]): TensorValue => tensorOfNode(s.c, s.c.builder.comprehension('f32', n, null, float(0), origin('zero')));
  applyOptimizer(s.c, s.root, optimizer, layout, {
    flat: () => ({ w: zero([layout.size]), g: zero([layout.size]) }),
    part: (p) => ({ w: zero(p.shape), g: zero(p.shape) }),
    rows: (p) => unreadRows(s.c, p),
  });
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
