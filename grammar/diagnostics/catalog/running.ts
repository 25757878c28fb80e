/** SSL5: data, checkpoints, devices and running. */
import { entry } from '../diagnostic.js';

export const runningCodes = {
  SSL5001: entry<{ path: string; problem: string; help: string | null }>({
    severity: 'error',
    title: (a) => `${a.path}: ${a.problem}`,
    help: (a) => a.help,
  }),
};
