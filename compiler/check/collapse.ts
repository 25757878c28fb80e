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
 */
import type { Diagnostic } from '../../grammar/diagnostics/diagnostic.js';
import { diagnostic } from '../../grammar/diagnostics/report.js';
import type { Span } from '../../grammar/span.js';
import type { LoadedProgram, DataInfo } from '../api.js';
import type { Objective } from '../lower/model.js';
import { elaborateForCollapse } from '../lower/collapse-program.js';
import type { Application, CollapseProgram } from '../lower/collapse-program.js';
import { interpret } from '../tensor/interpret.js';
import { sizeOf } from '../tensor/program.js';
import type { Source } from '../tensor/program.js';
import { dropDead } from '../tensor/simplify.js';
import { float } from '../tensor/scalar.js';
import type { TensorId } from '../tensor/scalar.js';
import { dependencyFinder } from './dependencies.js';
import type { Dependencies } from './dependencies.js';
import { uniformDraw } from '../tensor/philox.js';

/** What prevents collapse. */
export type Mechanism = 'contrastive' | 'regularized' | 'clustered' | 'reconstructive' | 'asymmetric' | 'none';

export interface CollapseVerdict {
  readonly mechanism: Mechanism;
  /** Names of the terms that carry it. */
  readonly carriedBy: readonly string[];
  /** The loss when every embedding is one constant vector, at the batch size asked for. */
  readonly trivial: { readonly value: number; readonly formula: string | null; /** It is the value at that batch, not at a smaller one. */ readonly exact: boolean };
  /** Embeddings on one line cost no more than embeddings that use every direction. */
  readonly dimensional: boolean;
  /** What to do, when nothing prevents collapse. */
  readonly mend?: string;
}

/** Batches at which the objective is evaluated: small enough to be quick, two of them to see how values grow. */
const sizes = [8, 16] as const;

/** Constant vectors to collapse to: a term may prefer some length, and the lowest of these is the one to leave. */
const centres: readonly ((d: number) => number)[] = [(d) => normal(1, 0, d), ...[0.3, 1, 3].map((length) => (d: number) => (normal(1, 0, d) < 0 ? -length : length)), () => 0, () => 1];

function lowestCentre(loss: (centre: number) => number): number {
  const losses = centres.map((_, k) => loss(k));
  return losses.reduce((best, x, k) => (x < losses[best] - 1e-9 ? k : best), 0);
}

/** How far `near` lies from the collapsed point: so little that what pulls away linearly beats what pulls back quadratically. */
const step = 0.02;

type Layout = 'collapsed' | 'near' | 'spread' | 'line' | 'uneven' | 'turned';

export interface CollapseRequest {
  readonly model: string | null;
  readonly set: Readonly<Record<string, string>>;
  readonly data: DataInfo;
  /** The batch the training uses, for the trivial value. */
  readonly batch: number;
}

/** Null when the objective involves no network (embedding tables and the like): then nothing is decided. */
export function decideCollapse(loaded: LoadedProgram, request: CollapseRequest): CollapseVerdict | null {
  const small = elaborateForCollapse(loaded, request, sizes[0]);
  const large = elaborateForCollapse(loaded, request, sizes[1]);
  if (small.applications.length === 0) return null;
  const total = (terms: readonly number[]): number => terms.reduce((a, b) => a + b, 0);
  const structure = structureOf(large);
  // Clusters are about equally large: no constant vector of scores suits their numbers better than equal scores.
  const centre = structure.clustered.length > 0 ? centres.length - 1 : lowestCentre((k) => total(evaluateTerms(small, 'collapsed', k)));
  const collapsed = evaluateTerms(large, 'collapsed', centre);
  const near = evaluateTerms(large, 'near', centre);
  const lower = (x: number, y: number): boolean => x < y - 1e-7 * Math.max(1, Math.abs(y));
  const preventing = large.objectives.flatMap((o, k) => (lower(near[k], collapsed[k]) ? [o.name] : []));
  // Matrices outside networks, such as prototypes, are free too: without them the scores of all prototypes are equal.
  const lowest = (p: CollapseProgram): number => Math.min(total(evaluateTerms(p, 'collapsed', centre)), p.matrices.size === 0 ? Infinity : total(evaluateTerms(p, 'collapsed', centre, true)));
  const trivial = describeValue(lowest(small), lowest(large), request.batch);
  if (structure.clustered.length > 0) return { mechanism: 'clustered', carriedBy: structure.clustered, trivial, dimensional: false };
  if (lower(total(near), total(collapsed))) {
    const dimensional = !lower(total(evaluateTerms(large, 'spread', centre)), total(evaluateTerms(large, 'line', centre)));
    return { mechanism: classify(large, preventing), carriedBy: preventing, trivial, dimensional };
  }
  if (structure.reconstructive.length > 0) return { mechanism: 'reconstructive', carriedBy: structure.reconstructive, trivial, dimensional: false };
  if (structure.asymmetric.length > 0) return { mechanism: 'asymmetric', carriedBy: structure.asymmetric, trivial, dimensional: false };
  return { mechanism: 'none', carriedBy: [], trivial, dimensional: false, mend: mendOf(structure) };
}

/** The smallest change that would prevent collapse, given what is there. */
function mendOf(s: Structure): string {
  if (s.oneSided.length > 0) return `put a further network, a predictor, on the side of \`${s.oneSided[0]}\` that is not stopped, or add a regularizer such as \`regularize spread: variance(u)\``;
  if (s.deeper.length > 0) return `write \`stop(...)\` around the side of \`${s.deeper[0]}\` without the predictor, or add a regularizer such as \`regularize spread: variance(u)\``;
  return 'add a regularizer such as `regularize spread: variance(u)`, or a contrastive energy that compares with other examples';
}

function classify(p: CollapseProgram, preventing: readonly string[]): Mechanism {
  if (structureOf(p).selfTargets.some((n) => preventing.includes(n))) return 'clustered';
  const uneven = evaluateTerms(p, 'uneven', 0);
  const turned = evaluateTerms(p, 'turned', 0);
  const turns = p.objectives.some((o, k) => preventing.includes(o.name) && Math.abs(turned[k] - uneven[k]) > 1e-6 * Math.max(1, Math.abs(uneven[k])));
  return turns ? 'regularized' : 'contrastive';
}

interface Structure {
  /** Terms whose targets are assignments to clusters of the networks' own outputs: a stage makes them, and clusters are not empty. */
  readonly clustered: readonly string[];
  readonly reconstructive: readonly string[];
  readonly asymmetric: readonly string[];
  /** Terms with a stopped side but nothing beyond it on the other; terms with a further network on one side but no stop. */
  readonly oneSided: readonly string[];
  readonly deeper: readonly string[];
  /** Terms whose stopped targets are outputs of the networks that are trained. */
  readonly selfTargets: readonly string[];
}

function structureOf(p: CollapseProgram): Structure {
  const find = dependencyFinder(p.program.tensors);
  const networks = new Map(p.applications.map((a) => [a.source, a]));
  const depth = depths(p.applications, find);
  const result = { clustered: new Array<string>(), reconstructive: new Array<string>(), asymmetric: new Array<string>(), oneSided: new Array<string>(), deeper: new Array<string>(), selfTargets: new Array<string>() };
  p.objectives.forEach((o: Objective, k) => {
    const d = find(p.terms[k]);
    const live = [...d.live].filter((s) => networks.has(s));
    const stopped = [...d.all].filter((s) => networks.has(s) && !d.live.has(s));
    const role = (s: TensorId): Source['role'] | null => { const t = p.program.tensors[s]; return t.kind === 'source' ? t.role : null; };
    if (live.length > 0 && [...d.all].some((s) => !networks.has(s) && (role(s) === 'data' || (role(s) === 'batch' && p.inputs.has(s))))) result.reconstructive.push(o.name);
    if (live.length > 0 && [...d.all].some((s) => p.clusterings.has(s))) result.clustered.push(o.name);
    const deepest = Math.max(0, ...live.map((s) => depth.get(s) ?? 0));
    const shallowest = Math.min(...stopped.map((s) => depth.get(s) ?? 0));
    const centred = [...d.all].some((s) => role(s) === 'state' && !d.live.has(s));
    const ownTargets = [...d.stopped].filter((s) => networks.get(s)?.target === false);
    if (live.length > 0 && stopped.length > 0 && (deepest > shallowest || centred)) result.asymmetric.push(o.name);
    else if (live.length > 0 && (stopped.length > 0 || ownTargets.length > 0)) result.oneSided.push(o.name);
    if (stopped.length === 0 && live.some((s) => (depth.get(s) ?? 0) < deepest)) result.deeper.push(o.name);
    if (live.length > 0 && ownTargets.length > 0) result.selfTargets.push(o.name);
  });
  return result;
}

/** How many networks lie one behind the other up to each application. */
function depths(applications: readonly Application[], find: (id: TensorId) => Dependencies): Map<TensorId, number> {
  const depth = new Map<TensorId, number>();
  for (const a of applications) {
    const before = a.inputs.flatMap((i) => [...find(i).all]).map((s) => depth.get(s) ?? 0);
    depth.set(a.source, 1 + Math.max(0, ...before));
  }
  return depth;
}

/** Each objective's value where the networks' outputs are laid out so. */
function evaluateTerms(p: CollapseProgram, layout: Layout, centre: number, withoutMatrices = false): number[] {
  const tensors = p.program.tensors.map((t) => (withoutMatrices && t.kind === 'comprehension' && p.matrices.has(t.id) ? { ...t, reduce: null, body: float(0) } : t));
  const program = dropDead({ ...p.program, tensors, outputs: p.terms.map((t, k) => ({ name: `${k}`, tensor: t })), updates: [] });
  const inputs: Record<string, Float64Array> = {};
  for (const t of program.tensors) if (t.kind === 'source') inputs[t.name] = sourceValues(t, layout, centre);
  const out = interpret(program, inputs);
  return p.terms.map((_, k) => out.outputs.get(`${k}`)?.[0] ?? 0);
}

/**
 * Networks' outputs by layout; memories hold what such networks would have written, at unit length, of other examples. States are at
 * zero; everything else (weights outside networks, data) is fixed noise.
 */
function sourceValues(t: Source, layout: Layout, centre: number): Float64Array {
  const width = t.shape.length === 0 ? 1 : t.shape[t.shape.length - 1];
  const rows = sizeOf(t.shape) / width;
  if (t.name.startsWith('network.')) return embeddings(layout, rows, width, 0, Number(t.name.split('.')[1]), centre);
  if (t.name.startsWith('memory.')) return unitRows(embeddings(layout, rows, width, rows, 0, centre), width);
  const values = new Float64Array(rows * width);
  // Latent variables that hold nothing, or any value of a few.
  if (t.name.startsWith('latent.')) return t.element === 'i32' ? values.map((_, i) => i % 8) : values;
  // Assignments to clusters differ from example to example; the examples of a batch are the first.
  if (t.name.startsWith('table.') && t.element === 'i32') return values.map((_, i) => i % 2);
  if (t.name === 'batch.example') return values.map((_, i) => i);
  if (t.role === 'clock' || t.role === 'state') return values;
  return values.map((_, i) => normal(7, Math.floor(i / width), i % width));
}

/**
 * `salt` separates the examples of a memory from those of the batch. In the uneven layouts the views of an example disagree a
 * little, by `application`, so that statistics across views depend on the directions too.
 */
function embeddings(layout: Layout, rows: number, width: number, salt: number, application: number, variant: number): Float64Array {
  const values = new Float64Array(rows * width);
  for (let d = 0; d < width; d++) {
    const centre = centres[variant](d);
    const signs = balancedSigns(rows, layout === 'line' ? 0 : d, salt);
    const direction = normal(4, 0, d) < 0 ? -1 : 1;
    for (let r = 0; r < rows; r++) {
      const sign = signs[r];
      values[r * width + d] = layout === 'collapsed' ? centre : layout === 'near' ? centre + step * sign : layout === 'spread' ? sign
        : layout === 'line' ? sign * direction : sign * (1 + (d % 3)) + 0.5 * normal(20 + application, r, d);
    }
  }
  return layout === 'turned' ? reflect(values, width) : values;
}

/** Plus and minus one equally often, in an order of its own for every dimension: all variances are equal. */
function balancedSigns(rows: number, d: number, salt: number): number[] {
  const order = Array.from({ length: rows }, (_, r) => ({ r, key: uniformDraw(2 + salt, 0, 0, 0, r, d) })).sort((a, b) => a.key - b.key);
  const signs = new Array<number>(rows).fill(1);
  order.slice(0, Math.floor(rows / 2)).forEach(({ r }) => { signs[r] = -1; });
  return signs;
}

/** The rows mirrored at a fixed plane through the origin: an orthogonal map that mixes all dimensions. */
function reflect(values: Float64Array, width: number): Float64Array {
  const v = Float64Array.from({ length: width }, (_, d) => normal(5, 0, d));
  const length = v.reduce((n, x) => n + x * x, 0);
  return mapRows(values, width, (row) => {
    const along = row.reduce((n, x, d) => n + x * v[d], 0);
    return row.map((x, d) => x - (2 * along * v[d]) / length);
  });
}

function mapRows(values: Float64Array, width: number, f: (row: Float64Array) => Float64Array): Float64Array {
  const result = new Float64Array(values.length);
  for (let at = 0; at < values.length; at += width) result.set(f(values.subarray(at, at + width)), at);
  return result;
}

function unitRows(values: Float64Array, width: number): Float64Array {
  return mapRows(values, width, (row) => {
    const length = Math.sqrt(row.reduce((n, x) => n + x * x, 0));
    return row.map((x) => x / length);
  });
}

/** A fixed standard normal number for a place. */
function normal(salt: number, row: number, d: number): number {
  const u = uniformDraw(salt, 0, 0, 0, row, d);
  const v = uniformDraw(salt, 1, 0, 0, row, d);
  return Math.sqrt(-2 * Math.log(1 - u)) * Math.cos(2 * Math.PI * v);
}

/** The value at batch B as a formula where one fits the values at two batches: a constant, ln n, ln(aB + b) or twice that, or a B. */
function describeValue(first: number, second: number, batch: number): CollapseVerdict['trivial'] {
  const whole = (x: number): boolean => Math.abs(x - Math.round(x)) < 1e-6 * Math.max(1, Math.abs(x));
  if (Math.abs(first - second) < 1e-9 * Math.max(1, Math.abs(first))) {
    const n = Math.exp(second);
    return { value: second, formula: second > 0.5 && n < 1e7 && whole(n) ? `ln ${Math.round(n)}` : null, exact: true };
  }
  // Two points lie on many curves: a steep line through whole numbers is a coincidence, a gentle one is not.
  for (const times of [1, 2]) {
    const [a, b] = [Math.exp(first / times), Math.exp(second / times)];
    const slope = (b - a) / (sizes[1] - sizes[0]);
    const rest = a - slope * sizes[0];
    if (b < 1e9 && slope > 0 && slope < 8 && whole(slope) && whole(rest)) {
      const s = Math.round(slope);
      const r = Math.round(rest);
      const text = `${s === 1 ? '' : s}B${r === 0 ? '' : r < 0 ? ` - ${-r}` : ` + ${r}`}`;
      return { value: times * Math.log(s * batch + r), formula: `${times === 1 ? '' : `${times} `}ln(${text})`, exact: true };
    }
  }
  const share = second / sizes[1];
  if (Math.abs(first - share * sizes[0]) < 1e-9 * Math.abs(second)) return { value: share * batch, formula: `${Number(share.toPrecision(4))} B`, exact: true };
  return { value: second, formula: null, exact: false };
}

/** What a verdict says to the user: nothing, a warning about dimensions, or an error. `span` is the model's name. */
export function collapseDiagnostics(v: CollapseVerdict, model: string, span: Span): Diagnostic[] {
  if (v.mechanism === 'none') return [diagnostic('SSL3001', span, { model, mend: v.mend ?? '' })];
  return v.dimensional ? [diagnostic('SSL3005', span, { model })] : [];
}
