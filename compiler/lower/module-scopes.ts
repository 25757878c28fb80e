/** Scopes of all loaded modules: builtins, then the prelude, then each module's imports and declarations. */
import type { LoadedProgram } from '../api.js';
import { builtinNames } from './builtins.js';
import { Scope } from './scope.js';
import type { Value } from './value.js';

/** The library module whose names are in scope everywhere. */
export const preludeModule = 'std.prelude';

export interface ModuleScopes {
  readonly main: Scope;
  readonly root: Scope;
}

/** `globals` are the names the step provides: `step`, `steps`, `training`, ... */
export function moduleScopes(loaded: LoadedProgram, globals: ReadonlyMap<string, Value>): ModuleScopes {
  const root = new Scope(null);
  for (const name of builtinNames) root.set(name, { kind: 'builtin', name });
  for (const [name, v] of globals) root.set(name, v);
  const scopes = new Map<string, Scope>();
  const prelude = loaded.prelude;
  const base = prelude === null ? root : build(prelude, root);
  function build(path: string, parent: Scope): Scope {
    const known = scopes.get(path);
    if (known !== undefined) return known;
    const scope = new Scope(parent);
    scopes.set(path, scope);
    const loadedModule = loaded.modules.get(path);
    if (loadedModule === undefined) return scope;
    for (const use of loadedModule.module.uses) {
      const from = loadedModule.imports.get(use);
      if (from === undefined) continue;
      const imported = build(from, path === prelude ? root : from === prelude ? root : baseOr(parent));
      for (const n of use.names) {
        const v = imported.get(n.name.text);
        if (v !== null) scope.set((n.as ?? n.name).text, v);
      }
    }
    for (const d of loadedModule.module.declarations) {
      if (d.kind === 'function') scope.set(d.name.text, { kind: 'function', declaration: d, scope, settings: null });
      if (d.kind === 'model') scope.set(d.name.text, { kind: 'model', declaration: d, scope });
    }
    return scope;
  }
  function baseOr(parent: Scope): Scope {
    return prelude === null ? parent : (scopes.get(prelude) ?? parent);
  }
  const main = build(loaded.main, base);
  return { main, root };
}
