/** Where the package lies: the folder of `models/` and `data/`, both in a checkout and when installed. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bug } from '../grammar/diagnostics/report.js';

/** The folder of our own package.json. */
export function packageFolder(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const file = join(folder, 'package.json');
    if (existsSync(file) && /"name":\s*"sslc"/.test(readFileSync(file, 'utf8'))) return folder;
    if (dirname(folder) === folder) return bug('the package folder is not above the program');
  }
}
