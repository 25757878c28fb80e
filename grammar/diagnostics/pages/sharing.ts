/** Pages of imports across files and packages, and of specs. */
import type { PageText } from './page.js';

export const sharingPages: Readonly<Record<string, PageText>> = {
  SSL1050: {
    title: 'an import that leaves the project',
    explanation: 'Files are imported from inside the project only, so that a program means the same on every machine.',
    wrong: 'use "../../elsewhere/losses.ssl" { vicreg }\n',
    right: 'use "./losses.ssl" { vicreg }\n',
  },
  SSL1051: {
    title: 'a package that cannot be imported',
    explanation: 'The package is installed, and does not say which `.ssl` file it offers: `"ssl": "index.ssl"` in its package.json.',
    wrong: 'use "@scope/without-ssl" { f }\n',
    right: 'use "@scope/installed" { f }\n',
  },
  SSL5040: {
    title: 'not a spec',
    explanation: 'The document does not follow the schema of shared models. The message points into it.',
    wrong: '$ sslc check package.json\n',
    right: '$ sslc spec simclr.ssl > simclr.json\n$ sslc check simclr.json\n',
  },
  SSL5041: {
    title: 'a spec that was changed',
    explanation: 'A spec carries a digest of its content, and the two do not fit: it was damaged on its way, or edited by hand.',
    wrong: '{ "digest": "sha256-of-something-else" }\n',
    right: '$ sslc spec simclr.ssl > simclr.json\n',
  },
};
