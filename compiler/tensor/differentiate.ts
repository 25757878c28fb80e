/**
 * Reverse-mode differentiation of tensor programs. From the loss backwards, each tensor's gradient is the sum of
 * one contribution per read of it: for `y[o] = reduce_r body(o, r)` and a read `x[at(o, r)]`,
 *
 *   grad x[p] = sum over (o, r) with at(o, r) = p of grad y[o] * (d reduce / d body) * (d body / d read)
 *
 * which `adjointOfRead` turns into a comprehension over p. The factor of the reduction is 1 for sum,
 * exp(body - y) for logsumexp, the product of the other elements for prod (exact with zeros), and for max and min
 * 1 at the first extremal element, found by argmax, so that it never hangs on comparing rounded numbers. argmax,
 * any and all pass nothing. The result is an ordinary part of the program; it can be differentiated again.
 */
import { bug } from '../../grammar/diagnostics/report.js';
import { adjointOfRead, identityRead } from './adjoint-of-read.js';
import type { Contribution } from './adjoint-of-read.js';
import { adjointOfRoutine } from './adjoint-of-routine.js';
import { alignElements } from './builder.js';
import type { ProgramBuilder } from './builder.js';
import { foldRanges } from './index-algebra.js';
import { holds } from './holds.js';
import type { Permutations } from './invert-read.js';
import type { Comprehension, Origin, Tensor, Window } from './program.js';
import { sizeOf } from './program.js';
import { rememberInversions } from './remember-inversions.js';
import { differentiateScalar, insideOf } from './scalar-derivative.js';
import type { ReadScalar, Scalar, TensorId } from './scalar.js';
import { add, binary, div, float, index, indexVariables, int, mul, operands, read as readOf, select, sub, substitute, unary, visitWhere } from './scalar.js';
import { createInterner } from './structure.js';

/** What reaches a tensor: a scalar over its indices, or a whole tensor laid over a part of it. */
type Share =
  | { readonly kind: 'contribution'; readonly contribution: Contribution; readonly origin: Origin }
  | { readonly kind: 'window'; readonly gradient: TensorId; readonly window: Window };

/**
 * Appends the gradients of `loss` to the program and returns one tensor per `wrt`, of the same shape (zeros where
 * the loss does not depend on it). `seed` is the gradient of what follows with respect to `loss`; ones by
 * default. A `wrt` that is a window counts as a variable of its own.
 */
export function differentiate(builder: ProgramBuilder, loss: TensorId, wrt: readonly TensorId[], seed?: TensorId): TensorId[] {
  const shapeOf = (id: TensorId): readonly number[] => builder.tensor(id).shape;
  const last = loss;
  const active = activeTensors(builder, wrt, last);
  const shares = new Map<TensorId, Share[]>();
  const give = (to: TensorId, share: Share): void => {
    const list = shares.get(to);
    if (list === undefined) shares.set(to, [share]); else list.push(share);
  };
  const permutations = inversesIn(builder);
  const invert = rememberInversions();
  const gradients = new Map<TensorId, TensorId>();
  const wanted = new Set(wrt);

  const first = wrt.reduce<number>((a, b) => Math.min(a, b), last);
  for (let id = last; id >= first; id = (id - 1) as TensorId) {
    if (!active.has(id)) continue;
    const tensor = builder.tensor(id);
    const origin: Origin = { span: tensor.origin.span, name: `grad ${tensor.origin.name}` };
    let gradient: TensorId | null;
    if (id === loss) {
      if (seed !== undefined && !sameShape(shapeOf(seed), tensor.shape)) return bug(`seed of shape [${shapeOf(seed).join(', ')}] for a loss of shape [${tensor.shape.join(', ')}]`);
      gradient = seed ?? builder.comprehension('f32', tensor.shape, null, float(1), origin);
    } else {
      gradient = gather(builder, tensor, shares.get(id) ?? [], origin);
    }
    shares.delete(id);
    if (gradient === null) continue;
    if (wanted.has(id)) gradients.set(id, gradient);
    switch (tensor.kind) {
      case 'source': break;
      case 'window':
        if (active.has(tensor.of)) give(tensor.of, { kind: 'window', gradient, window: tensor });
        break;
      case 'pack':
        for (const [i, part] of tensor.parts.entries()) {
          if (!active.has(part)) continue;
          const partOrigin: Origin = { span: origin.span, name: `grad ${builder.tensor(part).origin.name}` };
          const slice = builder.window(gradient, tensor.offsets[i], shapeOf(part), partOrigin);
          give(part, { kind: 'contribution', contribution: { extents: [], inner: builder.identity(slice), outer: null }, origin: partOrigin });
        }
        break;
      case 'routine':
        for (const share of adjointOfRoutine(builder, tensor, gradient, origin)) {
          if (active.has(share.to)) give(share.to, { kind: 'contribution', contribution: { extents: [], inner: builder.identity(share.gradient), outer: null }, origin });
        }
        break;
      case 'comprehension': {
        const extents = [...tensor.shape, ...(tensor.reduce?.extents ?? [])];
        const interner = createInterner();
        const body = interner.intern(foldRanges(tensor.body, (v) => extents[v], shapeOf, interner));
        const weight = weightOf(builder, tensor, body, gradient, origin);
        if (weight === null) break;
        for (const { read, adjoint } of differentiateScalar(body, weight, (r) => active.has(r.tensor), (r) => insideOf(r, shapeOf(r.tensor)), interner)) {
          give(read.tensor, { kind: 'contribution', contribution: adjointOfRead(read, adjoint, extents, shapeOf, permutations, invert), origin: tensor.origin });
        }
        break;
      }
    }
  }
  return wrt.map((id) => {
    const known = gradients.get(id);
    if (known !== undefined) return known;
    const tensor = builder.tensor(id);
    const zeros = builder.comprehension('f32', tensor.shape, null, float(0), { span: tensor.origin.span, name: `grad ${tensor.origin.name}` });
    gradients.set(id, zeros);
    return zeros;
  });
}

/** Inverses of the permutations that the program sorts by, each made when it is first needed. */
function inversesIn(builder: ProgramBuilder): Permutations {
  const known = new Map<TensorId, TensorId>();
  return (id) => {
    const tensor = builder.tensor(id);
    if (tensor.kind !== 'routine' || tensor.op !== 'argsort') return null;
    const inverse = (): TensorId => {
      const made = known.get(id) ?? builder.routine('argsort', [id], { span: tensor.origin.span, name: `inverse ${tensor.origin.name}` });
      known.set(id, made);
      return made;
    };
    return { inverse, size: tensor.shape[tensor.shape.length - 1] };
  };
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}

/** The f32 tensors up to `last` that depend on `wrt`, these included. What comes before the first of them cannot. */
function activeTensors(builder: ProgramBuilder, wrt: readonly TensorId[], last: TensorId): ReadonlySet<TensorId> {
  const active = new Set<TensorId>();
  const wanted = new Set(wrt);
  for (let i = wrt.reduce<number>((a, b) => Math.min(a, b), last); i <= last; i++) {
    const tensor = builder.tensors[i];
    if (tensor.element !== 'f32') continue;
    if (wanted.has(tensor.id) || dependsOn(tensor, active)) active.add(tensor.id);
  }
  return active;
}

function dependsOn(tensor: Tensor, active: ReadonlySet<TensorId>): boolean {
  switch (tensor.kind) {
    case 'source': return false;
    case 'window': return active.has(tensor.of);
    case 'pack': return tensor.parts.some((p) => active.has(p));
    case 'routine': return tensor.inputs.some((i) => active.has(i));
    case 'comprehension': return reachesFloat(tensor.body, active);
  }
}

/** Whether a read of an active tensor reaches the value other than through `stop`, a condition or an index. */
function reachesFloat(body: Scalar, active: ReadonlySet<TensorId>): boolean {
  const reaches = new Set<Scalar>();
  visitWhere(holds.read, body, (s) => {
    if (s.type !== 'f32' || (s.kind === 'unary' && s.op === 'stop')) return;
    if ((s.kind === 'read' && active.has(s.tensor)) || operands(s).some((o) => reaches.has(o))) reaches.add(s);
  });
  return reaches.has(body);
}

/** grad y[o] * d reduce / d body, over the variables of the comprehension; null when nothing passes. */
function weightOf(builder: ProgramBuilder, tensor: Comprehension, body: Scalar, gradient: TensorId, origin: Origin): Scalar | null {
  const g = builder.identity(gradient);
  if (tensor.reduce === null) return g;
  const rank = tensor.shape.length;
  const { op, extents } = tensor.reduce;
  const result = builder.identity(tensor.id);
  switch (op) {
    case 'sum': return g;
    case 'logsumexp': return mul(g, unary('exp', sub(body, result)));
    case 'deviations': {
      const total = builder.comprehension('f32', tensor.shape, { op: 'sum', extents }, body, { span: origin.span, name: `sum ${tensor.origin.name}` });
      return mul(g, mul(sub(body, mul(builder.identity(total), float(1 / sizeOf(extents)))), float(2)));
    }
    case 'max': case 'min': {
      const first = builder.comprehension('i32', tensor.shape, { op: 'argmax', extents }, op === 'max' ? body : unary('neg', body), { span: origin.span, name: `argmax ${tensor.origin.name}` });
      let position: Scalar = int(0);
      extents.forEach((extent, axis) => { position = add(binary('mul', position, int(extent)), index(rank + axis)); });
      return select(binary('eq', position, builder.identity(first)), g, float(0));
    }
    case 'prod': {
      // With the zeros left out: product / element when there is none, the product at a single zero, else 0.
      const isZero = binary('eq', body, float(0));
      const name = tensor.origin.name;
      const rest = builder.comprehension('f32', tensor.shape, { op: 'prod', extents }, select(isZero, float(1), body), { span: origin.span, name: `nonzero product ${name}` });
      const zeros = builder.comprehension('f32', tensor.shape, { op: 'sum', extents }, select(isZero, float(1), float(0)), { span: origin.span, name: `zeros ${name}` });
      const product = builder.identity(rest);
      const count = builder.identity(zeros);
      const others = select(isZero,
        select(binary('eq', count, float(1)), product, float(0)),
        select(binary('eq', count, float(0)), div(product, select(isZero, float(1), body)), float(0)));
      return mul(g, others);
    }
    case 'argmax': case 'any': case 'all': return null;
  }
}

/** Adds up what reached a tensor: one map over all shares, or the single share itself. Null when nothing did. */
function gather(builder: ProgramBuilder, tensor: Tensor, shares: readonly Share[], origin: Origin): TensorId | null {
  const shapeOf = (id: TensorId): readonly number[] => builder.tensor(id).shape;
  const windows = shares.flatMap((s) => (s.kind === 'window' ? [s] : []));
  const packed = windows.length === shares.length && windows.length > 0 ? packWindows(builder, tensor, windows, origin) : null;
  if (packed !== null) return packed;
  let total: Scalar | null = null;
  for (const share of shares) {
    let term: Scalar;
    if (share.kind === 'window') {
      term = spreadWindow(builder, tensor, share.gradient, share.window);
    } else {
      const { extents, inner, outer } = share.contribution;
      if (inner.kind === 'const' && inner.value === 0) continue;
      if (extents.length === 0) {
        term = outer === null ? inner : outer(inner);
      } else {
        const sum = sumOf(builder, tensor.shape, extents, inner, origin);
        if (outer === null && shares.length === 1 && sameShape(builder.tensor(sum.tensor).shape, tensor.shape)) return sum.tensor;
        term = outer === null ? sum : outer(sum);
      }
    }
    total = total === null ? term : add(total, term);
  }
  if (total === null) return null;
  return identityRead(total, tensor.shape, shapeOf) ?? builder.comprehension('f32', tensor.shape, null, total, origin);
}

/** A sum at every index of `shape`, summed once for all indices of the axes that it does not vary along: what reads one row of two has a gradient in it alone. */
function sumOf(builder: ProgramBuilder, shape: readonly number[], extents: readonly number[], inner: Scalar, origin: Origin): ReadScalar {
  const used = indexVariables(inner);
  const axes = shape.flatMap((n, axis) => (used.has(axis) || n === 1 ? [axis] : []));
  const body = axes.length === shape.length ? inner : substitute(inner, (v) => (v >= shape.length ? index(v - shape.length + axes.length) : index(axes.indexOf(v))));
  const sum = builder.comprehension('f32', axes.map((axis) => shape[axis]), { op: 'sum', extents }, body, origin);
  return readOf(sum, axes.map((axis) => index(axis)), 'f32');
}

/** Gradients of windows that lie side by side make up the gradient of the whole without a copy. */
function packWindows(builder: ProgramBuilder, tensor: Tensor, shares: readonly { readonly gradient: TensorId; readonly window: Window }[], origin: Origin): TensorId | null {
  if (tensor.shape.length !== 1) return null;
  const sorted = [...shares].sort((a, b) => a.window.offset - b.window.offset);
  let end = 0;
  for (const { window } of sorted) {
    if (window.offset < end || window.offset % 64 !== 0) return null;
    end = window.offset + sizeOf(window.shape);
  }
  if (alignElements(end) !== tensor.shape[0]) return null;
  return builder.pack(sorted.map((s) => s.gradient), origin, sorted.map((s) => s.window.offset));
}

/** The gradient of a window as a scalar over the indices of the tensor it lies in: 0 outside it. */
function spreadWindow(builder: ProgramBuilder, tensor: Tensor, gradient: TensorId, window: Window): Scalar {
  let flat: Scalar = int(0);
  tensor.shape.forEach((n, axis) => { flat = add(binary('mul', flat, int(n)), index(axis)); });
  flat = sub(flat, int(window.offset));
  if (window.shape.length === 0) return select(binary('eq', flat, int(0)), builder.read(gradient, []), float(0));
  // Before and after the window the first index leaves its axis; the others wrap and never do.
  let stride = sizeOf(window.shape);
  const at = window.shape.map((n, axis) => {
    stride /= n;
    const digit = binary('idiv', flat, int(stride));
    return axis === 0 ? digit : binary('mod', digit, int(n));
  });
  const read = builder.read(gradient, at, float(0));
  return foldRanges(read, (v) => tensor.shape[v], (id) => builder.tensor(id).shape);
}
