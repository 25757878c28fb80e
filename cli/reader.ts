/**
 * The compiler's files, from disk or from a spec. A file's path is its name in messages, so paths are kept the way
 * the user wrote them, relative to the folder the command runs in. Nothing outside the project (the nearest folder
 * above with a package.json or .git) is read, but library modules and packages.
 */
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import type { LoadedProgram, Reader } from '../compiler/api.js';
import { loadProgram } from '../compiler/pipeline.js';
import type { SpecDocument } from '../compiler/spec/document.js';
import { specReader } from '../compiler/spec/reader.js';
import { readSpec } from '../compiler/spec/validate.js';
import { DiagnosticError, diagnostic } from '../grammar/diagnostics/report.js';
import type { Span } from '../grammar/span.js';
import { codeCachePath } from './code-cache.js';
import { missing } from './failure.js';
import { openTrees, thisChunk } from './kept-trees.js';
import type { KeptTrees } from './kept-trees.js';
import type { Context } from './outcome.js';
import { packageFolder } from './package-folder.js';

/** A file to compile, with what it needs to be read. */
export interface Project {
  /** The main module's path, for `loadProgram`. */
  readonly main: string;
  readonly reader: Reader;
  /** The spec, when the file is one: its overrides and model apply. */
  readonly spec: SpecDocument | null;
  /** Where relative paths of data start. */
  readonly dataRoot: string;
  /** Data must lie below `dataRoot`: a spec may come from anyone. */
  readonly confined: boolean;
  /** Where trees of its files are kept. */
  readonly trees: KeptTrees | null;
  /** A name for each path that does not depend on where the project lies; for specs. */
  readonly canonicalNames: (paths: Iterable<string>) => ReadonlyMap<string, string>;
}

/** A module of the installed library with what it imports, apart from any project. */
export function loadLibrary(context: Context, name: string): LoadedProgram {
  const { reader } = diskReader(context);
  const loaded = loadProgram(reader.library(name) ?? missing(`${name}: not in the library`, 'is the installation whole?'), reader);
  if (loaded.diagnostics.some((d) => d.severity === 'error')) throw new DiagnosticError(loaded.diagnostics);
  return loaded;
}

/** Finds and reads the main file; it may be a spec. */
export function openProject(file: string, context: Context): Project {
  const full = resolve(context.terminal.directory, file);
  if (!existsSync(full)) missing(`${file}: no such file`, nearestFile(full, context.terminal.directory));
  if (statSync(full).isDirectory()) missing(`${file}: expected a file, found a folder`);
  if (file.endsWith('.json')) return openSpec(file, full, context);
  const files = diskReader(context);
  const path = codeCachePath(context.terminal.environment, 'trees');
  const trees = path === null || thisChunk === null ? null : openTrees(path, thisChunk);
  return {
    main: file,
    reader: trees === null ? files.reader : { ...files.reader, parse: trees.parse },
    trees,
    spec: null,
    dataRoot: dirname(full),
    confined: false,
    canonicalNames: (paths) => canonicalNames(paths, files.placeOf),
  };
}

function openSpec(file: string, full: string, context: Context): Project {
  const text = readFileSync(full, 'utf8');
  context.sources.set(file, text);
  const document = readSpec({ name: file, text });
  for (const [name, module] of Object.entries(document.modules)) context.sources.set(name, module.source.join('\n'));
  return {
    main: document.main,
    reader: specReader(document),
    trees: null,
    spec: document,
    dataRoot: context.terminal.directory,
    confined: true,
    canonicalNames: (paths) => new Map([...paths].map((path) => [path, path])),
  };
}

/** Where a path lies: in the library, in a package, or among the user's own files. */
interface FilePlace {
  readonly kind: 'library' | 'package' | 'own';
  readonly full: string;
}

interface DiskReader {
  readonly reader: Reader;
  readonly placeOf: (path: string) => FilePlace;
}

function diskReader(context: Context): DiskReader {
  const { directory } = context.terminal;
  const libraryFolder = join(packageFolder(), 'models', 'std');
  const libraryFiles = new Map<string, string>();
  const fullPath = (path: string): string => libraryFiles.get(path) ?? resolve(directory, path);
  const shown = (full: string): string => {
    const path = relative(directory, full);
    return path.startsWith(`..${sep}..${sep}`) || isAbsolute(path) ? full : path.split(sep).join('/');
  };

  const reader: Reader = {
    read: (path) => {
      const full = fullPath(path);
      if (!isFile(full)) return null;
      const text = readFileSync(full, 'utf8').replace(/^\ufeff/, '');
      context.sources.set(path, text);
      return text;
    },
    resolve: (from, request) => {
      const origin = fullPath(from);
      const at = (): Span => spanOf(request, from, context.sources.get(from) ?? '');
      if (isPackage(request)) return mapNull(findPackage(origin, request, at), shown);
      const full = resolve(dirname(origin), request);
      const project = projectFolder(origin);
      if (!contains(project, full) || (existsSync(full) && !contains(realpathSync(project), realpathSync(full)))) {
        throw new DiagnosticError([diagnostic('SSL1050', at(), { request, project: shown(project) === '' ? 'this folder' : shown(project) })]);
      }
      return isFile(full) ? shown(full) : null;
    },
    library: (name) => {
      if (!/^std(\.[A-Za-z_][A-Za-z0-9_]*)+$/.test(name)) return null;
      const pieces = name.split('.').slice(1);
      const full = `${join(libraryFolder, ...pieces)}.ssl`;
      if (!isFile(full)) return null;
      const path = `std/${pieces.join('/')}.ssl`;
      libraryFiles.set(path, full);
      return path;
    },
  };
  const placeOf = (path: string): FilePlace => {
    const full = fullPath(path);
    return { full, kind: libraryFiles.has(path) ? 'library' : full.split(sep).includes('node_modules') ? 'package' : 'own' };
  };
  return { reader, placeOf };
}

const isPackage = (request: string): boolean => /^(@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/.test(request) && !request.endsWith('.ssl');

/** The entry file of a package, looked for in `node_modules` from the importing file upward; null when not installed. */
function findPackage(origin: string, request: string, at: () => Span): string | null {
  for (let folder = dirname(origin); ; folder = dirname(folder)) {
    const found = join(folder, 'node_modules', request);
    if (existsSync(join(found, 'package.json'))) return packageEntry(found, request, at);
    if (dirname(folder) === folder) return null;
  }
}

function packageEntry(folder: string, request: string, at: () => Span): string {
  const refuse = (problem: string): never => { throw new DiagnosticError([diagnostic('SSL1051', at(), { request, problem })]); };
  let description: unknown;
  try {
    description = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  } catch {
    return refuse('has a package.json that cannot be read');
  }
  const named = typeof description === 'object' && description !== null && 'ssl' in description ? description.ssl : 'index.ssl';
  if (typeof named !== 'string') return refuse('has a package.json whose `ssl` is not a text');
  const entry = resolve(folder, named);
  if (!contains(folder, entry)) return refuse('names an entry file outside itself');
  return isFile(entry) ? entry : refuse(`has no ${named}`);
}

/** The folder a file's imports may not leave. */
function projectFolder(file: string): string {
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json')) || existsSync(join(folder, '.git'))) return folder;
    if (dirname(folder) === folder) return dirname(file);
  }
}

function contains(folder: string, file: string): boolean {
  const path = relative(folder, file);
  return path !== '..' && !path.startsWith(`..${sep}`) && !isAbsolute(path);
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

function mapNull(value: string | null, map: (value: string) => string): string | null {
  return value === null ? null : map(value);
}

/** Where `request` stands in quotes. */
function spanOf(request: string, file: string, text: string): Span {
  const start = Math.max(0, text.indexOf(`"${request}"`));
  return { file, start, end: text === '' ? 0 : Math.min(text.length, start + request.length + 2) };
}

function canonicalNames(paths: Iterable<string>, placeOf: (path: string) => FilePlace): ReadonlyMap<string, string> {
  const all = [...paths].map((path) => ({ path, place: placeOf(path) }));
  const own = all.filter((f) => f.place.kind === 'own').map((f) => dirname(f.place.full));
  let root = own[0] ?? '';
  while (!own.every((folder) => contains(root, folder))) root = dirname(root);
  const names = new Map<string, string>();
  for (const { path, place } of all) {
    const name = place.kind === 'library' ? path : place.kind === 'own' ? relative(root, place.full).split(sep).join('/') : inPackages(place.full);
    // Folders called std or packages keep clear of the names that library modules and packages have.
    names.set(path, place.kind === 'own' && /^(std|packages|files)\//.test(name) ? `files/${name}` : name);
  }
  return names;
}

function inPackages(full: string): string {
  const pieces = full.split(sep);
  return ['packages', ...pieces.slice(pieces.lastIndexOf('node_modules') + 1)].join('/');
}

/** A file of the same name somewhere near, as help. */
function nearestFile(full: string, directory: string): string | null {
  const name = basename(full);
  for (const folder of [directory, join(directory, 'models'), join(directory, 'models', 'vision'), join(packageFolder(), 'models', 'vision')]) {
    const candidate = join(folder, name.endsWith('.ssl') ? name : `${name}.ssl`);
    if (candidate !== full && isFile(candidate)) return `did you mean ${relative(directory, candidate)}?`;
  }
  return null;
}
