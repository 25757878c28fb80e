/**
 * How a command ends. Exit codes are a contract: 0 ok, 1 diagnostics, 2 usage, 3 environment or data missing,
 * 4 stopped by a guard, 70 our bug, 130 interrupted with a checkpoint written.
 */
import type { Diagnostic } from '../grammar/diagnostics/diagnostic.js';

export const exitCodes = { ok: 0, diagnostics: 1, usage: 2, missing: 3, guard: 4, bug: 70, interrupted: 130 } as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** A mistake on the command line or in the environment: one line, perhaps a help line, no stack. */
export class Failure extends Error {
  constructor(
    readonly exitCode: ExitCode,
    message: string,
    readonly help: string | null = null,
  ) {
    super(message);
    this.name = 'Failure';
  }
}

/** Throws a usage `Failure`. */
export function usage(message: string, help: string | null = null): never {
  throw new Failure(exitCodes.usage, message, help);
}

/** Throws a `Failure` for something that is not there. */
export function missing(message: string, help: string | null = null): never {
  throw new Failure(exitCodes.missing, message, help);
}

/** Training stopped by a guard rather than by a mistake in the file. */
const guards: readonly string[] = ['SSL5030'];

/** The exit code that a list of diagnostics asks for. */
export function exitCodeOf(diagnostics: readonly Diagnostic[]): ExitCode {
  const errors = diagnostics.filter((d) => d.severity === 'error');
  if (errors.length === 0) return exitCodes.ok;
  if (errors.some((d) => guards.includes(d.code))) return exitCodes.guard;
  return errors.every((d) => d.code.startsWith('SSL5')) ? exitCodes.missing : exitCodes.diagnostics;
}
