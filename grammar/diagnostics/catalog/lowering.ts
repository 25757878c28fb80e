/** SSL4: lowering, limits, and what cannot run yet. */
import { entry } from '../diagnostic.js';

export const loweringCodes = {
  SSL4001: entry<{ feature: string; help: string | null }>({
    severity: 'error',
    title: (a) => `${a.feature} cannot be compiled yet`,
    label: () => 'a known limitation',
    help: (a) => a.help,
  }),
  SSL4002: entry<{ what: string; limit: number }>({
    severity: 'error',
    title: (a) => `more than ${a.limit} ${a.what}`,
    help: () => 'a function may not call itself, directly or through others',
  }),
  SSL4003: entry<{ needs: string; limit: string }>({
    severity: 'error',
    title: (a) => `the device allows ${a.limit} at once, and this needs ${a.needs}`,
    label: () => 'computed here',
    help: () => 'use a smaller batch (`--set batch=...`) or smaller tensors, or run it with `--device cpu`',
  }),
};
