/** SSL0: what the parser and the printer say. */
import { entry } from '../diagnostic.js';

export const syntaxCodes = {
  SSL0001: entry<{ expected: string; found: string }>({
    severity: 'error',
    title: (a) => `expected ${a.expected}, found ${a.found}`,
  }),
};
