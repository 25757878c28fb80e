/** SSL105, SSL504: imports across files and packages, and specs. */
import { entry } from '../diagnostic.js';

export const sharingCodes = {
  SSL1050: entry<{ request: string; project: string }>({
    severity: 'error',
    title: (a) => `\`${a.request}\` leaves the project`,
    label: (a) => `not inside ${a.project}`,
    help: () => 'copy the file into the project, or import it from a package: `use "@scope/name"`',
  }),
  SSL1051: entry<{ request: string; problem: string }>({
    severity: 'error',
    title: (a) => `package \`${a.request}\` ${a.problem}`,
    help: () => 'a package names its entry file in package.json, `"ssl": "index.ssl"`, or has an index.ssl',
  }),
  SSL5040: entry<{ pointer: string; problem: string; help: string | null }>({
    severity: 'error',
    title: (a) => `not a spec: ${a.problem}`,
    label: (a) => (a.pointer === '' ? 'the whole document' : `at ${a.pointer}`),
    help: (a) => a.help,
  }),
  SSL5041: entry<{ expected: string; found: string }>({
    severity: 'error',
    title: () => 'the spec was changed after it was written: its digest does not fit its content',
    label: (a) => `expected ${a.expected}`,
    help: () => 'fetch it again; if the change is yours, remove the `digest` line and write it anew with `sslc spec`',
  }),
};
