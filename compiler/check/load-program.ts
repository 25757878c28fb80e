/** Parses a file and everything it imports. Depth first, so that a cycle is found where it closes. */
import type { Module, Use } from '../../grammar/ast.js';
import { faultyAllowances } from '../../grammar/diagnostics/allow.js';
import type { Diagnostic } from '../../grammar/diagnostics/diagnostic.js';
import { diagnostic, DiagnosticError } from '../../grammar/diagnostics/report.js';
import { suggest } from '../../grammar/diagnostics/suggest.js';
import { parse } from '../../grammar/parse.js';
import type { SourceFile } from '../../grammar/span.js';
import type { LoadedProgram, Reader } from '../api.js';
import { preludeModule } from '../lower/module-scopes.js';
import { resolveNames } from './resolve-names.js';

type Modules = Map<string, { source: SourceFile; module: Module; imports: Map<Use, string> }>;

/** Reads `main` and its imports; never throws for what is wrong in the files. */
export function loadProgram(main: string, reader: Reader): LoadedProgram {
  const modules: Modules = new Map();
  const diagnostics: Diagnostic[] = [];
  const prelude = reader.library(preludeModule);
  if (prelude !== null) loadModule(prelude, reader, modules, diagnostics, []);
  loadModule(main, reader, modules, diagnostics, []);
  const loaded: LoadedProgram = { main, modules, prelude: prelude !== null && modules.has(prelude) ? prelude : null, diagnostics };
  if (!diagnostics.some((d) => d.severity === 'error')) diagnostics.push(...resolveNames(loaded));
  return loaded;
}

function loadModule(path: string, reader: Reader, modules: Modules, diagnostics: Diagnostic[], chain: readonly string[]): void {
  if (modules.has(path)) return;
  const text = reader.read(path);
  if (text === null) {
    diagnostics.push(diagnostic('SSL1002', { file: path, start: 0, end: 0 }, { path }));
    return;
  }
  const source: SourceFile = { name: path, text };
  const parsed = (reader.parse ?? parse)(source);
  diagnostics.push(...parsed.diagnostics, ...faultyAllowances(source));
  const imports = new Map<Use, string>();
  modules.set(path, { source, module: parsed.module, imports });
  for (const use of parsed.module.uses) {
    const target = locate(path, use, reader, diagnostics);
    if (target === null) continue;
    const at = [...chain, path].indexOf(target);
    if (at >= 0) {
      diagnostics.push(diagnostic('SSL1004', use.span, { cycle: [...[...chain, path].slice(at), target] }));
      continue;
    }
    imports.set(use, target);
    loadModule(target, reader, modules, diagnostics, [...chain, path]);
    checkImportedNames(use, modules.get(target)?.module ?? null, diagnostics);
  }
}

function locate(from: string, use: Use, reader: Reader, diagnostics: Diagnostic[]): string | null {
  try {
    const path = use.from.kind === 'library' ? reader.library(use.from.path) : reader.resolve(from, use.from.path);
    if (path === null) diagnostics.push(diagnostic('SSL1002', use.fromSpan, { path: use.from.path }));
    return path;
  } catch (e) {
    if (!(e instanceof DiagnosticError)) throw e;
    diagnostics.push(...e.diagnostics.map((d) => ({ ...d, span: use.fromSpan })));
    return null;
  }
}

/** A module offers what it declares and what it imports itself. */
export function offeredNames(module: Module): string[] {
  return [...module.declarations.flatMap((d) => (d.kind === 'train' ? [] : [d.name.text])), ...module.uses.flatMap((u) => u.names.map((n) => (n.as ?? n.name).text))];
}

function checkImportedNames(use: Use, module: Module | null, diagnostics: Diagnostic[]): void {
  if (module === null) return;
  const offered = offeredNames(module);
  for (const n of use.names) {
    if (!offered.includes(n.name.text)) {
      diagnostics.push(diagnostic('SSL1003', n.name.span, { name: n.name.text, module: use.from.path, suggestion: suggest(n.name.text, offered) }));
    }
  }
}
