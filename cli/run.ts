/**
 * Runs one command line: prints what a command gives back and turns whatever goes wrong into words and an exit
 * code. A user's mistake never shows a stack; ours does with SSLC_DEBUG=1.
 */
import { CommanderError } from 'commander';
import { withoutAllowed } from '../grammar/diagnostics/allow.js';
import { Bug, DiagnosticError } from '../grammar/diagnostics/report.js';
import { DeviceError } from '../runtime/device/device.js';
import { Failure, exitCodeOf, exitCodes, type ExitCode } from './failure.js';
import { jsonVersion, type Context, type Json, type Outcome } from './outcome.js';
import { diagnosticsAsJson, renderAll } from './diagnostics.js';
import { makeProgram } from './program.js';
import type { Terminal } from './terminal.js';

/** Runs `sslc ...argv`; gives the exit code. */
export async function run(argv: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const json = argv.includes('--json');
  const context: Context = {
    terminal,
    json,
    sources: new Map(),
    event: (event) => {
      if (json) terminal.stdout(`${JSON.stringify({ sslc: jsonVersion, ...event })}\n`);
    },
  };
  const state: { command: string; outcome: Outcome | null } = { command: '', outcome: null };
  const program = makeProgram(context, async (command, work) => {
    state.command = command;
    state.outcome = await work();
  });
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return state.outcome === null ? exitCodes.ok : print(context, state.command, state.outcome);
  } catch (error) {
    return explainFailure(context, state.command, error);
  }
}

const sourceOf = (context: Context) => (file: string): string | null => context.sources.get(file) ?? null;

function print(context: Context, command: string, outcome: Outcome): ExitCode {
  const diagnostics = withoutAllowed(outcome.diagnostics, sourceOf(context));
  if (context.json) {
    writeJson(context, command, outcome.exitCode, { diagnostics: diagnosticsAsJson(diagnostics, context), result: outcome.result });
  } else {
    if (diagnostics.length > 0) context.terminal.stderr(renderAll(diagnostics, context));
    context.terminal.stdout(outcome.text);
  }
  return outcome.exitCode;
}

function explainFailure(context: Context, command: string, error: unknown): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : fail(context, command, exitCodes.usage, error.message, null, true);
  if (error instanceof Failure) return fail(context, command, error.exitCode, error.message, error.help);
  if (error instanceof DiagnosticError) {
    const exitCode = exitCodeOf(error.diagnostics);
    const diagnostics = withoutAllowed(error.diagnostics, sourceOf(context));
    if (context.json) writeJson(context, command, exitCode, { diagnostics: diagnosticsAsJson(diagnostics, context), result: null });
    else context.terminal.stderr(renderAll(diagnostics, context));
    return exitCode;
  }
  if (error instanceof DeviceError) return fail(context, command, exitCodes.missing, `the device failed (${error.event}): ${error.message}`, deviceHelp[error.event]);
  const system = systemError(error);
  if (system !== null) return fail(context, command, exitCodes.missing, system, null);
  return explainBug(context, command, error);
}

function fail(context: Context, command: string, exitCode: ExitCode, message: string, help: string | null, printed = false): ExitCode {
  if (context.json) writeJson(context, command, exitCode, { diagnostics: [], error: { message, help }, result: null });
  else if (!printed) context.terminal.stderr(`error: ${message}\n${help === null ? '' : `  = help: ${help}\n`}`);
  return exitCode;
}

function explainBug(context: Context, command: string, error: unknown): ExitCode {
  const message = error instanceof Error ? error.message : String(error);
  const kind = error instanceof Bug ? '' : error instanceof Error ? `${error.name}: ` : '';
  const first = message.split('\n')[0] ?? '';
  fail(context, command, exitCodes.bug, `this is a bug in sslc: ${kind}${first}`, 'please report it, with the file and the command; SSLC_DEBUG=1 shows where it happened');
  if ((context.terminal.environment.SSLC_DEBUG ?? '') !== '' && error instanceof Error) context.terminal.stderr(`${error.stack ?? message}\n`);
  return exitCodes.bug;
}

function writeJson(context: Context, command: string, exitCode: ExitCode, rest: { readonly [key: string]: Json }): void {
  context.terminal.stdout(`${JSON.stringify({ sslc: jsonVersion, command, exitCode, ...rest })}\n`);
}

const deviceHelp: Record<DeviceError['event'], string> = {
  lost: 'the last checkpoint is kept: go on with `--resume`, or with `--device cpu`',
  'out-of-memory': 'use a smaller batch (`--set batch=...`) or `--device cpu`',
  validation: 'please report it with the output of `sslc doctor`; `--device cpu` avoids the graphics driver',
  unavailable: '`sslc doctor` lists the devices of this machine',
};

/** What the operating system said, in words; null for an error that is not its. */
function systemError(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error) || !('syscall' in error)) return null;
  const path = 'path' in error && typeof error.path === 'string' ? error.path : null;
  const words: Record<string, string> = {
    ENOENT: 'no such file or folder',
    EACCES: 'permission denied',
    EPERM: 'not permitted',
    EISDIR: 'expected a file, found a folder',
    ENOTDIR: 'expected a folder, found a file',
    ENOSPC: 'the disk is full',
    EROFS: 'the file system is read-only',
    EMFILE: 'too many open files',
  };
  const code = typeof error.code === 'string' ? error.code : '';
  return `${path === null ? '' : `${path}: `}${words[code] ?? error.message}`;
}
