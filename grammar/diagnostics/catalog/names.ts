/** SSL1: names, imports and settings. */
import { entry } from '../diagnostic.js';

const suggest = (s: string | null): string | null => (s === null ? null : `did you mean \`${s}\`?`);

export const nameCodes = {
  SSL1001: entry<{ name: string; suggestion: string | null }>({
    severity: 'error',
    title: (a) => `nothing is called \`${a.name}\` here`,
    label: () => 'unknown name',
    help: (a) => suggest(a.suggestion),
  }),
};
