/** SSL3: what a program means: roles, draws, gradients, collapse. */
import { entry } from '../diagnostic.js';

export const meaningCodes = {
  SSL3002: entry<{ role: string; problem: string; help: string }>({
    severity: 'error',
    title: (a) => `${a.role} ${a.problem}`,
    help: (a) => a.help,
  }),
  SSL3003: entry<{ model: string }>({
    severity: 'error',
    title: (a) => `model \`${a.model}\` has nothing to minimize`,
    help: () => 'add `minimize NAME: ...`',
  }),
  SSL3004: entry<{ model: string }>({
    severity: 'error',
    title: (a) => `model \`${a.model}\` does not say what represents an example`,
    help: () => 'add `represent f(x)`: evaluation and export use it',
  }),
};
