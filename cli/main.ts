/** The `sslc` command: starts the program, with the code that V8 made of it the last time, and leaves with its exit code. */
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { relaxedSimdSupported } from '../runtime/device/cpu/relaxed-simd.js';
import type * as Program from './command.js';
import { codeCachePath, readCodeCache, writeCodeCache } from './code-cache.js';
import { openChunks } from './load-chunks.js';

// A command runs much code few times. V8 would optimize it (on other threads) long before that pays: a third of a large
// model's compile time. What runs for long is optimized all the same, some milliseconds later.
setFlagsFromString('--interrupt-budget=1000000');
// It may set a flag, and V8 takes kept code only under the flags it was made under: asked before the first chunk is loaded.
relaxedSimdSupported();

const cache = codeCachePath(process.env, process.argv[2] ?? '');
const chunks = openChunks(dirname(fileURLToPath(import.meta.url)), cache === null ? null : readCodeCache(cache));
const { command } = chunks.load('./command.cjs') as typeof Program;
const code = await command();
// A command that failed has not run the code that others will.
const made = code === 0 ? chunks.made() : null;
if (cache !== null && made !== null) await writeCodeCache(cache, made);
// Written out before leaving; leaving at once, since a driver's threads may outlive their use.
process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
