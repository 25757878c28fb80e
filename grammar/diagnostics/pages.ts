/** The page of every code, one file a stage, as modules so that they are bundled with the command. */
import { catalog } from './catalog.js';
import type { Code } from './diagnostic.js';
import { loweringPages } from './pages/lowering.js';
import { meaningPages } from './pages/meaning.js';
import { namePages } from './pages/names.js';
import type { Page, PageText } from './pages/page.js';
import { runningPages } from './pages/running.js';
import { sharingPages } from './pages/sharing.js';
import { syntaxPages } from './pages/syntax.js';
import { typePages } from './pages/types.js';

const pages: Readonly<Record<string, PageText>> = { ...syntaxPages, ...namePages, ...typePages, ...meaningPages, ...loweringPages, ...runningPages, ...sharingPages };

/** Every code there is, in order. */
export const codes: readonly string[] = Object.keys(catalog).sort();

/** Whether a word is a code of the catalog. */
export const isCode = (word: string): word is Code => word in catalog;

/** The page of a code, in any case (`ssl0001`); null when there is none. */
export function explain(code: string): Page | null {
  const name = code.toUpperCase();
  const text = Object.hasOwn(pages, name) ? pages[name] : undefined;
  return text === undefined ? null : { code: name, ...text };
}

/** A page as text, for a terminal. */
export function renderPage(page: Page): string {
  const indented = (text: string): string => text.trimEnd().split('\n').map((line) => (line === '' ? '' : `    ${line}`)).join('\n');
  return `${page.code}: ${page.title}\n\n${page.explanation}\n\nWrong:\n\n${indented(page.wrong)}\n\nRight:\n\n${indented(page.right)}`;
}
