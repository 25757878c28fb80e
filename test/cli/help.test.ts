/** Help, unknown commands and unknown flags: what is printed and how it ends. */
import { describe, expect, it } from 'vitest';
import { root, sslc } from './command.js';

const commands = ['check', 'fmt', 'train', 'evaluate', 'embed', 'call', 'compile', 'spec', 'doctor', 'explain', 'doc'];

describe('help', () => {
  it('prints the version', async () => {
    const { code, stdout } = await sslc(root, ['--version']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'sslc 0.1.0\n' });
  });

  it('lists every command', async () => {
    const { code, stdout, stderr } = await sslc(root, ['help']);
    expect(code).toBe(0);
    expect(stderr).toBe('');
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, 'm'));
  });

  it.each(commands)('explains %s with an example', async (command) => {
    const { code, stdout } = await sslc(root, ['help', command]);
    expect(code).toBe(0);
    expect(stdout).toContain(`Usage: sslc ${command}`);
    expect(stdout).toMatch(new RegExp(`Examples:\n  sslc ${command}`));
    expect(await sslc(root, [command, '--help'])).toEqual({ code: 0, stdout, stderr: '' });
  });

  it('without a command shows help and is a usage error', async () => {
    const { code, stdout, stderr } = await sslc(root, []);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('Usage: sslc');
  });
});

describe('usage errors', () => {
  it.each([
    [['trian', 'x.ssl'], "error: unknown command 'trian'\n  = help: did you mean train?\n"],
    [['check', 'x.ssl', '--modle', 'a'], "error: unknown option '--modle'\n  = help: did you mean --model?\n"],
    [['check'], "error: missing required argument 'file'\n"],
    [['train', 'x.ssl', '--steps', 'ten'], 'error: --steps ten: expected a whole number of at least 1\n'],
    [['train', 'x.ssl', '--set', 'tau'], 'error: --set tau: expected NAME=VALUE\n  = help: for instance `--set tau=0.2`\n'],
    [['compile', 'x.ssl', '--emit', 'asm'], 'error: --emit asm: expected one of ast, types, tensor, kernels, wgsl, plan\n'],
    [['fmt', '--check', '--stdout', 'models'], 'error: --check and --stdout exclude each other\n'],
  ])('%j', async (argv, words) => {
    expect(await sslc(root, argv)).toEqual({ code: 2, stdout: '', stderr: words });
  });

  it('are JSON with --json', async () => {
    const { code, stdout, stderr } = await sslc(root, ['check', '--json', 'nowhere.ssl']);
    expect(code).toBe(3);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toMatchObject({ sslc: 1, command: 'check', exitCode: 3, error: { message: 'nowhere.ssl: no such file' } });
  });
});

describe('files that are not there', () => {
  it('suggests a file of the same name', async () => {
    const { code, stderr } = await sslc(root, ['check', 'simclr.ssl']);
    expect(code).toBe(3);
    expect(stderr).toBe('error: simclr.ssl: no such file\n  = help: did you mean models/vision/simclr.ssl?\n');
  });
});
