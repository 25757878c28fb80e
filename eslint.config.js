import tseslint from 'typescript-eslint';
export default tseslint.config({ ignores: ['dist/', 'node_modules/', 'runs/'] }, ...tseslint.configs.recommended);
