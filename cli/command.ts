/**
 * What `sslc` does, bundled apart from what starts it (`main.ts`). Imported when it is called, so that this chunk, the one without a
 * hash in its name, holds next to nothing.
 */
import type { ExitCode } from './failure.js';

export async function command(): Promise<ExitCode> {
  const [{ run }, { processTerminal }] = await Promise.all([import('./run.js'), import('./terminal.js')]);
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // Whoever read our output has seen enough (`sslc doc | head`).
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  return run(process.argv.slice(2), processTerminal());
}
