/**
 * What a step does once its model has been elaborated: the loss is differentiated (scaled, in mixed precision), the optimizer moves the
 * parameters, targets follow, states take their new values, and all that is reported goes into one vector.
 */
import type { TargetOptions, TrainingSpec } from '../api.js';
import { tensorsRead } from '../tensor/renumber.js';
import type { TensorId } from '../tensor/scalar.js';
import { unstacked } from '../tensor/stack-twins.js';
import { applyOptimizer } from './apply-optimizer.js';
import type { OutputWatch } from './compared-outputs.js';
import { gradientNorm } from './gradient-norm.js';
import { differentiateRows, readRows } from './lazy-parameters.js';
import type { Gradients } from './lazy-parameters.js';
import { closeLossScale, guardBy, guarded, openLossScale, scaledLoss, unscaled } from './loss-scale.js';
import type { Guard } from './loss-scale.js';
import type { ElaboratedModel } from './model.js';
import type { Layout, PlacedStore } from './store.js';
import { tensorOfNode } from './tensor-value.js';
import type { Session } from './session.js';
import { lossOf, optimizerFor, parameterWindows, ratesOf, reportVector, stackObjectives } from './step-parts.js';
import type { BuiltStep } from './step-parts.js';
import type { Overrides, TrainingSource } from './training-spec.js';

const origin = (name: string): { span: null; name: string } => ({ span: null, name });

/** The rest of a step once its model is there: gradient, optimizer, targets, updates and reports. */
export function finishStep(s: Session, model: ElaboratedModel, source: TrainingSource, overrides: Overrides, layout: Layout, store: PlacedStore, target: TargetOptions, watch: OutputWatch, precision: TrainingSpec['precision']): Pick<BuiltStep, 'reports' | 'compared'> {
  const { c } = s;
  const b = c.builder;
  const { total, reported, compared } = lossOf(c, model, source, watch);
  // Rows that are read of lazy parameters are tensors by themselves, which must stay so.
  const stacked = layout.lazy.length > 0 ? unstacked : stackObjectives(b, [total, ...store.values(), ...reported.flatMap((r) => tensorsRead(r.value.at([])))], target);
  const loss = stacked.tensor(total);

  b.backward = true;
  const wrt = parameterWindows(b, layout, store);
  const optimizer = optimizerFor(s, source, overrides);
  const scale = precision === 'f16' ? openLossScale(c, source.model.name.span) : null;
  const found = differentiateRows(b, store, layout, scale === null ? loss : scaledLoss(c, scale, loss), wrt, source.model.name.span);
  let guard: Guard | null = null;
  const all = [...reported];
  if (optimizer !== null && layout.parameters.length + layout.lazy.length > 0) {
    const whole = (id: TensorId): TensorId => (scale === null ? id : unscaled(c, scale, id));
    const gradients: Gradients = { dense: found.dense, rows: new Map([...found.rows].map(([p, r]) => [p, { ...r, gradient: whole(r.gradient) }])) };
    const packed = layout.parameters.length === 0 ? [] : [whole(b.pack(gradients.dense, origin('gradient'), layout.parameters.map((p) => p.offset)))];
    const [gradient] = packed;
    const norm = gradientNorm(b, [...packed, ...[...gradients.rows.values()].map((r) => r.gradient)]);
    guard = scale === null ? null : guardBy(c, norm);
    all.push({ name: 'gradient_norm', value: tensorOfNode(c, norm) });
    const next = applyOptimizer(c, s.root, optimizer, layout, {
      flat: () => ({ w: tensorOfNode(c, store.flat()), g: tensorOfNode(c, gradient) }),
      part: (_, k) => ({ w: tensorOfNode(c, wrt[k]), g: tensorOfNode(c, whole(gradients.dense[k])) }),
      rows: (p) => readRows(c, store, p, gradients),
    });
    if (next !== null) {
      const arrived = guard === null ? next : guarded(c, guard, store.flat(), next);
      b.update(store.flat(), arrived);
      store.moveTargets(arrived, stacked.tensor);
    }
    all.push(...ratesOf(c, optimizer, source));
  }
  store.commit(stacked.tensor);
  if (scale !== null && guard !== null) all.push(...closeLossScale(c, scale, guard));
  b.output('reports', reportVector(b, all, stacked));
  return { reports: all.map((r) => r.name), compared };
}
