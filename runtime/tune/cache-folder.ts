/** Where things are kept that can be made again: `$XDG_CACHE_HOME/sslc`, by default `~/.cache/sslc`. */
import { homedir } from 'node:os';
import { join } from 'node:path';

export function cacheFolder(environment: Readonly<Record<string, string | undefined>>): string {
  const folder = environment['XDG_CACHE_HOME'] ?? '';
  return join(folder === '' ? join(homedir(), '.cache') : folder, 'sslc');
}
