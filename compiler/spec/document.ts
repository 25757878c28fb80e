/**
 * The shareable form of a model: every source it needs, where imports lead, and the overrides it was made with.
 * A spec is data. It is canonical (one text for one content) and closed (nothing outside it is read), so a digest
 * names it.
 */
import { bug } from '../../grammar/diagnostics/report.js';
import { canonicalJson, type JsonValue } from './canonical.js';
import { sha256 } from './sha256.js';

/** The version of the language that this compiler reads. */
export const languageVersion = '0.1';

export interface SpecModule {
  readonly source: readonly string[];
  readonly imports: Readonly<Record<string, string>>;
}

export interface SpecDocument {
  readonly format: 'sslc-spec';
  readonly version: 1;
  readonly language: string;
  readonly main: string;
  readonly library: Readonly<Record<string, string>>;
  readonly modules: Readonly<Record<string, SpecModule>>;
  readonly set?: Readonly<Record<string, string>>;
  readonly model?: string;
  readonly training?: JsonValue;
  readonly digest?: string;
}

/** The canonical text of a spec, with its digest. */
export function writeSpec(document: SpecDocument): string {
  return canonicalJson({ ...asJson(document), digest: digestOf(document) });
}

/** The digest a spec of this content carries. */
export function digestOf(document: SpecDocument): string {
  const content = Object.fromEntries(Object.entries(asJson(document)).filter(([key]) => key !== 'digest'));
  return `sha256:${sha256(canonicalJson(content))}`;
}

/** The text of a module. */
export function sourceText(module: SpecModule): string {
  return module.source.join('\n');
}

function asJson(document: SpecDocument): { readonly [key: string]: JsonValue } {
  const { format, version, language, main, library, modules, set, model, training } = document;
  const sources = Object.fromEntries(Object.entries(modules).map(([name, m]) => [name, { source: m.source, imports: m.imports }]));
  if (!Object.hasOwn(modules, main)) return bug(`spec without its main module ${main}`);
  return {
    format, version, language, main, library, modules: sources,
    ...(set === undefined || Object.keys(set).length === 0 ? {} : { set }),
    ...(model === undefined ? {} : { model }),
    ...(training === undefined ? {} : { training }),
  };
}
