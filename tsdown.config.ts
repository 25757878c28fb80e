/** Bundles the command to `dist/sslc.js`; each command is a chunk of its own, so `sslc --version` loads almost nothing. */
import { defineConfig } from 'tsdown';

export default defineConfig({
  entry: { sslc: 'cli/main.ts' },
  outDir: 'dist',
  format: 'esm',
  platform: 'node',
  target: 'node20',
  fixedExtension: false,
  dts: false,
  sourcemap: false,
  clean: true,
  logLevel: 'warn',
  // Native code cannot be bundled. Everything else is, chevrotain's hundreds of small files above all.
  deps: { neverBundle: ['webgpu', 'sharp'], alwaysBundle: ['ajv', 'chevrotain', 'commander'] },
  banner: { js: '#!/usr/bin/env node' },
});
