/**
 * States of no axes (`state v: [] = 0`) of an optimizer that reduces whole parameters and runs on all of them at once: a number for each
 * parameter, in one vector, seen at every element of it.
 */
import { bug } from '../../grammar/diagnostics/report.js';
import type { Span } from '../../grammar/span.js';
import { index, indexVariables, rewriteReads } from '../tensor/scalar.js';
import type { Scalar } from '../tensor/scalar.js';
import { fail } from './context.js';
import type { Context, SharedAxis, Store } from './context.js';
import { parameterAt, recomputed } from './reduce-parameters.js';
import { convertTensor, materialize } from './tensor-value.js';
import { axisOf, describe } from './value.js';
import type { TensorValue } from './value.js';

/** An element, far from any position. */
const somewhere = index(3_000_000);

/** The store of `c`, with a vector in place of each number. */
export function numbersOfEach(c: Context, along: SharedAxis): Store {
  const { store, builder: b } = c;
  const count = along.parameters.length;
  const numbers = new Set<string>();
  const vector = (of: TensorValue, name: string, span: Span): TensorValue => materialize(c, { ...of, axes: [axisOf(count)] }, name, span);
  return {
    parameter: (info, target, initial, span) => store.parameter(info, target, initial, span),
    target: (info) => store.target(info),
    state: (info, initial, span) => {
      if (info.shape.length > 0) return store.state(info, initial, span);
      numbers.add(info.name);
      const all = store.state({ ...info, shape: [count] }, () => { const first = initial(); return vector({ ...first, at: () => first.at([]) }, info.name, span); }, span);
      return { ...all, axes: [axisOf(along.size)], at: ([element]) => all.at([parameterAt(b, along, element)]) };
    },
    updateState: (name, value, span) => {
      if (!numbers.has(name)) { store.updateState(name, value, span); return; }
      store.updateState(name, vector({ ...value, at: ([p]) => ofParameter(value, p, span) }, name, span), span);
    },
  };

  /** The value at any element of parameter `p`, where it depends on the parameter alone. */
  function ofParameter(value: TensorValue, p: Scalar, span: Span): Scalar {
    const owner = parameterAt(b, along, somewhere);
    if (owner.kind !== 'read') return bug('the parameter of an element is a look into a table');
    const scalar = recomputed(b, convertTensor(value, 'f32').at(value.axes.length === 0 ? [] : [somewhere]), along.size);
    const own = rewriteReads(scalar, (n) => (n.tensor === owner.tensor ? p : n));
    return indexVariables(own).has(3_000_000) ? fail(c, 'SSL2001', span, { expected: 'a number for the parameter', found: describe(value) }) : own;
  }
}
