/** SSL2: types and shapes. */
import { entry } from '../diagnostic.js';

export const typeCodes = {
  SSL2001: entry<{ expected: string; found: string }>({
    severity: 'error',
    title: (a) => `expected ${a.expected}, found ${a.found}`,
  }),
};
