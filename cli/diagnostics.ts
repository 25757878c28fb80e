/** Diagnostics for people, as text for stderr, and for programs, as JSON with lines and columns. */
import type { Diagnostic } from '../grammar/diagnostics/diagnostic.js';
import { renderDiagnostic, toJson } from '../grammar/diagnostics/render.js';
import { nowhere } from '../runtime/data/problem.js';
import type { Context, Json } from './outcome.js';

/** The most diagnostics shown to a person; the rest is counted. */
const most = 20;

/** The diagnostics as text, an empty line between them, and a count when there are many. */
export function renderAll(diagnostics: readonly Diagnostic[], context: Context): string {
  const sourceOf = (file: string): string | null => context.sources.get(file) ?? null;
  const shown = diagnostics.slice(0, most).map((d) => {
    const text = renderDiagnostic(d, sourceOf, { color: context.terminal.color });
    // What has no place in a file is shown without one.
    return d.span.file === nowhere.file ? text.split('\n').filter((line) => !line.includes(`╭─`) || !line.includes(nowhere.file)).join('\n') : text;
  });
  const more = diagnostics.length > most ? `\nand ${diagnostics.length - most} more\n` : '';
  return `${shown.join('\n\n')}\n${more}`;
}

/** The diagnostics as `--json` shows them. */
export function diagnosticsAsJson(diagnostics: readonly Diagnostic[], context: Context): Json {
  const all = diagnostics.map((d) => toJson(d, (file) => context.sources.get(file) ?? null));
  return all.map((d) => ({ ...d, place: { ...d.place }, related: d.related.map((r) => ({ ...r, place: { ...r.place } })) }));
}
