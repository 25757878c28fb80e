/** Makes diagnostics from codes, and the one exception type that carries them across a stage's boundary. */
import type { Span } from '../span.js';
import { catalog } from './catalog.js';
import type { ArgumentsOf, CatalogEntry, Code, Diagnostic } from './diagnostic.js';

/** A diagnostic of `code` at `span`, worded by the catalog. */
export function diagnostic<C extends Code>(code: C, span: Span, args: ArgumentsOf<C>, related: Diagnostic['related'] = []): Diagnostic {
  // The catalog maps each code to an entry over that code's own arguments; TypeScript cannot follow the pairing
  // through a generic index, so the pairing is stated here, once.
  const entry: CatalogEntry<ArgumentsOf<C>> = catalog[code] as CatalogEntry<ArgumentsOf<C>>;
  return {
    code,
    severity: entry.severity,
    span,
    title: entry.title(args),
    label: entry.label?.(args) ?? '',
    help: entry.help?.(args) ?? null,
    related,
  };
}

/** Thrown by a stage that cannot go on; the command line prints its diagnostics and exits 1 (3 for SSL5). */
export class DiagnosticError extends Error {
  constructor(readonly diagnostics: readonly Diagnostic[]) {
    super(diagnostics.map((d) => `${d.code}: ${d.title}`).join('\n'));
    this.name = 'DiagnosticError';
  }
}

/** A state the compiler should never reach: ours to fix. The command line prints it with exit code 70. */
export class Bug extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'Bug';
  }
}

/** Throws a `Bug`. */
export function bug(message: string): never {
  throw new Bug(message);
}

/** For the default branch of an exhaustive switch. */
export function assertNever(x: never): never {
  return bug(`unexpected ${JSON.stringify(x)}`);
}
