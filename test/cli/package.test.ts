/** The package as npm makes it, unpacked elsewhere: the command starts, checks and finds its library and data. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from './command.js';

const folder = mkdtempSync(join(tmpdir(), 'sslc-package-'));
const installed = join(folder, 'node_modules', 'sslc');
const command = join(installed, 'dist', 'sslc.js');

function sslc(...argv: string[]): { readonly code: number | null; readonly stdout: string; readonly stderr: string } {
  const { status, stdout, stderr } = spawnSync(command, argv, { cwd: folder, encoding: 'utf8', env: { PATH: process.env.PATH, HOME: folder, NO_COLOR: '1' } });
  return { code: status, stdout, stderr };
}

beforeAll(() => {
  // `prepare` builds the command into the package, as it does on `npm ci`.
  execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '';
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', join(folder, tarball), '-C', installed, '--strip-components=1']);
  // What npm would install beside it: nothing but the dependencies that are named.
  const { dependencies }: { dependencies: Record<string, string> } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  for (const name of Object.keys(dependencies)) symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  expect(statSync(join(folder, tarball)).size).toBeLessThan(20_000_000);
}, 180_000);
afterAll(() => { rmSync(folder, { recursive: true, force: true }); });

describe('the packed command', () => {
  it('starts', () => {
    expect(sslc('--version')).toEqual({ code: 0, stdout: `sslc ${JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version}\n`, stderr: '' });
  });

  it('holds the library, the data and the licence, and nothing of the sources', () => {
    for (const path of ['models/std/vision.ssl', 'models/vision/simclr.ssl', 'data/fashion-mnist/train-images-idx3-ubyte.gz', 'LICENSE', 'README.md']) expect(existsSync(join(installed, path))).toBe(true);
    for (const path of ['compiler', 'test', 'node_modules', 'runs']) expect(existsSync(join(installed, path))).toBe(false);
  });

  it('checks a program of its own against the bundled data', () => {
    const { code, stdout, stderr } = sslc('check', 'node_modules/sslc/models/vision/simclr.ssl');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('x: u8[28, 28, 1]');
  });

  it('keeps the code V8 made of it, and says the same with it', () => {
    const check = (): ReturnType<typeof sslc> => sslc('check', 'node_modules/sslc/models/vision/vicreg.ssl');
    const cold = check();
    const file = join(folder, '.cache', 'sslc', 'code', 'check.bin');
    const { mtimeMs, size } = statSync(file);
    expect(size).toBeGreaterThan(100_000);
    expect(check()).toEqual(cold);
    // Nothing was refused: then it would have been written anew.
    expect(statSync(file).mtimeMs).toBe(mtimeMs);
  });

  it('trains', { timeout: 120_000 }, () => {
    writeFileSync(join(folder, 'package.json'), '{}');
    const { code, stdout } = sslc('train', 'node_modules/sslc/models/vision/simclr.ssl', '--steps', '1', '--set', 'batch=8', '--set', 'channels=2', '--device', 'cpu', '--no-evaluate');
    expect({ code, stdout: stdout.replace(/\d:\d\d/, '0:00') }).toEqual({ code: 0, stdout: 'trained 1 steps in 0:00: runs/simclr\n' });
  });
});
