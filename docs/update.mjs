/** Brings up to date what the documentation takes from the sources: `npm run docs`. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const read = (name) => readFileSync(join(root, name), 'utf8');
const write = (name, text) => writeFileSync(join(root, name), text);
const program = read('models/vision/simclr.ssl');
const model = /^model [\s\S]*?^}\n/m.exec(program)[0];

const doc = (...what) => execFileSync(process.execPath, [join(root, 'dist/sslc.js'), 'doc', ...what], { encoding: 'utf8' });

write('docs/library.md', doc());
write('docs/language.md', read('docs/language.md').replace(/```ebnf\n[\s\S]*?```/, () => `\`\`\`ebnf\n${doc('grammar')}\`\`\``));
// The first program of the README is the file; the tutorial shows its model. Replaced by functions, so that `$` stays `$`.
write('README.md', read('README.md').replace(/```ssl\n[\s\S]*?```/, () => `\`\`\`ssl\n${program}\`\`\``));
write('docs/tutorial.md', read('docs/tutorial.md').replace(/```ssl\nmodel [\s\S]*?```/, () => `\`\`\`ssl\n${model}\`\`\``));
