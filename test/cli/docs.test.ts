/** The documentation: its programs parse, its commands run, and what is generated is up to date. */
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from '../../grammar/parse.js';
import { root, sslc } from './command.js';

const fenced = (text: string, language: string): readonly string[] => [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map((m) => m[1]);
const page = (name: string): string => readFileSync(join(root, name), 'utf8');

describe('programs in the documentation', () => {
  it.each(['README.md', 'docs/language.md', 'docs/tutorial.md'])('of %s parse', (name) => {
    const programs = fenced(page(name), 'ssl');
    expect(programs.length).toBeGreaterThan(0);
    for (const text of programs) expect(parse({ name, text }).diagnostics.map((d) => `${d.title} at ${text.slice(d.span.start, d.span.end)}`)).toEqual([]);
  });

  it('README shows models/vision/simclr.ssl as it is', () => {
    expect(fenced(page('README.md'), 'ssl')[0]).toBe(page('models/vision/simclr.ssl'));
  });

  it('the tutorial shows its model', () => {
    expect(page('models/vision/simclr.ssl')).toContain(fenced(page('docs/tutorial.md'), 'ssl')[0]);
  });
});

describe('docs/library.md', () => {
  it('is what `npm run docs` makes', async () => {
    expect((await sslc(root, ['doc'])).stdout).toBe(page('docs/library.md'));
  });
});

describe('the grammar in docs/language.md', () => {
  it('is what `npm run docs` makes', async () => {
    const { code, stdout } = await sslc(root, ['doc', 'grammar']);
    expect(code).toBe(0);
    expect(fenced(page('docs/language.md'), 'ebnf')).toEqual([stdout]);
  });
});

describe('links', () => {
  it('lead somewhere', () => {
    const pages = ['README.md', ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.md')).map((f) => join('docs', f))];
    const prose = (text: string): string => text.replace(/^```[\s\S]*?^```/gm, '').replace(/`[^`]*`/g, '');
    const broken = pages.flatMap((name) => [...prose(page(name)).matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)]
      .filter(([, target]) => !existsSync(join(root, dirname(name), target))).map(([, target]) => `${name}: ${target}`));
    expect(broken).toEqual([]);
  });
});

/** Small data and few steps: what the tutorial says at a hundredth of its length. */
describe('the tutorial', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sslc-tutorial-'));
  afterAll(() => { rmSync(folder, { recursive: true, force: true }); });

  it('runs as written', { timeout: 240_000 }, async () => {
    const text = page('docs/tutorial.md');
    cpSync(join(root, 'models'), join(folder, 'models'), { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{}');
    for (const name of ['models/vision/simclr.ssl']) {
      const path = join(folder, name);
      writeFileSync(path, readFileSync(path, 'utf8').replace('fashion_mnist()', `idx(images: "${writeImages(folder, 'train', 64)}", labels: "${writeLabels(folder, 'train', 64)}", testImages: "${writeImages(folder, 'test', 32)}", testLabels: "${writeLabels(folder, 'test', 32)}")`).replace(/^ {2}batch .*$/m, '  batch 16').replace('channels: int = 32', 'channels: int = 4'));
    }
    const own = fenced(text, 'ssl').find((p) => p.includes('margin_loss')) ?? '';
    writeFileSync(join(folder, 'margin.ssl'), own);
    for (const line of fenced(text, 'sh').join('').trim().split('\n')) {
      const argv = line.split(/\s+/).slice(1);
      const short = argv[0] === 'train' && !argv.includes('--resume') ? ['--steps', '2'] : [];
      const device = ['train', 'evaluate', 'embed'].includes(argv[0]) ? ['--device', 'cpu'] : [];
      const { code, stderr } = await sslc(folder, [...argv, ...short, ...device]);
      expect({ line, code, stderr: code === 0 ? '' : stderr }).toEqual({ line, code: 0, stderr: '' });
    }
  });
});

function writeImages(folder: string, name: string, count: number): string {
  const header = Buffer.from([0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 12, 0, 0, 0, 12]);
  const pixels = Buffer.from(Uint8Array.from({ length: count * 144 }, (_, i) => (i * 37 + Math.floor(i / 144) * 91) % 256));
  writeFileSync(join(folder, `${name}-images`), Buffer.concat([header, pixels]));
  return join(folder, `${name}-images`);
}

function writeLabels(folder: string, name: string, count: number): string {
  writeFileSync(join(folder, `${name}-labels`), Buffer.concat([Buffer.from([0, 0, 8, 1, 0, 0, 0, count]), Buffer.from(Uint8Array.from({ length: count }, (_, i) => i % 4))]));
  return join(folder, `${name}-labels`);
}
