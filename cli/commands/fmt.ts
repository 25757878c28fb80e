/** `sslc fmt`: one layout for every file. Files that do not parse are left alone and diagnosed. */
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { format as formatSource } from '../../grammar/print.js';
import type { Diagnostic } from '../../grammar/diagnostics/diagnostic.js';
import { exitCodes, usage } from '../failure.js';
import { sslFiles } from '../files.js';
import type { Context, Outcome } from '../outcome.js';

export interface FormatOptions {
  readonly check?: boolean;
  readonly stdout?: boolean;
}

/** Formats files in place, or says which would change. */
export async function format(context: Context, paths: readonly string[], options: FormatOptions): Promise<Outcome> {
  const { terminal } = context;
  if (options.check === true && options.stdout === true) usage('--check and --stdout exclude each other');
  if (paths.includes('-')) {
    if (paths.length > 1) usage('- (standard input) stands alone');
    return finish(context, [formatText(context, '<input>', await terminal.stdin())], { ...options, stdout: options.check !== true });
  }
  const files = sslFiles(paths, terminal.directory);
  const results = files.map((file) => formatText(context, file, readFileSync(resolve(terminal.directory, file), 'utf8')));
  if (options.check !== true && options.stdout !== true) {
    for (const { file, before, after } of results) if (after !== null && after !== before) writeFileSync(resolve(terminal.directory, file), after);
  }
  return finish(context, results, options);
}

interface Formatted {
  readonly file: string;
  readonly before: string;
  /** null when the file does not parse. */
  readonly after: string | null;
  readonly diagnostics: readonly Diagnostic[];
}

function formatText(context: Context, file: string, before: string): Formatted {
  context.sources.set(file, before);
  const { text, diagnostics } = formatSource({ name: file, text: before });
  const broken = diagnostics.some((d) => d.severity === 'error');
  return { file, before, after: broken ? null : text, diagnostics };
}

function finish(context: Context, results: readonly Formatted[], options: FormatOptions): Outcome {
  const changed = results.filter((r) => r.after !== null && r.after !== r.before).map((r) => r.file);
  const broken = results.filter((r) => r.after === null).map((r) => r.file);
  const failed = broken.length > 0 || (options.check === true && changed.length > 0);
  if (options.stdout !== true && !context.json) {
    for (const file of changed) context.terminal.stderr(options.check === true ? `${file}: not formatted\n` : `${file}: formatted\n`);
  }
  return {
    exitCode: failed ? exitCodes.diagnostics : exitCodes.ok,
    text: options.stdout === true ? results.map((r) => r.after ?? '').join('') : '',
    result: { files: results.length, changed, broken },
    diagnostics: results.flatMap((r) => r.diagnostics),
  };
}
