/** Runs command lines inside the test's process, in a folder of their own, and gives back what was written. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../../cli/run.js';
import type { Terminal } from '../../cli/terminal.js';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

export interface Written {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Place {
  readonly folder: string;
  readonly write: (name: string, text: string) => string;
  readonly sslc: (...argv: string[]) => Promise<Written>;
  readonly remove: () => void;
}

/** A terminal that keeps what is written. */
export function recordingTerminal(directory: string, stdin = ''): { readonly terminal: Terminal; readonly stdout: string[]; readonly stderr: string[] } {
  const stdout: string[] = [];
  const stderr: string[] = [];
  return {
    stdout,
    stderr,
    terminal: {
      stdout: (text) => void stdout.push(text),
      stderr: (text) => void stderr.push(text),
      color: false,
      interactive: false,
      width: 100,
      directory,
      environment: {},
      stdin: () => Promise.resolve(stdin),
      onInterrupt: () => () => undefined,
    },
  };
}

/** Runs `sslc ...argv` in `directory`. */
export async function sslc(directory: string, argv: readonly string[], stdin = ''): Promise<Written> {
  const { terminal, stdout, stderr } = recordingTerminal(directory, stdin);
  const code = await run(argv, terminal);
  return { code, stdout: stdout.join(''), stderr: stderr.join('') };
}

/** An empty project folder with the given files. */
export function place(files: Readonly<Record<string, string>> = {}): Place {
  const folder = mkdtempSync(join(tmpdir(), 'sslc-test-'));
  const write = (name: string, text: string): string => {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  };
  write('package.json', '{}');
  for (const [name, text] of Object.entries(files)) write(name, text);
  return { folder, write, sslc: (...argv) => sslc(folder, argv), remove: () => { rmSync(folder, { recursive: true, force: true }); } };
}
