/**
 * Looks for adapters in a process of its own, once a run: graphics libraries print to stderr, and a bad driver may hang or
 * crash, and neither may reach a run that would do well without it.
 */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { pathToFileURL } from 'node:url';
import type { AdapterFacts } from './gpu-limits.js';
import type { MatrixConfiguration } from './matrix-units.js';
import { probeText } from './probe-text.js';

/** What the process said, line by line. */
export type ProbeReport =
  | { readonly kind: 'no-module'; readonly problem: string }
  | { readonly kind: 'missing'; readonly backend: string; readonly problem: string }
  | { readonly kind: 'found'; readonly backend: string; readonly info: AdapterFacts['info']; readonly features: readonly string[]; readonly limits: AdapterFacts['limits'] }
  | { readonly kind: 'works'; readonly backend: string }
  | { readonly kind: 'multiplies'; readonly backend: string; readonly unit: MatrixConfiguration }
  | { readonly kind: 'fails'; readonly backend: string; readonly problem: string }
  | { readonly kind: 'done' };

export interface Probe {
  readonly reports: readonly ProbeReport[];
  /** What drivers printed. */
  readonly printed: string;
  /** How the process ended, when it did not end well: it crashed, or did not answer in time. */
  readonly problem: string | null;
}

/** What Dawn knows on each system, best first. */
const backends: Partial<Record<NodeJS.Platform, readonly string[]>> = {
  linux: ['vulkan', 'opengles'],
  darwin: ['metal'],
  win32: ['d3d12', 'vulkan'],
};

let known: Promise<Probe> | null = null;

/** The adapters of this machine; asked once. */
export function probe(): Promise<Probe> {
  known ??= runProbe(probeText, 10_000);
  return known;
}

/** Runs a probing program with a time limit in milliseconds. Never rejects. */
export function runProbe(program: string, limit: number): Promise<Probe> {
  let module: string;
  try {
    module = pathToFileURL(createRequire(import.meta.url).resolve('webgpu')).href;
  } catch {
    return Promise.resolve({ reports: [{ kind: 'no-module', problem: 'the npm package `webgpu` is not installed' }], printed: '', problem: null });
  }
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['-e', program, module, ...(backends[process.platform] ?? ['vulkan'])], {
      stdio: ['ignore', 'pipe', 'pipe'],
      windowsHide: true,
      env: { ...process.env, NODE_OPTIONS: '', XDG_RUNTIME_DIR: process.env['XDG_RUNTIME_DIR'] ?? tmpdir() },
    });
    let said = '';
    let printed = '';
    let late = false;
    child.stdout.setEncoding('utf8').on('data', (text: string) => { said += text; });
    child.stderr.setEncoding('utf8').on('data', (text: string) => { printed += text; });
    const timer = setTimeout(() => { late = true; child.kill('SIGKILL'); }, limit);
    const end = (problem: string | null): void => {
      clearTimeout(timer);
      resolve({ reports: said.split('\n').flatMap(readReport), printed: printed.trim(), problem });
    };
    child.on('error', (error) => end(error.message));
    child.on('close', (code, signal) => {
      if (late) end(`the graphics driver did not answer within ${limit / 1000} s`);
      else end(code === 0 ? null : `the graphics driver crashed (${signal ?? `exit code ${code}`})`);
    });
  });
}

/** A line as a report; drivers may print to stdout too, and what is not a report is passed over. */
function readReport(line: string): ProbeReport[] {
  if (!line.startsWith('{"kind":')) return [];
  try {
    const report: ProbeReport = JSON.parse(line);
    return [report];
  } catch {
    return [];
  }
}
