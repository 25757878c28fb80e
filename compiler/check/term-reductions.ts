/**
 * How each term of an objective is reduced and weighted, read off the elaborated graph: from the term's scalar down through
 * scalings, sums of parts and sums over axes to the first operation that is none of these. `25 x mean over the batch and D` is what
 * the graph does, whatever the function that did it is called.
 */
import type { ObjectivesProgram } from '../lower/collapse-program.js';
import type { Comprehension } from '../tensor/program.js';
import { sizeOf } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { dependencyFinder } from './dependencies.js';
import { readsDependent } from './linear-chain.js';

/** Axes that one step of the chain sums over. */
export interface ReducedAxes {
  /** A mean divides by the number of elements, or of those that count. */
  readonly how: 'mean' | 'sum';
  readonly axes: readonly { readonly name: string; readonly size: number }[];
}

/** One summand of a term: `weight` times the reductions, outermost first, of something not linear. */
export interface TermPart {
  readonly weight: number;
  /** Names of weights that change while training: schedules, parameters. */
  readonly scaledBy: readonly string[];
  readonly over: readonly ReducedAxes[];
  /** How many equal parts the term has. */
  readonly times: number;
}

export interface TermReduction {
  readonly parts: readonly TermPart[];
  /** What is added to the parts. */
  readonly constant: number;
}

const theBatch = 'the batch';
const theRows = (size: number): string => `${size} rows`;

type Part = Omit<TermPart, 'times'>;

/** The reduction of each objective, in order. */
export function describeReductions(p: ObjectivesProgram): TermReduction[] {
  const find = dependencyFinder(p.program.tensors);
  const variable = new Set<TensorId>([...p.inputs, ...p.applications.flatMap((a) => (a.output === null ? [] : [a.output]))]);
  const memo = new Map<TensorId, boolean>();
  const depends = (id: TensorId): boolean => {
    const known = memo.get(id) ?? [...find(id).all].some((s) => variable.has(s));
    memo.set(id, known);
    return known;
  };
  return p.terms.map((t) => summarize(new Chain(p, depends).follow(t)));
}

function summarize(found: { parts: readonly Part[]; constant: number }): TermReduction {
  const groups = new Map<string, TermPart>();
  for (const part of found.parts) {
    const key = JSON.stringify({ ...part, weight: part.weight.toPrecision(9) });
    groups.set(key, { ...part, times: (groups.get(key)?.times ?? 0) + 1 });
  }
  return { parts: [...groups.values()], constant: Math.abs(found.constant) < 1e-12 ? 0 : found.constant };
}

/** What was passed on the way down. */
interface Way {
  readonly weight: number;
  readonly scaledBy: readonly string[];
  readonly over: readonly ReducedAxes[];
  /** A written reduction was passed: sums of parts below it belong to what it reduces. */
  readonly inside: boolean;
}

class Chain {
  private readonly parts: Part[] = [];
  private constant = 0;

  constructor(private readonly p: ObjectivesProgram, private readonly depends: (id: TensorId) => boolean) {}

  follow(term: TensorId): { parts: readonly Part[]; constant: number } {
    this.tensor(term, { weight: 1, scaledBy: [], over: [], inside: false }, null);
    return { parts: this.parts, constant: this.constant };
  }

  /** `divisor` is what the value was just divided by: a mean when it is the number of elements. */
  private tensor(id: TensorId, way: Way, divisor: number | 'count' | null): void {
    const t = this.p.program.tensors[id];
    const undivided = typeof divisor === 'number' ? { ...way, weight: way.weight / divisor } : way;
    if (t.kind === 'window') { this.tensor(t.of, way, divisor); return; }
    if (t.kind !== 'comprehension') { this.end(undivided); return; }
    if (t.reduce === null) { this.scalar(t.body, undivided); return; }
    if (t.reduce.op !== 'sum' || this.isProduct(t.body)) { this.end(undivided); return; }
    const count = sizeOf(t.reduce.extents);
    const mean = divisor === 'count' || (divisor !== null && Math.abs(divisor / count - 1) < 1e-6);
    const step = this.axesOf(t, mean ? 'mean' : 'sum');
    const after = mean ? way : undivided;
    this.scalar(t.body, { ...after, over: step.axes.length === 0 ? way.over : [...way.over, step], inside: way.inside || step.axes.some((a) => a.name !== theBatch) });
  }

  private axesOf(t: Comprehension, how: 'mean' | 'sum'): ReducedAxes {
    const names = t.origin.reduced ?? [];
    const axes = (t.reduce?.extents ?? []).map((size, k) => ({ name: this.axisName(names[k] ?? `axis ${k + 1}`, size), size }));
    return { how, axes: axes.filter((a) => a.size > 1) };
  }

  private axisName(name: string, size: number): string {
    if ((name === 'B' || /^axis ?\d+$/.test(name)) && size === this.p.batch) return theBatch;
    return /^[a-z]/.test(name) && size > this.p.batch && size % this.p.batch === 0 ? theRows(size) : name;
  }

  private scalar(s: Scalar, way: Way): void {
    switch (s.kind) {
      case 'const': this.constant += s.value * way.weight * way.over.filter((o) => o.how === 'sum').reduce((n, o) => n * sizeOf(o.axes.map((a) => a.size)), 1); return;
      case 'read':
        if (this.depends(s.tensor)) this.tensor(s.tensor, way, null); else this.end(way);
        return;
      case 'unary': if (s.op === 'neg') { this.scalar(s.x, { ...way, weight: -way.weight }); return; } break;
      case 'select': if (s.b.kind === 'const' && s.b.value === 0 && !readsDependent(s.condition, this.depends)) { this.scalar(s.a, way); return; } break;
      case 'binary': if (this.binary(s, way)) return; break;
      default: break;
    }
    this.end(way);
  }

  private binary(s: Extract<Scalar, { kind: 'binary' }>, way: Way): boolean {
    const fixed = (x: Scalar): boolean => !readsDependent(x, this.depends);
    switch (s.op) {
      case 'add': case 'sub':
        // Below a reduction, parts are only what the model computed as values of their own, not the inside of a formula.
        // A difference of two is one score.
        if (way.over.length > 0 && (way.inside || ![s.a, s.b].every((x) => fixed(x) || this.isScaledRead(x)) || (s.op === 'sub' && !fixed(s.a) && !fixed(s.b)))) return false;
        this.scalar(s.a, way);
        this.scalar(s.b, s.op === 'add' ? way : { ...way, weight: -way.weight });
        return true;
      case 'mul': {
        const [factor, rest] = fixed(s.b) ? [s.b, s.a] : [s.a, s.b];
        if (!fixed(factor)) return false;
        if (factor.kind === 'const') this.divided(rest, 1 / factor.value, way);
        else this.scalar(rest, { ...way, scaledBy: [...way.scaledBy, this.nameOf(factor)] });
        return true;
      }
      case 'div':
        if (!fixed(s.b)) return false;
        if (s.b.kind === 'const') this.divided(s.a, s.b.value, way);
        else if (this.isCount(s.b) && s.a.kind === 'read') this.tensor(s.a.tensor, way, 'count');
        else this.scalar(s.a, { ...way, scaledBy: [...way.scaledBy, `1 / ${this.nameOf(s.b)}`] });
        return true;
      default: return false;
    }
  }

  /** Sums and scalings of reads, and constants. */
  private isScaledRead(s: Scalar): boolean {
    const plain = (x: Scalar): boolean => !readsDependent(x, this.depends) || this.isScaledRead(x);
    switch (s.kind) {
      case 'read': return true;
      case 'unary': return s.op === 'neg' && this.isScaledRead(s.x);
      case 'binary':
        if (s.op === 'add' || s.op === 'sub') return plain(s.a) && plain(s.b);
        return (s.op === 'mul' || s.op === 'div') && plain(s.a) && plain(s.b) && !(readsDependent(s.a, this.depends) && readsDependent(s.b, this.depends));
      default: return false;
    }
  }

  private divided(s: Scalar, divisor: number, way: Way): void {
    if (s.kind === 'read' && this.depends(s.tensor)) this.tensor(s.tensor, way, divisor);
    else this.scalar(s, { ...way, weight: way.weight / divisor });
  }

  /** The number of elements that pass a guard: what a guarded mean divides by. */
  private isCount(s: Scalar): boolean {
    const inner = s.kind === 'binary' && s.op === 'max' ? s.a : s;
    return inner.kind === 'read' && this.p.program.tensors[inner.tensor].origin.name.endsWith(' count');
  }

  private nameOf(s: Scalar): string {
    return s.kind === 'read' ? this.p.program.tensors[s.tensor].origin.name : 'a schedule';
  }

  /** A product of two things that both vary: the sum over it is an inner product, not a reduction of a score. */
  private isProduct(body: Scalar): boolean {
    if (body.kind === 'select') return this.isProduct(body.a);
    if (body.kind !== 'binary' || body.op !== 'mul') return false;
    if (!readsDependent(body.a, this.depends)) return this.isProduct(body.b);
    if (!readsDependent(body.b, this.depends)) return this.isProduct(body.a);
    return body.a !== body.b && JSON.stringify(body.a) !== JSON.stringify(body.b);
  }

  private end(way: Way): void {
    this.parts.push({ weight: way.weight, scaledBy: way.scaledBy, over: way.over });
  }
}

/** `25 x mean over the batch and D (512)`: a reduction in words. */
export function reductionText(r: TermReduction): string {
  const parts = r.parts.map((p) => {
    const weight = weightText(p.weight);
    const factors = [...(weight === '' ? [] : [weight]), ...p.scaledBy].join(' x ');
    const text = [...(factors === '' ? [] : [`${factors} x`]), overText(p.over)].join(' ');
    return p.times === 1 ? text : `${p.times} parts, each ${text}`;
  });
  const constant = r.constant === 0 ? [] : [numberText(r.constant)];
  return [...parts, ...constant].join('; plus ');
}

function overText(over: readonly ReducedAxes[]): string {
  if (over.length === 0) return 'one value';
  const merged: ReducedAxes[] = [];
  for (const o of over) {
    const last = merged.at(-1);
    if (last?.how === o.how) merged[merged.length - 1] = { how: o.how, axes: [...last.axes, ...o.axes] };
    else merged.push(o);
  }
  return merged.map((o) => `${o.how} over ${o.axes.map(axisText).join(', ').replace(/, ([^,]*)$/, ' and $1')}`).join(' of the ');
}

/** Axes go by their names; those of one row a view and example are rows. */
function axisText({ name, size }: { readonly name: string; readonly size: number }): string {
  return name === theBatch || name === theRows(size) ? name : `${name} (${size})`;
}

const numberText = (x: number): string => `${Number(x.toPrecision(6))}`;

function weightText(w: number): string {
  if (Math.abs(w - 1) < 1e-9) return '';
  const inverse = 1 / w;
  const plain = numberText(w);
  return Math.abs(inverse - Math.round(inverse)) < 1e-6 * Math.abs(inverse) && Math.abs(inverse) > 1.5 && plain.length > 5 ? `${w < 0 ? '-' : ''}1/${Math.abs(Math.round(inverse))}` : plain;
}
