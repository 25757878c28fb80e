/**
 * Lint: typescript-eslint's strict rules without those that only concern taste, and the arrows of the architecture:
 * grammar <- compiler <- runtime (types only) <- cli.
 */
import tseslint from 'typescript-eslint';

const never = (message, ...group) => ({ group, message });
const rooms = {
  grammar: [never('grammar/ imports nothing of ours', '**/compiler/**', '**/runtime/**', '**/cli/**', 'node:*', 'webgpu', 'sharp')],
  compiler: [never('compiler/ imports grammar/ alone, and nothing of the platform', '**/runtime/**', '**/cli/**', 'node:*', 'webgpu', 'sharp')],
  runtime: [never('runtime/ does not know the command line', '**/cli/**')],
};

const room = (folder) => ({
  files: [`${folder}/**/*.ts`],
  rules: { '@typescript-eslint/no-restricted-imports': ['error', { patterns: rooms[folder] }] },
});

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'runs/', '.*/', '**/*.d.ts', '**/*.json'] },
  ...tseslint.configs.strict,
  ...tseslint.configs.stylistic,
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrors: 'none' }],
      '@typescript-eslint/consistent-indexed-object-style': 'off',
      '@typescript-eslint/consistent-type-definitions': 'off',
      '@typescript-eslint/array-type': 'off',
      '@typescript-eslint/consistent-generic-constructors': 'off',
      '@typescript-eslint/no-invalid-void-type': 'off',
      '@typescript-eslint/unified-signatures': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      'no-restricted-syntax': [
        'error',
        { selector: 'TSEnumDeclaration', message: 'use a union of strings' },
        { selector: 'TSModuleDeclaration[kind="namespace"]', message: 'use a module' },
      ],
      eqeqeq: 'error',
      'no-control-regex': 'off',
    },
  },
  room('grammar'),
  room('compiler'),
  room('runtime'),
);
