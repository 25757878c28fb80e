/** `NAME[binders where guard](arguments)`: reductions over indices, over named axes and over lists; `standardize[axis](x)`. */
import type { Binder, Expression } from '../../grammar/ast.js';
import type { Span } from '../../grammar/span.js';
import { suggest } from '../../grammar/diagnostics/suggest.js';
import { add, binary, float, index, mul, unary } from '../tensor/scalar.js';
import type { ReduceOperator } from '../tensor/program.js';
import type { Context, Frame } from './context.js';
import { fail, newVariable } from './context.js';
import { combine, evaluate } from './evaluate.js';
import { mentions } from './free-names.js';
import { inferRanges } from './infer-ranges.js';
import { reduceParameters } from './reduce-parameters.js';
import { Scope } from './scope.js';
import { convertTensor, elementwise, materialize, needTensor, reduceAxes, reduceOver, variableTensor, varianceOver, mergeFree } from './tensor-value.js';
import type { IndexVariable, TensorValue, Value } from './value.js';
import { describe } from './value.js';

export const reductions: ReadonlySet<string> = new Set(['sum', 'max', 'min', 'mean', 'prod', 'logsumexp', 'any', 'all', 'argmax', 'var']);

type Along = Extract<Expression, { kind: 'along' }>;

/** `piped` is the value from the left of `|>` when the brackets come without arguments. */
export function evaluateAlong(c: Context, f: Frame, e: Along, piped: Value | null): Value {
  const name = e.name.text;
  if (!reductions.has(name) && name !== 'standardize') {
    return fail(c, 'SSL1001', e.name.span, { name, suggestion: suggest(name, [...reductions, 'standardize']), known: [...reductions, 'standardize'] });
  }
  const args = e.arguments ?? [];
  if (args.length !== (piped === null ? 1 : 0)) return fail(c, 'SSL2002', e.span, { callee: name, expected: '1 argument', found: args.length });
  const body = piped === null ? args[0].value : null;
  if (e.binders.some((b) => b.source !== null)) return body === null ? fail(c, 'SSL2002', e.span, { callee: name, expected: '1 argument', found: 0 }) : overLists(c, f, e, body);
  const bound = name === 'standardize' ? [] : e.binders.filter((b) => !b.rest && body !== null && (b.extent !== null || mentions(body, b.name.text) || (e.where !== null && mentions(e.where, b.name.text))));
  if (bound.length === 0) {
    const value = piped ?? (body === null ? { kind: 'poison' as const } : evaluate(c, f, body));
    return overAxes(c, e, name, needTensor(c, e.span, value));
  }
  if (bound.length !== e.binders.length || body === null) {
    const other = e.binders.find((b) => !bound.includes(b));
    return fail(c, 'SSL2005', (other ?? e).span, { index: other?.name.text ?? name, help: 'every name in the brackets must be used as an index in the argument, or none' });
  }
  const { variables, frame } = bindIndices(c, f, e.binders, e.where === null ? [body] : [body, e.where], null);
  const value = needTensor(c, body.span, evaluate(c, frame, body));
  const guard = e.where === null ? null : convertTensor(needTensor(c, e.where.span, evaluate(c, frame, e.where)), 'bool');
  if (name === 'var') return varianceOver(c, e.span, name, value, variables);
  return reduceOver(c, e.span, name, operator(name), value, variables, guard);
}

function operator(name: string): ReduceOperator | 'mean' {
  switch (name) {
    case 'max': case 'min': case 'mean': case 'prod': case 'logsumexp': case 'any': case 'all': case 'argmax': return name;
    default: return 'sum';
  }
}

/** Index variables for binders, and a frame in which their names are indices. `fallback` gives ranges that use does not. */
export function bindIndices(
  c: Context, f: Frame, binders: readonly Binder[], bodies: readonly Expression[], fallback: readonly (number | null)[] | null,
): { variables: IndexVariable[]; frame: Frame } {
  const scope = new Scope(f.scope);
  const ranges = inferRanges(c, f, binders, bodies);
  const variables = binders.map((b, k) => {
    const name = b.name.text;
    const declared = fallback?.[k] ?? null;
    const axis = ranges.get(name) ?? (declared === null ? null : { size: declared, label: null, group: null, origin: null });
    if (axis === null) return fail(c, 'SSL2005', b.span, { index: name, help: `write its size: \`${name}: 10\`` });
    const v = newVariable(c, name, axis, false);
    scope.set(name, variableTensor(v));
    return v;
  });
  return { variables, frame: { ...f, scope } };
}

/** `mean[H, W](x)`, `sum[*S](x)`, `standardize[b](u)`: axes by name. */
function overAxes(c: Context, e: Along, name: string, v: TensorValue): Value {
  const positions = e.binders.flatMap((b) => axisPositions(c, b, v));
  if (name === 'standardize') return standardize(c, e.span, v, positions);
  const each = reduceParameters(c, e.span, name, v, positions);
  if (each !== null) return each;
  if (name === 'var') {
    const variables = positions.map((p) => newVariable(c, v.axes[p].label ?? 'axis', v.axes[p], false));
    return varianceOver(c, e.span, name, partly(v, positions, variables), variables);
  }
  return reduceAxes(c, e.span, name, operator(name), v, positions);
}

function axisPositions(c: Context, b: Binder, v: TensorValue): number[] {
  const name = b.name.text;
  const matching = (f: (k: number) => boolean): number[] => v.axes.map((_, k) => k).filter(f);
  if (b.rest) return matching((k) => v.axes[k].group === name);
  const exact = matching((k) => v.axes[k].label === name);
  const found = exact.length > 0 ? exact : matching((k) => v.axes[k].label === name.toUpperCase());
  if (found.length === 0) return fail(c, 'SSL2008', b.span, { axis: name, axes: v.axes.map((a) => a.label ?? `${a.size}`).join(', ') || 'none' });
  return [found[0]];
}

/** `v` with these axes read at index variables. */
function partly(v: TensorValue, positions: readonly number[], variables: readonly IndexVariable[]): TensorValue {
  return {
    kind: 'tensor', element: v.element,
    axes: v.axes.filter((_, k) => !positions.includes(k)),
    free: mergeFree(v.free, new Map(variables.map((x) => [x.id, x]))),
    at: (i) => {
      let next = 0;
      return v.at(v.axes.map((_, k) => { const b = positions.indexOf(k); return b >= 0 ? index(variables[b].id) : i[next++]; }));
    },
  };
}

/** (x - mean) / sqrt(variance + 1e-5) over the axes; the biased variance, as batch norm without affine parameters. */
function standardize(c: Context, span: Span, v: TensorValue, positions: readonly number[]): TensorValue {
  const x = materialize(c, convertTensor(v, 'f32'), 'standardize x', span);
  const mean = materialize(c, reduceAxes(c, span, 'standardize mean', 'mean', x, positions), 'standardize mean', span);
  const spread = (t: TensorValue): TensorValue => ({ ...t, axes: v.axes, at: (i) => t.at(i.filter((_, k) => !positions.includes(k))) });
  const centred = combine(c, span, 'sub', x, spread(mean), false);
  const square = elementwise(c, span, [centred], 'f32', ([d]) => mul(d, d));
  const variance = reduceAxes(c, span, 'standardize variance', 'mean', square, positions);
  const scale = materialize(c, elementwise(c, span, [variance], 'f32', ([s]) => binary('div', float(1), unary('sqrt', add(s, float(1e-5))))), 'standardize scale', span);
  return combine(c, span, 'mul', centred, spread(scale), false);
}

/** `mean[s in xs, t in ys where s != t](...)`: the lists are known, so the terms are written out. */
function overLists(c: Context, f: Frame, e: Along, body: Expression): Value {
  const name = e.name.text;
  const terms: TensorValue[] = [];
  const visit = (k: number, scope: Scope): void => {
    const frame: Frame = { ...f, scope, early: new Map() };
    if (k === e.binders.length) {
      if (e.where !== null) {
        const keep = evaluate(c, frame, e.where);
        if (keep.kind !== 'boolean') return fail(c, 'SSL2001', e.where.span, { expected: 'true or false, known while compiling', found: describe(keep) });
        if (!keep.value) return;
      }
      terms.push(needTensor(c, body.span, evaluate(c, frame, body)));
      return;
    }
    const source = e.binders[k].source;
    const list = source === null ? { kind: 'poison' as const } : evaluate(c, frame, source);
    const items: readonly Value[] = list.kind === 'list' ? list.items
      : list.kind === 'range' ? Array.from({ length: Math.max(0, list.high - list.low) }, (_, n): Value => ({ kind: 'number', value: list.low + n, integer: true }))
      : fail(c, 'SSL2001', e.binders[k].span, { expected: 'a list to run over', found: describe(list) });
    for (const item of items) {
      const inner = new Scope(scope);
      inner.set(e.binders[k].name.text, item);
      visit(k + 1, inner);
    }
  };
  visit(0, f.scope);
  if (terms.length === 0) return fail(c, 'SSL2001', e.span, { expected: 'at least one term', found: 'none' });
  if (name !== 'sum' && name !== 'mean' && name !== 'max' && name !== 'min') {
    return fail(c, 'SSL4001', e.span, { feature: `\`${name}\` over a list`, help: 'use sum, mean, max or min' });
  }
  const op = name === 'max' || name === 'min' ? name : 'add';
  const total = terms.map((t) => convertTensor(t, 'f32')).reduce((a, b) => combine(c, e.span, op, a, b, false));
  return name === 'mean' ? elementwise(c, e.span, [total], 'f32', ([x]) => mul(x, float(1 / terms.length))) : total;
}
