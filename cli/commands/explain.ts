/** `sslc explain CODE`: the page of a code, or the list of all. */
import { codes, explain as pageOf, renderPage } from '../../grammar/diagnostics/pages.js';
import { suggest } from '../../grammar/diagnostics/suggest.js';
import { usage } from '../failure.js';
import { done, type Context, type Outcome } from '../outcome.js';

/** Prints a code's page. */
export function explain(_context: Context, code: string | null): Promise<Outcome> {
  if (code === null) {
    const list = codes.map((c) => ({ code: c, title: pageOf(c)?.title ?? '' }));
    return Promise.resolve(done(list.map((c) => `${c.code}  ${c.title}\n`).join(''), list));
  }
  const page = pageOf(code);
  if (page === null) {
    const near = suggest(code.toUpperCase(), codes);
    return usage(`no error has the code ${code}`, near === null ? '`sslc explain` lists all codes' : `did you mean ${near}?`);
  }
  return Promise.resolve(done(`${renderPage(page)}\n`, { ...page }));
}
