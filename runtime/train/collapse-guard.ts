/**
 * Decides while a run goes on whether its embeddings have collapsed. Many losses begin near the value of a collapsed encoder, and a
 * deep network may map everything close together before it has learned anything, so a bad figure says nothing by itself: it must
 * stand for 200 steps and at least three measures in a row. The spread of the embeddings is the sign; the loss confirms it.
 *
 * - uniform collapse: the deviation of unit embeddings is below 0.05 / sqrt(D) (1 / sqrt(D) when spread over the sphere), or their
 *   length below a thousandth of the longest measured (directions of nearly nothing are noise), and the loss within 1 % of its
 *   value for a collapsed encoder, where that value is known;
 *   Projectors may collapse behind a healthy encoder: the same is said where the loss has that value and the outputs of a network
 *   that it compares lie on nearly one line (`std.NET` below 0.1 / sqrt(D)), in each of 200 steps;
 * - dimensional collapse: the effective rank (RankMe) is below 2, of 8 dimensions or more;
 * - collapse of the codes: one of them takes nearly all, so that a monitored perplexity of their use is below 2, of 8 codes or more, in
 *   each of 200 steps.
 */
import type { Manifest, TrivialLoss } from '../../compiler/plan/manifest.js';
import type { EmbeddingFigures } from './watch.js';

export type CollapseForm = 'uniform' | 'dimensional' | 'codes';

export interface Collapse {
  readonly form: CollapseForm;
  readonly step: number;
  /** The first measure of the row. */
  readonly since: number;
  /** `uniform collapse: loss = ln(2B - 1) = 6.236 for 200 steps; ...`. */
  readonly message: string;
}

export interface CollapseGuard {
  /** Takes what a step reported; gives a collapse of compared outputs or of codes, as `embedding` does. */
  step(step: number, reports: Readonly<Record<string, unknown>>): Collapse | null;
  /** Takes a measure; gives a collapse once, when it is one, and again only after the embeddings have recovered. */
  embedding(step: number, figures: Pick<EmbeddingFigures, 'std' | 'rank' | 'length'>): Collapse | null;
  /** The latest measure at which nothing was wrong; null before the first. */
  healthy(): number | null;
}

export const collapseRule = { steps: 200, measures: 3, spread: 0.05, outputs: 0.1, length: 0.001, tolerance: 0.01, rank: 2, dimensions: 8, codes: 2 } as const;

/** A row of measures with the same figure wrong. */
interface Row {
  readonly since: number;
  readonly count: number;
}

export function createCollapseGuard(size: number, trivial: TrivialLoss | null, compared: Manifest['compared'] = [], codes: Manifest['codes'] = []): CollapseGuard {
  const full = 1 / Math.sqrt(Math.max(1, size));
  let away = -1;
  let narrow: Row | null = null;
  let flat: Row | null = null;
  /** The first of the latest steps, without a gap, in which some compared outputs lay together. */
  let together: number | null = null;
  /** The first of the latest steps, without a gap, in which one code took nearly all. */
  let taken: number | null = null;
  let healthy: number | null = null;
  let told = false;
  let longest = 0;
  const grow = (row: Row | null, step: number, bad: boolean): Row | null => (!bad ? null : row === null ? { since: step, count: 1 } : { ...row, count: row.count + 1 });
  const stands = (row: Row | null, step: number): row is Row => row !== null && row.count >= collapseRule.measures && step - row.since >= collapseRule.steps;
  return {
    step: (step, reports) => {
      const loss = reports['loss'];
      if (trivial !== null && !(typeof loss === 'number' && Math.abs(loss - trivial.value) <= collapseRule.tolerance * Math.max(1, Math.abs(trivial.value)))) away = step;
      const closest = closestOutputs(compared, reports);
      together = closest === null || closest.share >= collapseRule.outputs ? null : (together ?? step);
      const fewest = fewestCodes(codes, reports);
      taken = fewest === null ? null : (taken ?? step);
      if (!told && fewest !== null && taken !== null && step - taken >= collapseRule.steps) {
        told = true;
        return { form: 'codes', step, since: taken, message: `collapse of the codes: \`${fewest.report}\` = ${fewest.used.toFixed(2)} of ${fewest.size} in use for ${step - taken} steps` };
      }
      if (told || closest === null || together === null || trivial === null || step - together < collapseRule.steps || step - away < collapseRule.steps) return null;
      told = true;
      const sign = `the unit outputs of \`${closest.net}\`, which it compares, deviate by ${closest.std.toExponential(1)} from one line, spread ones by ${(closest.std / closest.share).toPrecision(2)}`;
      return { form: 'uniform', step, since: together, message: uniform(step - together, trivial, sign) };
    },
    embedding: (step, { std, rank, length }) => {
      longest = Math.max(longest, length);
      const short = length < collapseRule.length * longest;
      narrow = grow(narrow, step, short || std < collapseRule.spread * full);
      flat = grow(flat, step, size >= collapseRule.dimensions && rank < collapseRule.rank);
      if (narrow === null && flat === null && together === null && taken === null) {
        healthy = step;
        told = false;
      }
      if (told) return null;
      const found = stands(narrow, step) && (trivial === null || step - away >= collapseRule.steps)
        ? { form: 'uniform' as const, since: narrow.since, message: uniform(step - narrow.since, trivial, short ? `the embeddings have ${(length / longest).toExponential(1)} of their length` : `the unit embeddings deviate by ${std.toExponential(1)}, spread ones by ${full.toPrecision(2)}`) }
        : stands(flat, step) ? { form: 'dimensional' as const, since: flat.since, message: `dimensional collapse: the effective rank of the embeddings is ${rank.toFixed(2)} of ${size} for ${step - flat.since} steps` } : null;
      if (found === null) return null;
      told = true;
      return { ...found, step };
    },
    healthy: () => healthy,
  };
}

/** Of the compared outputs those that lie closest together; null where none is reported. */
function closestOutputs(compared: Manifest['compared'], reports: Readonly<Record<string, unknown>>): { readonly net: string; readonly std: number; readonly share: number } | null {
  const found = compared.flatMap(({ net, report, size }) => { const std = reports[report]; return typeof std === 'number' ? [{ net, std, share: std * Math.sqrt(size) }] : []; });
  return found.reduce<(typeof found)[number] | null>((a, b) => (a === null || b.share < a.share ? b : a), null);
}

/** Of the codes that collapse, if any, those of which the fewest are in use. */
function fewestCodes(codes: Manifest['codes'], reports: Readonly<Record<string, unknown>>): { readonly report: string; readonly used: number; readonly size: number } | null {
  const found = codes.flatMap(({ report, size }) => { const used = reports[report]; return typeof used === 'number' && size >= collapseRule.dimensions && used < collapseRule.codes ? [{ report, used, size }] : []; });
  return found.reduce<(typeof found)[number] | null>((a, b) => (a === null || b.used < a.used ? b : a), null);
}

function uniform(steps: number, trivial: TrivialLoss | null, sign: string): string {
  if (trivial === null) return `uniform collapse: for ${steps} steps ${sign}`;
  return `uniform collapse: loss = ${trivial.formula === null ? '' : `${trivial.formula} = `}${Number(trivial.value.toPrecision(4))} for ${steps} steps, and ${sign}`;
}
