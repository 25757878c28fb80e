/** The command as it ships: bundled into a folder of this test's own and run as a process, which can be sent signals. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './command.js';

export interface Built {
  /** Starts `sslc ...argv` in `directory`. */
  readonly start: (directory: string, argv: readonly string[]) => Running;
  readonly remove: () => void;
}

export interface Running {
  readonly child: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Waits until a line of standard output or error satisfies `wanted`; false when the process ended before. */
  readonly seen: (wanted: (line: string) => boolean) => Promise<boolean>;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

/** Bundles the command, below `node_modules` so that its dependencies, the library and the data are found. */
export function buildCommand(): Built {
  const cache = join(root, 'node_modules', '.cache');
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, 'sslc-command-'));
  execFileSync(process.execPath, [join(root, 'node_modules', 'tsdown', 'dist', 'run.mjs'), '--out-dir', folder], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  return {
    start: (directory, argv) => startProcess(join(folder, 'sslc.js'), directory, argv),
    remove: () => { rmSync(folder, { recursive: true, force: true }); },
  };
}

function startProcess(command: string, directory: string, argv: readonly string[]): Running {
  const child = spawn(process.execPath, [command, ...argv], { cwd: directory, env: { PATH: process.env.PATH, HOME: directory, NO_COLOR: '1' }, stdio: ['ignore', 'pipe', 'pipe'] });
  const written = { stdout: '', stderr: '' };
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  for (const stream of ['stdout', 'stderr'] as const) {
    let rest = '';
    child[stream].setEncoding('utf8').on('data', (piece: string) => {
      written[stream] += piece;
      const [last, ...whole] = `${rest}${piece}`.split('\n').reverse();
      rest = last;
      lines.push(...whole.reverse());
      for (const wake of waiting) wake();
    });
  }
  let over = false;
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.on('close', (code, signal) => {
      over = true;
      for (const wake of waiting) wake();
      resolve({ code, signal });
    });
  });
  const seen = (wanted: (line: string) => boolean): Promise<boolean> => new Promise((resolve) => {
    let next = 0;
    const look = (): void => {
      for (; next < lines.length; next++) if (wanted(lines[next])) return finish(true);
      if (over) finish(false);
    };
    const finish = (found: boolean): void => { waiting.delete(look); resolve(found); };
    waiting.add(look);
    look();
  });
  return { child, stdout: () => written.stdout, stderr: () => written.stderr, seen, ended };
}
