/** Pages of SSL3: what a program means. */
import type { PageText } from './page.js';

export const meaningPages: Readonly<Record<string, PageText>> = {
  SSL3002: {
    title: 'something its role does not allow',
    explanation: 'Each noun promises something: an energy gives one number or one a pair, a view and a `fn` own no parameters, a backbone is deterministic when it embeds. The message says which promise is broken.',
    wrong: 'fn project(x: [D]) {\n  param w: [D] = 1\n  w * x\n}\n',
    right: 'layer project(x: [D]) {\n  param w: [D] = 1\n  w * x\n}\n',
  },
  SSL3003: {
    title: 'a model that minimizes nothing',
    explanation: 'Training lowers the sum of what a model minimizes and regularizes; this one names neither.',
    wrong: 'model m {\n  input x: [D]\n  net f = linear(8)\n  represent f(x)\n}\n',
    right: 'model m {\n  input x: [D]\n  net f = linear(8)\n  minimize size: mean(f(x)^2)\n  represent f(x)\n}\n',
  },
  SSL3004: {
    title: 'a model without a representation',
    explanation: '`represent` says what an example becomes: evaluation, `sslc embed` and the report use it.',
    wrong: 'model m {\n  input x: [D]\n  net f = linear(8)\n  minimize size: mean(f(x)^2)\n}\n',
    right: 'model m {\n  input x: [D]\n  net f = linear(8)\n  minimize size: mean(f(x)^2)\n  represent f(x)\n}\n',
  },
};
