/** Every `.ssl` file of the repository, for the tests that hold on all of them. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { SourceFile } from '../../grammar/span.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** The programs that the language was designed by. */
export const northStar = filesUnder('test/grammar/programs');
/** All programs: those, and the library and models. */
export const programs = [...northStar, ...filesUnder('models')];

function filesUnder(folder: string): readonly SourceFile[] {
  return readdirSync(`${root}${folder}`, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ssl'))
    .sort()
    .map((name) => ({ name: `${folder}/${name}`, text: readFileSync(`${root}${folder}/${name}`, 'utf8') }));
}
