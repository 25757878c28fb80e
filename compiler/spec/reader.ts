/** A spec as the files of a program, and the other way round: the files a program asked for, kept to make a spec. */
import type { Reader } from '../api.js';
import { sourceText, type SpecDocument, type SpecModule } from './document.js';

/** Reads only what the spec holds. */
export function specReader(document: SpecDocument): Reader {
  const module = (path: string): SpecModule | null => (Object.hasOwn(document.modules, path) ? document.modules[path] : null);
  return {
    read: (path) => {
      const found = module(path);
      return found === null ? null : sourceText(found);
    },
    resolve: (from, request) => {
      const imports = module(from)?.imports ?? {};
      return Object.hasOwn(imports, request) ? imports[request] : null;
    },
    library: (name) => (Object.hasOwn(document.library, name) ? document.library[name] : null),
  };
}

/** What a reader was asked and answered. */
export interface Recording {
  readonly reader: Reader;
  readonly texts: ReadonlyMap<string, string>;
  /** By importing file, then by request. */
  readonly imports: ReadonlyMap<string, ReadonlyMap<string, string>>;
  readonly library: ReadonlyMap<string, string>;
}

/** A reader that answers as `reader` does and remembers it. */
export function recordReader(reader: Reader): Recording {
  const texts = new Map<string, string>();
  const imports = new Map<string, Map<string, string>>();
  const library = new Map<string, string>();
  return {
    texts,
    imports,
    library,
    reader: {
      read: (path) => {
        const text = reader.read(path);
        if (text !== null) texts.set(path, text);
        return text;
      },
      resolve: (from, request) => {
        const path = reader.resolve(from, request);
        if (path !== null) imports.set(from, (imports.get(from) ?? new Map<string, string>()).set(request, path));
        return path;
      },
      library: (name) => {
        const path = reader.library(name);
        if (path !== null) library.set(name, path);
        return path;
      },
      ...(reader.parse === undefined ? {} : { parse: reader.parse }),
    },
  };
}

/**
 * The modules of a recording under names that do not depend on where they lay. `rename` gives the name a path gets;
 * modules that were looked up but not read are left out.
 */
export function recordedModules(recording: Recording, rename: (path: string) => string): Pick<SpecDocument, 'modules' | 'library'> {
  const read = (entries: Iterable<readonly [string, string]>): Record<string, string> =>
    Object.fromEntries([...entries].filter(([, path]) => recording.texts.has(path)).map(([key, path]) => [key, rename(path)]));
  const modules = [...recording.texts].map(([path, text]): [string, SpecModule] => [
    rename(path),
    { source: text.replaceAll('\r\n', '\n').split('\n'), imports: read(recording.imports.get(path) ?? []) },
  ]);
  return { modules: Object.fromEntries(modules), library: read(recording.library) };
}
