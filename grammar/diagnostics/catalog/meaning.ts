/** SSL3: what a program means: roles, draws, gradients, collapse. */
import { entry } from '../diagnostic.js';

export const meaningCodes = {
  SSL3002: entry<{ role: string; problem: string; help: string }>({
    severity: 'error',
    title: (a) => `${a.role} ${a.problem}`,
    help: (a) => a.help,
  }),
};
