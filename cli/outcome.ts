/** What a command gives back: text for people, a result for `--json`, diagnostics, and how the process ends. */
import type { Diagnostic } from '../grammar/diagnostics/diagnostic.js';
import type { Terminal } from './terminal.js';
import { exitCodes, type ExitCode } from './failure.js';

/** JSON as written by `--json`. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface Outcome {
  readonly exitCode: ExitCode;
  /** For stdout; ends with a newline unless empty. */
  readonly text: string;
  readonly result: Json;
  readonly diagnostics: readonly Diagnostic[];
}

/** What every command is given. */
export interface Context {
  readonly terminal: Terminal;
  readonly json: boolean;
  /** Texts of the files read so far, by the name that spans use: diagnostics quote them. */
  readonly sources: Map<string, string>;
  /** `--json`: one event as a line on stdout, at once. Otherwise nothing. */
  readonly event: (event: { readonly [key: string]: Json }) => void;
}

/** A command that went well. */
export function done(text: string, result: Json, diagnostics: readonly Diagnostic[] = []): Outcome {
  return { exitCode: exitCodes.ok, text, result, diagnostics };
}

/** Version of what `--json` prints; raised when a field changes meaning or goes away. */
export const jsonVersion = 1;
