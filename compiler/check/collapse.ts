/**
 * Decides what keeps a model from collapsing, from its objective alone. Every network's output is replaced by a free tensor, the
 * same for every view of an example, and the objective is evaluated at several layouts of these embeddings:
 *
 * - `collapsed`, one constant vector for all; `near` it, where examples differ a little; the `opposite` of that; and with examples
 *   `exchanged`. Where the mean of `near` and its opposite is lower than the collapsed point, leaving that point lowers the loss
 *   (a pull that is the same for all examples cancels), and the objective itself prevents collapse, provided that a term knows more
 *   than one example. By stopped targets in which examples meet it is `clustered`; by the scores of pairs of examples `contrastive`; by sums over the
 *   batch `regularized`. (Where rows cannot be followed, statistics of single dimensions tell the last two apart: they change when the
 *   space of embeddings is turned, from `uneven` to `turned`.)
 * - `spread` over all directions and along one `line`, with equal variances: if the line costs no more, also where views differ a
 *   little, nothing keeps the embeddings from collapsing onto few dimensions.
 *
 * A term that changes when examples are exchanged gives each a target of its own: assignments that a stage computes from the networks' outputs over the data set (`clustered`), the input
 * (`reconstructive`) or the example's number (`contrastive`). Where the objective is indifferent, its structure decides: a term in which
 * gradients flow on one side only, and that side has a further network (a predictor), or whose moving state (a centring) makes leaving
 * pay, is `asymmetric`. Else nothing prevents collapse.
 *
 * Networks are never evaluated. An objective too large to evaluate here (thousands of prototypes, wide covariances) is decided on a
 * stand-in: the same model with its large settings made small.
 */
import type { LoadedProgram } from '../api.js';
import type { ObjectivesProgram, ObjectivesRequest } from '../lower/collapse-program.js';
import { readTraining } from '../lower/training-spec.js';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import { centres, evaluateTerms, workOf } from './collapse-layouts.js';
import type { Layout } from './collapse-layouts.js';
import { structureOf } from './collapse-structure.js';
import type { Structure } from './collapse-structure.js';
import { rememberObjectives } from './remember-objectives.js';
import type { Elaborate } from './remember-objectives.js';
import { describeTrivial } from './trivial-value.js';
import type { Sample } from './trivial-value.js';

/** What prevents collapse. */
export type Mechanism = 'contrastive' | 'regularized' | 'clustered' | 'reconstructive' | 'asymmetric' | 'none';

/** A loss where every embedding is one constant vector, at the batch size asked for. */
export interface TrivialLoss {
  /** Infinite where it has no value, as the whitening of what does not vary. */
  readonly value: number;
  readonly formula: string | null;
  /** It is the value at that batch and those settings, not at smaller ones. */
  readonly exact: boolean;
}

export interface CollapseVerdict {
  readonly mechanism: Mechanism;
  /** Names of the terms that carry it. */
  readonly carriedBy: readonly string[];
  readonly trivial: TrivialLoss;
  /** Of each objective, in order. */
  readonly terms: readonly (TrivialLoss & { readonly name: string })[];
  /** Embeddings on one line cost no more than embeddings that use every direction. */
  readonly dimensional: boolean;
  /** Dimensions that terms on the statistics of a batch look at, when a batch has too few examples to fill them; else null. */
  readonly unfilled: { readonly terms: readonly string[]; readonly dimensions: number } | null;
  /** Settings that were made smaller to decide. Values of terms whose formula does not name them are those of the stand-in. */
  readonly standIn: Readonly<Record<string, number>>;
}

/** Nothing to decide (no network), or too large to evaluate even made small. */
export interface Undecided {
  readonly mechanism: 'undecided';
  readonly reason: string;
}

export interface CollapseRequest extends ObjectivesRequest {
  /** The batch the training uses, for the trivial value. */
  readonly batch: number;
}

/** Batches at which the objective is evaluated: small enough to be quick, three of them to see how values grow. */
const sizes = [8, 16, 24] as const;

/** Operations one evaluation at the larger size may take: a few tenths of a second. */
const evaluable = 3e7;

/** Settings above this are made this small in a stand-in. */
const smallSetting = 32;

export function decideCollapse(loaded: LoadedProgram, request: CollapseRequest): CollapseVerdict | Undecided {
  const settings = numericSettings(loaded, request);
  const elaborate = rememberObjectives(loaded, request);
  const { set, standIn } = standInFor(elaborate, request, settings);
  const at = (batch: number): ObjectivesProgram => elaborate(set, batch);
  const small = at(sizes[0]);
  if (small.applications.length === 0) return { mechanism: 'undecided', reason: 'the objective involves no network' };
  const large = fillable(at(sizes[1]), at);
  if (workOf(large) > 10 * evaluable) return { mechanism: 'undecided', reason: 'the objective is too large to evaluate, and no setting makes it smaller' };
  const structure = structureOf(large);
  // Clusters are about equally large: no constant vector of scores suits their numbers better than equal scores.
  const centre = structure.clustered.length > 0 ? centres.length - 1 : lowestCentre((k) => total(evaluateTerms(small, 'collapsed', k)));
  const spread = { ...trivialLosses(elaborate, { ...request, set }, { ...settings, ...standIn }, settings, lowestCollapse(small, centre)), standIn };
  const { leaving, told, leaves } = pulls(large, centre, structure);
  const indifferent = { ...spread, dimensional: false, unfilled: null };
  const own = (names: readonly string[]): readonly string[] => names.filter((n) => told.includes(n));
  const clustered = own(structure.clustered);
  if (clustered.length > 0) return { mechanism: 'clustered', carriedBy: clustered, ...indifferent };
  if (leaves) {
    const statistics = leaving.filter((name) => looksAtSums(large, structure, name));
    const mechanism = leavingMechanism(structure, leaving, statistics);
    return {
      mechanism, carriedBy: leaving, ...spread, // A loss that alone would allow collapse says nothing of the directions that training leaves.
      dimensional: mechanism !== 'asymmetric' && lineIsFree(large, centre, structure),
      unfilled: mechanism === 'regularized' ? unfilledBy(elaborate, request, leaving.filter((name) => turns(large, name))) : null,
    };
  }
  const reconstructive = own(structure.reconstructive);
  if (reconstructive.length > 0) return { mechanism: 'reconstructive', carriedBy: reconstructive, ...indifferent };
  const numbered = own(structure.numbered);
  if (numbered.length > 0) return { mechanism: 'contrastive', carriedBy: numbered, ...indifferent };
  if (structure.asymmetric.length > 0) return { mechanism: 'asymmetric', carriedBy: structure.asymmetric, ...indifferent };
  return { mechanism: 'none', carriedBy: [], ...indifferent };
}

/** The program at a batch that can fill all dimensions, if it has no value at a smaller one: whitening needs more examples than dimensions. */
function fillable(p: ObjectivesProgram, at: (batch: number) => ObjectivesProgram): ObjectivesProgram {
  if (workOf(p) > 10 * evaluable || Number.isFinite(total(evaluateTerms(p, 'spread', 0)))) return p;
  const widest = Math.max(...p.applications.map((a) => (a.output === null ? 0 : p.program.tensors[a.output].shape.at(-1) ?? 0)));
  return at(Math.max(p.batch, 2 * widest));
}

const total = (terms: readonly number[]): number => terms.reduce((a, b) => a + b, 0);
const lower = (x: number, y: number): boolean => (y === Infinity ? x < Infinity : x < y - 1e-7 * Math.max(1, Math.abs(y)));

/** Terms that are lower where examples differ, `leaving`; terms that tell examples apart by what they are given, `told`; is leaving lower altogether? */
function pulls(p: ObjectivesProgram, centre: number, structure: Structure): { leaving: readonly string[]; told: readonly string[]; leaves: boolean } {
  const [collapsed, near, opposite, exchanged] = (['collapsed', 'near', 'opposite', 'exchanged'] as const).map((layout) => evaluateTerms(p, layout, centre));
  const around = near.map((x, k) => (x + opposite[k]) / 2);
  const names = (which: (k: number) => boolean): string[] => p.objectives.flatMap((o, k) => (which(k) ? [o.name] : []));
  const leaving = names((k) => structure.coupled.includes(p.objectives[k].name) && lower(around[k], collapsed[k]));
  const told = names((k) => Math.abs(near[k] - exchanged[k]) > 1e-9 * Math.max(1, Math.abs(near[k])));
  return { leaving, told, leaves: leaving.length > 0 && lower(total(around), total(collapsed)) };
}

function leavingMechanism(structure: Structure, leaving: readonly string[], statistics: readonly string[]): Mechanism {
  // A centring that has settled shows in the loss: it is what keeps one output from winning.
  if (leaving.every((n) => structure.centred.includes(n))) return 'asymmetric';
  if (leaving.some((n) => structure.comparing(n) !== 'pairs' && structure.balanced.includes(n))) return 'clustered';
  return statistics.length > 0 ? 'regularized' : 'contrastive';
}

/** Does a term look at sums over the batch, rather than at pairs of examples? */
function looksAtSums(p: ObjectivesProgram, structure: Structure, name: string): boolean {
  const comparing = structure.comparing(name);
  return comparing === 'sums' || (comparing === 'unclear' && turns(p, name));
}

/**
 * Do embeddings on a line cost no more than embeddings in all directions, in the terms that know several examples? If differences
 * between views cost more there, they do: whitening makes them large.
 */
function lineIsFree(p: ObjectivesProgram, centre: number, structure: Structure): boolean {
  const cost = (layout: Layout): number => total(evaluateTerms(p, layout, centre).filter((_, k) => structure.coupled.includes(p.objectives[k].name)));
  const [spread, line, spreadViews, lineViews] = (['spread', 'line', 'spread views', 'line views'] as const).map(cost);
  if (lower(spread, line)) return false;
  return !lower(3 * Math.max(0, spreadViews - spread), lineViews - line);
}

/** Of the constant vectors to collapse to, the one with the lowest loss: a term may prefer some length, and that one is to be left. */
function lowestCentre(loss: (centre: number) => number): number {
  const losses = centres.map((_, k) => loss(k));
  return losses.reduce((best, x, k) => (x < losses[best] - 1e-9 ? k : best), 0);
}

/** The terms where everything is collapsed. Matrices outside networks, such as prototypes, are free too: without them all scores are equal. */
function lowestCollapse(small: ObjectivesProgram, centre: number): (p: ObjectivesProgram) => readonly number[] {
  const withoutMatrices = small.matrices.size > 0 && total(evaluateTerms(small, 'collapsed', centre, true)) < total(evaluateTerms(small, 'collapsed', centre));
  return (p) => evaluateTerms(p, 'collapsed', centre, withoutMatrices);
}

/** Does a term change when the space of embeddings is turned: does it look at single dimensions? */
function turns(p: ObjectivesProgram, name: string): boolean {
  const uneven = evaluateTerms(p, 'uneven', 0);
  const turned = evaluateTerms(p, 'turned', 0);
  return p.objectives.some((o, k) => o.name === name && Math.abs(turned[k] - uneven[k]) > 1e-6 * Math.max(1, Math.abs(uneven[k])));
}

/**
 * B examples have at most B - 1 independent directions around their mean. Terms that ask every dimension of the batch to vary, and
 * all to vary differently, which are those that change when the space is turned, cannot be met when there are more.
 */
function unfilledBy(elaborate: Elaborate, request: CollapseRequest, terms: readonly string[]): CollapseVerdict['unfilled'] {
  const real = elaborate(request.set, Math.max(2, request.batch));
  const structure = structureOf(real);
  const seen = real.objectives.flatMap((o) => (terms.includes(o.name) ? structure.networksOf(o.name) : []));
  const dimensions = Math.max(0, ...seen.map((id) => real.program.tensors[id].shape.at(-1) ?? 0));
  return dimensions > request.batch - 1 ? { terms, dimensions } : null;
}

function numericSettings(loaded: LoadedProgram, request: CollapseRequest): Record<string, number> {
  const numeric = Object.entries(readTraining(loaded, request).settings).flatMap(([name, v]) => (typeof v === 'number' ? [[name, v] as const] : []));
  return Object.fromEntries(numeric);
}

/** Overrides that make the objective small enough to evaluate: large whole settings one after the other, as far as needed. */
function standInFor(elaborate: Elaborate, request: CollapseRequest, settings: Readonly<Record<string, number>>): { set: Readonly<Record<string, string>>; standIn: Record<string, number> } {
  let set = request.set;
  const standIn: Record<string, number> = {};
  let work = workAt(elaborate, set) ?? 0;
  const large = Object.entries(settings).filter(([, v]) => Number.isInteger(v) && v > smallSetting).sort((a, b) => b[1] - a[1]);
  for (const [name] of large) {
    if (work <= evaluable) break;
    const tried = { ...set, [name]: `${smallSetting}` };
    const smaller = workAt(elaborate, tried);
    if (smaller === null || smaller >= work) continue;
    set = tried;
    work = smaller;
    standIn[name] = smallSetting;
  }
  return { set, standIn };
}

/** Operations of one evaluation; null where the model does not work with these settings. */
function workAt(elaborate: Elaborate, set: ObjectivesRequest['set']): number | null {
  return unlessRefused(() => workOf(elaborate(set, sizes[1])));
}

function unlessRefused<T>(f: () => T): T | null {
  try {
    return f();
  } catch (e) {
    if (e instanceof DiagnosticError) return null;
    throw e;
  }
}

/** The loss and its terms at the collapsed point, with formulas, at the batch and settings asked for. */
function trivialLosses(
  elaborate: Elaborate, request: CollapseRequest, settings: Readonly<Record<string, number>>, asked: Readonly<Record<string, number>>,
  measure: (p: ObjectivesProgram) => readonly number[],
): Pick<CollapseVerdict, 'trivial' | 'terms'> {
  const at = (batch: number): ObjectivesProgram => elaborate(request.set, batch);
  const first = measure(at(sizes[0]));
  const second = measure(at(sizes[1]));
  const grows = first.some((x, k) => Math.abs(x - second[k]) > 1e-9 * Math.max(1, Math.abs(x)));
  const third = grows ? measure(at(sizes[2])) : second;
  const changed = new Map<string, readonly number[] | null>();
  const remeasure = (name: string, value: number): readonly number[] | null => {
    const key = `${name}=${value}`;
    const known = changed.get(key);
    if (known !== undefined) return known;
    const values = unlessRefused(() => measure(elaborate({ ...request.set, [name]: `${value}` }, sizes[0])));
    changed.set(key, values);
    return values;
  };
  const standsIn = Object.keys(settings).some((name) => settings[name] !== asked[name]);
  const describe = (of: (terms: readonly number[]) => number): TrivialLoss => {
    const samples: Sample[] = [first, second, third].map((terms, k) => ({ batch: sizes[k], value: of(terms) }));
    const formula = describeTrivial(samples, { settings, asked, changed: (name, value) => { const terms = remeasure(name, value); return terms === null ? null : of(terms); } });
    const value = formula?.at(request.batch) ?? samples[1].value;
    return { value, formula: formula?.text ?? null, exact: Number.isFinite(value) && ((formula !== null && (!standsIn || formula.named)) || (!grows && !standsIn)) };
  };
  return {
    trivial: describe(total),
    terms: at(sizes[0]).objectives.map((o, k) => ({ name: o.name, ...describe((terms) => terms[k]) })),
  };
}
