/**
 * Decides what keeps a model from collapsing, from its objective alone. Every network's output is replaced by a free tensor, the
 * same for every view of an example, and the objective is evaluated at several layouts of these embeddings:
 *
 * - `collapsed`, one constant vector for all, and `near` it, where examples differ a little. If leaving the collapsed point lowers
 *   the loss, the objective itself prevents collapse: by targets that are stopped outputs of the same networks (`clustered`), by
 *   statistics of each dimension, which change when the space of embeddings is turned (`uneven` and `turned`: `regularized`), or
 *   by telling examples apart, which does not (`contrastive`).
 * - `spread` over all directions and along one `line`, with equal variances: if the line costs no more, nothing keeps the
 *   embeddings from collapsing onto few dimensions.
 *
 * Where the objective is indifferent, its structure decides: a term whose targets are assignments that a stage computes from the
 * networks' own outputs over the data set is `clustered`; a term that compares a network's output with the input itself is
 * `reconstructive`; one in which gradients flow on one side only, and that side has a further network (a predictor) or the other
 * a moving state (a centring), is `asymmetric`. Else nothing prevents collapse.
 *
 * Networks are never evaluated. An objective too large to evaluate here (thousands of prototypes, wide covariances) is decided on a
 * stand-in: the same model with its large settings made small.
 */
import type { LoadedProgram } from '../api.js';
import { elaborateObjectives } from '../lower/collapse-program.js';
import type { ObjectivesProgram, ObjectivesRequest } from '../lower/collapse-program.js';
import { readTraining } from '../lower/training-spec.js';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import { centres, evaluateTerms, workOf } from './collapse-layouts.js';
import { structureOf } from './collapse-structure.js';
import { describeTrivial } from './trivial-value.js';
import type { Sample } from './trivial-value.js';

/** What prevents collapse. */
export type Mechanism = 'contrastive' | 'regularized' | 'clustered' | 'reconstructive' | 'asymmetric' | 'none';

/** A loss where every embedding is one constant vector, at the batch size asked for. */
export interface TrivialLoss {
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
  const { set, standIn } = standInFor(loaded, request, settings);
  const smaller: CollapseRequest = { ...request, set };
  const at = (batch: number): ObjectivesProgram => elaborateObjectives(loaded, smaller, batch, 'replaced');
  const small = at(sizes[0]);
  if (small.applications.length === 0) return { mechanism: 'undecided', reason: 'the objective involves no network' };
  const large = at(sizes[1]);
  if (workOf(large) > 10 * evaluable) return { mechanism: 'undecided', reason: 'the objective is too large to evaluate, and no setting makes it smaller' };
  const structure = structureOf(large);
  // Clusters are about equally large: no constant vector of scores suits their numbers better than equal scores.
  const centre = structure.clustered.length > 0 ? centres.length - 1 : lowestCentre((k) => total(evaluateTerms(small, 'collapsed', k)));
  const collapsed = evaluateTerms(large, 'collapsed', centre);
  const spread = { ...trivialLosses(loaded, smaller, { ...settings, ...standIn }, settings, lowestCollapse(small, centre), at), standIn };
  const near = evaluateTerms(large, 'near', centre);
  const preventing = large.objectives.flatMap((o, k) => (lower(near[k], collapsed[k]) ? [o.name] : []));
  const indifferent = { ...spread, dimensional: false, unfilled: null };
  if (structure.clustered.length > 0) return { mechanism: 'clustered', carriedBy: structure.clustered, ...indifferent };
  if (lower(total(near), total(collapsed))) {
    const turning = preventing.filter((name) => turns(large, name));
    const mechanism = structure.selfTargets.some((n) => preventing.includes(n)) ? 'clustered'
      // A centring that has settled shows in the loss: it is what keeps one output from winning.
      : preventing.every((n) => structure.centred.includes(n)) ? 'asymmetric' : turning.length > 0 ? 'regularized' : 'contrastive';
    const dimensional = !lower(total(evaluateTerms(large, 'spread', centre)), total(evaluateTerms(large, 'line', centre)));
    return { mechanism, carriedBy: preventing, ...spread, dimensional, unfilled: mechanism === 'regularized' ? unfilledBy(loaded, request, turning) : null };
  }
  if (structure.reconstructive.length > 0) return { mechanism: 'reconstructive', carriedBy: structure.reconstructive, ...indifferent };
  if (structure.asymmetric.length > 0) return { mechanism: 'asymmetric', carriedBy: structure.asymmetric, ...indifferent };
  return { mechanism: 'none', carriedBy: [], ...indifferent };
}

const total = (terms: readonly number[]): number => terms.reduce((a, b) => a + b, 0);
const lower = (x: number, y: number): boolean => x < y - 1e-7 * Math.max(1, Math.abs(y));

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
 * all to vary differently, cannot be met when there are more.
 */
function unfilledBy(loaded: LoadedProgram, request: CollapseRequest, terms: readonly string[]): CollapseVerdict['unfilled'] {
  const real = elaborateObjectives(loaded, request, Math.max(2, request.batch), 'replaced');
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
function standInFor(loaded: LoadedProgram, request: CollapseRequest, settings: Readonly<Record<string, number>>): { set: Readonly<Record<string, string>>; standIn: Record<string, number> } {
  let set = request.set;
  const standIn: Record<string, number> = {};
  let work = workAt(loaded, request) ?? 0;
  const large = Object.entries(settings).filter(([, v]) => Number.isInteger(v) && v > smallSetting).sort((a, b) => b[1] - a[1]);
  for (const [name] of large) {
    if (work <= evaluable) break;
    const tried = { ...set, [name]: `${smallSetting}` };
    const smaller = workAt(loaded, { ...request, set: tried });
    if (smaller === null || smaller >= work) continue;
    set = tried;
    work = smaller;
    standIn[name] = smallSetting;
  }
  return { set, standIn };
}

/** Operations of one evaluation; null where the model does not work with these settings. */
function workAt(loaded: LoadedProgram, request: ObjectivesRequest): number | null {
  return unlessRefused(() => workOf(elaborateObjectives(loaded, request, sizes[1], 'replaced')));
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
  loaded: LoadedProgram, request: CollapseRequest, settings: Readonly<Record<string, number>>, asked: Readonly<Record<string, number>>,
  measure: (p: ObjectivesProgram) => readonly number[], at: (batch: number) => ObjectivesProgram,
): Pick<CollapseVerdict, 'trivial' | 'terms'> {
  const first = measure(at(sizes[0]));
  const second = measure(at(sizes[1]));
  const grows = first.some((x, k) => Math.abs(x - second[k]) > 1e-9 * Math.max(1, Math.abs(x)));
  const third = grows ? measure(at(sizes[2])) : second;
  const changed = new Map<string, readonly number[] | null>();
  const remeasure = (name: string, value: number): readonly number[] | null => {
    const key = `${name}=${value}`;
    const known = changed.get(key);
    if (known !== undefined) return known;
    const values = unlessRefused(() => measure(elaborateObjectives(loaded, { ...request, set: { ...request.set, [name]: `${value}` } }, sizes[0], 'replaced')));
    changed.set(key, values);
    return values;
  };
  const standsIn = Object.keys(settings).some((name) => settings[name] !== asked[name]);
  const describe = (of: (terms: readonly number[]) => number): TrivialLoss => {
    const samples: Sample[] = [first, second, third].map((terms, k) => ({ batch: sizes[k], value: of(terms) }));
    const formula = describeTrivial(samples, { settings, asked, changed: (name, value) => { const terms = remeasure(name, value); return terms === null ? null : of(terms); } });
    return { value: formula?.at(request.batch) ?? samples[1].value, formula: formula?.text ?? null, exact: (formula !== null && (!standsIn || formula.named)) || (!grows && !standsIn) };
  };
  return {
    trivial: describe(total),
    terms: at(sizes[0]).objectives.map((o, k) => ({ name: o.name, ...describe((terms) => terms[k]) })),
  };
}
