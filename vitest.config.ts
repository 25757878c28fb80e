/** One suite, sized for two cores: few workers, time limits that a slow machine keeps. */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['node_modules/**', 'dist/**'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    env: { NO_COLOR: '1' },
    // As the command does (cli/main.ts): most tests run much code few times.
    execArgv: ['--interrupt-budget=500000'],
  },
});
