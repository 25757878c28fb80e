/**
 * While parameters are discovered, what networks give does not matter: only its shape does. A network that is applied again, to inputs
 * of the form it was applied to before, is not elaborated again; a source of the shape of its output stands in for that.
 *
 * The invariant: no program computes anything from a stand-in. Whoever uses them sees to that, or asks `needsStandIn`.
 */
import type { ProgramBuilder } from '../tensor/builder.js';
import { neededTensors } from '../tensor/renumber.js';
import type { Supplied } from './arguments.js';
import type { Context, Frame } from './context.js';
import { sourceOver } from './source-over.js';
import { orderedFree } from './tensor-value.js';
import type { NetValue, TensorValue, Value } from './value.js';

/** The output of a network: that of `apply`, or a source like what `apply` gave for inputs of this form. */
export type StandIn = (c: Context, f: Frame, net: NetValue, inputs: readonly Supplied[], apply: () => Value) => Value;

const prefix = 'stand-in.';

export function standIns(): StandIn {
  const outputs = new Map<NetValue, Map<string, TensorValue>>();
  let made = 0;
  return (c, f, net, inputs, apply) => {
    const form = formOf(c, f, inputs);
    const known = outputs.get(net) ?? new Map<string, TensorValue>();
    outputs.set(net, known);
    const before = form === null ? undefined : known.get(form);
    if (before !== undefined) return sourceOver(c.builder, `${prefix}${made++}`, before.element, before.axes, orderedFree(before));
    const output = apply();
    if (form !== null && output.kind === 'tensor') known.set(form, output);
    return output;
  };
}

/** Everything about inputs that the shape of an output can depend on; null where it may be more, a number for instance. */
function formOf(c: Context, f: Frame, inputs: readonly Supplied[]): string | null {
  const forms = inputs.map(({ name, value: v }) => (v.kind === 'tensor' ? [name, v.element, v.axes.map((a) => [a.size, a.label, a.group, a.origin?.id, a.views]), orderedFree(v).map((x) => [x.id, x.axis.size])] : null));
  return forms.includes(null) ? null : JSON.stringify([c.training, f.indexing, f.lifts.map((v) => [v.id, v.axis.size]), forms]);
}

/** Whether what the program is for needs a stand-in. */
export function needsStandIn(b: ProgramBuilder): boolean {
  if (!b.tensors.some(isStandIn)) return false;
  return [...neededTensors(b.build())].some((id) => isStandIn(b.tensor(id)));
}

const isStandIn = (t: ReturnType<ProgramBuilder['tensor']>): boolean => t.kind === 'source' && t.name.startsWith(prefix);
