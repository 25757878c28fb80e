/** `sslc doc`: what a file or library module declares, with its `///` documentation, as Markdown. */
import { readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { grammarAsEbnf } from '../../grammar/ebnf.js';
import { parse } from '../../grammar/parse.js';
import { documentModule } from '../document-module.js';
import { missing } from '../failure.js';
import { done, type Context, type Outcome } from '../outcome.js';
import { packageFolder } from '../package-folder.js';
import { openProject } from '../reader.js';
import { suggest } from '../../grammar/diagnostics/suggest.js';

/** Documents a file, `std.NAME`, the whole library, or the grammar as EBNF. */
export async function doc(context: Context, what: string | null): Promise<Outcome> {
  if (what === 'grammar') return done(grammarAsEbnf(), { grammar: grammarAsEbnf() });
  const folder = join(packageFolder(), 'models', 'std');
  const library = readdirSync(folder).filter((f) => f.endsWith('.ssl')).sort().map((f) => `std.${basename(f, '.ssl')}`);
  const modules = what === null ? library : [what];
  const pages = modules.map((name) => {
    const text = name.startsWith('std.') && !name.endsWith('.ssl') ? libraryText(folder, name, library) : mainText(context, name);
    context.sources.set(name, text);
    const { module, diagnostics } = parse({ name, text });
    return { page: documentModule(name, module, text), diagnostics };
  });
  return done(pages.map((p) => p.page).join('\n'), { modules: [...modules] }, pages.flatMap((p) => p.diagnostics));
}

function libraryText(folder: string, name: string, library: readonly string[]): string {
  if (library.includes(name)) return readFileSync(`${join(folder, ...name.split('.').slice(1))}.ssl`, 'utf8');
  const near = suggest(name, library);
  return missing(`there is no library module ${name}`, near === null ? `there is ${library.join(', ')}` : `did you mean ${near}?`);
}

function mainText(context: Context, file: string): string {
  const { main, reader } = openProject(file, context);
  return reader.read(main) ?? missing(`${file}: cannot be read`);
}
