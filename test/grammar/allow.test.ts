/** `// ssl-allow CODE: reason`: what it silences, and what it says when it cannot. */
import { describe, expect, it } from 'vitest';
import { allowancesIn, faultyAllowances, unusedAllowances, withoutAllowed } from '../../grammar/diagnostics/allow.js';
import type { Diagnostic } from '../../grammar/diagnostics/diagnostic.js';
import { diagnostic } from '../../grammar/diagnostics/report.js';

const at = (text: string, word: string): Diagnostic => {
  const start = text.indexOf(word);
  return diagnostic('SSL3005', { file: 'a.ssl', start, end: start + word.length }, { model: word });
};
const left = (text: string, ...found: Diagnostic[]): string[] => withoutAllowed(found, () => text).map((d) => d.code);
const source = (text: string) => ({ name: 'a.ssl', text });

describe('ssl-allow', () => {
  it.each([
    ['alone on the line above', '// ssl-allow SSL3005: meant\nmodel m {}\n'],
    ['at the end of the line', 'model m {} // ssl-allow SSL3005: meant\n'],
    ['above the documentation', '// ssl-allow SSL3005: meant\n/// What it is.\n\nmodel m {}\n'],
    ['with others above the same line', '// ssl-allow SSL3005: meant\n// ssl-allow SSL3006: meant too\nmodel m {}\n'],
    ['with lines that end in \\r\\n', '// ssl-allow SSL3005: meant\r\nmodel m {}\r\n'],
  ])('silences %s', (_, text) => {
    expect(left(text, at(text, 'm {'))).toEqual([]);
  });

  it('does not reach another line, another code, or into a text', () => {
    for (const text of ['// ssl-allow SSL3005: meant\nuse a { b }\nmodel m {}\n', '// ssl-allow SSL3006: meant\nmodel m {}\n', 'model m {} "// ssl-allow SSL3005: meant"\n', 'model m {}\n// ssl-allow SSL3005: meant\n']) {
      expect(left(text, at(text, 'm {'))).toEqual(['SSL3005']);
    }
  });

  it('never silences an error', () => {
    const text = '// ssl-allow SSL3001: please\nmodel m {}\n';
    const error = diagnostic('SSL3001', { file: 'a.ssl', start: text.indexOf('m {'), end: text.indexOf('m {') + 1 }, { model: 'm', mend: '' });
    expect(left(text, error)).toEqual(['SSL3001']);
    expect(faultyAllowances(source(text)).map((d) => d.title)).toEqual(['SSL3001 is an error, which nothing silences']);
  });

  it('needs a reason and a code that there is; without them it silences nothing', () => {
    const text = '// ssl-allow SSL3005\nmodel m {}\n// ssl-allow SSL9998: why\n// ssl-allow\nmodel k {}\n';
    expect(left(text, at(text, 'm {'))).toEqual(['SSL3005']);
    expect(faultyAllowances(source(text)).map((d) => d.title)).toEqual(['allowing SSL3005 needs a reason', 'no warning has the code `SSL9998`', '`ssl-allow` needs the code of a warning']);
  });

  it('is reported when it silences nothing', () => {
    const text = '// ssl-allow SSL3005: meant\nmodel m {}\nmodel k {} // ssl-allow SSL3005: left over\n';
    const unused = unusedAllowances(source(text), [at(text, 'm {')]);
    expect(unused.map((d) => [d.title, d.span.start])).toEqual([['nothing here gives SSL3005', text.lastIndexOf('//')]]);
    expect(allowancesIn(source(text)).map((a) => a.reason)).toEqual(['meant', 'left over']);
  });
});
