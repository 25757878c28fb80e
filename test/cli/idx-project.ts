/** A project folder with a small labelled IDX data set: `images` (48 of 5 x 5) and `labels` (3 classes). */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { place, type Place } from './command.js';

export function idxProject(files: Readonly<Record<string, string>>): Place {
  const made = place(files);
  const count = 48;
  const pixels = Uint8Array.from({ length: count * 25 }, (_, i) => (i * 89 + Math.floor(i / 25) * 53) % 256);
  writeFileSync(join(made.folder, 'images'), Buffer.concat([Buffer.from([0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 5, 0, 0, 0, 5]), pixels]));
  writeFileSync(join(made.folder, 'labels'), Buffer.concat([Buffer.from([0, 0, 8, 1, 0, 0, 0, count]), Uint8Array.from({ length: count }, (_, i) => i % 3)]));
  return made;
}
