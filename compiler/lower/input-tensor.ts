/**
 * Inputs of the model as tensors: rows of the training set that the batch names, or examples that were sent.
 */
import type { Input } from '../../grammar/ast.js';
import type { ModelInput } from '../plan/manifest.js';
import type { ProgramBuilder } from '../tensor/builder.js';
import { add, index } from '../tensor/scalar.js';
import type { TensorId } from '../tensor/scalar.js';
import { fail } from './context.js';
import type { Context } from './context.js';
import type { absentInputs } from './plan-program.js';
import { axisOf } from './value.js';
import type { TensorValue } from './value.js';

const origin = (name: string): { span: null; name: string } => ({ span: null, name });

/** Input number k, an example for each of the batch: `resident`, from the training set, by the batch's order; else as it was sent. */
export function inputTensor(c: Context, inputs: readonly ModelInput[], input: Input, k: number, kind: 'resident' | 'batch' | 'embed' | typeof absentInputs, examples: number): TensorValue {
  const batch = c.batch;
  const info = inputs.find((i) => i.name === input.name.text) ?? inputs[k];
  if (info === undefined || batch === null) {
    return fail(c, 'SSL2002', input.span, { callee: 'the data set', expected: `${inputs.length} inputs (${inputs.map((i) => i.name).join(', ')}) at most`, found: k + 1 });
  }
  const size = batch.within?.size ?? batch.variable.axis.size;
  const at = batch.within === undefined ? index(batch.variable.id) : add(batch.within.first, index(batch.variable.id));
  const free = new Map([[batch.variable.id, batch.variable]]);
  const axes = info.shape.map((n) => axisOf(n));
  const source = (name: string, role: 'data' | 'batch', rows: number): TensorId => sourceOnce(c.builder, name, role, info.element, [rows, ...info.shape]);
  if (kind === 'resident') {
    const data = source(`data.${info.name}`, 'data', examples);
    const order = sourceOnce(c.builder, 'batch.order', 'batch', 'i32', [size]);
    return { kind: 'tensor', element: info.element, axes, free, at: (i) => c.builder.read(data, [c.builder.read(order, [at]), ...i]) };
  }
  // Of a batch in chunks, only the chunk at hand is sent.
  if (batch.within !== undefined) {
    const rows = source(`chunk.${info.name}`, 'batch', batch.variable.axis.size);
    return { kind: 'tensor', element: info.element, axes, free, at: (i) => c.builder.read(rows, [index(batch.variable.id), ...i]) };
  }
  const rows = source(`${kind}.${info.name}`, 'batch', size);
  return { kind: 'tensor', element: info.element, axes, free, at: (i) => c.builder.read(rows, [at, ...i]) };
}

/** The source of that name, made when it is first asked for. */
export function sourceOnce(b: ProgramBuilder, name: string, role: 'data' | 'batch', element: 'f32' | 'i32' | 'u8' | 'bool', shape: readonly number[]): TensorId {
  const known = b.tensors.find((t) => t.kind === 'source' && t.name === name);
  return known?.id ?? b.source(name, role, element, shape, origin(name));
}
