/** Pages of SSL4: lowering and limits. */
import type { PageText } from './page.js';

export const loweringPages: Readonly<Record<string, PageText>> = {
  SSL4001: {
    title: 'not compiled yet',
    explanation: 'The program is well formed, and this compiler cannot run this part of it yet. It says so rather than leave it out.',
    wrong: 'fn spread(x: [N]) -> [] = var(x)\n',
    right: 'fn spread(x: [N]) -> [] = var[N](x)\n',
  },
  SSL4002: {
    title: 'past a limit of the compiler',
    explanation: 'Functions are expanded where they are called, so they may not call themselves, directly or through others.',
    wrong: 'fn f(x: []) = f(x) + 1\n',
    right: 'fn f(x: []) = x + 1\n',
  },
  SSL4003: {
    title: 'past a limit of the device',
    explanation: 'Graphics devices limit how many ranges of memory a kernel may use at once, and how large each may be. `sslc doctor` shows the limits of this machine\'s devices. The CPU target has no such limits.',
    wrong: '$ sslc train large.ssl --device gpu --set batch=1000000\n',
    right: '$ sslc train large.ssl --device gpu --set batch=256\n',
  },
};
