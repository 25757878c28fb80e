/**
 * The output of `embed`: one embedding for each example, which may not depend on numbers of the training set.
 */
import type { Span } from '../../grammar/span.js';
import { dropDead } from '../tensor/simplify.js';
import { fail } from './context.js';
import type { Context } from './context.js';
import type { ElaboratedModel } from './model.js';
import { nodeOf } from './store.js';
import { close, ensureWhole, orderedFree, reshape } from './tensor-value.js';
import type { TrainingSource } from './training-spec.js';

const origin = (name: string): { span: null; name: string } => ({ span: null, name });

const unnumberedSource = 'embed.unnumbered';

/** Examples that are embedded have no number in the training set. */
export function withoutNumbers(c: Context): Context {
  const { batch } = c;
  return batch === null ? c : { ...c, batch: { ...batch, unnumbered: c.builder.source(unnumberedSource, 'batch', 'i32', [batch.variable.axis.size], origin('id')) } };
}

function representSpan(source: TrainingSource): Span | null {
  return source.model.body.find((s) => s.kind === 'represent')?.span ?? null;
}

/** Makes the embedding the program's output; gives its size. */
export function finishEmbed(c: Context, model: ElaboratedModel, source: TrainingSource): number {
  const r = model.representation;
  const span = source.model.name.span;
  if (r === null || c.batch === null) return fail(c, 'SSL3004', span, { model: source.model.name.text });
  const size = r.axes.reduce((n, a) => n * a.size, 1);
  const flat = r.axes.length === 1 ? r : reshape(c, span, r, [size]);
  const whole = close({ ...flat, free: new Map([[c.batch.variable.id, c.batch.variable], ...flat.free]) }, [c.batch.variable]);
  if (orderedFree(whole).length > 0) return fail(c, 'SSL2001', span, { expected: 'one embedding for each example', found: 'more' });
  c.builder.output('embedding', nodeOf(ensureWhole(c, whole, 'embedding', span)));
  if (dropDead(c.builder.build()).tensors.some((t) => t.kind === 'source' && t.name === unnumberedSource)) {
    return fail(c, 'SSL3011', representSpan(source) ?? span, { model: source.model.name.text });
  }
  return size;
}
