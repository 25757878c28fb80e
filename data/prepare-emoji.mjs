/**
 * Makes data/emoji/: each base emoji (no skin-tone variants) as drawn by Twitter and by Google, 32 x 32 RGB over
 * white, one gzip-compressed IDX file [concepts, 32, 32, 3] a vendor, with names and categories in emoji.json.
 *
 *   node data/prepare-emoji.mjs
 *
 * Downloads emoji-datasource-twitter and emoji-datasource-google 16.0.0 with `npm pack` into a temporary folder.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import sharp from 'sharp';

const version = '16.0.0';
const size = 32;
const vendors = ['twitter', 'google'];
const out = join(dirname(fileURLToPath(import.meta.url)), 'emoji');
const work = mkdtempSync(join(tmpdir(), 'emoji-'));

try {
  for (const vendor of vendors) {
    const name = `emoji-datasource-${vendor}`;
    execFileSync('npm', ['pack', '--silent', `${name}@${version}`], { cwd: work, stdio: ['ignore', 'ignore', 'inherit'] });
    mkdirSync(join(work, vendor));
    execFileSync('tar', ['xzf', join(work, `${name}-${version}.tgz`), '-C', join(work, vendor), '--wildcards', 'package/emoji.json', `package/img/${vendor}/64/*`]);
  }
  const all = JSON.parse(readFileSync(join(work, 'twitter', 'package', 'emoji.json'), 'utf8'));
  const chosen = all
    .filter((e) => e.category !== 'Component' && e.has_img_twitter && e.has_img_google)
    .sort((a, b) => (a.unified < b.unified ? -1 : 1));
  const categories = [...new Set(chosen.map((e) => e.category))].sort();
  for (const vendor of vendors) {
    const header = Buffer.alloc(20);
    header.set([0, 0, 8, 4]);
    [chosen.length, size, size, 3].forEach((n, i) => header.writeUInt32BE(n, 4 + 4 * i));
    const parts = [header];
    for (const emoji of chosen) {
      const file = join(work, vendor, 'package', 'img', vendor, '64', emoji.image);
      const pixels = await sharp(file).flatten({ background: '#ffffff' }).resize(size, size, { fit: 'fill' }).toColourspace('srgb').removeAlpha().raw().toBuffer();
      if (pixels.length !== size * size * 3) throw new Error(`${file}: expected ${size * size * 3} bytes, found ${pixels.length}`);
      parts.push(pixels);
    }
    writeFileSync(join(out, `${vendor}-images-idx4-ubyte.gz`), gzipSync(Buffer.concat(parts), { level: 9 }));
  }
  writeFileSync(join(out, 'emoji.json'), `${JSON.stringify({
    categories,
    concepts: chosen.map((e) => [e.unified.toLowerCase(), e.short_name, categories.indexOf(e.category)]),
  }).replaceAll('],[', '],\n[')}\n`);
  console.log(`${chosen.length} concepts, ${categories.length} categories`);
} finally {
  rmSync(work, { recursive: true, force: true });
}
