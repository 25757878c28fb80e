/** A project folder with a small labelled IDX data set: `images` (48 of 5 x 5) and `labels` (3 classes). */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { place, type Place } from './command.js';

/** A file of `count` square pictures in the IDX format. */
export function idxImages(count: number, side: number, pixel: (i: number) => number = (i) => i * 89 + Math.floor(i / (side * side)) * 53): Buffer {
  return Buffer.concat([Buffer.from([0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, side, 0, 0, 0, side]), Uint8Array.from({ length: count * side * side }, (_, i) => pixel(i) % 256)]);
}

export function idxProject(files: Readonly<Record<string, string>>): Place {
  const made = place(files);
  const count = 48;
  writeFileSync(join(made.folder, 'images'), idxImages(count, 5));
  writeFileSync(join(made.folder, 'labels'), Buffer.concat([Buffer.from([0, 0, 8, 1, 0, 0, 0, count]), Uint8Array.from({ length: count }, (_, i) => i % 3)]));
  return made;
}
