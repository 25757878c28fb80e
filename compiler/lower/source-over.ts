/** A value that is not computed: a source with one row for each of the variables around. */
import type { ProgramBuilder } from '../tensor/builder.js';
import { index } from '../tensor/scalar.js';
import type { Axis, IndexVariable, TensorElement, TensorValue } from './value.js';

export function sourceOver(b: ProgramBuilder, name: string, element: TensorElement, axes: readonly Axis[], over: readonly IndexVariable[]): TensorValue {
  const id = b.source(name, 'batch', element, [...over.map((v) => v.axis.size), ...axes.map((a) => a.size)], { span: null, name });
  const leading = over.map((v) => index(v.id));
  return { kind: 'tensor', element, axes, free: new Map(over.map((v) => [v.id, v])), at: (i) => b.read(id, [...leading, ...i]) };
}
