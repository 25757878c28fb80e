/**
 * Reads a spec's text: JSON, then the schema, then what a schema cannot say (imports lead to modules that are
 * there, the digest fits). Every problem is a diagnostic that points into the document.
 */
import { Ajv, type ErrorObject } from 'ajv';
import type { Diagnostic } from '../../grammar/diagnostics/diagnostic.js';
import { DiagnosticError, diagnostic } from '../../grammar/diagnostics/report.js';
import { suggest } from '../../grammar/diagnostics/suggest.js';
import type { SourceFile } from '../../grammar/span.js';
import { digestOf, languageVersion, type SpecDocument } from './document.js';
import { pointerPiece, readJson, type Place } from './json-text.js';
import schema from './schema.json' with { type: 'json' };

/** The spec in `source`. Throws a `DiagnosticError` for what is not one. */
export function readSpec(source: SourceFile): SpecDocument {
  const json = readJson(source.text);
  if (json.kind === 'problem') throw new DiagnosticError([problem(source, json.place, json.pointer, json.message, null)]);
  const validate = new Ajv({ allErrors: true, verbose: true, strict: true, allowUnionTypes: true }).compile<SpecDocument>(schema);
  const { value, places } = json;
  if (!validate(value)) throw new DiagnosticError(schemaProblems(source, validate.errors ?? [], places));
  const document: SpecDocument = value;
  const problems = meaningProblems(source, document, places);
  if (problems.length > 0) throw new DiagnosticError(problems);
  return document;
}

function problem(source: SourceFile, place: Place | undefined, pointer: string, message: string, help: string | null): Diagnostic {
  return diagnostic('SSL5040', { file: source.name, start: place?.start ?? 0, end: place?.end ?? 0 }, { pointer, problem: message, help });
}

/** What ajv found, one diagnostic for each place, the innermost cause first. */
function schemaProblems(source: SourceFile, errors: readonly ErrorObject[], places: ReadonlyMap<string, Place>): readonly Diagnostic[] {
  const seen = new Set<string>();
  const out: Diagnostic[] = [];
  for (const error of errors) {
    const { pointer, message, help } = inWords(error);
    // The keyword `propertyNames` only repeats what the error about the name itself says.
    if (error.keyword === 'propertyNames' || seen.has(pointer)) continue;
    seen.add(pointer);
    out.push(problem(source, places.get(pointer), pointer, message, help));
  }
  return out;
}

interface Words {
  readonly pointer: string;
  readonly message: string;
  readonly help: string | null;
}

/** One error of ajv in plain words. */
function inWords(error: ErrorObject): Words {
  const at = error.instancePath;
  const what = at === '' ? 'the document' : `\`${lastPiece(at)}\``;
  const parameters: Readonly<Record<string, unknown>> = error.params;
  switch (error.keyword) {
    case 'required':
      return { pointer: at, message: `${what} has no \`${String(parameters.missingProperty)}\``, help: at === '' ? 'write a spec with `sslc spec FILE`' : null };
    case 'additionalProperties': {
      const key = String(parameters.additionalProperty);
      const near = suggest(key, Object.keys(isObject(error.parentSchema?.properties) ? error.parentSchema.properties : {}));
      return { pointer: at + pointerPiece(key), message: `${what} has no field \`${key}\``, help: near === null ? null : `did you mean \`${near}\`?` };
    }
    case 'type':
      return { pointer: at, message: `expected ${what} to be ${kindInWords(parameters.type)}, found ${kindOf(error.data)}`, help: null };
    case 'const':
      return { pointer: at, message: `expected ${what} to be ${JSON.stringify(parameters.allowedValue)}, found ${JSON.stringify(error.data)}`, help: at === '/version' ? 'a newer sslc may read it' : null };
    case 'pattern':
      if (error.propertyName !== undefined) return { pointer: at + pointerPiece(error.propertyName), message: `${what} cannot have the key \`${error.propertyName}\``, help: 'expected the name of a module' };
      return { pointer: at, message: `expected ${what} to be ${patternInWords(at)}, found ${JSON.stringify(error.data)}`, help: null };
    case 'minProperties':
      return { pointer: at, message: `${what} is empty`, help: null };
    default:
      return { pointer: at, message: `${what} ${error.message ?? 'is not as it should be'}`, help: null };
  }
}

function patternInWords(pointer: string): string {
  if (pointer === '/language') return 'a version such as "0.1"';
  if (pointer === '/digest') return '"sha256:" and 64 hexadecimal digits';
  if (pointer.includes('/source/')) return 'a single line';
  return 'a relative path that ends in .ssl';
}

function lastPiece(pointer: string): string {
  return pointer.slice(pointer.lastIndexOf('/') + 1).replaceAll('~1', '/').replaceAll('~0', '~');
}

function kindInWords(type: unknown): string {
  const names = (Array.isArray(type) ? type : [type]).map((t) => nameOfKind[String(t)] ?? String(t));
  return names.join(' or ');
}

const nameOfKind: Readonly<Record<string, string>> = { object: 'an object', array: 'a list', string: 'a text', number: 'a number', integer: 'a whole number', boolean: 'true or false', null: 'null' };

function kindOf(value: unknown): string {
  const kind = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
  return nameOfKind[kind] ?? kind;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** What the schema cannot say. */
function meaningProblems(source: SourceFile, document: SpecDocument, places: ReadonlyMap<string, Place>): readonly Diagnostic[] {
  const out: Diagnostic[] = [];
  const known = Object.keys(document.modules);
  const check = (pointer: string, name: string): void => {
    if (Object.hasOwn(document.modules, name)) return;
    const near = suggest(name, known);
    out.push(problem(source, places.get(pointer), pointer, `there is no module \`${name}\` in it`, near === null ? `its modules are ${known.slice(0, 8).join(', ')}` : `did you mean \`${near}\`?`));
  };
  check('/main', document.main);
  for (const [key, name] of Object.entries(document.library)) check(`/library${pointerPiece(key)}`, name);
  for (const [module, { imports }] of Object.entries(document.modules)) {
    for (const [request, name] of Object.entries(imports)) check(`/modules${pointerPiece(module)}/imports${pointerPiece(request)}`, name);
  }
  if (document.language !== languageVersion) {
    out.push(problem(source, places.get('/language'), '/language', `expected language ${languageVersion}, found ${document.language}`, 'use the sslc that the spec was written with'));
  }
  if (out.length === 0 && document.digest !== undefined && document.digest !== digestOf(document)) {
    const place = places.get('/digest');
    out.push(diagnostic('SSL5041', { file: source.name, start: place?.start ?? 0, end: place?.end ?? 0 }, { expected: digestOf(document), found: document.digest }));
  }
  return out;
}
