/**
 * Where the embeddings are put to see what an objective does: sources that stand for networks' outputs are laid out on purpose, and
 * the terms are evaluated there in float64.
 */
import type { ObjectivesProgram } from '../lower/collapse-program.js';
import { interpret } from '../tensor/interpret.js';
import { uniformDraw } from '../tensor/philox.js';
import { sizeOf } from '../tensor/program.js';
import type { Program, Source, Tensor } from '../tensor/program.js';
import { float } from '../tensor/scalar.js';
import { dropDead } from '../tensor/simplify.js';

/**
 * Constant vectors to collapse to, almost zero among them (at zero itself a direction has no meaning): a term may prefer some
 * length, and the lowest of these is the one to leave.
 */
export const centres: readonly ((d: number) => number)[] = [(d) => normal(1, 0, d), ...[0.3, 1, 3].map((length) => (d: number) => (normal(1, 0, d) < 0 ? -length : length)), () => 1e-6, () => 1];

/** How far `near` lies from the collapsed point: so little that what pulls away linearly beats what pulls back quadratically. */
const step = 0.02;

/** How much the views of an example differ where they do: less than views of trained networks. */
const difference = 0.05;

/**
 * `opposite` is `near` mirrored at the collapsed point; `exchanged` is `near` with every example at the next one's place. In `spread views` and `line views` the views of an example differ a little;
 * the differences of a dimension are orthogonal to what it holds, so that deviations over the batch stay equal in both.
 */
export type Layout = 'collapsed' | 'near' | 'opposite' | 'exchanged' | 'spread' | 'line' | 'spread views' | 'line views' | 'uneven' | 'turned';

/** Each objective's value where the networks' outputs are laid out so. What has no value there, a whitening of what does not vary, is as bad as can be. */
export function evaluateTerms(p: ObjectivesProgram, layout: Layout, centre: number, withoutMatrices = false): number[] {
  const tensors = p.program.tensors.map((t) => (withoutMatrices && t.kind === 'comprehension' && p.matrices.has(t.id) ? { ...t, reduce: null, body: float(0) } : t));
  const program = termsOnly(p, tensors);
  const inputs = sourcesOf(program, layout, centre);
  Object.assign(inputs, settledStates(p, tensors, program, aroundCollapsed(layout) ? 'collapsed' : layout, centre));
  const out = interpret(program, inputs);
  return p.terms.map((_, k) => { const x = out.outputs.get(`${k}`)?.[0] ?? 0; return Number.isNaN(x) ? Infinity : x; });
}

const aroundCollapsed = (layout: Layout): boolean => layout === 'near' || layout === 'opposite' || layout === 'exchanged';

function sourcesOf(program: Program, layout: Layout, centre: number): Record<string, Float64Array> {
  return Object.fromEntries(program.tensors.flatMap((t) => (t.kind === 'source' ? [[t.name, sourceValues(t, layout, centre)] as const] : [])));
}

/** Steps after which a moving average with a factor of 0.99 has all but arrived. */
const stepsToSettle = 2000;

/**
 * What the states that a program reads come to hold when every step sees this layout: a centre lies at the mean. Moving averages
 * approach it by the same factor every step, so that three steps say where they go.
 */
function settledStates(p: ObjectivesProgram, tensors: readonly Tensor[], program: Program, layout: Layout, centre: number): Record<string, Float64Array> {
  const outputs = program.tensors.flatMap((t) => {
    const tensor = t.kind === 'source' && t.name.startsWith('state.') ? p.updates.get(t.name) : undefined;
    return tensor === undefined ? [] : [{ name: t.origin.name, tensor }];
  });
  if (outputs.length === 0) return {};
  const moving = dropDead({ ...p.program, tensors, outputs, updates: [] });
  const inputs = sourcesOf(moving, layout, centre);
  const held: Record<string, readonly Float64Array[]> = {};
  for (let step = 0, change = 1; step < stepsToSettle && change > 1e-12; step++) {
    change = 0;
    const next = interpret(moving, inputs).outputs;
    for (const { name } of outputs) {
      const value = next.get(name) ?? new Float64Array();
      const [before, earlier] = held[name] ?? [inputs[name] ?? new Float64Array(value.length), null];
      value.forEach((x, k) => { change = Math.max(change, Math.abs(x - before[k])); });
      const ahead = step % 3 === 2 && earlier !== undefined && earlier !== null ? value.map((x, k) => limitOf(earlier[k], before[k], x)) : value;
      held[name] = [ahead, before];
      if (inputs[name] !== undefined) inputs[name] = ahead;
    }
  }
  return Object.fromEntries(Object.entries(held).map(([name, [value]]) => [name, value]));
}

/** Where a sequence goes that approaches its limit by a constant factor. */
function limitOf(first: number, second: number, third: number): number {
  const factor = (third - second) / (second - first);
  return Number.isFinite(factor) && Math.abs(factor) < 0.9999 ? third + ((third - second) * factor) / (1 - factor) : third;
}

/**
 * Networks' outputs by layout; memories hold what such networks would have written, at unit length, of other examples. States hold
 * what they settle at; everything else (weights outside networks, data) is fixed noise.
 */
function sourceValues(t: Source, layout: Layout, centre: number): Float64Array {
  const width = t.shape.length === 0 ? 1 : t.shape[t.shape.length - 1];
  const rows = sizeOf(t.shape) / width;
  if (t.name.startsWith('network.')) {
    const application = Number(t.name.split('.')[1]);
    if (layout !== 'exchanged') return embeddings(layout, rows, width, 0, application, centre);
    const near = embeddings('near', rows, width, 0, application, centre);
    const example = near.length / t.shape[0];
    return near.map((_, i) => near[(i + example) % near.length]);
  }
  if (t.name.startsWith('memory.')) return unitRows(embeddings(layout, rows, width, rows, 0, centre), width);
  const values = new Float64Array(rows * width);
  // Latent variables that hold nothing, or any value of a few.
  if (t.name.startsWith('latent.')) return t.element === 'i32' ? values.map((_, i) => i % 8) : values;
  // Labels, and assignments to clusters, differ from example to example; the examples of a batch are the first.
  if (t.name === 'batch.example') return values.map((_, i) => i);
  if (t.element === 'i32' && t.role !== 'clock') return values.map((_, i) => i % 2);
  if (t.role === 'clock' || (t.role === 'state' && !t.name.startsWith('table.'))) return values;
  return values.map((_, i) => normal(7, Math.floor(i / width), i % width));
}

/**
 * `salt` separates the examples of a memory from those of the batch. In the uneven layouts the views of an example disagree a
 * little, by `application`, so that statistics across views depend on the directions too; deviations are below 1, where the
 * usual regularizers still push.
 */
function embeddings(layout: Layout, rows: number, width: number, salt: number, application: number, variant: number): Float64Array {
  const values = new Float64Array(rows * width);
  for (let d = 0; d < width; d++) {
    const centre = centres[variant](d);
    const signs = balancedSigns(rows, layout.startsWith('line') ? 0 : d, salt);
    const direction = normal(4, 0, d) < 0 ? -1 : 1;
    const apart = layout.endsWith(' views') ? differences(rows, d, salt, application) : null;
    for (let r = 0; r < rows; r++) {
      const sign = signs[r];
      const at = (): number => {
        switch (layout) {
          case 'collapsed': return centre;
          case 'near': case 'exchanged': return centre + step * sign;
          case 'opposite': return centre - step * sign;
          case 'spread': case 'spread views': return sign;
          case 'line': case 'line views': return sign * direction;
          case 'uneven': case 'turned': return 0.3 * (sign * (1 + (d % 3)) + 0.5 * normal(20 + application, r, d));
        }
      };
      values[r * width + d] = at() + (apart === null ? 0 : difference * apart[r]);
    }
  }
  return layout === 'turned' ? reflect(values, width) : values;
}

/** What one view adds to a dimension: noise with mean zero over the rows, and without what dimension holds in either layout. */
function differences(rows: number, d: number, salt: number, application: number): number[] {
  const held = [new Array<number>(rows).fill(1), balancedSigns(rows, 0, salt), ...(d === 0 ? [] : [balancedSigns(rows, d, salt)])];
  const dot = (x: readonly number[], y: readonly number[]): number => x.reduce((n, v, r) => n + v * y[r], 0);
  const basis: number[][] = [];
  const without = (x: readonly number[]): number[] => basis.reduce<number[]>((rest, b) => { const along = dot(rest, b); return rest.map((v, r) => v - along * b[r]); }, [...x]);
  for (const h of held) {
    const rest = without(h);
    const length = Math.sqrt(dot(rest, rest));
    if (length > 1e-6) basis.push(rest.map((v) => v / length));
  }
  return without(Array.from({ length: rows }, (_, r) => normal(20 + application, r, d)));
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

/** Operations that evaluating the objectives once takes, counted, without doing it. */
export function workOf(p: ObjectivesProgram): number {
  const { tensors } = termsOnly(p);
  return tensors.reduce((n, t) => n + (t.kind === 'comprehension' ? sizeOf(t.shape) * sizeOf(t.reduce?.extents ?? []) : 0), 0);
}

function termsOnly(p: ObjectivesProgram, tensors = p.program.tensors): Program {
  return dropDead({ ...p.program, tensors, outputs: p.terms.map((t, k) => ({ name: `${k}`, tensor: t })), updates: [] });
}
