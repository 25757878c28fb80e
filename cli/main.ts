/** The `sslc` command: runs what was asked for and leaves with its exit code. */
import { setFlagsFromString } from 'node:v8';
import { run } from './run.js';
import { processTerminal } from './terminal.js';

// A command runs much code few times. V8 would optimize it (on other threads) long before that pays: a third of a large
// model's compile time. What runs for long is optimized all the same, some milliseconds later.
setFlagsFromString('--interrupt-budget=1000000');

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // Whoever read our output has seen enough (`sslc doc | head`).
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

const code = await run(process.argv.slice(2), processTerminal());
// Written out before leaving; leaving at once, since a driver's threads may outlive their use.
process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
