/**
 * Bundles the command: `dist/sslc.js`, which starts it, and the program in chunks, one for each command besides what they share, so that
 * `sslc --version` loads almost nothing. The program is CommonJS, of which V8's code can be kept (`cli/load-chunks.ts`).
 */
import { defineConfig } from 'tsdown';
import type { UserConfig } from 'tsdown';

const shared: UserConfig = {
  outDir: 'dist',
  platform: 'node',
  target: 'node20',
  fixedExtension: false,
  dts: false,
  sourcemap: false,
  clean: true,
  logLevel: 'warn',
  // Native code cannot be bundled. Everything else is, chevrotain's hundreds of small files above all.
  deps: { neverBundle: ['webgpu', 'sharp'], alwaysBundle: ['ajv', 'chevrotain', 'commander'] },
};

export default defineConfig([
  { ...shared, entry: { sslc: 'cli/main.ts' }, format: 'esm', banner: { js: '#!/usr/bin/env node' } },
  { ...shared, entry: { command: 'cli/command.ts' }, format: 'cjs' },
]);
