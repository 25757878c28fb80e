/**
 * A diagnostic is data: a code, a place and typed arguments. The words live in the catalog, so one cause has one
 * wording, and `sslc explain CODE` and `--json` read the same source. Rendering is `render.ts`.
 */
import type { Span } from '../span.js';
import type { catalog } from './catalog.js';

export type Severity = 'error' | 'warning' | 'note';

/** How a code speaks: each function gets the arguments the call site gave. */
export interface CatalogEntry<A> {
  readonly severity: Severity;
  /** Lower case, no full stop; what was expected before what was found. */
  readonly title: (a: A) => string;
  /** Printed under the caret; empty for none. */
  readonly label?: (a: A) => string;
  /** `= help:` what to do about it; null for none. */
  readonly help?: (a: A) => string | null;
}

export type Code = keyof typeof catalog;
export type ArgumentsOf<C extends Code> = (typeof catalog)[C] extends CatalogEntry<infer A> ? A : never;

export interface Diagnostic {
  readonly code: Code;
  readonly severity: Severity;
  readonly span: Span;
  readonly title: string;
  readonly label: string;
  readonly help: string | null;
  /** Other places that matter: the calls that led here, the first definition, ... */
  readonly related: readonly { readonly span: Span; readonly message: string }[];
}

/** Declares a catalog entry; `A` is the type of its arguments. */
export function entry<A>(e: CatalogEntry<A>): CatalogEntry<A> {
  return e;
}
