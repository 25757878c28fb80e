/** What a verdict on collapse says to the user: nothing, a warning about dimensions, or an error. */
import type { Diagnostic } from '../../grammar/diagnostics/diagnostic.js';
import { diagnostic } from '../../grammar/diagnostics/report.js';
import type { Span } from '../../grammar/span.js';
import type { CollapseVerdict } from './collapse.js';

/** `span` is the model's name, `batch` that of its training; `mend` is only asked for where nothing prevents collapse. */
export function collapseDiagnostics(v: CollapseVerdict, model: string, span: Span, batch: number, mend: () => string): Diagnostic[] {
  if (v.mechanism === 'none') return [diagnostic('SSL3001', span, { model, mend: mend() })];
  return [
    ...(v.dimensional ? [diagnostic('SSL3005', span, { model })] : []),
    ...(v.unfilled === null ? [] : [diagnostic('SSL3006', span, { model, batch, dimensions: v.unfilled.dimensions, terms: v.unfilled.terms })]),
  ];
}
