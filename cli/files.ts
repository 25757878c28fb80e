/** `.ssl` files below folders, in a fixed order. */
import { readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { missing } from './failure.js';

/** Each path that is a file, and every `.ssl` below each that is a folder; paths stay relative as given. */
export function sslFiles(paths: readonly string[], directory: string): readonly string[] {
  return paths.flatMap((path) => {
    const entry = statSync(resolve(directory, path), { throwIfNoEntry: false });
    if (entry === undefined) return missing(`${path}: no such file or folder`);
    return entry.isDirectory() ? below(path, directory) : [path];
  });
}

function below(folder: string, directory: string): readonly string[] {
  const entries = readdirSync(resolve(directory, folder), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    if (entry.name === 'node_modules' || entry.name.startsWith('.')) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return below(path, directory);
    return entry.name.endsWith('.ssl') ? [path] : [];
  });
}
