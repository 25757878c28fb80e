/**
 * Dynamic loss scaling (Micikevicius et al., 2018, arXiv:1710.03740): gradients that are kept in 16 bits vanish below 2^-24, so the
 * loss is multiplied by a scale before it is differentiated, and the gradients of parameters, which are kept in 32 bits, are
 * divided by it again. Where one is not finite the scale was too large: the step writes nothing (parameters, optimizer states, running
 * statistics, targets, queues and tables stay as they were) and the scale halves; after many good steps in a row it doubles. A power of two
 * changes no digit of what it multiplies. The scale and its counters are states like any other, so a resumed run goes on with them.
 */
import type { Span } from '../../grammar/span.js';
import { add, binary, div, float, index, mul, select } from '../tensor/scalar.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import type { Context } from './context.js';
import { nodeOf } from './store.js';
import { constantTensor, materialize, tensorOfNode } from './tensor-value.js';
import type { TensorValue } from './value.js';

/** First scale, bounds, and the good steps after which it doubles. */
export const scaleRule = { first: 2 ** 16, least: 1, most: 2 ** 24, patience: 2000 } as const;

const names = { scale: 'precision.loss_scale', good: 'precision.good_steps', skipped: 'precision.skipped_steps' } as const;
const origin = (name: string): { span: null; name: string } => ({ span: null, name });
const largestFloat = 3.4e38;

/** The states, as the program reads them. */
export interface LossScale {
  readonly scale: TensorValue;
  readonly good: TensorValue;
  readonly skipped: TensorValue;
}

/** Declares the states, or finds them where they were placed. */
export function openLossScale(c: Context, span: Span): LossScale {
  const state = (name: string, first: number): TensorValue => c.store.state({ name, shape: [], element: 'f32' }, () => materialize(c, constantTensor(float(first)), name, span), span);
  return { scale: state(names.scale, scaleRule.first), good: state(names.good, 0), skipped: state(names.skipped, 0) };
}

/** What is differentiated in place of the loss. */
export function scaledLoss(c: Context, s: LossScale, loss: TensorId): TensorId {
  return c.builder.comprehension('f32', [], null, mul(c.builder.read(loss, []), s.scale.at([])), origin('scaled loss'));
}

/** The gradient of the loss itself from that of the scaled one. */
export function unscaled(c: Context, s: LossScale, gradient: TensorId): TensorId {
  const b = c.builder;
  return b.comprehension('f32', b.tensor(gradient).shape, null, div(b.identity(gradient), s.scale.at([])), b.tensor(gradient).origin);
}

/** Whether a step may write, and the new values that say so already. */
export interface Guard {
  readonly finite: TensorId;
  readonly values: Set<TensorId>;
}

/** A step may write where its gradient, whose length is `norm`, is finite. */
export function guardBy(c: Context, norm: TensorId): Guard {
  const length = c.builder.read(norm, []);
  const body = binary('and', binary('eq', length, length), binary('le', length, float(largestFloat)));
  return { finite: c.builder.comprehension('bool', [], null, body, origin('finite')), values: new Set() };
}

/** The new value of a source, or of rows of it, or the old one. */
export function guarded(c: Context, guard: Guard, source: TensorId, value: TensorId, rows: TensorId | null = null): TensorId {
  const b = c.builder;
  const { element, origin: from } = b.tensor(source);
  const { shape } = b.tensor(value);
  const old = b.read(source, shape.map((_, d) => (d === 0 && rows !== null ? b.read(rows, [index(0)]) : index(d))));
  const made = b.comprehension(element, shape, null, select(b.read(guard.finite, []), b.identity(value), old), from);
  guard.values.add(made);
  return made;
}

/**
 * Once every update has been written down: they happen only where the guard lets them, and the scale moves. Gives what a step reports
 * of it: the scale it used, and how many steps were skipped so far.
 */
export function closeLossScale(c: Context, s: LossScale, guard: Guard): readonly { readonly name: string; readonly value: TensorValue }[] {
  const b = c.builder;
  for (const { source, value, rows } of b.updates.splice(0)) b.update(source, guard.values.has(value) ? value : guarded(c, guard, source, value, rows), rows);
  const isGood = b.read(guard.finite, []);
  const [scale, good, skipped] = [s.scale.at([]), s.good.at([]), s.skipped.at([])];
  const enough = binary('ge', add(good, float(1)), float(scaleRule.patience));
  const grown = binary('min', mul(scale, float(2)), float(scaleRule.most));
  const shrunk = binary('max', mul(scale, float(0.5)), float(scaleRule.least));
  const scalar = (body: Scalar, name: string): TensorId => b.comprehension('f32', [], null, body, origin(name));
  const after = scalar(select(isGood, skipped, add(skipped, float(1))), names.skipped);
  b.update(nodeOf(s.scale), scalar(select(isGood, select(enough, grown, scale), shrunk), names.scale));
  b.update(nodeOf(s.good), scalar(select(isGood, select(enough, float(0), add(good, float(1))), float(0)), names.good));
  b.update(nodeOf(s.skipped), after);
  return [{ name: 'loss_scale', value: s.scale }, { name: 'skipped_steps', value: tensorOfNode(c, after) }];
}
